//! The backend of file-system events that the servers of a test use.

use std::{cell::Cell, fs};

thread_local! {
    static IS_NOTIFY: Cell<bool> = const { Cell::new(false) };
}

/// The variable that selects the notify backend on Linux. Set for all tests, it applies to every server.
pub const VARIABLE: &str = "TEST_MXR_FS_EVENTS";

/// Whether the test on this thread uses the notify backend.
pub fn is_notify() -> bool {
    IS_NOTIFY.get()
}

/// Runs a test with the notify backend.
pub fn with_notify(test: fn()) {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            IS_NOTIFY.set(false);
        }
    }
    let _reset = Reset;
    IS_NOTIFY.set(true);
    test();
}

/// The tests of a file again with the notify backend, which macOS uses, except those that count system calls of Linux.
macro_rules! with_notify_too {
    ($($test:ident),+ $(,)?; except $($left_out:ident),* $(,)?) => {
        mod with_notify {
            $(#[test] fn $test() { crate::support::with_notify(super::$test); })+

            #[test]
            fn no_test_is_forgotten() {
                let named = [$(stringify!($test),)+ $(stringify!($left_out),)*];
                crate::support::expect_all_named(concat!(env!("CARGO_MANIFEST_DIR"), "/", file!()), &named);
            }
        }
    };
}
pub(crate) use with_notify_too;

/// Expects that the names are those of all tests in a file.
#[track_caller]
pub fn expect_all_named(file: &str, named: &[&str]) {
    let source = fs::read_to_string(file).unwrap();
    let tests = source.split("#[test]\nfn ").skip(1).filter_map(|code| code.split('(').next());
    assert_eq!(tests.filter(|test| !named.contains(test)).collect::<Vec<_>>(), Vec::<&str>::new());
}
