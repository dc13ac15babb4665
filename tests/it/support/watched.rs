//! A server with a viewer that other connections must not disturb.

use super::{BLUE, Connection, Folder, Mxr, Part, RED, Server, Viewer, mxr, noise, png};

pub struct Watched {
    pub folder: Folder,
    pub server: Server,
    viewer: Viewer,
    /// The sequence number of the part that the viewer has read last.
    sequence: u64,
}

impl Watched {
    /// Starts a server of a red picture, with these arguments.
    pub fn new(args: &[&str]) -> Self {
        Self::wrapped(args, |mxr| mxr)
    }

    /// The same, with a change to the whole command line.
    pub fn wrapped(args: &[&str], wrapper: impl FnOnce(Mxr) -> Mxr) -> Self {
        // The test holds the other end of every connection.
        rlimit::increase_nofile_limit(1 << 16).unwrap();
        let folder = Folder::new();
        folder.put("a.png", png(RED));
        let mxr = mxr(["watch"]).arg(folder.file("a.png")).args(["--keepalive", "0", "--port", "0"]).args(args);
        let server = wrapper(mxr).spawn().listening();
        let viewer = server.view("/stream");
        let mut watched = Self { folder, server, viewer, sequence: 0 };
        assert_eq!(watched.part().body, png(RED));
        watched
    }

    /// The viewer's next part, with no part missing before it.
    #[track_caller]
    pub fn part(&mut self) -> Part {
        let part = self.viewer.part();
        self.sequence += 1;
        assert_eq!(part.sequence(), self.sequence);
        part
    }

    /// Pushes pictures of about this many bytes, each when the viewer has read the previous one.
    #[track_caller]
    pub fn push(&mut self, seeds: std::ops::Range<u32>, size: usize) {
        for seed in seeds {
            self.show(noise(size, seed));
        }
    }

    /// Expects that the viewer got no unexpected bytes and gets the next part, and that requests are answered.
    #[track_caller]
    pub fn expect_undisturbed(&mut self) {
        self.show(png(BLUE));
        self.show(png(RED));
        assert_eq!(self.server.get("/healthz").head.status, 200);
    }

    /// The status of the reply to these bytes; `{host}` in them becomes the server's.
    pub fn answer(&self, request: &str) -> u16 {
        let mut connection = Connection::open(&self.server.host);
        connection.send(request.replace("{host}", &self.server.host));
        connection.head().status
    }

    /// The value of a series of `/metrics`.
    pub fn count(&self, series: &str) -> u64 {
        let text = self.server.get("/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
    }

    #[track_caller]
    fn show(&mut self, picture: Vec<u8>) {
        self.folder.put("a.png", &picture);
        assert_eq!(self.part().body, picture);
    }
}
