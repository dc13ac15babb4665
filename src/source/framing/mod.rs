//! What comes through a pipe, cut into bodies and published as the feed that they make. It knows neither where the
//! bytes come from nor how they are read.

pub mod split;

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime},
};

use bytes::{BufMut, Bytes, BytesMut};
use tracing::{info, warn};

use self::split::{Makes, RawPart, Split, Splitter};
use super::context::Context;
use crate::{
    feed::{Kind, Publisher, Refused},
    format::Media,
    part::Part,
};

/// How long bytes may wait for the end of their part until somebody is told why that may be.
const STALL_HINT_AFTER: Duration = Duration::from_secs(2);
/// How often lost parts are spoken of.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// First bytes that are looked at for what no text has.
const FIRST_BYTES: usize = 4096;

/// How a pipe becomes parts.
#[derive(Debug, Clone)]
pub struct FramingSettings {
    /// Where parts end.
    pub split: Split,
    /// Each part is this many last lines.
    pub window: Option<usize>,
}

/// What the first bytes had.
#[derive(Debug, Default)]
struct BinarySniff {
    seen: usize,
    has_nul: bool,
}

/// A pipe that is being published.
#[derive(Debug)]
pub(super) struct Framing {
    splitter: Box<dyn Splitter>,
    bodies: Vec<RawPart>,
    window: Option<Window>,
    /// The type of every part, where the user gave one.
    media: Option<Media>,
    publisher: Publisher,
    /// What the feed is, as soon as the first bytes have told.
    kind: Option<Kind>,
    stall_hint: StallHint,
    /// Whether `\r` has come behind the last newline, where parts end with lines.
    has_progress_bar: Option<bool>,
    /// While what comes may be no text and is cut at line ends.
    sniff: Option<BinarySniff>,
    refused: u64,
    /// How many of these the log was told of, and when.
    told: u64,
    warned: Option<Instant>,
}

impl Framing {
    /// A pipe and its feed.
    pub(super) fn new(name: &str, pipe: &FramingSettings, context: &Context) -> Self {
        let (media, part_bytes) = (context.media.clone(), context.part_bytes());
        let is_text = media.as_ref().is_none_or(Media::is_utf8_text);
        // A window is of lines, whatever they look like.
        let split = if pipe.window.is_some() && pipe.split == Split::Auto { &Split::Lines } else { &pipe.split };
        // Each line of a window takes its newline along.
        let limit = part_bytes - usize::from(pipe.window.is_some());
        let splitter = split.splitter(limit, is_text);
        let is_lines = matches!(split, Split::Auto | Split::Lines);
        let kind = match pipe.window {
            Some(_) => Some(Kind::Newest),
            None => kind_of(&*splitter, media.as_ref()),
        };
        let publisher = context.open(name, kind.unwrap_or(Kind::Lines));
        let window = pipe.window.map(|most| Window { most, limit: part_bytes, lines: VecDeque::new(), bytes: 0 });
        Self {
            splitter,
            bodies: Vec::new(),
            window,
            media,
            publisher,
            kind,
            stall_hint: StallHint::default(),
            has_progress_bar: is_lines.then_some(false),
            sniff: is_lines.then(BinarySniff::default),
            refused: 0,
            told: 0,
            warned: None,
        }
    }

    /// Takes what was read.
    pub(super) fn push(&mut self, data: &[u8]) {
        self.splitter.push(data, &mut self.bodies);
        self.warn_of_binary(data);
        self.look_for_progress_bar(data);
        self.stall_hint.read(!self.bodies.is_empty(), self.splitter.pending() > 0, self.shows_progress_bar());
        self.publish();
        self.count_refused_parts(false);
    }

    /// Takes the end, and with it the end of the feed.
    pub(super) fn finish(mut self) {
        self.splitter.finish(&mut self.bodies);
        self.publish();
        self.count_refused_parts(true);
    }

    /// When to `hint`, if nothing more is read until then.
    pub(super) fn hint_due(&self) -> Option<Instant> {
        self.stall_hint.due
    }

    /// Tells, once, why nothing appears.
    pub(super) fn hint(&mut self) {
        self.stall_hint = StallHint { due: None, is_over: true, ..self.stall_hint };
        match self.stall_hint.has_parts {
            _ if self.shows_progress_bar() => info!("lines come that end in \\r alone, as those of progress bars do: {RETURNS}"),
            true => info!("bytes are waiting for the end of their part. {BUFFERING}"),
            false => info!("there are bytes, but no whole part yet. {BUFFERING}; or --split does not fit what comes"),
        }
    }

    fn publish(&mut self) {
        if self.kind.is_none()
            && let Some(kind) = kind_of(&*self.splitter, self.media.as_ref())
        {
            self.publisher.decide(kind);
            self.kind = Some(kind);
        }
        let mut bodies = std::mem::take(&mut self.bodies);
        if let (Some(window), false) = (&mut self.window, bodies.is_empty()) {
            bodies.drain(..).for_each(|body| window.push(body.bytes));
            bodies.push(RawPart { media: None, bytes: window.document(), class: None });
        }
        if self.kind == Some(Kind::Newest) {
            bodies.drain(..).for_each(|body| self.publish_newest(body));
        } else if !bodies.is_empty() {
            self.publisher.publish_all(bodies.drain(..).map(|body| self.part(body)).collect());
        }
        self.bodies = bodies;
    }

    fn publish_newest(&self, body: RawPart) {
        match self.publisher.publish(self.part(body)) {
            Ok(()) | Err(Refused::Same | Refused::Empty) => {}
            Err(why @ (Refused::TooLarge | Refused::HasBoundary | Refused::NoMemory)) => warn!("a part is left out: {why}"),
        }
    }

    /// The user's word on the type is the last one.
    fn part(&self, body: RawPart) -> Part {
        let media = self.media.clone().or(body.media).unwrap_or_else(|| Media::from_known(Media::TEXT));
        match body.class.filter(|_| media.is_image()) {
            Some(class) => Part { media, body: body.bytes, time: SystemTime::now(), class },
            None => Part::now(media, body.bytes),
        }
    }

    /// A film or an archive would become lines of rubbish without a word: the first bytes tell.
    fn warn_of_binary(&mut self, data: &[u8]) {
        let Some(sniff) = &mut self.sniff else { return };
        let data = &data[..data.len().min(FIRST_BYTES - sniff.seen)];
        sniff.seen += data.len();
        sniff.has_nul |= data.contains(&0);
        let makes = self.splitter.makes();
        let is_binary = sniff.has_nul && makes == Some(Makes::Text);
        if is_binary || makes == Some(Makes::Frames) || sniff.seen == FIRST_BYTES {
            self.sniff = None;
        }
        if is_binary {
            let hint = "JPEGs, PNGs and multipart are recognized (from ffmpeg: -f mjpeg, or -f image2pipe -c:v png); for anything \
                        else --split says where a part ends";
            warn!(hint, "the input is no text (it has NUL bytes) and is cut at line ends all the same");
        }
    }

    /// Progress bars go back to the beginning of their line, for long or for ever.
    fn look_for_progress_bar(&mut self, data: &[u8]) {
        if let Some(has_progress_bar) = &mut self.has_progress_bar {
            let newline = memchr::memrchr(b'\n', data);
            let behind = newline.map_or(data, |at| &data[at + 1..]);
            *has_progress_bar = (*has_progress_bar && newline.is_none()) || memchr::memchr(b'\r', behind).is_some();
        }
    }

    fn shows_progress_bar(&self) -> bool {
        self.has_progress_bar == Some(true) && self.splitter.makes() == Some(Makes::Text)
    }

    fn count_refused_parts(&mut self, is_end: bool) {
        let parts = self.splitter.refused();
        self.publisher.count_refused(parts - std::mem::replace(&mut self.refused, parts));
        if parts == self.told || self.warned.is_some_and(|warned| !is_end && warned.elapsed() < WARN_EVERY) {
            return;
        }
        (self.told, self.warned) = (parts, Some(Instant::now()));
        warn!(parts, "left out what was broken, cut off or larger than --max-part");
    }
}

const BUFFERING: &str = "The program may be holding them back: try `stdbuf -oL PROGRAM`, `grep --line-buffered`, `python -u`";

const RETURNS: &str = "--split '\\r' --window 1 shows the last of them";

/// Frames count by the newest, and so does text that is said to be pictures; all other text counts piece by piece.
fn kind_of(splitter: &dyn Splitter, media: Option<&Media>) -> Option<Kind> {
    Some(match splitter.makes()? {
        Makes::Frames => Kind::Newest,
        Makes::Text if media.is_some_and(Media::is_image) => Kind::Newest,
        Makes::Text => Kind::Lines,
    })
}

/// How long bytes have been waiting for the end of a part. A pipe that has had parts may take its time over a large
/// one as long as bytes flow; one that never had any may not.
#[derive(Debug, Default, Clone, Copy)]
struct StallHint {
    due: Option<Instant>,
    has_parts: bool,
    is_over: bool,
}

impl StallHint {
    fn read(&mut self, has_found: bool, is_pending: bool, shows_progress_bar: bool) {
        self.has_parts |= has_found;
        let due = Instant::now() + STALL_HINT_AFTER;
        self.due = match (self.is_over, self.has_parts) {
            (true, _) => None,
            // The line of a progress bar is not a large part.
            (false, true) if shows_progress_bar && !has_found => self.due.or(Some(due)),
            (false, true) => is_pending.then_some(due),
            (false, false) => self.due.or(Some(due)),
        };
    }
}

/// The last lines as one document.
#[derive(Debug)]
struct Window {
    most: usize,
    limit: usize,
    lines: VecDeque<Bytes>,
    bytes: usize,
}

impl Window {
    fn push(&mut self, line: Bytes) {
        let line = if line == "\n" { Bytes::new() } else { line };
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.lines.len() > self.most || (self.bytes > self.limit && self.lines.len() > 1) {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len() + 1);
        }
    }

    fn document(&self) -> Bytes {
        let mut document = BytesMut::with_capacity(self.bytes);
        for line in &self.lines {
            document.put_slice(line);
            document.put_u8(b'\n');
        }
        document.freeze()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::feed::{Feed, TakeLimit};

    const JPEG: &[u8] = b"\xff\xd8\xff\xda\x00\x02 \xff\xd9";

    fn pipe(split: &str, media: Option<&str>) -> (Framing, Arc<Feed>) {
        let context = Context::for_tests(media.map(Media::from_known));
        let settings = FramingSettings { split: Split::parse(split).unwrap(), window: None };
        let pipe = Framing::new("stdin", &settings, &context);
        let feed = pipe.publisher.feed().clone();
        (pipe, feed)
    }

    #[test]
    fn the_first_bytes_tell_what_the_feed_is_also_to_viewers_that_came_before() {
        for (bytes, kind, taken) in
            [(JPEG, Kind::Newest, 1), (b"--B\r\nContent-Length: 1\r\n\r\nx\r\n", Kind::Newest, 1), (b"x\n", Kind::Lines, 3)]
        {
            let (mut pipe, feed) = pipe("auto", None);
            let mut early = feed.subscribe(0, None);
            pipe.push(&bytes.repeat(3));
            pipe.finish();
            let parts = std::iter::from_fn(|| early.take(TakeLimit::ALL)).map(|batch| batch.parts.count()).sum::<usize>();
            assert_eq!((feed.kind(), parts), (kind, taken), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_kind_follows_from_the_way_of_cutting_and_the_type() {
        for (split, media, kind) in [
            ("jpeg", None, Kind::Newest),
            ("multipart", Some("text/html"), Kind::Newest),
            ("nul", None, Kind::Lines),
            ("nul", Some("application/json"), Kind::Lines),
            ("\\x1e", Some("image/webp"), Kind::Newest),
        ] {
            assert_eq!(pipe(split, media).1.kind(), kind, "{split} {media:?}");
        }
    }

    #[test]
    fn each_part_has_the_type_that_its_cutting_tells_or_the_users() {
        let newest = |split: &str, media: Option<&str>, bytes: &[u8]| {
            let (mut pipe, feed) = pipe(split, media);
            pipe.push(bytes);
            feed.newest().map(|part| part.media().to_string())
        };
        assert_eq!(newest("auto", None, JPEG).as_deref(), Some("image/jpeg"));
        assert_eq!(newest("auto", Some("image/x-raw"), JPEG).as_deref(), Some("image/x-raw"));
        assert_eq!(newest("auto", None, b"x\n").as_deref(), Some(Media::TEXT));
        let parts = [b"--B\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>\r\n--B\r\n\r\n", JPEG].concat();
        assert_eq!(newest("multipart", None, &parts[..parts.len() - JPEG.len()]).as_deref(), Some("text/html"));
        assert_eq!(newest("multipart", None, &parts).as_deref(), Some("image/jpeg"));
    }

    #[test]
    fn what_is_cut_off_is_counted() {
        let (mut pipe, feed) = pipe("auto", None);
        pipe.push(&[JPEG, &JPEG[..7]].concat());
        pipe.finish();
        let state = serde_json::to_value(feed.state()).unwrap();
        assert_eq!((&state["published"], &state["refused"]), (&1.into(), &1.into()));
    }

    #[test]
    fn patience_ends_when_bytes_wait_and_nothing_comes_or_when_nothing_was_ever_whole() {
        let (mut pipe, _feed) = pipe("lines", None);
        assert_eq!(pipe.hint_due(), None);
        pipe.push(b"no end");
        let due = pipe.hint_due();
        assert!(due.is_some());
        pipe.push(b" yet");
        assert_eq!(pipe.hint_due(), due, "bytes alone are no comfort");
        pipe.push(b"\n");
        assert_eq!(pipe.hint_due(), None);
        pipe.push(b"begun");
        let due = pipe.hint_due();
        pipe.push(b" and flowing");
        assert!(pipe.hint_due() > due, "it has had parts, so it may take its time");
        pipe.hint();
        pipe.push(b" on");
        assert_eq!(pipe.hint_due(), None, "once is enough");
    }
}
