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
    let found = names.iter().find_map(|name| env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()));
    if found.is_none() {
        let missing = format!("skipped: {} is not installed", names[0]);
        let strict = ["CI", "MXR_TESTS_STRICT"].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
        assert!(!strict, "{missing}");
        // Past the test runner, which keeps what a passing test prints to itself.
        let _ = writeln!(stderr(), "{missing}");
    }
    found
}
