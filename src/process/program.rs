//! Whether a program is there to be run. It starts none.

use std::{
    env::{split_paths, var_os},
    ffi::OsStr,
    path::{MAIN_SEPARATOR_STR, Path},
};

/// Whether there is a file that this command would run: at that path, or of that name in a directory of `PATH`.
pub fn program_exists(program: &OsStr) -> bool {
    if program.as_encoded_bytes().contains(&MAIN_SEPARATOR_STR.as_bytes()[0]) {
        return Path::new(program).is_file();
    }
    var_os("PATH").is_some_and(|paths| split_paths(&paths).any(|dir| dir.join(program).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_path_or_by_its_name() {
        for (program, exists) in
            [("sh", true), ("/bin/sh", true), ("mxr-there-is-none", false), ("/bin", false), ("./sh", false), ("", false)]
        {
            assert_eq!(program_exists(program.as_ref()), exists, "{program}");
        }
    }
}
