//! A feed of another machine: which parts are new, what time they have, and how far a feed of another mxr has been read, so that none
//! is published twice. It knows no connection.

use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use crate::{
    feed::{Hops, Kind, Publisher, SourceState},
    format::Media,
    part::Part,
    source::{
        framing::split::{PartStamp, RawPart},
        kinds::kind_of_part,
    },
};

/// How far a sender's clock may be from ours for its times to be believed: cameras send the time since they were started.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);
/// The least time between two warnings about lines that the upstream dropped.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// A feed of another machine.
#[derive(Debug)]
pub(in crate::source) struct RemoteFeed {
    publisher: Publisher,
    /// The type of every part, if the user set one.
    media: Option<Media>,
    kind: Option<Kind>,
    position: Option<RemotePosition>,
    /// The time of the newest line that was published, and the number of lines that have it.
    newest: (Option<SystemTime>, usize),
    /// The same when an edge was started again, of lines that it may give once more, in its own numbers.
    known: Option<(SystemTime, usize)>,
    /// Whether there has been a picture.
    has_pictures: bool,
    /// Whether there was a whole part since the last `begin`, a repeated one too.
    has_made_part: bool,
    /// New parts since then.
    new_parts: u64,
    /// Whether no part has come since then that has a number.
    awaits_number: bool,
    /// Lines that the upstream dropped before they were read, and when that was said last.
    missed: u64,
    warned: Option<Instant>,
}

/// The last part of another mxr's feed that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct RemotePosition {
    /// The boundary of its process.
    pub(in crate::source) run: String,
    /// Its number.
    pub(in crate::source) sequence: u64,
    time: Option<SystemTime>,
    /// Whether that process is an edge, so that another one in its place may have the same lines.
    pub(in crate::source) is_of_edge: bool,
}

/// What is known of all parts of one stream.
#[derive(Debug, Clone, Default)]
pub(in crate::source) struct StreamTraits {
    /// The boundary, or the name of the process.
    pub(in crate::source) run: Option<String>,
    /// Whether no other run ever has that name, as a boundary may be the same for all: its numbers only grow, whatever its clock says.
    pub(in crate::source) has_unique_run: bool,
    /// Whether the upstream is an edge.
    pub(in crate::source) is_of_edge: bool,
    /// The kind of their feed, if the upstream tells it.
    pub(in crate::source) kind: Option<Kind>,
    /// Whether another mxr sends them.
    pub(in crate::source) is_of_mxr: bool,
    /// Whether they are pieces of text, each of which counts.
    pub(in crate::source) is_text: bool,
    /// Their type, if the stream has one type for all.
    pub(in crate::source) media: Option<Media>,
}

#[cfg(test)]
impl RemotePosition {
    pub(in crate::source) fn for_tests(run: &str, sequence: u64) -> Self {
        Self { run: run.to_owned(), sequence, time: None, is_of_edge: false }
    }
}

impl RemoteFeed {
    pub(in crate::source) fn new(publisher: Publisher, media: Option<Media>, kind: Option<Kind>) -> Self {
        Self {
            publisher,
            media,
            kind,
            position: None,
            newest: (None, 0),
            known: None,
            has_pictures: false,
            has_made_part: false,
            new_parts: 0,
            awaits_number: false,
            missed: 0,
            warned: None,
        }
    }

    pub(in crate::source) fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    pub(in crate::source) fn name(&self) -> &str {
        self.publisher.name()
    }

    /// Whether there has been a picture, so that text would be an error message.
    pub(in crate::source) fn has_pictures(&self) -> bool {
        self.has_pictures
    }

    /// Whether there was a whole part since the last `begin`, a repeated one too.
    pub(in crate::source) fn has_made_part(&self) -> bool {
        self.has_made_part
    }

    /// Forgets that there were pictures: text may follow.
    pub(in crate::source) fn forget_pictures(&mut self) {
        self.has_pictures = false;
    }

    /// New parts since the last `begin`.
    pub(in crate::source) fn new_parts(&self) -> u64 {
        self.new_parts
    }

    /// From where on another mxr is asked for its parts: every line counts, and of pictures the newest.
    pub(in crate::source) fn resumes_from(&self) -> Option<&RemotePosition> {
        self.position.as_ref().filter(|_| self.kind == Some(Kind::Lines))
    }

    /// The number of the last part of this run that was read, if it was the run that was read last.
    pub(in crate::source) fn sequence_in(&self, run: &str) -> Option<u64> {
        self.position.as_ref().filter(|last| last.run == run).map(|last| last.sequence)
    }

    /// The type of every part, if the user set one.
    pub(in crate::source) fn media(&self) -> Option<&Media> {
        self.media.as_ref()
    }

    /// The names for `Via` of a request. Those of the readers are not among them: any viewer could name the upstream.
    pub(in crate::source) fn via(&self) -> Hops {
        Hops::of_names([self.publisher.process()])
    }

    /// Whether a response that has passed these processes comes from this one.
    pub(in crate::source) fn is_loop(&self, hops: &Hops) -> bool {
        hops.has(self.publisher.process())
    }

    /// Begins another stream.
    pub(in crate::source) fn begin(&mut self) {
        (self.has_made_part, self.new_parts, self.awaits_number) = (false, 0, true);
    }

    /// Takes the parts that have come, and returns how many whole ones they are, repeated ones too.
    pub(in crate::source) fn take(&mut self, parts: &mut Vec<RawPart>, stream: &StreamTraits) -> usize {
        let (whole, mut lines) = (parts.len(), Vec::new());
        for raw in parts.drain(..) {
            if self.is_repeat(raw.stamp, stream) {
                continue;
            }
            self.new_parts += 1;
            let kind = kind_of(&raw, stream);
            if self.kind != Some(kind) {
                self.publisher.publish_all(std::mem::take(&mut lines));
                self.publisher.decide(kind);
                self.kind = Some(kind);
            }
            let part = self.part(raw, stream);
            self.has_pictures |= part.media.is_image();
            match kind {
                Kind::Lines => lines.push(part),
                // A block of its own: only a picture's has the headers that an `<img>` needs early.
                _ => self.publisher.publish_all(vec![part]),
            }
        }
        self.publisher.publish_all(lines);
        if whole > 0 && !self.has_made_part {
            self.has_made_part = true;
            if matches!(*self.publisher.feed().state().source(), SourceState::Lost { .. }) {
                info!(feed = self.name(), "it is live again");
            }
            self.publisher.set_source(SourceState::Live);
        }
        whole
    }

    /// Whether a part of another mxr has been read already: it repeats the newest one while nothing changes.
    fn is_repeat(&mut self, stamp: PartStamp, stream: &StreamTraits) -> bool {
        let (Some(sequence), Some(run)) = (stamp.sequence, &stream.run) else { return false };
        // Of pictures a connection begins with the newest: a lower number is of a process that has the same boundary, and its clock may
        // be behind that of the one before.
        let is_anew = std::mem::take(&mut self.awaits_number) && self.kind == Some(Kind::Newest);
        let mut missed = 0;
        match self.position.as_mut().filter(|last| last.run == *run) {
            // A server whose boundary is always the same may have been started again.
            Some(last) if sequence <= last.sequence && stream.has_unique_run => return true,
            Some(last) if sequence <= last.sequence && stamp.time <= last.time && !(is_anew && sequence < last.sequence) => {
                return true;
            }
            Some(last) => {
                missed = sequence.saturating_sub(last.sequence).saturating_sub(1);
                (last.sequence, last.time) = (sequence, stamp.time);
            }
            None => self.begin_run(run, sequence, stamp.time, stream.is_of_edge),
        }
        if self.kind == Some(Kind::Lines) && missed > 0 {
            self.note_missed(missed);
        }
        self.is_known(stamp.time)
    }

    /// Notes the first part of another process. An edge that was started again has what it reads from its own upstream in new numbers, so
    /// a line that was read before the restart is known by its time, which is that of the origin.
    fn begin_run(&mut self, run: &str, sequence: u64, time: Option<SystemTime>, is_of_edge: bool) {
        let was_of_edge = self.position.as_ref().is_some_and(|last| last.is_of_edge);
        let (newest, lines) = self.newest;
        self.known = newest.filter(|_| was_of_edge && self.kind == Some(Kind::Lines)).map(|newest| (newest, lines));
        // An edge that has not reached its own upstream yet does not know that it is one.
        let is_of_edge = is_of_edge || was_of_edge;
        self.position = Some(RemotePosition { run: run.to_owned(), sequence, time, is_of_edge });
    }

    /// Whether a line was read before its edge was started again. The first one that is newer ends the doubt.
    fn is_known(&mut self, time: Option<SystemTime>) -> bool {
        match (&mut self.known, time) {
            (Some((newest, _)), Some(time)) if time < *newest => return true,
            (Some((newest, lines @ 1..)), Some(time)) if time == *newest => {
                *lines -= 1;
                return true;
            }
            _ => self.known = None,
        }
        self.newest = if self.newest.0 == time { (time, self.newest.1 + 1) } else { (time, 1) };
        false
    }

    fn note_missed(&mut self, lines: u64) {
        self.missed = self.missed.saturating_add(lines);
        if self.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            warn!(feed = self.name(), lines = self.missed, "the upstream no longer held lines that were not read yet");
        }
    }

    fn part(&self, raw: RawPart, stream: &StreamTraits) -> Part {
        let RawPart { media, bytes, class, stamp } = raw;
        let media = self.media.clone().or_else(|| stream.media.clone()).or(media);
        let media = media.unwrap_or_else(|| Media::from_known(Media::TEXT));
        let time = believed_time(stamp, SystemTime::now());
        match class.filter(|_| media.is_image()) {
            Some(class) => Part { media, body: bytes, time, class },
            None => Part { time, ..Part::now(media, bytes) },
        }
    }
}

/// The kind of a feed of such parts. mxr tells it; where an older one does not, a text without a line end is a line.
fn kind_of(raw: &RawPart, stream: &StreamTraits) -> Kind {
    let is_image = raw.media.as_ref().is_some_and(Media::is_image);
    let of_part = || raw.media.as_ref().filter(|_| raw.stamp.sequence.is_some()).map(|media| kind_of_part(media, &raw.bytes));
    match stream.kind {
        _ if is_image => Kind::Newest,
        _ if stream.is_text || raw.media.is_none() && stream.media.is_none() => Kind::Lines,
        Some(kind) => kind,
        None => of_part().unwrap_or(Kind::Newest),
    }
}

/// The sender's time of a part: that of mxr, which alone numbers its parts, always, and another one that is within a day of ours.
fn believed_time(stamp: PartStamp, now: SystemTime) -> SystemTime {
    let PartStamp { time: Some(time), sequence } = stamp else { return now };
    let difference = now.duration_since(time).unwrap_or_else(|ahead| ahead.duration());
    if sequence.is_some() || difference <= BELIEVED { time } else { now }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::source::Context;

    fn feed() -> RemoteFeed {
        RemoteFeed::new(Context::for_tests(None).open("feed", Kind::Lines), None, None)
    }

    fn raw(media: &str, body: &'static str, sequence: Option<u64>, seconds: Option<u64>) -> RawPart {
        let time = seconds.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let media = Some(Media::from_known(media));
        RawPart { media, bytes: Bytes::from_static(body.as_bytes()), class: None, stamp: PartStamp { time, sequence } }
    }

    fn published(feed: &RemoteFeed) -> u64 {
        feed.publisher().feed().state().published
    }

    fn of_run(run: &str, kind: Option<Kind>) -> StreamTraits {
        StreamTraits { run: Some(run.to_owned()), kind, ..StreamTraits::default() }
    }

    #[test]
    fn a_part_of_the_same_number_is_a_sign_of_life_and_no_new_part() {
        let mut feed = feed();
        let stream = of_run("A", Some(Kind::Lines));
        let line = |number, seconds| raw("text/plain", "same", Some(number), Some(seconds));
        assert_eq!(feed.take(&mut vec![line(1, 10), line(2, 10)], &stream), 2);
        assert_eq!(feed.take(&mut vec![line(2, 10)], &stream), 1, "it counts as whole");
        assert_eq!((published(&feed), feed.resumes_from().map(|last| last.sequence)), (2, Some(2)));
        // What comes after a reconnect, from the part before the last on.
        assert_eq!(feed.take(&mut vec![line(1, 10), line(2, 10), line(3, 11)], &stream), 3);
        assert_eq!(published(&feed), 3);
        // Another process, and one that has the same boundary and began anew.
        feed.take(&mut vec![line(1, 12)], &of_run("B", Some(Kind::Lines)));
        feed.take(&mut vec![line(1, 13)], &of_run("B", Some(Kind::Lines)));
        assert_eq!(published(&feed), 5);
    }

    #[test]
    fn lines_that_an_edge_gives_again_after_a_restart_are_known_by_their_times() {
        let mut feed = feed();
        let stream = |run| StreamTraits { is_of_edge: true, ..of_run(run, Some(Kind::Lines)) };
        let line = |number, seconds| raw("text/plain", "x", Some(number), Some(seconds));
        feed.take(&mut vec![line(7, 10), line(8, 11), line(9, 11)], &stream("A"));
        assert!(feed.resumes_from().unwrap().is_of_edge);
        // It has not reached its own upstream when it answers, and then has a line more of the same time.
        let again = StreamTraits { is_of_edge: false, ..stream("B") };
        assert_eq!(feed.take(&mut vec![line(1, 9), line(2, 10), line(3, 11)], &again), 3, "they count as whole");
        assert_eq!(published(&feed), 3);
        feed.take(&mut vec![line(4, 11), line(5, 11), line(6, 12), line(7, 8)], &again);
        assert_eq!(published(&feed), 6, "a clock that is set back later loses nothing");
        assert!(feed.resumes_from().unwrap().is_of_edge);
        // An origin that is started again has other lines, whatever its clock says.
        let mut feed = self::feed();
        feed.take(&mut vec![line(1, 10)], &of_run("A", Some(Kind::Lines)));
        feed.take(&mut vec![line(1, 9)], &of_run("B", Some(Kind::Lines)));
        assert_eq!(published(&feed), 2);
    }

    #[test]
    fn a_server_that_was_started_again_with_its_boundary_and_an_older_clock_is_read_on() {
        let stream = of_run("A", Some(Kind::Newest));
        let picture = |number, seconds| raw("image/png", "x", Some(number), Some(seconds));
        let mut feed = feed();
        feed.take(&mut vec![picture(8, 100), picture(9, 101)], &stream);
        feed.begin();
        feed.take(&mut vec![picture(9, 101), picture(10, 102), picture(10, 102)], &stream);
        assert_eq!(published(&feed), 3, "the same process: one is new");
        feed.begin();
        feed.take(&mut vec![picture(1, 50), picture(1, 50), picture(2, 51)], &stream);
        assert_eq!((published(&feed), feed.new_parts()), (5, 2));
    }

    #[test]
    fn a_run_whose_name_is_its_own_never_begins_anew() {
        let stream = StreamTraits { has_unique_run: true, ..of_run("A", Some(Kind::Newest)) };
        let picture = |number, seconds| raw("image/png", "x", Some(number), Some(seconds));
        let mut feed = feed();
        feed.take(&mut vec![picture(8, 100), picture(9, 101)], &stream);
        feed.begin();
        feed.take(&mut vec![picture(8, 200), picture(9, 201)], &stream);
        assert_eq!((published(&feed), feed.has_made_part()), (2, true));
    }

    #[test]
    fn the_largest_numbers_are_numbers_like_others() {
        let stream = of_run("A", Some(Kind::Lines));
        let line = |number, seconds| raw("text/plain", "x", Some(number), Some(seconds));
        let mut feed = feed();
        let far = [line(u64::MAX, 1), line(u64::MAX, 2), line(0, 3), line(u64::MAX, 4), line(0, 5), line(u64::MAX, 6), line(7, 7)];
        assert_eq!(feed.take(&mut far.into(), &stream), 7);
        assert_eq!((published(&feed), feed.resumes_from().map(|last| last.sequence)), (7, Some(7)));
    }

    #[test]
    fn the_kind_is_what_mxr_tells_or_what_the_parts_show() {
        let kind = |stream: StreamTraits, part: RawPart| {
            let mut feed = feed();
            feed.take(&mut vec![part], &stream);
            feed.publisher().feed().kind()
        };
        let none = || of_run("A", None);
        assert_eq!(kind(none(), raw("text/plain", "a line", Some(1), None)), Kind::Lines);
        assert_eq!(kind(none(), raw("text/plain", "a\ndocument", Some(1), None)), Kind::Newest);
        assert_eq!(kind(none(), raw("text/plain", "of a camera", None, None)), Kind::Newest);
        assert_eq!(kind(of_run("A", Some(Kind::Lines)), raw("text/plain", "two\nlines", Some(1), None)), Kind::Lines);
        assert_eq!(kind(of_run("A", Some(Kind::Newest)), raw("text/plain", "a word", Some(1), None)), Kind::Newest);
        assert_eq!(kind(of_run("A", Some(Kind::Lines)), raw("image/png", "x", Some(1), None)), Kind::Newest);
        let text = StreamTraits { is_text: true, ..StreamTraits::default() };
        assert_eq!(kind(text, raw("text/plain", "x", None, None)), Kind::Lines);
    }

    #[test]
    fn times_of_mxr_are_believed_and_others_within_a_day() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (hour, week) = (Duration::from_secs(3600), Duration::from_secs(7 * 24 * 3600));
        let uptime = SystemTime::UNIX_EPOCH + hour;
        for (time, sequence, believed) in [
            (Some(now - hour), None, now - hour),
            (Some(now + hour), None, now + hour),
            (Some(now - week), None, now),
            (Some(now + week), None, now),
            (Some(uptime), None, now),
            (Some(now - week), Some(1), now - week),
            (None, Some(1), now),
        ] {
            assert_eq!(believed_time(PartStamp { time, sequence }, now), believed, "{time:?} {sequence:?}");
        }
    }
}
