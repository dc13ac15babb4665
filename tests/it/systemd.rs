//! mxr under systemd: with a socket that systemd has opened, and with status notifications.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{
    Connection, Folder, RED, SOON, Server, Viewer, free_port, mxr, png, printed_by, root, tool, wait_for, wait_until,
};

/// Runs systemd-socket-activate, which listens on this address and starts mxr at the first connection.
fn activated(folder: &Folder, place: &str, args: &[&str]) -> Option<Server> {
    let program = tool(&["systemd-socket-activate"])?;
    folder.put("a.png", png(RED));
    // mxr ignores its own address: the port is in use, and would be an error.
    let port_in_use = place.rsplit_once(':').map_or("1", |(_, port)| port);
    let command = mxr(["watch"]).arg(folder.file("a.png")).args(["--port", port_in_use]).args(args);
    Some(command.wrapped(program, &["-l", place]).spawn())
}

fn connect(host: &str) -> Connection {
    Connection::over(wait_for("the socket listens", SOON, || std::net::TcpStream::connect(host).ok()))
}

#[test]
fn a_socket_that_systemd_opened_is_used_without_a_flag() {
    let folder = Folder::new();
    let host = format!("127.0.0.1:{}", free_port());
    let Some(server) = activated(&folder, &host, &[]) else { return };
    let mut first = connect(&host);
    assert!(server.stdout().is_empty(), "it starts with the first connection");
    first.send(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(first.reply("GET").head.status, 200);
    wait_until("it prints its URL", SOON, || server.stdout() == format!("http://{host}/\n").into_bytes());
    wait_until("it says what is ignored", SOON, || server.stderr().contains("--port is ignored"));
    let mut viewer = Viewer::open(&host, "/stream", &[]);
    assert_eq!(viewer.part().body, png(RED));
    server.terminate();
    viewer.part();
    viewer.expect_end();
    server.finish().success();
}

#[test]
fn a_unix_socket_of_systemd_is_used_and_stays() {
    let (Some(curl), folder) = (tool(&["curl"]), Folder::new()) else { return };
    let path = folder.beside("mxr.sock");
    let Some(server) = activated(&folder, path.to_str().unwrap(), &[]) else { return };
    wait_until("the socket is there", SOON, || path.exists());
    let mut get = Command::new(curl);
    get.args(["-sf", "--retry", "20", "--retry-delay", "1", "--unix-socket"]).arg(&path).arg("http://localhost/snapshot");
    assert_eq!(printed_by(&mut get), png(RED));
    server.stop().success();
    assert!(path.exists(), "it is systemd's");
}

#[test]
fn an_exposed_socket_of_systemd_needs_a_token_too() {
    let folder = Folder::new();
    let port = free_port();
    let Some(server) = activated(&folder, &format!("0.0.0.0:{port}"), &[]) else { return };
    let host = format!("127.0.0.1:{port}");
    let mut connection = connect(&host);
    connection.send(format!("GET /state HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(connection.reply("GET").head.status, 401);
    wait_until("it prints the token", SOON, || String::from_utf8(server.stdout()).unwrap().contains("/?token="));
}

#[test]
fn a_socket_for_another_process_is_left_alone() {
    let server = mxr(["serve", "--demo"]).env("LISTEN_FDS", "1").env("LISTEN_PID", "1").start();
    assert_eq!(server.get("/healthz").head.status, 200);
}

#[test]
fn a_socket_that_does_not_listen_is_an_error() {
    let Some(python) = tool(&["python3"]) else { return };
    for socket in ["s = socket.socket(); s.bind(('127.0.0.1', 0))", "s, peer = socket.socketpair()", "s = open('/dev/null')"] {
        let code = format!(
            "import os, socket, sys; {socket}; os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n\
             os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.argv[1], sys.argv[1:])"
        );
        let run = mxr(["serve", "--demo", "--port", "0"]).wrapped(&python, &["-c", &code]).run();
        run.failure().stderr("cannot use socket 0 of systemd");
    }
}

#[test]
fn a_number_of_sockets_that_makes_no_sense_is_refused_at_once() {
    for count in ["99999999", "4294967297", "-1", "abc"] {
        let run = mxr(["serve", "--demo", "--port", "0"]).env("LISTEN_FDS", count).run();
        run.failure().stderr("LISTEN_FDS");
    }
}

#[test]
fn systemd_is_notified_of_ready_alive_and_stopping() {
    let folder = Folder::new();
    let path = folder.beside("notify");
    let notified = UnixDatagram::bind(&path).unwrap();
    notified.set_read_timeout(Some(SOON)).unwrap();
    let next = || {
        let mut buffer = [0; 256];
        let count = notified.recv(&mut buffer).expect("systemd is told something");
        String::from_utf8(buffer[..count].to_vec()).unwrap().trim().to_owned()
    };
    let server = mxr(["serve", "--demo"]).env("NOTIFY_SOCKET", path.to_str().unwrap()).env("WATCHDOG_USEC", "600000").start();
    assert_eq!(next(), "READY=1");
    assert_eq!(server.get("/healthz").head.status, 200);
    let start = Instant::now();
    for _ in 0..4 {
        assert_eq!(next(), "WATCHDOG=1");
    }
    assert!(start.elapsed() > Duration::from_millis(500), "half the watchdog's time apart, {:?}", start.elapsed());
    server.signal(Signal::TERM);
    wait_until("it says that it stops", SOON, || next() == "STOPPING=1");
    server.finish().success();
}

#[test]
fn the_units_are_valid_and_hardened() {
    let Some(analyze) = tool(&["systemd-analyze"]) else { return };
    let folder = Folder::new();
    let contrib = root().join("contrib");
    let unit = fs::read_to_string(contrib.join("mxr.service")).unwrap();
    // systemd-analyze checks that the program exists.
    folder.put("mxr.service", unit.replace("/usr/local/bin/mxr", env!("CARGO_BIN_EXE_mxr")));
    folder.put("mxr.socket", fs::read(contrib.join("mxr.socket")).unwrap());
    let units = [folder.file("mxr.service"), folder.file("mxr.socket")];
    let output = Command::new(&analyze).args(["verify", "--man=no"]).args(&units).output().unwrap();
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.contains("mxr.service") && !output.contains("mxr.socket"), "{output}");
    // 0 is the least exposed; a service without any hardening has 100.
    printed_by(Command::new(&analyze).args(["security", "--offline=yes", "--threshold=20"]).arg(&units[0]));
}
