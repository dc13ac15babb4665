//! The parsers of requests pass the inputs that fuzzers found, and random inputs of the same kind.

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
fn inputs_that_fuzzers_found_for_hosts_pass() {
    replay("host", fuzz::host);
}

#[test]
fn inputs_that_fuzzers_found_for_targets_pass() {
    replay("target", fuzz::target);
}

#[test]
fn inputs_that_fuzzers_found_for_accept_pass() {
    replay("accept", fuzz::accept);
}

/// Words in random order: nearly valid, and sometimes valid.
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
    fn random_hosts_are_checked(value in of(HOSTS)) {
        fuzz::host(&value);
    }

    #[test]
    fn random_targets_are_parsed(value in of(TARGETS)) {
        fuzz::target(&value);
    }

    #[test]
    fn random_accept_headers_are_parsed(value in of(ACCEPTS)) {
        fuzz::accept(&value);
    }
}
