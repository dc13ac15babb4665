//! What the times and contents of a feed's parts mean. It reads nothing.

use std::time::{Duration, SystemTime};

use super::{
    facts::{FeedFacts, Gaps, Sizes, quantile, rounded, seconds},
    finding::Finding,
    kinds::{self, FeedReader, of_oddity},
    observation::{Observation, SeenPart},
};
use crate::wire::Oddities;

/// A pause of the feed that people see, if the others are short.
const STALL: Duration = Duration::from_secs(2);
/// A first part that takes longer costs OctoPrint its snapshot.
const SLOW: Duration = Duration::from_secs(5);
/// Home Assistant gives up after 10 s; one that is nearly so long within the time of reading counts.
const SILENT: Duration = Duration::from_secs(9);
/// A delimiter that is later than this was not sent with its part.
const LATE: Duration = Duration::from_millis(20);
/// Parts that are older than this are behind.
const OLD: f64 = 1.0;
/// A timestamp that is further from our clock is no time.
const BELIEVED: Duration = Duration::from_secs(24 * 3600);

/// The feed in numbers. `clock_ahead`: how far the server's clock is ahead, where that is certain.
pub(super) fn facts(seen: &Observation, read_for: Duration, clock_ahead: Option<f64>, end: &'static str) -> FeedFacts {
    let mut sizes: Vec<u64> = seen.parts.iter().map(|part| part.bytes).collect();
    sizes.sort_unstable();
    let mut gaps: Vec<Duration> = gaps(&seen.parts).map(|(gap, _)| gap).collect();
    gaps.sort_unstable();
    let mut delimiters = seen.delimiters.clone();
    delimiters.sort_unstable();
    let mut ages: Vec<f64> = seen.parts.iter().skip(1).filter_map(|part| age(part, clock_ahead)).collect();
    ages.sort_unstable_by(f64::total_cmp);
    FeedFacts {
        seconds: seconds(read_for),
        bytes: seen.bytes,
        parts: seen.parts.len(),
        repeats: seen.parts.iter().filter(|part| part.is_repeat || part.is_keepalive).count(),
        parts_per_second: rounded(rate(&seen.parts)),
        types: seen.types.clone(),
        size_bytes: sizes.first().zip(sizes.last()).zip(quantile(&sizes, 0.5)).map(|((least, most), median)| Sizes {
            least: *least,
            median,
            most: *most,
        }),
        first_byte_seconds: seen.first_byte.map(seconds),
        first_part_seconds: seen.parts.first().map(|part| seconds(part.at)),
        gap_seconds: gaps.last().zip(quantile(&gaps, 0.5)).zip(quantile(&gaps, 0.99)).map(|((longest, p50), p99)| Gaps {
            p50: seconds(p50),
            p99: seconds(p99),
            longest: seconds(*longest),
        }),
        silence_seconds: seconds(seen.silence),
        delimiter_seconds: quantile(&delimiters, 0.5).map(seconds),
        age_seconds: quantile(&ages, 0.5).map(rounded),
        torn: seen.torn,
        refused: seen.refused(),
        oddities: seen.oddities().iter().map(|(oddity, count)| (of_oddity(oddity).name, count)).collect(),
        end,
    }
}

/// What is wrong with the parts.
pub(super) fn findings(seen: &Observation, facts: &FeedFacts) -> Vec<Finding> {
    let mut findings = dialect(&seen.oddities(), facts.parts);
    let mut add = |is_so: bool, kind, what: String| findings.extend(is_so.then(|| Finding::of(kind, what)));
    let of_parts = |count: u64| format!("{count} of {} parts", facts.parts);
    // One that was cut off is no part either.
    let is_cut_off = facts.oddities.contains_key(kinds::PART_CUT_OFF.name);
    add(
        facts.refused > u64::from(is_cut_off),
        &kinds::TOO_LARGE,
        format!("{} times", facts.refused - u64::from(is_cut_off && facts.refused > 0)),
    );
    add(seen.holding_boundary > 0, &kinds::DELIMITER_IN_BODY, of_parts(seen.holding_boundary));
    add(seen.torn > 0, &kinds::TORN_PART, of_parts(seen.torn));
    if let Some((count, name)) = seen.unlike {
        add(true, &kinds::NOT_ITS_TYPE, format!("it does not look like {name}; {}", of_parts(count)));
    }
    add(seen.silence >= SILENT && !seen.parts.is_empty(), &kinds::SILENT, format!("{:.1} s", facts.silence_seconds));
    findings.extend(timing(seen, facts));
    findings
}

/// What the decoder has forgiven.
pub(super) fn dialect(oddities: &Oddities, parts: usize) -> Vec<Finding> {
    let finding = |(oddity, count)| {
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        Finding::of(of_oddity(oddity), if parts > 1 { format!("{times}, in {parts} parts") } else { String::new() })
    };
    oddities.iter().map(finding).collect()
}

fn timing(seen: &Observation, facts: &FeedFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |is_so: bool, kind, what: String| findings.extend(is_so.then(|| Finding::of(kind, what)));
    let Some(first) = seen.parts.first() else { return findings };
    add(first.at > SLOW, &kinds::SLOW_START, format!("{:.1} s", first.at.as_secs_f64()));
    let p50 = facts.gap_seconds.as_ref().map_or(0.0, |gaps| gaps.p50);
    let late = seen.delimiters.iter().filter(|delay| **delay > LATE && delay.as_secs_f64() * 2.0 > p50).count();
    let median = facts.delimiter_seconds.unwrap_or_default();
    add(late >= 2 && late * 2 > seen.delimiters.len(), &kinds::DELIMITER_LATE, format!("{median:.3} s after the part"));
    let bursts = bursts(&seen.parts);
    add(bursts, &kinds::BURSTS, format!("the median gap is {p50:.3} s, the longest {:.3} s", longest(facts)));
    let stall = if bursts { None } else { stall(&seen.parts, p50) };
    add(stall.is_some(), &kinds::STALLS, format!("the longest for {:.1} s", stall.unwrap_or_default().as_secs_f64()));
    let age = facts.age_seconds.unwrap_or_default();
    add(age > OLD, &kinds::OLD_PARTS, format!("half of them more than {age:.1} s"));
    let timed = seen.parts.iter().filter(|part| part.time.is_some()).count();
    let no_time = seen.parts.iter().filter(|part| part.time.is_some() && !is_believed(part)).count();
    add(no_time * 2 > timed, &kinds::TIMESTAMP_NO_TIME, format!("{no_time} of {timed} times"));
    let same = seen.parts.iter().filter(|part| part.is_repeat && !part.is_keepalive).count();
    add(same >= 3 && same * 2 > seen.parts.len(), &kinds::REPEATS, format!("{same} of {} parts", seen.parts.len()));
    findings
}

/// Readers that show no parts of these types, with the reason.
pub(super) fn limits(seen: &Observation) -> Vec<(FeedReader, String)> {
    let mut limits = Vec::new();
    let of_type = |wanted: &dyn Fn(&str) -> bool| seen.types.keys().find(|name| !name.is_empty() && wanted(name)).cloned();
    // Spellings of image/jpeg have findings of their own.
    if let Some(other) = of_type(&|name| name != "image/jpeg") {
        limits.push((FeedReader::Ffmpeg, format!("reads JPEG parts alone, not {other}")));
        limits.push((FeedReader::Vlc, format!("reads JPEG parts alone, not {other}")));
        limits.push((FeedReader::Gstreamer, format!("reads {other} in part or not at all")));
    }
    if let Some(other) = of_type(&|name| !name.starts_with("image/")) {
        let why = format!("an <img> does not show {other}; the page of mxr does");
        limits.extend([FeedReader::Chromium, FeedReader::Firefox, FeedReader::WebKit].map(|reader| (reader, why.clone())));
    }
    limits
}

/// The times between parts, with the later part of each.
fn gaps(parts: &[SeenPart]) -> impl Iterator<Item = (Duration, &SeenPart)> {
    parts.windows(2).map(|pair| (pair[1].at - pair[0].at, &pair[1]))
}

fn rate(parts: &[SeenPart]) -> f64 {
    match (parts.first(), parts.last()) {
        (Some(first), Some(last)) if last.at > first.at => (parts.len() - 1) as f64 / (last.at - first.at).as_secs_f64(),
        _ => 0.0,
    }
}

fn longest(facts: &FeedFacts) -> f64 {
    facts.gap_seconds.as_ref().map_or(0.0, |gaps| gaps.longest)
}

fn is_believed(part: &SeenPart) -> bool {
    let apart = |time: SystemTime| time.duration_since(part.wall).unwrap_or_else(|error| error.duration());
    part.time.is_some_and(|time| apart(time) < BELIEVED)
}

/// Seconds from the timestamp to the arrival; of a part that is new.
fn age(part: &SeenPart, clock_ahead: Option<f64>) -> Option<f64> {
    let time = part.time.filter(|_| is_believed(part) && !part.is_repeat && !part.is_keepalive)?;
    let age = part.wall.duration_since(time).map_or_else(|error| -error.duration().as_secs_f64(), |age| age.as_secs_f64());
    Some(age + clock_ahead.unwrap_or_default())
}

/// How much longer a part took than its sender says, or than it took since the one before where that says nothing.
fn delays(parts: &[SeenPart]) -> impl Iterator<Item = (Duration, Duration)> {
    parts.windows(2).filter(|pair| !pair[1].is_keepalive).map(|pair| {
        let gap = pair[1].at - pair[0].at;
        let meant = pair[0].time.zip(pair[1].time).filter(|_| is_believed(&pair[0]) && is_believed(&pair[1]));
        let meant = meant.and_then(|(before, after)| after.duration_since(before).ok());
        (gap, meant.unwrap_or_default())
    })
}

fn stall(parts: &[SeenPart], p50: f64) -> Option<Duration> {
    let is_stall = |delay: &Duration| *delay > STALL && delay.as_secs_f64() > 5.0 * p50;
    if parts.len() < 6 || parts.iter().any(|part| part.is_text) {
        return None;
    }
    delays(parts).map(|(gap, meant)| gap.saturating_sub(meant)).filter(is_stall).max()
}

/// Whether parts come many at once and then none: a proxy lets them go when its buffer is full. Where the sender's times lie as
/// close together, it is the sender.
fn bursts(parts: &[SeenPart]) -> bool {
    let gaps: Vec<(Duration, Duration)> = delays(parts).collect();
    let (Some(longest), count) = (gaps.iter().map(|(gap, _)| *gap).max(), gaps.len() as u32) else { return false };
    if count < 10 || longest < Duration::from_millis(200) || parts.iter().any(|part| part.is_text) {
        return false;
    }
    let mean = gaps.iter().map(|(gap, _)| *gap).sum::<Duration>() / count;
    let has_times = gaps.iter().any(|(_, meant)| !meant.is_zero());
    let is_held = |(gap, meant): &&(Duration, Duration)| *gap < mean / 10 && (!has_times || *meant > mean / 3);
    let held = gaps.iter().filter(is_held).count() as u32;
    held * 2 >= count && longest >= mean * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of what is found in pictures that come at these seconds, read for so long.
    fn found(at: &[u64], read_for: u64, made: impl Fn(u64) -> String) -> Vec<&'static str> {
        let (start, wall) = (std::time::Instant::now(), SystemTime::now());
        let mut seen = Observation::new(Some("B"), start, start);
        for (index, at) in at.iter().enumerate() {
            let (now, body) = (start + Duration::from_secs(*at), format!("text {index}"));
            let head = format!("--B\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{}\r\n", body.len(), made(*at));
            seen.push(format!("{head}{body}\r\n").as_bytes(), now, wall + Duration::from_secs(*at));
            seen.push(b"--B\r\n", now, wall);
        }
        seen.rest(start + Duration::from_secs(read_for));
        let facts = facts(&seen, Duration::from_secs(read_for), None, "open");
        findings(&seen, &facts).iter().map(|finding| finding.kind.name).filter(|name| *name != "delimiter-twice").collect()
    }

    #[test]
    fn silence_a_slow_start_and_old_parts_are_told() {
        let none = |_| String::new();
        assert_eq!(found(&[1, 2, 3, 4, 8], 10, none), [""; 0]);
        assert_eq!(found(&[1], 10, none), ["silent"]);
        assert_eq!(found(&[6, 7, 8], 10, none), ["slow-start"]);
        let now = crate::part::unix_time(SystemTime::now()).as_secs();
        let made_before = |age: u64| move |at: u64| format!("X-Timestamp: {}\r\n", now + at - age);
        assert_eq!(found(&[1, 2, 3], 4, made_before(0)), [""; 0]);
        assert_eq!(found(&[1, 2, 3], 4, made_before(5)), ["old-parts"]);
        assert_eq!(found(&[1, 2, 3], 4, made_before(7 * 86400)), ["timestamp-no-time"]);
    }

    /// Parts that come at these milliseconds, made every 100 ms if `has_times`.
    fn parts(at: impl Iterator<Item = u64>, has_times: bool) -> Vec<SeenPart> {
        let wall = SystemTime::now();
        let part = |(index, at)| SeenPart {
            at: Duration::from_millis(at),
            bytes: 1,
            is_repeat: false,
            is_keepalive: false,
            is_text: false,
            time: has_times.then(|| wall + Duration::from_millis(100) * index),
            wall,
        };
        (0..).zip(at).map(part).collect()
    }

    #[test]
    fn a_proxy_that_buffers_is_told_from_an_even_feed_and_from_a_sender_of_bursts() {
        let held = |at: u64| at / 10 * 1000 + at % 10;
        for has_times in [false, true] {
            assert!(bursts(&parts((0..40).map(held), has_times)));
            assert!(!bursts(&parts((0..40).map(|at| at * 100), has_times)));
        }
        let wall = SystemTime::now();
        let mut sent = parts((0..40).map(held), true);
        sent.iter_mut().for_each(|part| part.time = Some(wall + part.at));
        assert!(!bursts(&sent));
    }

    #[test]
    fn a_pause_is_a_stall_unless_the_sender_made_it() {
        let at = |at: u64| if at < 10 { at * 100 } else { at * 100 + 3000 };
        assert_eq!(stall(&parts((0..20).map(at), false), 0.1), Some(Duration::from_millis(3100)));
        assert_eq!(stall(&parts((0..20).map(at), true), 0.1), Some(Duration::from_secs(3)));
        let mut sent = parts((0..20).map(at), true);
        let wall = SystemTime::now();
        sent.iter_mut().for_each(|part| part.time = Some(wall + part.at));
        assert_eq!(stall(&sent, 0.1), None);
        assert_eq!(stall(&parts((0..20).map(|at| at * 100), false), 0.1), None);
    }

    #[test]
    fn the_age_is_that_of_new_parts_by_both_clocks() {
        let mut part = parts([0].into_iter(), true)[0];
        part.wall += Duration::from_secs(3);
        assert_eq!(age(&part, None).map(f64::round), Some(3.0));
        assert_eq!(age(&part, Some(-2.0)).map(f64::round), Some(1.0));
        part.wall += BELIEVED;
        assert_eq!(age(&part, None), None);
    }
}
