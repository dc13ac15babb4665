//! The parts of a pipe do not depend on the sizes of its reads, from single bytes to megabytes; and mxr decodes what it encodes.

use std::{
    fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mxr::{
    format::Media,
    part::Part,
    source::{
        framing::split::{Markup, RawPart, Split},
        hub::fuzz::push,
    },
    wire::{Boundary, Bounds, Decoded, Decoder, Layout, Oddities, Oddity, encode},
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::support::root;

/// Every rule for splitting, and the types whose documents have an end.
const WAYS: [&str; 12] = [
    "auto",
    "lines",
    "nul",
    "blank",
    "\\n--\\n",
    "\\x61ab",
    "jpeg",
    "png",
    "multipart",
    "image/svg+xml",
    "text/html",
    "application/json",
];

/// Types of pushed bodies.
const TYPES: [&str; 8] = [
    "",
    "multipart/x-mixed-replace; boundary=B",
    "multipart/x-mixed-replace",
    "text/plain",
    "application/octet-stream",
    "image/jpeg",
    "image/svg+xml",
    "application/json",
];

/// Pieces of `data` with these sizes, repeated.
fn pieces<'a>(data: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut pieces) = (data, Vec::new());
    for size in sizes.iter().cycle() {
        let (piece, behind) = rest.split_at(rest.len().min(*size));
        pieces.push(piece);
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    pieces
}

fn split(way: &str, limit: usize, data: &[u8], sizes: &[usize]) -> (Vec<RawPart>, u64) {
    let markup = Media::parse(way).ok().and_then(|media| Markup::of(&media));
    let documents = markup.map(|markup| Split::Documents { markup, is_recognized: false });
    let split = documents.unwrap_or_else(|| Split::parse(way).unwrap());
    let (mut splitter, mut bodies) = (split.splitter(limit, true), Vec::new());
    for piece in pieces(data, sizes) {
        splitter.push(piece, &mut bodies);
    }
    splitter.finish(&mut bodies);
    assert!(bodies.iter().all(|body| (1..=limit).contains(&body.bytes.len())), "{bodies:?}");
    (bodies, splitter.refused())
}

fn decode(boundary: Option<&str>, limit: usize, data: &[u8], sizes: &[usize]) -> (Vec<Decoded>, u64, Oddities) {
    let (mut decoder, mut parts) = (Decoder::new(boundary, Bounds::bodies(limit)), Vec::new());
    pieces(data, sizes).into_iter().for_each(|piece| decoder.push(piece, &mut parts));
    decoder.finish(&mut parts);
    assert!(parts.iter().all(|part| (1..=limit).contains(&part.body.len())), "{parts:?}");
    (parts, decoder.refused(), decoder.oddities())
}

/// A chunk of a PNG, with its checksum.
fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let named = [kind, data].concat();
    [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], &named, &crc32fast::hash(&named).to_be_bytes()].concat()
}

fn png(data: &[u8]) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &[0; 13])[..], &chunk(b"IDAT", data), &chunk(b"IEND", b"")].concat()
}

/// A JPEG with a segment and a scan, whose data must not contain a marker.
fn jpeg(segment: &[u8], scan: &[u8]) -> Vec<u8> {
    let length = u16::try_from(segment.len() + 2).unwrap().to_be_bytes();
    let scan: Vec<u8> = scan.iter().flat_map(|byte| if *byte == 0xff { vec![0xff, 0] } else { vec![*byte] }).collect();
    [b"\xff\xd8\xff\xe1", &length[..], segment, b"\xff\xda\x00\x02", &scan, b"\xff\xd9"].concat()
}

/// Streams made of elements of the formats, so that they are nearly valid, and sometimes valid.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<Vec<u8>> = [
        &b"\r\n"[..],
        b"\n",
        b"\r",
        b"\n\n",
        b"\r\n\r\n",
        b"\0",
        b"--",
        b"-",
        b"B",
        b"--B\r\n",
        b"\r\n--B\r\n",
        b"\n--B\n",
        b"--B--",
        b"----B\r\n",
        b"\n--\n",
        b"aab",
        b"aaab",
        b"Content-Type: text/plain\r\n",
        b"Content-Type: image/jpeg\r\n\r\n",
        b"content-length: 9\r\n\r\n",
        b"Content-Length: 9\n\n",
        b"Content-Length: 0\r\n",
        b"X-Y: z\r\n",
        b"X-Feed: a\r\n",
        b"X-Feed: b\r\n",
        b"X-Feed: x\r\n",
        b"X-Feed-Kind: lines\r\n",
        b"X-Sequence: 2\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"Content-Type: multipart/x-mixed-replace; boundary=B\r\n\r\n",
        b"<svg>",
        b"<g a='>'/>",
        b"</svg>",
        b"<?xml version='1.0'?>",
        b"<!-- x -->",
        b"<!doctype html>",
        b"<html>",
        b"</html>",
        b"<script>",
        b"</script>",
        b"{\"a\": [1]}",
        b"{",
        b"}",
        b"\"",
        b"some text",
        b"\xff",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\xff\xd9",
        b"\xff\xda\x00\x02",
        b"\xff\xe0\x00\x04",
        b"\xff\x00",
        b"\xff\xd0",
        b"\x89PNG\r\n\x1a\n",
        b"\xc3",
        b"\xbc",
    ]
    .iter()
    .map(|word| word.to_vec())
    .chain([
        jpeg(b"", b"x"),
        jpeg(b"\xff\xd8\xff\xd9", b"123456\xff"),
        png(b"x"),
        chunk(b"IHDR", &[0; 13]),
        chunk(b"IDAT", b"y"),
        chunk(b"IEND", b""),
    ])
    .collect();
    let word = prop_oneof![9 => select(words), 1 => vec(any::<u8>(), 0..40)];
    vec(word, 0..40).prop_map(|words| words.concat())
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), Just(vec![2]), Just(vec![7]), vec(1..50_usize, 1..10)]
}

fn parts() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let media = select(vec!["text/plain; charset=utf-8", "text/html", "image/png", "image/jpeg", "application/octet-stream"]);
    let body = prop_oneof![
        vec(any::<u8>(), 1..300),
        vec(select(b"\r\n-B \xff\xd8\xd9".to_vec()), 1..60),
        vec(any::<u8>(), 0..30).prop_map(|data| jpeg(b"", &data)),
        vec(any::<u8>(), 0..30).prop_map(|data| [png(&data), data].concat()),
    ];
    vec((media, body), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn read_sizes_make_no_difference_to_a_splitter(way in select(WAYS.to_vec()), limit in select(vec![64, 200, 100_000]), data in stream(), sizes in sizes()) {
        prop_assert_eq!(split(way, limit, &data, &sizes), split(way, limit, &data, &[data.len().max(1)]));
    }

    #[test]
    fn read_sizes_make_no_difference_to_the_decoder(known in any::<bool>(), limit in select(vec![64, 200, 100_000]), data in stream(), sizes in sizes()) {
        let boundary = known.then_some("B");
        prop_assert_eq!(decode(boundary, limit, &data, &sizes), decode(boundary, limit, &data, &[data.len().max(1)]));
    }

    #[test]
    fn read_sizes_make_no_difference_to_a_pushed_body_and_one_that_is_cut_off_has_made_the_parts_of_its_beginning(head in any::<[u8; 3]>(), media in select(TYPES.to_vec()), data in stream()) {
        push(&[&head[..], media.as_bytes(), b"\n", &data].concat());
    }

    #[test]
    fn encoded_parts_are_decoded(parts in parts(), announced in any::<bool>(), sizes in sizes()) {
        let boundary = Boundary::random();
        let parts: Vec<Part> = parts.into_iter().enumerate().map(|(at, (media, body))| Part {
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_764_000_000_123_456 + at as u64),
            ..Part::now(Media::from_known(media), body)
        }).collect();
        let block = (!parts.is_empty()).then(|| encode(parts.clone(), 1, None, &boundary, &Arc::default()));
        let encoded: Vec<_> = block.iter().flat_map(|block| block.sequences().map(|sequence| block.part(sequence))).collect();
        let mut stream = if encoded.is_empty() { Vec::new() } else { boundary.first_delimiter().to_vec() };
        for (at, part) in encoded.iter().enumerate() {
            stream.extend(part.pieces(Layout::Plain, false, at + 1 == encoded.len()).iter().flat_map(|piece| piece.bytes().to_vec()));
        }
        stream.extend(if encoded.is_empty() { boundary.close_delimiter_alone() } else { boundary.close_delimiter() });
        let (decoded, refused, oddities) = decode(announced.then_some(boundary.as_str()), 1000, &stream, &sizes);
        // Bytes may follow the end of a picture that mxr sends.
        let odd: Vec<_> = oddities.iter().filter(|(oddity, _)| *oddity != Oddity::PaddingCounted).collect();
        prop_assert!(refused == 0 && odd.is_empty(), "mxr itself writes strictly: {:?}", odd);
        prop_assert_eq!(decoded.len(), parts.len());
        for (at, (got, sent)) in decoded.iter().zip(&parts).enumerate() {
            prop_assert_eq!((&got.body, got.headers.media.as_ref(), got.headers.length), (&sent.body, Some(&sent.media), Some(sent.body.len())));
            prop_assert_eq!((got.headers.time, got.headers.sequence, got.has_end), (Some(sent.time), Some(at as u64 + 1), true));
        }
    }

    #[test]
    fn pictures_leave_a_pipe_unchanged(data in vec(vec(any::<u8>(), 0..200), 1..8), junk in vec(select(b"\0 \n-".to_vec()), 0..9), is_png in any::<bool>(), sizes in sizes()) {
        let pictures: Vec<_> = data.iter().map(|data| if is_png { png(data) } else { jpeg(data, data) }).collect();
        let stream: Vec<u8> = pictures.iter().flat_map(|picture| [&picture[..], &junk].concat()).collect();
        let (bodies, refused) = split("auto", 1000, &stream, &sizes);
        prop_assert_eq!(refused, 0);
        prop_assert_eq!(bodies.iter().map(|body| body.bytes.to_vec()).collect::<Vec<_>>(), pictures);
    }

    #[test]
    fn lines_leave_a_pipe_unchanged(lines in vec("[a-zü ]{1,50}", 0..20), sizes in sizes()) {
        let stream = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let (bodies, _) = split("lines", 1000, stream.as_bytes(), &sizes);
        prop_assert_eq!(bodies.iter().map(|body| String::from_utf8(body.bytes.to_vec()).unwrap()).collect::<Vec<_>>(), lines);
    }
}

#[test]
fn inputs_that_fuzzers_found_for_pushed_bodies_pass() {
    let files: Vec<_> = fs::read_dir(root().join("fuzz/corpus/push")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 8, "{} files", files.len());
    files.iter().for_each(|file| push(&fs::read(file).unwrap()));
}

/// Reads the corpus of the fuzzers once more, in pieces of every size.
#[test]
fn the_corpus_of_the_fuzzers_passes() {
    let corpus = root().join("fuzz/corpus");
    let mut count = 0;
    for folder in fs::read_dir(corpus).expect("fuzz/corpus") {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let data = fs::read(file.unwrap().path()).unwrap();
            for sizes in [[1], [2], [7]] {
                for way in WAYS {
                    assert_eq!(split(way, 64, &data, &sizes), split(way, 64, &data, &[data.len().max(1)]), "{way}");
                }
                for boundary in [None, Some("B")] {
                    assert_eq!(decode(boundary, 64, &data, &sizes), decode(boundary, 64, &data, &[data.len().max(1)]));
                }
            }
            count += 1;
        }
    }
    assert!(count >= 8, "{count} files");
}
