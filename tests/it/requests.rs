//! What fuzzers found of the reading of requests stays found, and what they look for is looked for at random here as well.

use std::fs;

use mxr::http::fuzz;
use proptest::{collection::vec, prelude::*, sample::select};

use crate::support::root;

fn replay(name: &str, check: fn(&[u8])) {
    let folder = root().join("fuzz/corpus").join(name);
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 8, "{} files of {name}", files.len());
    for file in files {
        check(&fs::read(file).unwrap());
    }
}

#[test]
fn what_fuzzers_found_of_hosts_stays_found() {
    replay("host", fuzz::host);
}

#[test]
fn what_fuzzers_found_of_targets_stays_found() {
    replay("target", fuzz::target);
}

#[test]
fn what_fuzzers_found_of_accept_stays_found() {
    replay("accept", fuzz::accept);
}

/// Words in any order: nearly right, and now and then quite.
fn of(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    vec(select(words), 0..8).prop_map(|words| words.concat().into_bytes())
}

const HOSTS: &[&str] =
    &["localhost", "cam.example", "127.0.0.1", "[", "]", "::1", ":", ".", "80", "evil", "@", "/", "%", "\t", "-", "LOCAL", "99999"];
const TARGETS: &[&str] = &[
    "/",
    "stream",
    "snapshot",
    "?",
    "fps=",
    "parts=",
    "history=",
    "after=",
    "action=stream_",
    "&",
    "%2F",
    "%ff",
    "%",
    "0",
    "1e9",
    "-1",
    "NaN",
    "src=",
    "api/stream.mjpeg",
    "#",
    "\u{fc}",
    "http://a",
];
const ACCEPTS: &[&str] = &[
    "*/*",
    "text/html",
    "image/",
    "image",
    "\n",
    "document",
    "iframe",
    "empty",
    "AppleWebKit",
    "Mozilla/",
    "multipart/mixed",
    ",",
    ";q=0",
    " ",
    "\u{e9}",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn hosts_of_any_words_are_judged(value in of(HOSTS)) {
        fuzz::host(&value);
    }

    #[test]
    fn targets_of_any_words_are_read(value in of(TARGETS)) {
        fuzz::target(&value);
    }

    #[test]
    fn accept_of_any_words_is_read(value in of(ACCEPTS)) {
        fuzz::accept(&value);
    }
}
