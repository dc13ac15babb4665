//! Other programs that a test needs: found on the PATH, or the test reports that it is skipped.

use std::{
    env,
    io::{Write, stderr},
    path::PathBuf,
    process::{Command, Stdio},
};

/// The first of these programs that is installed. Without one the result is `None`, so that the test skips itself; with `CI` or
/// `MXR_TESTS_STRICT` set, the test fails.
pub fn tool(names: &[&str]) -> Option<PathBuf> {
    let found = names.iter().find_map(|name| on_path(name).next());
    found.or_else(|| missing(names[0]))
}

/// The script of axe-core (https://github.com/dequelabs/axe-core), which `tests/run` puts into the build folder.
pub fn axe() -> Option<PathBuf> {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../axe/node_modules/axe-core/axe.min.js");
    Some(file).filter(|file| file.is_file()).or_else(|| missing("axe-core"))
}

/// A Python with this module, or with these (`PIL, requests`); without one as for `tool`.
pub fn python(module: &str) -> Option<PathBuf> {
    let has_module = |python: &PathBuf| {
        let import = format!("import {module}");
        Command::new(python).args(["-c", &import]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    on_path("python3").find(has_module).or_else(|| missing(&format!("python3 with {module}")))
}

fn on_path(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers are where only root looks for them.
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let files: Vec<_> = folders.map(|dir| dir.join(name)).collect();
    files.into_iter().filter(|file| file.is_file())
}

fn missing(what: &str) -> Option<PathBuf> {
    let strict = ["CI", "MXR_TESTS_STRICT"].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    assert!(!strict, "skipped: {what} is not installed");
    skip(&format!("{what} is not installed"));
    None
}

/// Prints why a test is skipped, bypassing the test runner, which hides the output of a test that passes.
pub fn skip(why: &str) {
    let _ = writeln!(stderr(), "skipped: {why}");
}
