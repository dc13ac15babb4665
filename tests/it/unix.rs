//! A Unix socket instead of a port.

use std::{
    fs,
    io::Read,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    process::Command,
    time::Duration,
};

use crate::support::{Folder, RED, SOON, Server, mxr, png, printed_by, tool, wait_until};

#[test]
fn a_unix_socket_serves_and_goes_away_at_the_end() {
    let Some(curl) = tool(&["curl"]) else { return };
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let path = folder.file("mxr.sock");
    let server = mxr(["watch"]).arg(folder.file("a.png")).arg("--unix").arg(&path).args(["--unix-mode", "640"]).spawn().listening();
    assert_eq!(String::from_utf8(server.stdout()).unwrap(), format!("unix:{}\n", path.display()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let get = |target: &str| {
        printed_by(
            Command::new(&curl).args(["-sf", "--retry", "9", "--unix-socket"]).arg(&path).arg(format!("http://localhost{target}")),
        )
    };
    assert_eq!(get("/snapshot"), png(RED));
    let stream = get("/stream?parts=1");
    assert!(stream.windows(png(RED).len()).any(|window| window == png(RED)));
    let mut viewer = UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut viewer, b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    wait_until("the viewer is there", SOON, || {
        let state: serde_json::Value = serde_json::from_slice(&get("/state")).unwrap();
        state["viewers"].as_array().unwrap().len() == 1 && state["viewers"][0].get("peer").is_none()
    });
    server.terminate();
    let mut rest = Vec::new();
    viewer.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"--\r\n"), "the close-delimiter");
    server.finish().success();
    assert!(!path.exists(), "the socket is removed");
}

#[test]
fn nobody_else_may_connect_unless_the_mode_allows_it() {
    let folder = Folder::new();
    let path = folder.file("mxr.sock");
    let _server = mxr(["serve", "--demo", "--unix"]).arg(&path).spawn().listening();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    mxr(["serve", "--demo", "--unix-mode", "888", "--unix"]).arg(&path).run().usage_error().stderr("660");
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let folder = Folder::new();
    let path = folder.file("mxr.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = mxr(["serve", "--demo", "--unix"]).arg(&path).spawn().listening();
    mxr(["serve", "--demo", "--unix"]).arg(&path).run().failure().stderr("another program listens there");
    assert!(UnixStream::connect(&path).is_ok(), "the first goes on");
    drop(server);
    // Killed, it could not remove its socket.
    assert!(path.exists());
    let _third = mxr(["serve", "--demo", "--unix"]).arg(&path).spawn().listening();
    folder.put("file", "precious");
    let file = folder.file("file");
    mxr(["serve", "--demo", "--unix"]).arg(&file).run().failure().stderr("no socket");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    mxr(["serve", "--demo", "--unix", "/nowhere/at/all"]).run().failure().stderr("/nowhere/at/all");
}

#[test]
fn a_socket_of_a_later_start_is_not_removed() {
    let folder = Folder::new();
    let path = folder.file("mxr.sock");
    let server = mxr(["serve", "--demo", "--unix"]).arg(&path).spawn().listening();
    fs::remove_file(&path).unwrap();
    let _later = mxr(["serve", "--demo", "--unix"]).arg(&path).spawn().listening();
    server.stop().success();
    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn silent_connections_to_a_unix_socket_are_bounded_and_keep_nobody_out() {
    let Some(curl) = tool(&["curl"]) else { return };
    rlimit::increase_nofile_limit(1 << 16).unwrap();
    let folder = Folder::new();
    let path = folder.file("mxr.sock");
    let server = mxr(["serve", "--demo", "--unix"]).arg(&path).spawn().listening();
    let crowd: Vec<_> = (0..4000).map(|_| UnixStream::connect(&path).unwrap()).collect();
    printed_by(Command::new(&curl).args(["-sf", "--unix-socket"]).arg(&path).arg("http://localhost/healthz"));
    wait_until("the silent ones made room", Duration::from_secs(5), || server.open_files() < 2100);
    drop(crowd);
}

#[test]
fn of_several_starts_on_a_stale_socket_one_listens() {
    for _ in 0..20 {
        let folder = Folder::new();
        let path = folder.file("mxr.sock");
        drop(UnixListener::bind(&path).unwrap());
        let starts: Vec<_> = (0..4).map(|_| mxr(["serve", "--demo", "--unix"]).arg(&path).spawn()).collect();
        let is_decided = |server: &Server| !server.stdout().is_empty() || server.stderr().contains("another program listens there");
        wait_until("all are decided", SOON, || starts.iter().all(is_decided));
        assert_eq!(starts.iter().filter(|server| !server.stdout().is_empty()).count(), 1);
        assert!(UnixStream::connect(&path).is_ok(), "nobody has removed its socket");
    }
}
