//! Framing: splits a byte stream into parts, publishes them, and decides what kind of feed they make. It does not know where the
//! bytes come from, nor how they are read.

mod hints;
pub mod split;
mod window;

use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

pub(super) use self::hints::NoPart;
use self::{
    hints::{BUFFERING, FirstBytes, RETURNS, StallHint},
    split::{Makes, Markup, PartStamp, RawPart, Split, Splitter},
    window::Window,
};
use super::context::Context;
use crate::{
    feed::{Kind, Publisher, Refused},
    format::Media,
    part::Part,
};

/// The least time between two warnings about refused parts.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// The settings of framing.
#[derive(Debug, Clone)]
pub struct FramingSettings {
    /// The rule for the ends of parts.
    pub split: Split,
    /// The number of last lines that make one part, if parts are windows of lines.
    pub window: Option<usize>,
}

/// A byte stream that is being published.
#[derive(Debug)]
pub(super) struct Framing {
    rule: SplitterRule,
    splitter: Box<dyn Splitter>,
    bodies: Vec<RawPart>,
    window: Option<Window>,
    /// The type of every part, if the user set one.
    media: Option<Media>,
    publisher: Publisher,
    /// The kind of the feed, once the first bytes have decided it.
    kind: Option<Kind>,
    stall_hint: StallHint,
    /// Whether there was a part since the start, or since the last `begin`.
    has_made_part: bool,
    /// Whether a `\r` has come after the last newline; `None` if parts do not end with lines.
    has_progress_bar: Option<bool>,
    first: FirstBytes,
    refused: u64,
    /// The time of what is pushed, if it is not now.
    time: Option<SystemTime>,
    /// The number of refused parts at the last warning, and its time.
    refused_logged: u64,
    warned: Option<Instant>,
}

/// How splitters are made.
#[derive(Debug)]
struct SplitterRule {
    split: Split,
    limit: usize,
    is_text: bool,
}

impl SplitterRule {
    fn splitter(&self) -> Box<dyn Splitter> {
        self.split.splitter(self.limit, self.is_text)
    }
}

impl Framing {
    /// Framing into a new feed of this name.
    pub(super) fn new(name: &str, settings: &FramingSettings, context: &Context) -> Self {
        let (media, part_bytes) = (context.media.clone(), context.part_bytes());
        let is_text = media.as_ref().is_none_or(Media::is_utf8_text);
        let documents = || Some(Split::Documents { markup: Markup::of(media.as_ref()?)?, is_recognized: false });
        let split = match &settings.split {
            // A window always consists of lines.
            Split::Auto if settings.window.is_some() => &Split::Lines,
            Split::Auto => &documents().unwrap_or(Split::Auto),
            split => split,
        };
        // Each line of a window keeps its newline.
        let limit = part_bytes - usize::from(settings.window.is_some());
        let rule = SplitterRule { split: split.clone(), limit, is_text };
        let splitter = rule.splitter();
        let is_lines = matches!(split, Split::Auto | Split::Lines);
        let kind = match settings.window {
            Some(_) => Some(Kind::Newest),
            None => kind_of(&*splitter, media.as_ref()),
        };
        let publisher = context.open(name, kind.unwrap_or(Kind::Lines));
        let window = settings.window.map(|max_lines| Window::new(max_lines, part_bytes));
        Self {
            rule,
            splitter,
            has_made_part: false,
            bodies: Vec::new(),
            window,
            media,
            publisher,
            kind,
            stall_hint: StallHint::default(),
            has_progress_bar: is_lines.then_some(false),
            first: FirstBytes::default(),
            refused: 0,
            time: None,
            refused_logged: 0,
            warned: None,
        }
    }

    /// Framing of a file's lines into a new feed of this name; with a window, of its last lines. The source itself finds out what is
    /// wrong with the file.
    pub(super) fn of_lines(name: &str, window: Option<usize>, context: &Context) -> Self {
        let settings = FramingSettings { split: Split::Lines, window };
        Self { has_progress_bar: None, ..Self::new(name, &settings, context) }
    }

    /// The source's end of the feed.
    pub(super) fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Whether there was a part since the start, or since the last `begin`.
    pub(super) fn has_made_part(&self) -> bool {
        self.has_made_part
    }

    /// Begins another stream of the same feed; what waits for its end is forgotten.
    pub(super) fn begin(&mut self) {
        self.splitter = self.rule.splitter();
        self.window = self.window.as_ref().map(Window::emptied);
        (self.stall_hint, self.first, self.refused, self.refused_logged) = Default::default();
        self.has_progress_bar = self.has_progress_bar.map(|_| false);
        self.has_made_part = false;
    }

    /// The name of the feed.
    pub(super) fn name(&self) -> &str {
        self.publisher.name()
    }

    /// Sets the time of what is pushed from here on; `None`: the time at which it is pushed.
    pub(super) fn set_time(&mut self, time: Option<SystemTime>) {
        self.time = time;
    }

    /// Whether a part waits for its end.
    pub(super) fn has_pending(&self) -> bool {
        self.splitter.pending() > 0
    }

    /// Publishes a last line that has no end; what is pushed then begins another.
    pub(super) fn end_line(&mut self) {
        self.splitter.finish(&mut self.bodies);
        self.publish(true);
    }

    /// When to call `show_window`, if nothing more is read by then.
    pub(super) fn window_due(&self) -> Option<Instant> {
        self.window.as_ref().and_then(Window::due)
    }

    /// Publishes a window whose lines came too fast, if it is due.
    pub(super) fn show_window(&mut self) {
        self.publish(false);
    }

    /// Takes the bytes of one read.
    pub(super) fn push(&mut self, data: &[u8]) {
        self.first.read(data);
        self.splitter.push(data, &mut self.bodies);
        if self.has_progress_bar.is_some() {
            self.first.warn_of_binary(self.splitter.makes(), &self.bodies);
        }
        self.look_for_progress_bar(data);
        let is_text = self.splitter.makes() == Some(Makes::Text);
        self.stall_hint.read(!self.bodies.is_empty(), self.splitter.pending() > 0, is_text);
        self.publish(false);
        self.count_refused_parts(false);
    }

    /// Takes the end of the stream.
    pub(super) fn end(&mut self) {
        self.splitter.finish(&mut self.bodies);
        self.publish(true);
        self.count_refused_parts(true);
    }

    /// Takes the end of the stream, and ends the feed. Returns why there was no part, if there was none.
    pub(super) fn finish(mut self) -> Option<NoPart> {
        self.end();
        let is_empty = self.publisher.feed().newest().is_none();
        is_empty.then(|| self.first.without_part(self.publisher.feed().state().refused))
    }

    /// When to call `act`, if nothing more is read by then.
    pub(super) fn due(&self) -> Option<Instant> {
        self.stall_hint.due.into_iter().chain(self.window_due()).min()
    }

    /// Does what is due: publishes a window whose lines came too fast, and logs, once, why nothing appears.
    pub(super) fn act(&mut self) {
        self.show_window();
        if self.stall_hint.due.is_some_and(|due| due <= Instant::now()) {
            self.hint();
        }
    }

    fn hint(&mut self) {
        self.stall_hint.finish();
        if self.shows_progress_bar() {
            info!("lines come that end in \\r alone, as those of progress bars do: {RETURNS}");
        } else if !self.stall_hint.has_parts {
            info!("there are bytes, but no whole part yet. {BUFFERING}; or --split does not fit what comes");
        } else if self.splitter.makes() == Some(Makes::Text) {
            info!("bytes are waiting for the end of their line, and are pushed with it. {BUFFERING}");
        } else {
            info!("bytes are waiting for the end of their part. {BUFFERING}");
        }
    }

    fn decide_kind(&mut self) {
        let kind = kind_of(&*self.splitter, self.media.as_ref()).filter(|_| self.window.is_none());
        if kind.is_none() || kind == self.kind {
            return;
        }
        if self.kind == Some(Kind::Lines) {
            let media = self.bodies.last().and_then(|body| body.media.clone()).unwrap_or_else(|| self.part_media(None));
            info!(r#type = %media, "the text was a banner: from here on the newest of these parts is shown");
        }
        if let Some(kind) = kind {
            self.publisher.decide(kind);
        }
        self.kind = kind;
    }

    /// Publishes what the splitter has found.
    fn publish(&mut self, is_end: bool) {
        self.decide_kind();
        let mut bodies = std::mem::take(&mut self.bodies);
        self.has_made_part |= !bodies.is_empty();
        if let Some(window) = &mut self.window {
            bodies.drain(..).for_each(|body| window.push(body.bytes));
            let document = if is_end { window.last_document() } else { window.document(Instant::now()) };
            bodies.extend(document.map(|bytes| RawPart { media: None, bytes, class: None, stamp: PartStamp::default() }));
        }
        if self.kind == Some(Kind::Newest) {
            bodies.drain(..).for_each(|body| self.publish_newest(body));
        } else {
            self.publish_lines(&mut bodies);
        }
        self.bodies = bodies;
    }

    /// Publishes lines that came together as one block. A picture among them has its own, since only a picture's block has the headers
    /// that an `<img>` needs early.
    fn publish_lines(&self, bodies: &mut Vec<RawPart>) {
        let mut lines = Vec::with_capacity(bodies.len());
        for body in bodies.drain(..) {
            if body.class.is_none() {
                lines.push(self.part(body));
                continue;
            }
            self.publisher.publish_all(std::mem::take(&mut lines));
            self.publish_newest(body);
        }
        self.publisher.publish_all(lines);
    }

    fn publish_newest(&self, body: RawPart) {
        match self.publisher.publish(self.part(body)) {
            Ok(()) | Err(Refused::Same | Refused::Empty) => {}
            Err(why @ (Refused::TooLarge | Refused::HasBoundary | Refused::NoMemory)) => warn!("a part is left out: {why}"),
        }
    }

    /// A part of the body, whose type the user's setting overrides.
    fn part(&self, body: RawPart) -> Part {
        let (media, time) = (self.part_media(body.media), self.time.unwrap_or_else(SystemTime::now));
        match body.class.filter(|_| media.is_image()) {
            Some(class) => Part { media, body: body.bytes, time, class },
            None => Part { time, ..Part::now(media, body.bytes) },
        }
    }

    fn part_media(&self, found: Option<Media>) -> Media {
        self.media.clone().or(found).unwrap_or_else(|| Media::from_known(Media::TEXT))
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

/// The kind of a feed of these parts: `Newest` for frames, and for text whose type the user set to a picture; `Lines` for other text.
fn kind_of(splitter: &dyn Splitter, media: Option<&Media>) -> Option<Kind> {
    Some(match splitter.makes()? {
        Makes::Frames => Kind::Newest,
        Makes::Text if media.is_some_and(Media::is_image) => Kind::Newest,
        Makes::Text => Kind::Lines,
    })
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
    fn a_banner_is_text_and_the_pictures_after_it_are_a_feed_of_pictures() {
        for (banner, lines) in [("Preview: starting\n", 1), ("one\ntwo\n", 2), ("no line end", 1)] {
            let (mut pipe, feed) = pipe("auto", None);
            let mut viewer = feed.subscribe(0, None);
            pipe.push(banner.as_bytes());
            pipe.push(&[JPEG, JPEG].concat());
            assert_eq!((feed.kind(), feed.state().published), (Kind::Newest, lines + 2), "{banner}");
            assert_eq!(viewer.take(TakeLimit::ALL).map(|batch| batch.dropped), Some(lines + 1));
            pipe.push(JPEG);
            assert_eq!(pipe.finish(), None);
        }
    }

    #[test]
    fn a_hint_is_due_when_bytes_wait_and_none_come_or_when_no_part_was_ever_complete() {
        let (mut pipe, _feed) = pipe("lines", None);
        assert_eq!(pipe.due(), None);
        pipe.push(b"no end");
        let due = pipe.due();
        assert!(due.is_some());
        pipe.push(b" yet");
        assert_eq!(pipe.due(), due, "bytes without a part do not postpone it");
        pipe.push(b"\n");
        assert_eq!(pipe.due(), None);
        pipe.push(b".");
        let due = pipe.due();
        pipe.push(b".");
        assert_eq!((pipe.due(), due.is_some()), (due, true), "the dots of a line do not postpone it");
        pipe.hint();
        pipe.push(b".");
        assert_eq!(pipe.due(), None, "it hints once");
    }

    #[test]
    fn the_bytes_of_a_large_picture_postpone_the_hint() {
        let (mut pipe, _feed) = pipe("jpeg", None);
        pipe.push(&[JPEG, &JPEG[..4]].concat());
        let due = pipe.due();
        pipe.push(&JPEG[4..7]);
        assert!(pipe.due() > due);
    }
}
