//! Each dialect is told by its own oddity and no other, at whole and at random read sizes.

use proptest::prelude::*;

use super::{ONE, TWO, bytes};
use crate::wire::decode::{
    Bounds, Decoder,
    Oddity::{self, *},
};

const STRICT: &str = "--B\r\nContent-Type: image/jpeg\r\nContent-Length: 13\r\n\r\n{}\r\n--B\r\nContent-Type: image/jpeg\r\nContent-Length: 30\r\n\r\n{}\r\n--B--\r\n";

/// A dialect: its boundary, a change to the strict stream, and what it is told by.
type Dialect = (&'static str, &'static [(&'static str, &'static str)], &'static [Oddity]);

const DIALECTS: &[Dialect] = &[
    ("B", &[], &[]),
    ("--B", &[("--B", "----B")], &[]),
    (
        "B",
        &[("--B\r\nContent-Type: image/jpeg\r\nContent-Length: 13", "\r\n--B\r\nContent-Type: image/jpeg\r\nContent-Length: 13")],
        &[LeadingLineEnd],
    ),
    (
        "B",
        &[(
            "--B\r\nContent-Type: image/jpeg\r\nContent-Length: 13",
            "hello\r\n--B\r\nContent-Type: image/jpeg\r\nContent-Length: 13",
        )],
        &[Preamble],
    ),
    (
        "B",
        &[("--B\r\nContent-Type: image/jpeg\r\nContent-Length: 13", "Content-Type: image/jpeg\r\nContent-Length: 13")],
        &[NoFirstDelimiter],
    ),
    ("another", &[], &[BoundaryWrong]),
    ("--B", &[], &[DashesInBoundary]),
    ("B", &[("--B", "B")], &[DashesMissing]),
    ("B", &[("--B", "----B")], &[DashesExtra]),
    ("B", &[("--B\r\n", "--B \t\r\n")], &[SpacesAfterDelimiter]),
    ("B", &[("--B\r\nContent", "--BContent")], &[HeaderOnDelimiterLine]),
    ("B", &[("--B\r\n", "--B\r\n--B\r\n")], &[DelimiterTwice]),
    ("B", &[("--B\r\n", "--B--\r\n")], &[PartAfterClose]),
    ("B", &[("\r\n", "\n")], &[LfLineEnds]),
    ("B", &[("--B\r\n", "--B\r\nHTTP/1.0 200 OK\r\nServer: x\r\n")], &[ResponseInBody]),
    (
        "B",
        &[(
            "--B\r\nContent-Type: image/jpeg\r\nContent-Length: 13",
            "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=B\r\n\r\n--B\r\nContent-Type: image/jpeg\r\nContent-Length: 13",
        )],
        &[ResponseInBody],
    ),
    ("B", &[("--B\r\n", "--B\r\n\r\n")], &[BlankLineBeforeHeaders]),
    (
        "B",
        &[
            ("--B\r\nContent-Type: image/jpeg\r\nContent-Length: 13\r\n\r\n", "--B\r\n"),
            ("--B\r\nContent-Type: image/jpeg\r\nContent-Length: 30\r\n\r\n", "--B\r\n"),
        ],
        &[NoBlankLine, NoType, NoLength],
    ),
    ("B", &[("\r\n\r\n", "\r\n\r\n\r\n")], &[BlankLineBeforeBody]),
    ("B", &[("Content-Type:", "Content-Type :")], &[HeaderMalformed]),
    ("B", &[("Content-Type: image/jpeg\r\n", "Content-Type: image/jpeg\r\nX: a\r\n  folded\r\n")], &[HeaderMalformed]),
    ("B", &[("Content-Type: image/jpeg\r\n", "")], &[NoType]),
    ("B", &[("image/jpeg", "picture")], &[TypeUnreadable]),
    ("B", &[("image/jpeg", "image/jpg")], &[TypeAlias]),
    ("B", &[("image/jpeg", "image/jpeg; charset=x")], &[TypeParameters]),
    ("B", &[("\r\nContent-Length: 13", ""), ("\r\nContent-Length: 30", "")], &[NoLength]),
    ("B", &[("Length: 13", "Length: -1"), ("Length: 30", "Length: x")], &[LengthUnreadable]),
    (
        "B",
        &[
            ("Content-Length: 13", "Content-Length: 7\r\nContent-Length: 13"),
            ("Content-Length: 30", "Content-Length: 7\r\nContent-Length: 30"),
        ],
        &[LengthTwice],
    ),
    ("B", &[("Length: 13", "Length: 19"), ("Length: 30", "Length: 99")], &[LengthTooLong]),
    ("B", &[("Length: 13", "Length: 11"), ("Length: 30", "Length: 0")], &[LengthTooShort]),
    ("B", &[("{}\r\n", "{}\0\0\r\n"), ("Length: 13", "Length: 15"), ("Length: 30", "Length: 32")], &[PaddingCounted]),
    ("B", &[("{}\r\n", "{}\r\n\r\n"), ("Length: 13", "Length: 15"), ("Length: 30", "Length: 32")], &[PaddingCounted]),
    (
        "B",
        &[("{}\r\n", "{}\0\0\r\n"), ("\r\nContent-Length: 13", ""), ("\r\nContent-Length: 30", "")],
        &[NoLength, PaddingUncounted],
    ),
    ("B", &[("{}\r\n--B--", "{}\r\n--B\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n\r\n--B--")], &[EmptyPart]),
    ("B", &[("{}\r\n--B--", "{}\r\n--B\r\nContent-Type: image/jpeg\r\n\r\n\r\n--B--")], &[EmptyPart]),
    ("B", &[("{}\r\n--B--", "{}\r\n--B\r\n--B--")], &[EmptyPart]),
    ("B", &[("{}\r\n", "{}")], &[NoLineEnd]),
    ("B", &[("Length: 13", "Length: 15"), ("Length: 30", "Length: 32")], &[NoLineEnd]),
    ("B", &[("{}\r\n", "{}\r\n\r\n")], &[ExtraLineEnds]),
    ("B", &[("--B--\r\n", "--B\r\nContent-Type: image/jpeg\r\nContent-Length: 99\r\n\r\nx")], &[PartCutOff]),
    ("B", &[("--B--\r\n", "--B\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\n\r\n\u{1}\u{2}")], &[PartCutOff]),
    ("B", &[("--B--\r\n", "")], &[NoCloseDelimiter]),
    ("B", &[("--B--\r\n", "--B\r\n")], &[NoCloseDelimiter]),
    ("B", &[("--B--\r\n", "--B\r\nContent-Type: image/jpeg\r\n\r\n")], &[NoCloseDelimiter]),
];

fn stream(changes: &[(&str, &str)]) -> Vec<u8> {
    let text = changes.iter().fold(STRICT.to_owned(), |text, (from, to)| text.replace(from, to));
    bytes(&text, &[ONE, TWO])
}

fn told(boundary: &str, bytes: &[u8], reads: &[usize]) -> (Vec<Oddity>, usize) {
    let (mut decoder, mut parts) = (Decoder::new(Some(boundary), Bounds::bodies(1000)), Vec::new());
    let (mut rest, mut reads) = (bytes, reads.iter().cycle());
    while !rest.is_empty() {
        let (read, later) = rest.split_at(reads.next().map_or(1, |read| *read).clamp(1, rest.len()));
        decoder.push(read, &mut parts);
        rest = later;
    }
    decoder.finish(&mut parts);
    (decoder.oddities().iter().map(|(oddity, _)| oddity).collect(), parts.len())
}

#[test]
fn each_dialect_is_told_by_its_own_oddity_and_no_other() {
    for (boundary, changes, expected) in DIALECTS {
        let bytes = stream(changes);
        assert_eq!(told(boundary, &bytes, &[usize::MAX]), (expected.to_vec(), 2), "{}", bytes.escape_ascii());
    }
}

#[test]
fn every_oddity_of_the_body_has_a_dialect() {
    let of_header = [BoundaryMissing, BoundaryQuoting, BoundaryCapitals, BoundaryNotFirst];
    for oddity in Oddity::ALL.into_iter().filter(|oddity| !of_header.contains(oddity)) {
        assert!(DIALECTS.iter().any(|(_, _, expected)| expected.contains(&oddity)), "{oddity:?}");
    }
}

#[test]
fn an_oddity_counts_once_a_part() {
    let mut decoder = Decoder::new(Some("B"), Bounds::bodies(1000));
    decoder.push(&stream(&[("\r\n", "\n"), ("image/jpeg", "image/jpg")]), &mut Vec::new());
    assert_eq!(decoder.oddities().iter().collect::<Vec<_>>(), [(LfLineEnds, 3), (TypeAlias, 2)]);
}

proptest! {
    #[test]
    fn the_sizes_of_reads_change_no_oddity(dialect in 0..DIALECTS.len(), reads in prop::collection::vec(1_usize..40, 1..8)) {
        let (boundary, changes, expected) = DIALECTS[dialect];
        prop_assert_eq!(told(boundary, &stream(changes), &reads), (expected.to_vec(), 2));
    }
}
