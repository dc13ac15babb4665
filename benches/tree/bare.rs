//! The yardstick for a hop: a loop that reads whole parts from one connection and writes them to the others, as they are. It parses no
//! request, numbers nothing, holds nothing, waits for a viewer that does not read, and never connects again.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
};

use crate::{
    parts::Parts,
    viewing::{Poll, connect},
};

/// Relays `target` of `upstream` on port 8080.
pub(crate) fn run(upstream: &str, target: &str) {
    let listener = TcpListener::bind("0.0.0.0:8080").expect("bind");
    listener.set_nonblocking(true).expect("nonblocking");
    println!("ready");
    let mut upstream = connect(upstream, target);
    let mut poll = Poll::new();
    poll.add(&listener, 0);
    poll.add(&upstream, 1);
    let (mut parts, mut viewers, mut buffer) = (Parts::default(), Vec::new(), vec![0; 256 << 10]);
    loop {
        for key in poll.wait() {
            if key == 0 {
                viewers.extend(accept(&listener).map(|viewer| (viewer, false)));
                continue;
            }
            match upstream.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => forward(&mut parts, &buffer[..count], &mut viewers),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn accept(listener: &TcpListener) -> impl Iterator<Item = TcpStream> {
    std::iter::from_fn(|| listener.accept().ok()).map(|(viewer, _)| {
        viewer.set_nodelay(true).expect("nodelay");
        viewer
    })
}

/// Writes the parts that end in these bytes at once to each viewer.
fn forward(parts: &mut Parts, bytes: &[u8], viewers: &mut Vec<(TcpStream, bool)>) {
    let mut whole = Vec::new();
    parts.take(bytes, |part| whole.extend_from_slice(part.bytes));
    if whole.is_empty() {
        return;
    }
    viewers.retain_mut(|(viewer, has_head)| {
        let head = if std::mem::replace(has_head, true) { Ok(()) } else { viewer.write_all(&parts.head) };
        head.and_then(|()| viewer.write_all(&whole)).is_ok()
    });
}
