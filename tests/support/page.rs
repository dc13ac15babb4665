//! A page on a site of its own, for feeds that are put into somebody else's HTML.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

/// A server of one page; its thread ends with the test process.
pub struct Page {
    pub url: String,
}

impl Page {
    pub fn serve(html: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let length = html.len();
        let reply =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{html}");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, reply) = (stream.unwrap(), reply.clone());
                // A thread each: browsers open connections that they then do not use.
                thread::spawn(move || {
                    let _ = stream.read(&mut [0; 8192]);
                    let _ = stream.write_all(reply.as_bytes());
                });
            }
        });
        Self { url }
    }
}
