//! The checks of every fuzzer: nothing panics, no limit is exceeded, and the result does not depend on read sizes.
//!
//! The first two bytes of the input are read sizes, the third selects limits; the rest is the stream.

use mxr::{
    source::{
        framing::split::{RawPart, Split},
        screen::{LineFeeds, Screen, ScreenSize},
    },
    wire::{Bounds, Decoded, Decoder, Oddities},
};

/// Read sizes, a limit and the stream.
fn parse(input: &[u8]) -> Option<([usize; 2], usize, &[u8])> {
    let [first, second, limit, stream @ ..] = input else { return None };
    Some(([usize::from(*first % 64) + 1, usize::from(*second) + 1], [64, 1000, 1 << 20][usize::from(*limit % 3)], stream))
}

/// Splits the stream by this rule, in pieces and as a whole.
pub fn split(rule: &str, input: &[u8]) {
    let Some((sizes, limit, stream)) = parse(input) else { return };
    let split = Split::parse(rule).expect("a rule");
    assert_eq!(run(&split, limit, stream, sizes), run(&split, limit, stream, [usize::MAX; 2]));
}

fn run(split: &Split, limit: usize, stream: &[u8], sizes: [usize; 2]) -> (Vec<RawPart>, u64) {
    let (mut splitter, mut bodies) = (split.splitter(limit, true), Vec::new());
    pieces(stream, sizes, |piece| splitter.push(piece, &mut bodies));
    splitter.finish(&mut bodies);
    assert!(bodies.iter().all(|body| (1..=limit).contains(&body.bytes.len())));
    (bodies, splitter.refused())
}

/// Decodes the stream, with the boundary `B` and without a boundary, in pieces and as a whole.
pub fn decode(input: &[u8]) {
    let Some((sizes, limit, stream)) = parse(input) else { return };
    let bounds = Bounds { header_bytes: 200, headers: 4, body_bytes: limit };
    for boundary in [Some("B"), None] {
        assert_eq!(parts(boundary, bounds, stream, sizes), parts(boundary, bounds, stream, [usize::MAX; 2]));
    }
}

fn parts(boundary: Option<&str>, bounds: Bounds, stream: &[u8], sizes: [usize; 2]) -> (Vec<Decoded>, u64, Oddities) {
    let (mut decoder, mut parts) = (Decoder::new(boundary, bounds), Vec::new());
    pieces(stream, sizes, |piece| decoder.push(piece, &mut parts));
    decoder.finish(&mut parts);
    assert!(parts.iter().all(|part| (1..=bounds.body_bytes).contains(&part.body.len())));
    (parts, decoder.refused(), decoder.oddities())
}

/// Writes the stream to a screen, in pieces and as a whole.
pub fn screen(input: &[u8]) {
    let Some((sizes, _, stream)) = parse(input) else { return };
    let size = ScreenSize { cols: sizes[0] + 1, rows: sizes[1] % 50 + 1 };
    assert_eq!(document(size, stream, sizes), document(size, stream, [usize::MAX; 2]));
}

fn document(size: ScreenSize, stream: &[u8], sizes: [usize; 2]) -> String {
    let mut screen = Screen::new(size, LineFeeds::Guess);
    pieces(stream, sizes, |piece| screen.push(piece));
    screen.release();
    let document = String::from_utf8(screen.document().to_vec()).expect("text");
    assert!(document.lines().count() <= size.rows);
    document
}

fn pieces(stream: &[u8], sizes: [usize; 2], mut push: impl FnMut(&[u8])) {
    let (mut rest, mut sizes) = (stream, sizes.into_iter().cycle());
    while !rest.is_empty() {
        let (piece, remaining) = rest.split_at(rest.len().min(sizes.next().unwrap_or(1)));
        push(piece);
        rest = remaining;
    }
}
