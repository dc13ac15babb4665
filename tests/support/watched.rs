//! A server with a viewer that must not be disturbed, whatever others do.

use super::{Folder, Mxr, RED, Server, Viewer, mxr, png};

pub struct Watched {
    pub folder: Folder,
    pub server: Server,
    /// It has had the picture.
    pub viewer: Viewer,
}

impl Watched {
    /// Of a red picture, with these arguments.
    pub fn new(args: &[&str]) -> Self {
        Self::wrapped(args, |mxr| mxr)
    }

    /// The same, where something is done to the command line as a whole.
    pub fn wrapped(args: &[&str], wrapper: impl FnOnce(Mxr) -> Mxr) -> Self {
        // The test holds the other end of every connection.
        rlimit::increase_nofile_limit(u64::MAX).unwrap();
        let folder = Folder::new();
        folder.put("a.png", png(RED));
        let mxr = mxr(["watch"]).arg(folder.file("a.png")).args(["--keepalive", "0", "--port", "0"]).args(args);
        let server = wrapper(mxr).spawn().listening();
        let mut viewer = server.view("/stream");
        assert_eq!(viewer.part().body, png(RED));
        Self { folder, server, viewer }
    }
}
