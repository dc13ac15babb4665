//! What was measured, as it stands in the report. Times are in seconds, sizes in bytes. It judges nothing.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

/// What was measured; nothing of what could not be.
#[derive(Debug, Default, Serialize)]
pub struct Facts {
    /// The head of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseFacts>,
    /// The parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feed: Option<FeedFacts>,
    /// The still picture beside the feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotFacts>,
    /// The file, or the newest one of a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileFacts>,
}

/// The head of the response.
#[derive(Debug, Serialize)]
pub struct ResponseFacts {
    /// The status.
    pub status: u16,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: String,
    /// As the server writes it.
    pub content_type: Option<String>,
    /// `Server`.
    pub server: Option<String>,
    /// The version of TLS.
    pub tls: Option<String>,
    /// How a password was sent.
    pub password: Option<&'static str>,
    /// What was asked first, and each URL on the way, without secrets.
    pub redirects: Vec<String>,
    /// Whether it comes in chunks.
    pub chunked: bool,
    /// From the request to the head.
    pub head_seconds: f64,
    /// How far the server's clock, by `Date`, is ahead of the one here.
    pub clock_ahead_seconds: Option<f64>,
}

/// The parts.
#[derive(Debug, Default, Serialize)]
pub struct FeedFacts {
    /// How long they were read.
    pub seconds: f64,
    /// The bytes of the response's body.
    pub bytes: u64,
    /// Parts that came whole.
    pub parts: usize,
    /// Of these, those that are the same as the one before.
    pub repeats: usize,
    /// Parts each second.
    pub parts_per_second: f64,
    /// How many parts of each type; a part without a type counts under the empty name.
    pub types: BTreeMap<String, u64>,
    /// Sizes of parts.
    pub size_bytes: Option<Sizes>,
    /// From the request to the first byte of the body.
    pub first_byte_seconds: Option<f64>,
    /// From the request to the first whole part.
    pub first_part_seconds: Option<f64>,
    /// Times between parts.
    pub gap_seconds: Option<Gaps>,
    /// The longest time without a byte.
    pub silence_seconds: f64,
    /// From the end of a part to the delimiter behind it: the median.
    pub delimiter_seconds: Option<f64>,
    /// From `X-Timestamp` to the arrival here, by both clocks: the median.
    pub age_seconds: Option<f64>,
    /// Pictures and documents that are not whole.
    pub torn: u64,
    /// Parts that were too large or were cut off.
    pub refused: u64,
    /// How many parts have each oddity, by the name of its finding.
    pub oddities: BTreeMap<&'static str, u64>,
    /// How it ended: `open` (mxr stopped reading), `closed` or `broken`.
    pub end: &'static str,
}

/// Sizes of parts.
#[derive(Debug, Serialize)]
pub struct Sizes {
    /// The smallest.
    pub least: u64,
    /// The one in the middle.
    pub median: u64,
    /// The largest.
    pub most: u64,
}

/// Times between parts.
#[derive(Debug, Serialize)]
pub struct Gaps {
    /// The one in the middle.
    pub p50: f64,
    /// The one that 99 of 100 do not exceed.
    pub p99: f64,
    /// The longest.
    pub longest: f64,
}

/// The still picture beside the feed.
#[derive(Debug, Serialize)]
pub struct SnapshotFacts {
    /// Its URL, without secrets.
    pub url: String,
    /// Its type.
    pub content_type: Option<String>,
    /// From the request to its last byte.
    pub seconds: f64,
}

/// A file.
#[derive(Debug, Serialize)]
pub struct FileFacts {
    /// Its path.
    pub path: String,
    /// The type that mxr would send.
    pub content_type: String,
    /// Its size.
    pub bytes: u64,
    /// `complete`, `readable` (any beginning can be shown), `unknown` (its format has no end mark) or `truncated`.
    pub completeness: &'static str,
    /// `none`, `some` or `unknown`: whether a writer has it open.
    pub writers: &'static str,
    /// Of a directory: the files that would be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<usize>,
    /// The file system, where it does not tell of every change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_system: Option<&'static str>,
}

/// Seconds to a tenth of a millisecond.
pub(super) fn seconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64())
}

pub(super) fn rounded(seconds: f64) -> f64 {
    (seconds * 10_000.0).round() / 10_000.0
}

/// The value that this share of the sorted values does not exceed.
pub(super) fn quantile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied()
}
