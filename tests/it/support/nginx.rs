//! A real nginx whose one server has the locations of the test.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use super::{Folder, SOON, free_port, look_for, tool};

pub struct Nginx {
    child: Child,
    folder: Folder,
    /// `127.0.0.1:PORT`
    pub host: String,
}

impl Nginx {
    /// Starts nginx; `None` if it is not installed.
    pub fn start(locations: &str) -> Option<Self> {
        let program = tool(&["nginx"])?;
        // Another program may take the port before nginx does.
        for _ in 0..5 {
            let port = free_port();
            let folder = Folder::new();
            let root = folder.path();
            let root = root.display();
            let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
            let config = format!(
                "daemon off; master_process on; worker_processes 1; pid {root}/pid; error_log {root}/error.log; {user}
                events {{ worker_connections 64; }}
                http {{
                    access_log off;
                    client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c;
                    uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;
                    server {{ listen 127.0.0.1:{port}; {locations} }}
                }}"
            );
            fs::write(folder.file("nginx.conf"), config).unwrap();
            let mut command = Command::new(&program);
            command.arg("-e").arg(folder.file("error.log")).arg("-c").arg(folder.file("nginx.conf"));
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let mut nginx = Self { child, folder, host: format!("127.0.0.1:{port}") };
            let listens = look_for(SOON, || match nginx.child.try_wait().unwrap() {
                Some(_) => Some(false),
                None => TcpStream::connect(&nginx.host).is_ok().then_some(true),
            });
            if listens == Some(true) {
                return Some(nginx);
            }
            let log = fs::read_to_string(nginx.folder.file("error.log")).unwrap_or_default();
            assert!(log.contains("Address already in use"), "{log}");
        }
        panic!("nginx finds no free port");
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM, so that the master ends its worker too.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
