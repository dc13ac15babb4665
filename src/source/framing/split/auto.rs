//! Chooses a splitter by the first bytes of a stream (docs/field.md, Pipes), and another one where text turns out to be a banner. It
//! splits nothing itself.

use super::{
    markup::look_for_markup,
    rule::Split,
    sniff::{LineStart, MultipartStart, Sniffed, begins_with, look_for_multipart},
    splitter::{Makes, RawPart, Splitter},
    text_first::TextFirst,
};

/// Waits for enough bytes, then splits by the rule that they show.
pub(super) struct Auto<B> {
    state: AutoState,
    limit: usize,
    build: B,
}

#[derive(Debug)]
enum AutoState {
    /// The first bytes do not decide yet.
    Beginning(Vec<u8>),
    /// Text, behind which pictures or multipart may still begin.
    Text(TextFirst),
    Chosen(Box<dyn Splitter>),
}

/// The rule that the first bytes show.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// Lines, which may be a banner before something else.
    Text,
    /// This, from this offset on.
    Split(Split, usize),
}

impl<B: Fn(&Split) -> Box<dyn Splitter>> Auto<B> {
    /// A splitter for bodies of at most `limit` bytes, which chooses among those that `build` returns.
    pub(super) fn new(limit: usize, build: B) -> Self {
        Self { state: AutoState::Beginning(Vec::new()), limit, build }
    }

    fn choose(&mut self, choice: Choice, first: &[u8], bodies: &mut Vec<RawPart>) {
        match choice {
            Choice::Text => {
                self.state = AutoState::Text(TextFirst::new((self.build)(&Split::Lines), self.limit));
                self.take(first, bodies);
            }
            Choice::Split(split, at) => {
                self.state = AutoState::Chosen((self.build)(&split));
                self.take(&first[at..], bodies);
            }
        }
    }

    fn take(&mut self, data: &[u8], bodies: &mut Vec<RawPart>) {
        match &mut self.state {
            AutoState::Beginning(first) => {
                first.extend_from_slice(data);
                if let Some(choice) = choice(first) {
                    let first = std::mem::take(first);
                    self.choose(choice, &first, bodies);
                }
            }
            AutoState::Text(text) => {
                if let Some((split, first)) = text.push(data, bodies) {
                    self.choose(Choice::Split(split, 0), &first, bodies);
                }
            }
            AutoState::Chosen(splitter) => splitter.push(data, bodies),
        }
    }
}

impl<B> std::fmt::Debug for Auto<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auto").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<B: Fn(&Split) -> Box<dyn Splitter> + Send> Splitter for Auto<B> {
    fn push(&mut self, data: &[u8], bodies: &mut Vec<RawPart>) {
        self.take(data, bodies);
    }

    fn finish(&mut self, bodies: &mut Vec<RawPart>) {
        if let AutoState::Beginning(first) = &mut self.state {
            let first = std::mem::take(first);
            self.choose(Choice::Text, &first, bodies);
        }
        match &mut self.state {
            AutoState::Beginning(_) => {}
            AutoState::Text(text) => text.finish(bodies),
            AutoState::Chosen(splitter) => splitter.finish(bodies),
        }
    }

    fn makes(&self) -> Option<Makes> {
        match &self.state {
            AutoState::Beginning(_) => None,
            AutoState::Text(_) => Some(Makes::Text),
            AutoState::Chosen(splitter) => splitter.makes(),
        }
    }

    fn refused(&self) -> u64 {
        match &self.state {
            AutoState::Beginning(_) => 0,
            AutoState::Text(text) => text.refused(),
            AutoState::Chosen(splitter) => splitter.refused(),
        }
    }

    fn pending(&self) -> usize {
        match &self.state {
            AutoState::Beginning(first) => first.len(),
            AutoState::Text(text) => text.pending(),
            AutoState::Chosen(splitter) => splitter.pending(),
        }
    }
}

/// The choice for a stream that begins with these bytes, or `None` if more are needed. A few bytes distinguish lines from pictures;
/// a line that may be a delimiter, a header or a status line waits for proof.
fn choice(bytes: &[u8]) -> Option<Choice> {
    match bytes {
        [] | [0xff] => None,
        [0xff, 0xd8, ..] => Some(Choice::Split(Split::Jpeg, 0)),
        [0x89, ..] => match begins_with(bytes, b"\x89PNG\r\n\x1a\n") {
            Some(true) => Some(Choice::Split(Split::Png, 0)),
            Some(false) => None,
            None => Some(Choice::Text),
        },
        _ => match look_for_multipart(bytes, None, LineStart::Beginning) {
            Sniffed::Yes(MultipartStart { boundary, at }) => Some(Choice::Split(Split::Multipart(boundary), at)),
            Sniffed::Unsure => None,
            Sniffed::No => match look_for_markup(bytes.trim_ascii_start()) {
                Ok(markup) => Some(Choice::Split(Split::Documents { markup, is_recognized: true }, 0)),
                Err(true) => None,
                Err(false) => Some(Choice::Text),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_choose_the_splitter() {
        let boundary = "-".repeat(20) + "x";
        let multipart = |boundary: Option<&str>, at| Some(Choice::Split(Split::Multipart(boundary.map(str::to_owned)), at));
        let text = || Some(Choice::Text);
        for (bytes, chosen) in [
            (&b""[..], None),
            (b"h", text()),
            (b"\n", None),
            (b"\nh", text()),
            (b"\xff", None),
            (b"\xff\xd8", Some(Choice::Split(Split::Jpeg, 0))),
            (b"\xff\xfe", text()),
            (b"\x89", None),
            (b"\x89PNG\r\n\x1a\n", Some(Choice::Split(Split::Png, 0))),
            (b"\x89PNX", text()),
            (b"-", None),
            (b"- ", text()),
            (b"--frame", None),
            (b"--frame\r\n", None),
            (b"--frame\r\nContent-Type: image/jpeg\r\n", None),
            (b"--frame\r\nContent-Type: image/jpeg\r\n\r\n", multipart(None, 0)),
            (b"\r\n--frame \t\r\nX-Time: 1\n\n", multipart(None, 2)),
            (b"--frame\n--frame\nContent-Type: text/plain\n\n", multipart(None, 0)),
            (b"\r\nx", text()),
            (b"--frame\nHTTP/1.1 200 OK\r\n\r\n", multipart(None, 0)),
            (b"--frame\nconT", None),
            (b"--frame\nconfigure x", text()),
            (b"--frame\nError: x\n", text()),
            (b"--frame\nContent-Type: foo\n\n", text()),
            (b"--frame\nContent-Type: text/plain\nnot a header\n", text()),
            (b"--frame\n\n", text()),
            (b"--one\n--two\n", text()),
            (b"--jpgboundaryContent-type: image/jpeg", None),
            (b"--jpgboundaryContent-type: image/jpeg\n\n", multipart(None, 0)),
            (b"--- a/file", text()),
            (b"-----\n", text()),
            (b"-- signature", text()),
            (&boundary.repeat(20).into_bytes(), text()),
            (b"Content-Type: image/jpeg\r\n\r\n\xff\xd8", None),
            (b"Content-Type: image/jpeg\r\n\r\n\xff\xd8\xff\xe0\0\x10JF", multipart(None, 0)),
            (b"Content-Type: image/jpeg\r\n\r\nno picture", text()),
            (b"Content-Type: text/plain\nContent-Length: 3\n\nabc", None),
            (b"Content-Type: text/plain\nContent-Length: 3\n\nabc\n--B\n", multipart(None, 0)),
            (b"Content-Type: text/plain\nContent-Length: 3\n\nabcdef\n", text()),
            (b"Content-Type: foo\nContent-Length: 3\n\nabc\n--B\n", text()),
            (b"Content is king\n", text()),
            (b"HTTP/1.1 200 OK\n", None),
            (b"HTTP/1.1 200 OK\nContent-Type: text/html\n\n--B\n", text()),
            (b"HTTP/1.1 404 Not Found\nHTTP/1.1 200 OK\n", text()),
            (
                b"HTTP/1.1 200 OK\nContent-Type: multipart/x-mixed-replace; boundary=B\n\n--B\nContent-Type: a/b\n\n",
                multipart(Some("B"), 69),
            ),
            (b"HTTP/2 200\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\nContent-Type: a/b\n\n", multipart(Some("B"), 57)),
        ] {
            assert_eq!(choice(bytes), chosen, "{}", bytes.escape_ascii());
        }
    }

    /// The bodies, which must not depend on read sizes, and what the splitter makes at the end.
    #[track_caller]
    fn cut(input: &[u8]) -> (Vec<String>, Option<Makes>) {
        let cut = |read: usize| {
            let (mut auto, mut bodies) = (Split::Auto.splitter(100_000, true), Vec::new());
            input.chunks(read).for_each(|data| auto.push(data, &mut bodies));
            auto.finish(&mut bodies);
            (bodies.iter().map(|body| body.bytes.escape_ascii().to_string()).collect::<Vec<_>>(), auto.makes())
        };
        let expected = cut(input.len());
        assert!([1, 2, 3, 7].iter().all(|read| cut(*read) == expected), "{}", input.escape_ascii());
        expected
    }

    #[test]
    fn no_byte_is_lost_while_it_waits_for_more() {
        for input in [
            "--\n",
            "--frame\nnext\n",
            "\u{89}PN\n",
            "\r\n",
            "-",
            "Content-Type: foo\nand so on\n",
            "Content-Type: image/jpeg\nContent-Length: 3\n\nabc\nnext\n",
            "HTTP/1.1 200 OK\nHTTP/1.1 404 Not Found\n",
            "HTTP/1.1 200 OK\nContent-Type: multipart/mixed; boundary=B\n\nall of it is shown\nB\n",
            "a log\n--frame\nContent-Type: text/plain\n\nof a mail\n--frame--\n",
        ] {
            let (bodies, makes) = cut(input.as_bytes());
            let lines: Vec<_> = input
                .lines()
                .map(|line| if line.is_empty() { "\\n".to_owned() } else { line.escape_default().to_string() })
                .collect();
            assert_eq!(bodies.len(), lines.len(), "{input:?}: {bodies:?}");
            assert_eq!(makes, Some(Makes::Text), "{input:?}");
        }
    }
}
