//! The query of a request: its values by name, as numbers and as times. It knows no routes.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use crate::recording::moment;

/// The latest time that a date can say.
const LATEST: Duration = Duration::from_secs(253_402_300_799);
/// Parts in a list, unless the request says how many; and the most that it can say.
const LISTED: (usize, usize) = (1000, 10_000);

#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a>(pub(super) &'a str);

/// Which part of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShownQuery {
    pub(super) at: SystemTime,
    pub(super) step: Option<PastStep>,
}

/// The time from which a query counts back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueryNow {
    /// By the clock.
    Clock(SystemTime),
    /// Of a recording that is played.
    Playing(SystemTime),
}

impl QueryNow {
    fn time(self) -> SystemTime {
        let (Self::Clock(time) | Self::Playing(time)) = self;
        time
    }
}

/// To the part before or after the one that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PastStep {
    Back,
    Forward,
}

impl<'a> Query<'a> {
    pub(super) fn get(self, key: &str) -> Option<Cow<'a, str>> {
        self.all(key).next()
    }

    pub(super) fn all(self, key: &str) -> impl Iterator<Item = Cow<'a, str>> {
        form_urlencoded::parse(self.0.as_bytes()).filter(move |(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn number<N: std::str::FromStr>(self, key: &str) -> Result<Option<N>, String> {
        self.get(key).map(|value| value.parse().map_err(|_| format!("{key} is not a number: {value}"))).transpose()
    }

    /// A number of things, at least 1.
    fn count(self, key: &str) -> Result<Option<usize>, String> {
        match self.number(key)? {
            Some(0) => Err(format!("{key} must be at least 1")),
            count => Ok(count),
        }
    }

    fn time(self, key: &str, now: QueryNow) -> Result<Option<SystemTime>, String> {
        let read = |value: Cow<'_, str>| {
            moment(&value, now.time()).ok_or_else(|| {
                format!(
                    "{key} is not a time: {value:?}\n\
                     hint: a time is 1764000000.5 (seconds since 1970), 2025-11-24T16:00:00Z, or -10m (so long before now)"
                )
            })
        };
        self.get(key).map(read).transpose()
    }

    /// `at`, with `step`.
    pub(super) fn shown(self, now: QueryNow) -> Result<Option<ShownQuery>, String> {
        let Some(at) = self.time("at", now)? else { return Ok(None) };
        let step = match self.get("step").as_deref().map(str::trim) {
            None => None,
            Some("-1") => Some(PastStep::Back),
            // In a query `+` is a space.
            Some("1" | "+1") => Some(PastStep::Forward),
            Some(other) => return Err(format!("step is -1 or 1, not {other:?}")),
        };
        Ok(Some(ShownQuery { at, step }))
    }

    /// `from` and `to`, and `last`, which counts back from now.
    pub(super) fn stretch(self, now: QueryNow) -> Result<(SystemTime, SystemTime), String> {
        let last = self.get("last").map(|last| {
            let unit = if last.bytes().all(|digit| digit.is_ascii_digit()) { "s" } else { "" };
            moment(&format!("-{last}{unit}"), now.time())
                .ok_or_else(|| format!("last is not a length of time, such as 30s: {last:?}"))
        });
        let from = self.time("from", now)?.max(last.transpose()?).unwrap_or(SystemTime::UNIX_EPOCH);
        let end = match now {
            // Parts that are played later are there already.
            QueryNow::Playing(time) if self.get("last").is_some() => time,
            _ => SystemTime::UNIX_EPOCH + LATEST,
        };
        let to = self.time("to", now)?.unwrap_or(end);
        if from > to { Err("from is after to".to_owned()) } else { Ok((from, to)) }
    }

    /// The most parts in a list.
    pub(super) fn max(self) -> Result<usize, String> {
        Ok(self.count("max")?.unwrap_or(LISTED.0).min(LISTED.1))
    }

    /// The number of the newest parts that are wanted.
    pub(super) fn newest(self) -> Result<Option<usize>, String> {
        self.count("parts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn now() -> QueryNow {
        QueryNow::Clock(SystemTime::now())
    }

    #[test]
    fn a_part_of_the_past_is_asked_for_by_its_time_and_steps_from_it() {
        let shown = |at, step| Ok(Some(ShownQuery { at, step }));
        assert_eq!(Query("at=100&after=x").shown(now()), shown(at(100), None));
        assert_eq!(Query("at=100&step=-1").shown(now()), shown(at(100), Some(PastStep::Back)));
        assert_eq!(Query("at=100&step=1").shown(now()), shown(at(100), Some(PastStep::Forward)));
        assert_eq!(Query("at=100&step=+1").shown(now()), shown(at(100), Some(PastStep::Forward)));
        assert_eq!(Query("step=1").shown(now()), Ok(None));
        for nonsense in ["at=", "at=x", "at=NaN", "at=1e300", "at=-5", "at=100&step=2", "at=100&step=0", "at=100&step=", "at=%00"] {
            assert!(Query(nonsense).shown(now()).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_stretch_has_its_ends_in_order() {
        assert_eq!(Query("").stretch(now()), Ok((at(0), at(0) + LATEST)));
        assert_eq!(Query("from=1&to=2").stretch(now()), Ok((at(1), at(2))));
        assert_eq!(Query("from=2&to=2").stretch(now()), Ok((at(2), at(2))));
        let (from, _) = Query("last=30s").stretch(now()).unwrap();
        assert!(from.elapsed().unwrap() >= Duration::from_secs(30), "{from:?}");
        assert_eq!(Query("last=1000years&from=7").stretch(now()).unwrap().0, at(7), "the later of both");
        for nonsense in ["from=2&to=1", "last=x", "last=", "last=-1s", "from=-1", "last=30s&to=1"] {
            assert!(Query(nonsense).stretch(now()).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn what_counts_back_in_a_recording_that_is_played_does_so_from_the_time_that_plays() {
        let now = QueryNow::Playing(at(1000));
        assert_eq!(Query("last=30s").stretch(now), Ok((at(970), at(1000))));
        assert_eq!(Query("from=-10m").stretch(now), Ok((at(400), at(0) + LATEST)));
        assert_eq!(Query("last=30s&to=2000").stretch(now), Ok((at(970), at(2000))));
        assert_eq!(Query("at=-10m").shown(now), Ok(Some(ShownQuery { at: at(400), step: None })));
    }

    #[test]
    fn numbers_of_parts_are_bounded() {
        let max = |query| Query(query).max();
        assert_eq!([max(""), max("max=1"), max("max=18446744073709551615")], [Ok(1000), Ok(1), Ok(10_000)]);
        assert!(["max=0", "max=-1", "max=1e3", "max=99999999999999999999", "max="].into_iter().all(|query| max(query).is_err()));
        assert_eq!((Query("parts=3").newest(), Query("").newest()), (Ok(Some(3)), Ok(None)));
        assert!(Query("parts=0").newest().is_err());
    }
}
