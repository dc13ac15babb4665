//! A file that is rewritten in place, in two halves with pauses between them, is never pushed incomplete.
//! `MXR_TESTS_WRITES=10000 cargo test --test it partial_writes:: -- --nocapture` writes this often and prints the results.

use std::{
    fs::{File, OpenOptions},
    io::{Seek, Write},
    thread,
    time::Duration,
};

use crate::support::{Folder, PALETTE, SOON, jpeg_of, mxr, padded_png, wait_until, with_notify_too};

/// How a writer rewrites the file.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Truncates, writes, closes.
    Anew,
    /// Overwrites the old bytes, closes.
    Over,
    /// Keeps the file open: truncates and writes.
    Open,
}

/// Rewrites the picture again and again; every part is one of the pictures, to the byte.
#[track_caller]
fn never_torn(name: &str, way: Way, pictures: Vec<Vec<u8>>) {
    let writes: usize = std::env::var("MXR_TESTS_WRITES").map_or(61, |writes| writes.parse().expect("a number"));
    let folder = Folder::new();
    folder.put(name, &pictures[0]);
    // A busy machine may pause for longer than the usual 100 ms in the middle of a write.
    let server = mxr(["watch", "--settle", "1000"]).arg(folder.file(name)).start();
    wait_until("the first is there", SOON, || server.get("/snapshot").body == pictures[0]);
    let mut viewer = server.view("/stream");
    let whole = pictures.clone();
    let watcher = thread::spawn(move || {
        let (mut parts, mut incomplete) = (0, Vec::new());
        while let Some(part) = viewer.next() {
            // Repeated parts are one.
            parts = part.sequence();
            if !whole.contains(&part.body) {
                incomplete.push(part.sequence());
            }
        }
        (parts, incomplete)
    });
    let open = || OpenOptions::new().write(true).open(folder.file(name)).unwrap();
    let mut kept = Some(open());
    for write in 1..=writes {
        let (first, second) = pictures[write % pictures.len()].split_at(pictures[0].len() / 2);
        let mut file = match (way, kept.take()) {
            (Way::Open, Some(mut file)) => {
                file.set_len(0).and_then(|()| file.rewind()).unwrap();
                file
            }
            (Way::Anew, _) => File::create(folder.file(name)).unwrap(),
            _ => open(),
        };
        file.write_all(first).unwrap();
        // Pauses of 0 to 50 ms in the middle and of 0 to 20 ms afterwards, in random order.
        thread::sleep(Duration::from_millis((write * 37 % 51) as u64));
        file.write_all(second).unwrap();
        kept = matches!(way, Way::Open).then_some(file);
        thread::sleep(Duration::from_millis((write * 13 % 21) as u64));
    }
    drop(kept);
    let last = &pictures[writes % pictures.len()];
    wait_until("the last state is there", SOON, || server.get("/snapshot").body == *last);
    server.terminate();
    let (parts, incomplete) = watcher.join().unwrap();
    println!("{name} {way:?}: {writes} writes, {parts} parts, {} incomplete", incomplete.len());
    assert!(incomplete.is_empty(), "incomplete: {incomplete:?} of {parts}");
    assert!(parts > 1, "{parts} parts");
}

fn pngs() -> Vec<Vec<u8>> {
    of_one_size(PALETTE.into_iter().zip(1..).map(|(colour, seed)| padded_png(colour, 200_000, seed)).collect())
}

fn jpegs() -> Vec<Vec<u8>> {
    of_one_size(PALETTE.into_iter().map(|colour| jpeg_of(colour, 640)).collect())
}

/// Pads the pictures to the same size, so that neither the size nor bytes after the end reveal a file of two halves.
fn of_one_size(mut pictures: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let size = pictures.iter().map(Vec::len).max().unwrap();
    pictures.iter_mut().for_each(|picture| picture.resize(size, 0));
    pictures
}

#[test]
fn pngs_that_are_truncated_and_written() {
    never_torn("a.png", Way::Anew, pngs());
}

#[test]
fn pngs_that_are_overwritten() {
    never_torn("a.png", Way::Over, pngs());
}

#[test]
fn pngs_whose_file_stays_open() {
    never_torn("a.png", Way::Open, pngs());
}

#[test]
fn jpegs_that_are_truncated_and_written() {
    never_torn("a.jpg", Way::Anew, jpegs());
}

#[test]
fn jpegs_that_are_overwritten() {
    never_torn("a.jpg", Way::Over, jpegs());
}

#[test]
fn jpegs_whose_file_stays_open() {
    never_torn("a.jpg", Way::Open, jpegs());
}

with_notify_too! {
    pngs_that_are_truncated_and_written,
    pngs_that_are_overwritten,
    pngs_whose_file_stays_open,
    jpegs_that_are_truncated_and_written,
    jpegs_that_are_overwritten,
    jpegs_whose_file_stays_open;
    except
}
