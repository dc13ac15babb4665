//! A moment as people and programs write it: seconds since 1970, RFC 3339, or so long before now. It reads no recording.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use super::index::{micros, time_of};

/// The first second that no date can say, that of the year 10000. Later moments count as the one before it.
const END: u64 = 253_402_300_800;

/// The time in a recording that is being played; none before its first part.
#[derive(Debug, Default)]
pub struct PlayedTime(AtomicU64);

impl PlayedTime {
    /// Notes that a part of this time is played.
    pub fn set(&self, time: SystemTime) {
        self.0.store(micros(time), Relaxed);
    }

    /// The time of the part that was played last.
    pub fn get(&self) -> Option<SystemTime> {
        Some(self.0.load(Relaxed)).filter(|micros| *micros > 0).map(time_of)
    }
}

/// Reads seconds since 1970 with or without a fraction, RFC 3339 with a time zone (`2026-11-29T13:34:00Z`), or a time before now with its
/// unit (`-10m`). `None` for all else.
pub fn moment(text: &str, now: SystemTime) -> Option<SystemTime> {
    if let Some(before) = text.strip_prefix('-') {
        // For humantime `M` is a month, and nobody means that.
        let before = humantime::parse_duration(before).ok().filter(|_| !before.contains('M'))?;
        return Some(now.checked_sub(before).map_or(SystemTime::UNIX_EPOCH, |time| time.max(SystemTime::UNIX_EPOCH)));
    }
    since_1970(text).or_else(|| rfc_3339(text))
}

fn since_1970(text: &str) -> Option<SystemTime> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(seconds) || !is_number(fraction) {
        return None;
    }
    let nanos = format!("{:0<9.9}", fraction).parse().ok()?;
    // More digits than a number has are far in the future as well.
    let since = seconds.parse().ok().filter(|seconds| *seconds < END).map(|seconds| Duration::new(seconds, nanos));
    Some(SystemTime::UNIX_EPOCH + since.unwrap_or(Duration::from_secs(END - 1)))
}

fn rfc_3339(text: &str) -> Option<SystemTime> {
    let text = text.to_ascii_uppercase();
    if text.ends_with('Z') {
        return humantime::parse_rfc3339(&text).ok();
    }
    // In a query `+` is a space.
    let zone = text.len().checked_sub(6).filter(|zone| text.is_char_boundary(*zone))?;
    let (local, zone) = text.split_at(zone);
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let offset = Duration::from_secs(hours * 3600 + minutes * 60);
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok().filter(|_| hours < 24 && minutes < 60)?;
    match zone.as_bytes()[0] {
        b'+' | b' ' => local.checked_sub(offset),
        b'-' => local.checked_add(offset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn seconds(text: &str) -> Option<f64> {
        let now = NOW + Duration::from_secs(1_764_000_000);
        moment(text, now).map(|time| time.duration_since(NOW).unwrap().as_secs_f64())
    }

    #[test]
    fn a_moment_is_seconds_a_date_or_before_now() {
        for (text, since) in [
            ("0", 0.0),
            ("1764000000", 1_764_000_000.0),
            ("1764000000.25", 1_764_000_000.25),
            ("1764000000.1234567890123", 1_764_000_000.123_456_7),
            ("2025-11-24T16:00:00Z", 1_764_000_000.0),
            ("2025-11-24t16:00:00.5z", 1_764_000_000.5),
            ("2025-11-24T17:30:00+01:30", 1_764_000_000.0),
            ("2025-11-24T17:30:00 01:30", 1_764_000_000.0),
            ("2025-11-24T11:00:00-05:00", 1_764_000_000.0),
            ("-10m", 1_763_999_400.0),
            ("-1h 30s", 1_763_996_370.0),
            ("-0s", 1_764_000_000.0),
            ("-100years", 0.0),
            ("99999999999", 99_999_999_999.0),
            ("999999999999999999999999999999", 253_402_300_799.0),
        ] {
            assert!((seconds(text).unwrap_or(-1.0) - since).abs() < 1e-6, "{text}: {:?}", seconds(text));
        }
    }

    #[test]
    fn all_else_is_no_moment() {
        for text in [
            "",
            "-",
            "-5",
            "-1M",
            "--5s",
            "+5",
            "NaN",
            "inf",
            "1e300",
            "1.",
            ".5",
            "1.5.5",
            "0x10",
            "yesterday",
            "2025-11-24",
            "Z",
            "2025-11-24T16:00:00",
            "2025-13-24T16:00:00Z",
            "2025-11-24T16:00:00+1:30",
            "2025-11-24T16:00:00+99:00",
            "+01:00",
            "é+01:00",
            "-99999999999999999999s",
            "ééé:00",
            "1 ",
            "1764000000\0",
        ] {
            assert_eq!(moment(text, NOW), None, "{text:?}");
        }
    }
}
