//! Support for the black-box tests: the real binary on a free port, a viewer that reads its bytes strictly, folders and pictures to
//! feed it, real browsers to show it. It knows the program only from outside: its command line, its routes and its bytes.

#[cfg(feature = "mqtt")]
mod broker;
mod browser;
mod ca;
mod command;
mod connection;
mod finished;
mod folder;
mod fs_events;
mod machine;
mod nginx;
mod page;
mod picture;
mod proxy;
mod recorded;
mod server;
mod session;
mod tool;
mod upstream;
mod viewer;
mod watched;

use std::{
    path::Path,
    time::{Duration, Instant},
};

#[cfg(feature = "mqtt")]
pub use broker::Broker;
pub use browser::Browser;
pub use ca::Ca;
pub use command::{ExecServer, exec, exec_by};
pub use connection::{Connection, Reply};
pub use finished::Finished;
pub use folder::Folder;
pub(crate) use fs_events::with_notify_too;
pub use fs_events::{expect_all_named, is_notify, with_notify};
pub use machine::{alone, busy, share};
pub use nginx::Nginx;
pub use page::Page;
pub use picture::{BLUE, Colour, GREEN, PALETTE, RED, drawn_by_ffmpeg, jpeg, jpeg_of, near, noise, padded_png, png};
pub use proxy::{Passes, Proxy};
pub use recorded::{Recorded, recorded, recorded_before_a_kill, segments};
pub use server::{Mxr, Server, mxr};
pub use session::Kind;
pub use tool::{axe, python, skip, tool};
pub use upstream::{Asked, MULTIPART, Upstream, multipart, relay};
pub use viewer::{Part, Viewer};
pub use watched::Watched;

/// The time that a test waits for an event. Generous, since only a failing test spends it.
pub const SOON: Duration = Duration::from_secs(10);

/// The time without an event after which a test assumes that none will come.
pub const A_WHILE: Duration = Duration::from_millis(300);

/// The headers of an `<img>` in Chromium.
pub const CHROMIUM_IMAGE: &[&str] = &[
    "Accept: image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
];

/// The headers of an `<img>` in Firefox.
pub const FIREFOX_IMAGE: &[&str] = &[
    "Accept: image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
];

/// The headers of a browser's navigation.
pub const NAVIGATION: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// The folder of the crate.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A port that is free at the moment, for programs that cannot report the port they chose.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The output of a real client, which must succeed.
#[track_caller]
pub fn printed_by(command: &mut std::process::Command) -> Vec<u8> {
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}, {}", output.status, String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Checks every few milliseconds until the condition holds; fails the test after the deadline.
pub fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, deadline, || condition().then_some(()));
}

/// Checks every few milliseconds until there is a result; fails the test after the deadline.
pub fn wait_for<T>(what: &str, deadline: Duration, look: impl FnMut() -> Option<T>) -> T {
    look_for(deadline, look).unwrap_or_else(|| panic!("waited {deadline:?} in vain until {what}"))
}

/// Checks every few milliseconds until there is a result, or the deadline has passed.
pub fn look_for<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let found = look();
        if found.is_some() || start.elapsed() >= deadline {
            return found;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}
