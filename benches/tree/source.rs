//! What the origin reads: numbered lines or pictures on standard output, at a steady rate.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::parts::body;

/// Bytes of a line.
const LINE: usize = 80;
/// Bytes of a picture.
pub(crate) const PICTURE: usize = 10_000;

/// Writes parts, `rate` a second, until a line comes on standard input; then it stays, so that the feed has no end.
pub(crate) fn run(kind: &str, rate: u32) {
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        over.store(true, Relaxed);
    });
    let (mut output, begin) = (std::io::stdout().lock(), Instant::now());
    for number in 1..=u64::MAX {
        let due = begin + Duration::from_nanos(1_000_000_000 / u64::from(rate) * number);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        while is_over.load(Relaxed) {
            std::thread::park();
        }
        let part = match kind {
            "lines" => [&body(number, LINE)[..], b"\n"].concat(),
            _ => picture(number),
        };
        if output.write_all(&part).and_then(|()| output.flush()).is_err() {
            return;
        }
    }
}

fn picture(number: u64) -> Vec<u8> {
    let head = format!("--B\r\nContent-Type: image/x-bench\r\nContent-Length: {PICTURE}\r\n\r\n");
    // The delimiter ends the part, so that it is not held back until the next.
    [head.as_bytes(), &body(number, PICTURE), b"\r\n"].concat()
}
