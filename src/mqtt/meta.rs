//! What is to be known about the newest part of a feed, as JSON in its own topic.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The longest payload in bytes that is read. mxr writes no longer one: at most 50 names of 100 bytes, and a media type.
const LONGEST: usize = 16 * 1024;

/// What is to be known about a part; it is published right before the part itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartMeta {
    /// The media type.
    #[serde(rename = "type")]
    pub media: String,
    /// When it was made, in seconds since 1970, to the microsecond.
    pub time: f64,
    /// The number of the part in its process, from 1 on. Of lines that come together it is that of the first.
    pub sequence: u64,
    /// The length of the part in bytes: another part than this one is no longer, or not yet, what this tells of.
    pub bytes: usize,
    /// `newest` or `lines`.
    pub kind: String,
    /// The processes of mxr that the feed has passed; the last one publishes it.
    pub via: Vec<String>,
    /// Whether the source is there. The topic is written again without a part when that changes.
    pub live: bool,
}

impl PartMeta {
    /// From the payload of a topic; nothing if another program has written it.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        if payload.len() > LONGEST {
            return None;
        }
        serde_json::from_slice(payload).ok()
    }

    /// The payload.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Seconds since 1970 of a time.
    pub fn seconds(time: SystemTime) -> f64 {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_micros() as f64 / 1e6
    }

    /// The time, if it is one.
    pub fn time(&self) -> Option<SystemTime> {
        let micros = (self.time * 1e6).round();
        // Beyond this the clock has no such day: the year 9999.
        let is_time = (0.0..253_402_300_800e6).contains(&micros);
        is_time.then(|| UNIX_EPOCH + Duration::from_micros(micros as u64))
    }

    /// The process that publishes the feed.
    pub fn process(&self) -> Option<&str> {
        self.via.last().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_json_that_people_can_read_and_times_are_kept_to_the_microsecond() {
        let time = UNIX_EPOCH + Duration::from_micros(1_764_000_000_123_457);
        let meta = PartMeta {
            media: "image/png".to_owned(),
            time: PartMeta::seconds(time),
            sequence: 42,
            bytes: 5,
            kind: "newest".to_owned(),
            via: vec!["mxr-1".to_owned()],
            live: true,
        };
        let json =
            r#"{"type":"image/png","time":1764000000.123457,"sequence":42,"bytes":5,"kind":"newest","via":["mxr-1"],"live":true}"#;
        assert_eq!(String::from_utf8(meta.to_json()).unwrap(), json);
        let read = PartMeta::parse(json.as_bytes()).unwrap();
        assert_eq!((read.time(), read.process()), (Some(time), Some("mxr-1")));
        assert_eq!(read, meta);
    }

    #[test]
    fn what_another_program_writes_is_no_meta_and_a_mad_clock_no_time() {
        for payload in ["", "online", "{}", r#"{"type":"image/png"}"#, "[1,2]", "\u{1}"] {
            assert_eq!(PartMeta::parse(payload.as_bytes()), None, "{payload}");
        }
        let json = r#"{"type":"a","time":-1e300,"sequence":1,"bytes":1,"kind":"newest","via":[],"live":true,"more":1}"#;
        let read = PartMeta::parse(json.as_bytes()).unwrap();
        assert_eq!((read.time(), read.process()), (None, None));
        let via = format!(r#"["{}"]"#, "x".repeat(LONGEST));
        assert_eq!(PartMeta::parse(json.replace("[]", &via).as_bytes()), None, "it would be held");
    }
}
