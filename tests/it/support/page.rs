//! A page on another site, for feeds that are embedded in its HTML.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// A server of one page; its thread ends with the test process.
pub struct Page {
    pub url: String,
    asked: Arc<AtomicUsize>,
}

impl Page {
    pub fn serve(html: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let length = html.len();
        let reply =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{html}");
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, reply, count) = (stream.unwrap(), reply.clone(), count.clone());
                // A thread for each connection: browsers open some that they do not use.
                thread::spawn(move || {
                    let asks = stream.read(&mut [0; 8192]).is_ok_and(|bytes| bytes > 0);
                    count.fetch_add(usize::from(asks), Relaxed);
                    let _ = stream.write_all(reply.as_bytes());
                });
            }
        });
        Self { url, asked }
    }

    /// The number of requests so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Relaxed)
    }
}
