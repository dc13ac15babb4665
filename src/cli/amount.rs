//! Numbers, times and sizes as people write them: `500ms`, `2s`, `1h`; `1K`, `64M`, `500KB`. It parses text, says what is wrong in
//! words, and knows no option.

use std::time::{Duration, SystemTime};

use bytesize::ByteSize;

/// The longest time that an option takes.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// The largest screen. A part is made of all its cells.
const MOST_COLS: usize = 500;
const MOST_ROWS: usize = 200;

/// A number of things.
pub(super) fn count(text: &str) -> Result<usize, String> {
    text.trim().parse().map_err(|_| "it must be a whole number".to_owned())
}

/// A number of times a second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| "it must be a number, such as 10 or 0.5".to_owned())
}

/// A port.
pub(super) fn port(text: &str) -> Result<u16, String> {
    text.trim().parse().map_err(|_| "a port is a number from 0 to 65535".to_owned())
}

/// A time; a plain number is seconds.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    time(text, "seconds", |number| number)
}

/// A time; a plain number is milliseconds.
pub(super) fn milliseconds(text: &str) -> Result<Duration, String> {
    time(text, "milliseconds", |number| number / 1000.0)
}

/// `seconds` are those of a plain number.
fn time(text: &str, unit: &str, seconds: impl Fn(f64) -> f64) -> Result<Duration, String> {
    let text = text.trim();
    let time = match text.parse() {
        Ok(number) => Duration::try_from_secs_f64(seconds(number)).ok(),
        // For humantime `M` is a month, and nobody means that.
        Err(_) if text.contains('M') => None,
        Err(_) => humantime::parse_duration(text).ok(),
    };
    time.filter(|time| *time <= A_YEAR)
        .ok_or_else(|| format!("it must be a number of {unit}, or a time such as 500ms, 2s, 1m or 1h, from 0 to a year"))
}

/// A time in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedTime {
    /// By the clock.
    At(SystemTime),
    /// So long after its beginning.
    AfterStart(Duration),
    /// So long before its end.
    BeforeEnd(Duration),
}

/// A time in a recording: by the clock, or with a sign from its beginning or its end.
pub(super) fn moment(text: &str) -> Result<RecordedTime, String> {
    let text = text.trim();
    let wrong = || "a time looks like 2026-11-29T13:34:00Z, 1764423240.5 (seconds since 1970), +5m or -10m".to_owned();
    match text.split_at_checked(1) {
        Some(("+", after)) => seconds(after).map(RecordedTime::AfterStart).map_err(|_| wrong()),
        Some(("-", before)) => seconds(before).map(RecordedTime::BeforeEnd).map_err(|_| wrong()),
        _ => epoch(text).or_else(|| rfc_3339(text)).map(RecordedTime::At).ok_or_else(wrong),
    }
}

/// Seconds since 1970, to a microsecond.
fn epoch(text: &str) -> Option<SystemTime> {
    let is_plain = text.starts_with(|first: char| first.is_ascii_digit()) && !text.contains(['e', 'E']);
    let seconds: f64 = text.parse().ok().filter(|_| is_plain)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// A time with its date, in UTC or with an offset.
fn rfc_3339(text: &str) -> Option<SystemTime> {
    let at = text.len().checked_sub(6).filter(|at| *at >= 19 && text.is_char_boundary(*at));
    let Some((time, offset)) = at.map(|at| text.split_at(at)).filter(|(_, offset)| offset.starts_with(['+', '-'])) else {
        return humantime::parse_rfc3339(text).ok();
    };
    let (hours, minutes) = offset[1..].split_once(':')?;
    let number = |text: &str, most: u64| text.parse::<u64>().ok().filter(|number| text.len() == 2 && *number <= most);
    let offset_seconds = Duration::from_secs(number(hours, 23)? * 3600 + number(minutes, 59)? * 60);
    let local = humantime::parse_rfc3339(&format!("{time}Z")).ok()?;
    if offset.starts_with('+') { local.checked_sub(offset_seconds) } else { local.checked_add(offset_seconds) }
}

/// The size of a screen in cells: columns and rows.
pub(super) fn cells(text: &str) -> Result<(usize, usize), String> {
    let size = text.trim().split_once(['x', 'X', '×']);
    size.and_then(|(cols, rows)| Some((cols.trim().parse().ok()?, rows.trim().parse().ok()?)))
        .filter(|(cols, rows)| (2..=MOST_COLS).contains(cols) && (1..=MOST_ROWS).contains(rows))
        .ok_or_else(|| {
            format!("a screen is COLSxROWS, such as 80x24 or 120x40; it has up to {MOST_COLS} columns and {MOST_ROWS} rows")
        })
}

/// Whether a text is the size of a screen.
pub fn is_cells(text: &str) -> bool {
    cells(text).is_ok()
}

/// A size in bytes. As for `ls` and `dd`, `K`, `M`, `G` and `T` are powers of 1024, as `KiB` is; `KB` is 1000.
pub(super) fn size(text: &str) -> Result<ByteSize, String> {
    let text = text.trim();
    let is_binary = text.ends_with(|unit: char| "KMGT".contains(unit.to_ascii_uppercase()));
    let unit = if is_binary { "iB" } else { "" };
    format!("{text}{unit}").parse().map_err(|_| {
        "a size looks like 512K, 64M or 1G (K is 1024 bytes, as KiB is; KB is 1000), or is a number of bytes".to_owned()
    })
}

/// How much of something that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeOrSize {
    /// This long.
    Time(Duration),
    /// Bytes.
    Size(u64),
}

/// How much of something that goes on, and how it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// As it was typed.
    pub text: String,
    /// What that means.
    pub amount: TimeOrSize,
}

/// A time or a size, each with its unit: `10m` is ten minutes, `10M` ten MiB.
pub(super) fn stretch(text: &str) -> Result<Stretch, String> {
    let wrong = "it must be a time such as 10m, 1h or 7d, or a size such as 100MB or 10G (10m is minutes, 10M is MiB)";
    if text.trim().bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong.to_owned());
    }
    let size = |_| size(text).map(|size| TimeOrSize::Size(size.as_u64()));
    let amount = seconds(text).map(TimeOrSize::Time).or_else(size).map_err(|_| wrong.to_owned())?;
    Ok(Stretch { text: text.trim().to_owned(), amount })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_has_columns_and_rows() {
        assert_eq!(cells("80x24"), Ok((80, 24)));
        assert_eq!(cells(" 132X43 "), Ok((132, 43)));
        for text in ["", "80", "x24", "80x", "1x24", "80x0", "501x24", "80x201", "80x24x2", "-80x24", "99999999999999999999x24"] {
            assert!(cells(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_has_a_unit_or_is_a_plain_number() {
        for (text, millis) in [
            ("2s", 2000),
            ("500ms", 500),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("1m 30s", 90_000),
            ("1.5s", 1500),
            ("0.2", 200),
            ("5", 5000),
            (" 5 ", 5000),
            ("0", 0),
            ("365d", 31_536_000_000),
        ] {
            assert_eq!(seconds(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for (text, millis) in [("100", 100), ("2s", 2000), ("0.5", 0), ("1m", 60_000)] {
            assert_eq!(milliseconds(text).map(|time| time.as_millis()), Ok(millis), "{text}");
        }
        for wrong in ["", "-1", "-1s", "s", "5x", "1M", "2 apples", "NaN", "inf", "1e300", "366d", "5s5", "\u{ff15}s"] {
            let why = seconds(wrong).unwrap_err();
            assert!(why.contains("500ms, 2s, 1m or 1h"), "{wrong}: {why}");
            assert!(milliseconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_in_a_recording_is_of_the_clock_or_counted_from_an_end() {
        let at = |seconds: f64| RecordedTime::At(SystemTime::UNIX_EPOCH + Duration::from_micros((seconds * 1e6).round() as u64));
        for (text, expected) in [
            ("1764000000.123456", at(1764000000.123456)),
            ("0", at(0.0)),
            ("2025-11-24T16:00:00Z", at(1764000000.0)),
            ("2025-11-24T16:00:00.5Z", at(1764000000.5)),
            ("2025-11-24T17:30:00+01:30", at(1764000000.0)),
            ("2025-11-24T11:00:00.5-05:00", at(1764000000.5)),
            ("+5m", RecordedTime::AfterStart(Duration::from_secs(300))),
            ("-10", RecordedTime::BeforeEnd(Duration::from_secs(10))),
            ("-0s", RecordedTime::BeforeEnd(Duration::ZERO)),
        ] {
            assert_eq!(moment(text), Ok(expected), "{text}");
        }
        for wrong in [
            "",
            "-",
            "+",
            "now",
            "--5",
            "+-5",
            "1e9",
            "nan",
            "inf",
            "2025-11-24",
            "2025-11-24T16:00:00",
            "16:00",
            "+5x",
            "2025-11-24T16:00:00+1:00",
            "2025-13-24T16:00:00Z",
            "\u{ff15}",
            "1764000000.1.2",
        ] {
            assert!(moment(wrong).is_err_and(|why| why.contains("-10m")), "{wrong}");
        }
    }

    #[test]
    fn a_stretch_is_a_time_or_a_size() {
        let time = |seconds| Ok(TimeOrSize::Time(Duration::from_secs(seconds)));
        for (text, stretch) in [
            ("10m", time(600)),
            ("10M", Ok(TimeOrSize::Size(10 << 20))),
            ("1h", time(3600)),
            ("7d", time(604_800)),
            ("100MB", Ok(TimeOrSize::Size(100_000_000))),
            ("10G", Ok(TimeOrSize::Size(10 << 30))),
            ("64KiB", Ok(TimeOrSize::Size(65_536))),
        ] {
            assert_eq!(super::stretch(text).map(|stretch| stretch.amount), stretch, "{text}");
        }
        for wrong in ["", "10", "m", "10x", "-1h", "much"] {
            assert!(super::stretch(wrong).is_err_and(|why| why.contains("10m is minutes")), "{wrong}");
        }
    }

    #[test]
    fn a_size_of_one_letter_is_a_power_of_1024() {
        for (text, bytes) in [
            ("1K", 1 << 10),
            ("1k", 1 << 10),
            ("64M", 64 << 20),
            ("1G", 1 << 30),
            ("1T", 1 << 40),
            ("64MiB", 64 << 20),
            ("1 KiB", 1 << 10),
            ("500KB", 500_000),
            ("1.5K", 1536),
            ("4096", 4096),
            ("4096B", 4096),
        ] {
            assert_eq!(size(text).map(|size| size.as_u64()), Ok(bytes), "{text}");
        }
        for wrong in ["", "K", "-1", "1X", "much", "1KK", "1 K K", "M1", "NaNK"] {
            let why = size(wrong).unwrap_err();
            assert!(why.contains("64M"), "{wrong}: {why}");
        }
    }
}
