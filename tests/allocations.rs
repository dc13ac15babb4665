//! The allocations of a part, counted: none per viewer. It is the only test of its program, since the count includes every allocation.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use mxr::{
    conn::listen::{self, Listener},
    feed::{Kind, Limits, Publisher, Registry, Settings},
    format::Media,
    http,
    part::Part,
    stats::Viewers,
    wire::Boundary,
};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SOON: Duration = Duration::from_secs(10);
const BOUNDARY: &str = "b0undary";
const DELIMITER: &[u8] = b"\r\n--b0undary\r\n";
/// Bytes of a body.
const SIZE: usize = 1000;

/// mxr's server in this process, with a feed that the test publishes into.
fn serve(shutdown: CancellationToken) -> (SocketAddr, Publisher) {
    let (told, tell) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = listen::tcp(([127, 0, 0, 1], 0).into()).unwrap();
            let settings = Settings::new(Boundary::parse(BOUNDARY).unwrap(), Limits::new(None, 1 << 20, true));
            let (opener, registry) = Registry::new(settings);
            let publisher = opener.open("cost", Kind::Newest);
            let options = http::Options { keepalive: None, ..http::Options::default() };
            told.send((listener.local_addr().unwrap(), publisher)).unwrap();
            http::serve(vec![Listener::Tcp(listener)], registry, Viewers::new(1000), options, shutdown).await.unwrap();
        });
    });
    tell.recv().unwrap()
}

/// Reads up to the delimiter after the next part, without an allocation.
fn read_part(viewer: &mut TcpStream) {
    let (mut buffer, mut filled) = ([0; 4096], 0);
    // The first delimiter comes before a part, after the head.
    while filled < SIZE || !buffer[..filled].ends_with(DELIMITER) {
        filled += viewer.read(&mut buffer[filled..]).unwrap();
    }
}

/// The number of allocations for 50 parts, with this many viewers.
fn blocks(viewers: usize) -> u64 {
    let shutdown = CancellationToken::new();
    let (address, publisher) = serve(shutdown.clone());
    let publish = || publisher.publish(Part::now(Media::from_known("image/png"), vec![b'x'; SIZE])).unwrap();
    publish();
    let mut viewers: Vec<TcpStream> = (0..viewers)
        .map(|_| {
            let mut viewer = TcpStream::connect(address).unwrap();
            viewer.set_read_timeout(Some(SOON)).unwrap();
            viewer.write_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            read_part(&mut viewer);
            viewer
        })
        .collect();
    let before = dhat::HeapStats::get().total_blocks;
    for _ in 0..50 {
        publish();
        viewers.iter_mut().for_each(read_part);
    }
    let blocks = dhat::HeapStats::get().total_blocks - before;
    shutdown.cancel();
    blocks
}

#[test]
fn a_part_allocates_nothing_for_a_viewer() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let (few, many) = (blocks(5), blocks(85));
    let each = (many as f64 - few as f64) / (50.0 * 80.0);
    assert!(each < 0.01, "{each} allocations a part and viewer: {few} for 5 viewers, {many} for 85");
    assert!(few < 50 * 30, "{few} allocations for 50 parts");
}
