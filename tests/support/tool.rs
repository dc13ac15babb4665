//! Programs of others that a test needs: found on the PATH, or the test says that it is skipped.

use std::{
    env,
    io::{Write, stderr},
    path::PathBuf,
};

/// The first of these programs that is installed. Where none is, the test is told to skip itself,
/// or fails where everything has to be there (`CI` or `MXR_TESTS_STRICT` is set).
pub fn tool(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    installed(names[0], names.iter().find_map(|name| env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())))
}

/// The script of axe-core (https://github.com/dequelabs/axe-core), which `tests/run` puts among what is built.
pub fn axe() -> Option<PathBuf> {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../axe/node_modules/axe-core/axe.min.js");
    installed("axe-core", Some(file).filter(|file| file.is_file()))
}

fn installed(name: &str, found: Option<PathBuf>) -> Option<PathBuf> {
    if found.is_none() {
        let missing = format!("skipped: {name} is not installed");
        let strict = ["CI", "MXR_TESTS_STRICT"].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
        assert!(!strict, "{missing}");
        // Past the test runner, which keeps what a passing test prints to itself.
        let _ = writeln!(stderr(), "{missing}");
    }
    found
}
