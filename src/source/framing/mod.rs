//! Framing: splits a byte stream into parts, publishes them, and decides what kind of feed they make. It does not know where the
//! bytes come from, nor how they are read.

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

/// The time that bytes wait for the end of their part before the log explains why that may be.
const STALL_HINT_AFTER: Duration = Duration::from_secs(2);
/// The least time between two warnings about refused parts.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// The number of first bytes that are searched for NUL, which text does not contain.
const FIRST_BYTES: usize = 4096;

/// The settings of framing.
#[derive(Debug, Clone)]
pub struct FramingSettings {
    /// The rule for the ends of parts.
    pub split: Split,
    /// The number of last lines that make one part, if parts are windows of lines.
    pub window: Option<usize>,
}

/// Detects binary input in the first bytes.
#[derive(Debug, Default)]
struct BinarySniff {
    seen: usize,
    has_nul: bool,
}

/// A byte stream that is being published.
#[derive(Debug)]
pub(super) struct Framing {
    splitter: Box<dyn Splitter>,
    bodies: Vec<RawPart>,
    window: Option<Window>,
    /// The type of every part, if the user set one.
    media: Option<Media>,
    publisher: Publisher,
    /// The kind of the feed, once the first bytes have decided it.
    kind: Option<Kind>,
    stall_hint: StallHint,
    /// Whether a `\r` has come after the last newline; `None` if parts do not end with lines.
    has_progress_bar: Option<bool>,
    /// Present while the input is split at line ends and may still prove binary.
    sniff: Option<BinarySniff>,
    refused: u64,
    /// The number of refused parts at the last warning, and its time.
    refused_logged: u64,
    warned: Option<Instant>,
}

impl Framing {
    /// Framing into a new feed of this name.
    pub(super) fn new(name: &str, settings: &FramingSettings, context: &Context) -> Self {
        let (media, part_bytes) = (context.media.clone(), context.part_bytes());
        let is_text = media.as_ref().is_none_or(Media::is_utf8_text);
        // A window always consists of lines.
        let split = if settings.window.is_some() && settings.split == Split::Auto { &Split::Lines } else { &settings.split };
        // Each line of a window keeps its newline.
        let limit = part_bytes - usize::from(settings.window.is_some());
        let splitter = split.splitter(limit, is_text);
        let is_lines = matches!(split, Split::Auto | Split::Lines);
        let kind = match settings.window {
            Some(_) => Some(Kind::Newest),
            None => kind_of(&*splitter, media.as_ref()),
        };
        let publisher = context.open(name, kind.unwrap_or(Kind::Lines));
        let window = settings.window.map(|max_lines| Window { max_lines, max_bytes: part_bytes, lines: VecDeque::new(), bytes: 0 });
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
            refused_logged: 0,
            warned: None,
        }
    }

    /// Framing of a file's lines into a new feed of this name; with a window, of its last lines. The source itself finds out what is
    /// wrong with the file.
    pub(super) fn of_lines(name: &str, window: Option<usize>, context: &Context) -> Self {
        let settings = FramingSettings { split: Split::Lines, window };
        Self { sniff: None, has_progress_bar: None, ..Self::new(name, &settings, context) }
    }

    /// The name of the feed.
    pub(super) fn name(&self) -> &str {
        self.publisher.name()
    }

    /// Whether a part waits for its end.
    pub(super) fn has_pending(&self) -> bool {
        self.splitter.pending() > 0
    }

    /// Publishes a last line that has no end; what is pushed then begins another.
    pub(super) fn end_line(&mut self) {
        self.splitter.finish(&mut self.bodies);
        self.publish();
    }

    /// Takes the bytes of one read.
    pub(super) fn push(&mut self, data: &[u8]) {
        self.splitter.push(data, &mut self.bodies);
        self.warn_of_binary(data);
        self.look_for_progress_bar(data);
        self.stall_hint.read(!self.bodies.is_empty(), self.splitter.pending() > 0, self.shows_progress_bar());
        self.publish();
        self.count_refused_parts(false);
    }

    /// Takes the end of the stream, and ends the feed.
    pub(super) fn finish(mut self) {
        self.splitter.finish(&mut self.bodies);
        self.publish();
        self.count_refused_parts(true);
    }

    /// When to call `hint`, if nothing more is read by then.
    pub(super) fn hint_due(&self) -> Option<Instant> {
        self.stall_hint.due
    }

    /// Logs, once, why nothing appears.
    pub(super) fn hint(&mut self) {
        self.stall_hint = StallHint { due: None, is_over: true, ..self.stall_hint };
        if self.shows_progress_bar() {
            info!("lines come that end in \\r alone, as those of progress bars do: {RETURNS}");
        } else if self.stall_hint.has_parts {
            info!("bytes are waiting for the end of their part. {BUFFERING}");
        } else {
            info!("there are bytes, but no whole part yet. {BUFFERING}; or --split does not fit what comes");
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

    /// A part of the body, whose type the user's setting overrides.
    fn part(&self, body: RawPart) -> Part {
        let media = self.media.clone().or(body.media).unwrap_or_else(|| Media::from_known(Media::TEXT));
        match body.class.filter(|_| media.is_image()) {
            Some(class) => Part { media, body: body.bytes, time: SystemTime::now(), class },
            None => Part::now(media, body.bytes),
        }
    }

    /// Warns of binary input: otherwise a film or an archive would silently become lines of rubbish.
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

    /// Detects a progress bar, which returns to the beginning of its line with `\r` and may never write a newline.
    fn look_for_progress_bar(&mut self, data: &[u8]) {
        if let Some(has_progress_bar) = &mut self.has_progress_bar {
            let newline = memchr::memrchr(b'\n', data);
            let last_line = newline.map_or(data, |at| &data[at + 1..]);
            *has_progress_bar = (*has_progress_bar && newline.is_none()) || memchr::memchr(b'\r', last_line).is_some();
        }
    }

    fn shows_progress_bar(&self) -> bool {
        self.has_progress_bar == Some(true) && self.splitter.makes() == Some(Makes::Text)
    }

    fn count_refused_parts(&mut self, is_end: bool) {
        let parts = self.splitter.refused();
        self.publisher.count_refused(parts - std::mem::replace(&mut self.refused, parts));
        if parts == self.refused_logged || self.warned.is_some_and(|warned| !is_end && warned.elapsed() < WARN_EVERY) {
            return;
        }
        (self.refused_logged, self.warned) = (parts, Some(Instant::now()));
        warn!(parts, "left out what was broken, cut off or larger than --max-part");
    }
}

const BUFFERING: &str = "The program may be holding them back: try `stdbuf -oL PROGRAM`, `grep --line-buffered`, `python -u`";

const RETURNS: &str = "--split '\\r' --window 1 shows the last of them";

/// The kind of a feed of these parts: `Newest` for frames, and for text whose type the user set to a picture; `Lines` for other text.
fn kind_of(splitter: &dyn Splitter, media: Option<&Media>) -> Option<Kind> {
    Some(match splitter.makes()? {
        Makes::Frames => Kind::Newest,
        Makes::Text if media.is_some_and(Media::is_image) => Kind::Newest,
        Makes::Text => Kind::Lines,
    })
}

/// Decides when to explain that bytes wait for the end of a part. A stream that has had parts may take any time for a large one as
/// long as bytes arrive; one that has had none may not.
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
    max_lines: usize,
    max_bytes: usize,
    lines: VecDeque<Bytes>,
    bytes: usize,
}

impl Window {
    fn push(&mut self, line: Bytes) {
        let line = if line == "\n" { Bytes::new() } else { line };
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.lines.len() > self.max_lines || (self.bytes > self.max_bytes && self.lines.len() > 1) {
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
    fn the_first_bytes_decide_the_kind_also_for_viewers_that_came_before() {
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
    fn the_kind_follows_from_the_split_and_the_type() {
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
    fn each_part_has_the_users_type_or_the_one_that_its_format_shows() {
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
    fn a_part_that_is_cut_off_is_counted() {
        let (mut pipe, feed) = pipe("auto", None);
        pipe.push(&[JPEG, &JPEG[..7]].concat());
        pipe.finish();
        let state = serde_json::to_value(feed.state()).unwrap();
        assert_eq!((&state["published"], &state["refused"]), (&1.into(), &1.into()));
    }

    #[test]
    fn a_hint_is_due_when_bytes_wait_and_none_come_or_when_no_part_was_ever_complete() {
        let (mut pipe, _feed) = pipe("lines", None);
        assert_eq!(pipe.hint_due(), None);
        pipe.push(b"no end");
        let due = pipe.hint_due();
        assert!(due.is_some());
        pipe.push(b" yet");
        assert_eq!(pipe.hint_due(), due, "bytes without a part do not postpone it");
        pipe.push(b"\n");
        assert_eq!(pipe.hint_due(), None);
        pipe.push(b"begun");
        let due = pipe.hint_due();
        pipe.push(b" and flowing");
        assert!(pipe.hint_due() > due, "after a part, bytes postpone it");
        pipe.hint();
        pipe.push(b" on");
        assert_eq!(pipe.hint_due(), None, "it hints once");
    }
}
