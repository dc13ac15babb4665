//! The baseline: epoll, one prebuilt buffer per part, one `send` per viewer; a viewer that has not read its last part is skipped, and
//! gets the newest later. It parses no request and counts nothing.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    rc::Rc,
    time::{Instant, SystemTime},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
    time::Timespec,
};

use crate::{process::pin, stamp, work::Work};

const HEAD: &str = "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=B\r\n\r\n--B\r\n";

struct Viewer {
    socket: TcpStream,
    pending: Option<(Rc<Vec<u8>>, usize)>,
    newest: u64,
    /// The request has arrived and the head has been sent.
    is_open: bool,
}

pub(crate) fn serve(work: Work) {
    pin(0);
    let listener = TcpListener::bind("0.0.0.0:0").expect("bind");
    let socket = socket2::SockRef::from(&listener);
    socket.set_tcp_nodelay(true).expect("nodelay");
    socket.set_tcp_notsent_lowat(16 * 1024).expect("lowat");
    socket.listen(4096).expect("listen");
    listener.set_nonblocking(true).expect("nonblocking");
    println!("{}", listener.local_addr().expect("address").port());
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    epoll::add(&epoll, &listener, EventData::new_u64(u64::MAX), EventFlags::IN).expect("add");
    let interval = work.interval();
    let (mut viewers, mut sequence): (Vec<Viewer>, u64) = (Vec::new(), 0);
    let (mut part, mut next) = (Rc::new(encode(work, 0)), Instant::now() + interval);
    let mut events = Vec::with_capacity(1024);
    loop {
        let wait = next.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        events.clear();
        let _ = epoll::wait(&epoll, spare_capacity(&mut events), Some(&timeout));
        for event in &events {
            match event.data.u64() {
                u64::MAX => accept(&listener, &epoll, &mut viewers),
                key => ready(&mut viewers[key as usize], &part, sequence),
            }
        }
        if Instant::now() >= next {
            next += interval;
            sequence += 1;
            part = Rc::new(encode(work, sequence));
            for viewer in viewers.iter_mut().filter(|viewer| viewer.is_open && viewer.pending.is_none()) {
                start(viewer, &part, sequence);
            }
        }
    }
}

fn encode(work: Work, sequence: u64) -> Vec<u8> {
    let body = &stamp::body(work.size)[..];
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let head = format!(
        "Content-Type: image/x-bench\r\nContent-Length: {}\r\nX-Timestamp: {}.{:06}\r\nX-Sequence: {sequence}\r\n\r\n",
        body.len(),
        now.as_secs(),
        now.subsec_micros()
    );
    [head.as_bytes(), body, b"\r\n--B\r\n"].concat()
}

fn accept(listener: &TcpListener, epoll: &impl AsFd, viewers: &mut Vec<Viewer>) {
    while let Ok((socket, _)) = listener.accept() {
        socket.set_nonblocking(true).expect("nonblocking");
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(epoll, &socket, EventData::new_u64(viewers.len() as u64), flags).expect("add");
        viewers.push(Viewer { socket, pending: None, newest: 0, is_open: false });
    }
}

fn ready(viewer: &mut Viewer, part: &Rc<Vec<u8>>, sequence: u64) {
    if !viewer.is_open {
        let mut request = [0; 1024];
        if !matches!(viewer.socket.read(&mut request), Ok(1..)) {
            return;
        }
        viewer.is_open = true;
        let _ = viewer.socket.write(HEAD.as_bytes());
    }
    if viewer.pending.is_some() {
        send(viewer);
    }
    if viewer.pending.is_none() && viewer.newest < sequence {
        start(viewer, part, sequence);
    }
}

fn start(viewer: &mut Viewer, part: &Rc<Vec<u8>>, sequence: u64) {
    viewer.newest = sequence;
    viewer.pending = Some((part.clone(), 0));
    send(viewer);
}

fn send(viewer: &mut Viewer) {
    while let Some((part, sent)) = &mut viewer.pending {
        match viewer.socket.write(&part[*sent..]) {
            Ok(count) => *sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => {
                (viewer.pending, viewer.is_open) = (None, false);
                return;
            }
        }
        if *sent == part.len() {
            viewer.pending = None;
        }
    }
}
