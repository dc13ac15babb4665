//! Splits a stream of documents (SVG, XML, HTML, JSON) at their ends, with blanks or nothing between them. What is no document is a line,
//! as in a stream of JSON values or of fragments of HTML, or the text of a stream that was taken for documents by mistake.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    markup::{DocumentEnd, DocumentScanner},
    rule::Markup,
    splitter::{Makes, PartStamp, RawPart, Splitter},
};
use crate::format::{Media, image_class};

/// Splits documents.
#[derive(Debug)]
pub(super) struct Documents {
    markup: Markup,
    /// The type of a document that was recognized by its first bytes; `None` if the user has set one.
    media: Option<Media>,
    buffer: BytesMut,
    /// The scanner of the document that the buffer begins with.
    scanner: Option<DocumentScanner>,
    /// Takes lines that are no documents.
    lines: Box<dyn Splitter>,
    limit: usize,
    makes: Option<Makes>,
    /// While the rest of a document is skipped that was too large: how a line begins with which the next one may.
    skipping: Option<Bytes>,
    refused: u64,
}

impl Documents {
    /// A splitter for documents of at most `limit` bytes, and for lines by another one. `is_recognized`: the first bytes showed the
    /// kind, and the user has set no type.
    pub(super) fn new(markup: Markup, is_recognized: bool, limit: usize, lines: Box<dyn Splitter>) -> Self {
        let media = Media::from_known(if markup == Markup::Html { "text/html" } else { "image/svg+xml" });
        let makes = is_recognized.then_some(Makes::Frames);
        let media = Some(media).filter(|_| is_recognized);
        Self { markup, media, buffer: BytesMut::new(), scanner: None, lines, limit, makes, skipping: None, refused: 0 }
    }

    /// Whether a document begins with these bytes; `None` if more are needed.
    fn begins_document(&self) -> Option<bool> {
        let begins = |name: &[u8]| {
            let start = &self.buffer[..self.buffer.len().min(name.len())];
            start.eq_ignore_ascii_case(&name[..start.len()]).then_some(start.len() == name.len())
        };
        match (self.markup, self.buffer.first()?) {
            (Markup::Json, b'{' | b'[') | (Markup::Xml, b'<') => Some(true),
            (Markup::Html, b'<') => match [begins(b"<!doctype"), begins(b"<html"), begins(b"<!--")] {
                starts if starts.contains(&Some(true)) => Some(true),
                starts if starts.contains(&Some(false)) => None,
                _ => Some(false),
            },
            _ => Some(false),
        }
    }

    /// Drops what may stand between documents: blanks, byte order marks, and the record separators of JSON text sequences.
    fn skip_blanks(&mut self) {
        let is_blank = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf | 0x1e);
        let blanks = self.buffer.iter().take_while(|byte| is_blank(byte)).count();
        self.buffer.advance(blanks);
    }

    fn push_document(&mut self, bytes: Bytes, bodies: &mut Vec<RawPart>) {
        // Documents of one line each are lines: every one counts.
        let makes = if memchr::memchr(b'\n', &bytes).is_some() { Makes::Frames } else { Makes::Text };
        self.makes.get_or_insert(makes);
        let class = self.media.as_ref().map(|media| image_class(media, &bytes));
        bodies.push(RawPart { media: self.media.clone(), bytes, class, stamp: PartStamp::default() });
    }

    /// Whether it proved to be text, and no documents.
    fn is_text(&self) -> bool {
        self.media.is_some() && self.makes == Some(Makes::Text)
    }

    /// Takes the rest of the present line, which is no document. Returns `false` if its end has not come.
    fn take_line(&mut self, is_end: bool, bodies: &mut Vec<RawPart>) -> bool {
        let length = match memchr::memchr(b'\n', &self.buffer[..self.buffer.len().min(self.limit + 1)]) {
            Some(at) => at + 1,
            None if self.buffer.len() > self.limit => self.limit,
            None if is_end => self.buffer.len(),
            None => return false,
        };
        let line = self.buffer.split_to(length);
        if self.markup == Markup::Xml && self.media.is_none() {
            self.refused += 1;
            return true;
        }
        self.makes.get_or_insert(Makes::Text);
        self.lines.push(&line, bodies);
        if !line.ends_with(b"\n") {
            self.lines.push(b"\n", bodies);
        }
        true
    }

    /// Skips the rest of a document that was too large. Returns `false` if more bytes are needed to find the next one.
    fn skip_to_document(&mut self) -> bool {
        while let Some(start) = &self.skipping {
            let Some(newline) = memchr::memchr(b'\n', &self.buffer) else {
                self.buffer.clear();
                return false;
            };
            self.buffer.advance(newline);
            if self.buffer.len() <= start.len() {
                return false;
            }
            if self.buffer[1..].starts_with(start) {
                self.skipping = None;
            }
            self.buffer.advance(1);
        }
        true
    }

    fn split(&mut self, is_end: bool, bodies: &mut Vec<RawPart>) {
        loop {
            if !self.skip_to_document() {
                return;
            }
            if self.scanner.is_none() {
                self.skip_blanks();
                match self.begins_document() {
                    Some(true) => self.scanner = Some(DocumentScanner::new(self.markup)),
                    None if !is_end || self.buffer.is_empty() => return,
                    Some(false) | None if self.take_line(is_end, bodies) => continue,
                    Some(false) | None => return,
                }
            }
            let Some(scanner) = &mut self.scanner else { return };
            let seen = self.buffer.len().min(self.limit);
            match scanner.advance(&self.buffer[..seen]) {
                Some(DocumentEnd { at, is_cut_off }) => {
                    self.scanner = None;
                    let document = self.buffer.split_to(at).freeze();
                    self.refused += u64::from(is_cut_off);
                    if !is_cut_off {
                        self.push_document(document, bodies);
                    }
                }
                None if self.buffer.len() <= self.limit && !is_end => return,
                None => self.give_up(is_end, bodies),
            }
        }
    }

    /// A document without an end, or a larger one than the limit: its first line is no document. A page needs no end mark.
    fn give_up(&mut self, is_end: bool, bodies: &mut Vec<RawPart>) {
        self.scanner = None;
        let is_page = self.markup == Markup::Html && is_end && self.buffer.len() <= self.limit && self.buffer.contains(&b'>');
        match self.media {
            _ if is_page => {
                let length = self.buffer.trim_ascii_end().len();
                let page = self.buffer.split_to(length).freeze();
                self.push_document(page, bodies);
            }
            // It was taken for one by its first bytes alone.
            Some(_) => {
                self.makes = Some(Makes::Text);
                let text = self.buffer.split();
                self.lines.push(&text, bodies);
            }
            None => {
                self.refused += 1;
                let start = self.buffer.iter().take(5).take_while(|byte| !byte.is_ascii_whitespace()).count();
                self.skipping = Some(self.buffer.split_to(self.buffer.len().min(self.limit)).freeze().slice(..start));
            }
        }
    }
}

impl Splitter for Documents {
    fn push(&mut self, data: &[u8], bodies: &mut Vec<RawPart>) {
        if self.is_text() {
            return self.lines.push(data, bodies);
        }
        self.buffer.extend_from_slice(data);
        self.split(false, bodies);
    }

    fn finish(&mut self, bodies: &mut Vec<RawPart>) {
        self.split(true, bodies);
        self.lines.finish(bodies);
    }

    fn makes(&self) -> Option<Makes> {
        self.makes
    }

    fn refused(&self) -> u64 {
        self.refused
    }

    fn pending(&self) -> usize {
        self.buffer.len() + self.lines.pending()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::Split;
    use super::*;

    /// The bodies and the refused ones, which must not depend on read sizes, and the kind of parts.
    #[track_caller]
    fn cut(markup: Option<Markup>, limit: usize, input: &str) -> (Vec<String>, u64, Option<Makes>) {
        let cut = |read: usize| {
            let split = markup.map_or(Split::Auto, |markup| Split::Documents { markup, is_recognized: false });
            let (mut splitter, mut bodies) = (split.splitter(limit, true), Vec::new());
            input.as_bytes().chunks(read).for_each(|data| splitter.push(data, &mut bodies));
            splitter.finish(&mut bodies);
            let text = |body: &RawPart| String::from_utf8_lossy(&body.bytes).into_owned();
            (bodies.iter().map(text).collect(), splitter.refused(), splitter.makes())
        };
        let expected = cut(input.len());
        assert!([1, 2, 3, 7].iter().all(|read| cut(*read) == expected), "{input}");
        expected
    }

    #[test]
    fn documents_are_parts_whatever_stands_between_them() {
        let svg = "<?xml version='1.0'?>\n<svg>\n<g/>\n</svg>";
        let page = "<!doctype html>\n<html>\n<p>x\n</html>";
        let json = "{\n  \"a\": [1, 2]\n}";
        for (markup, document) in [(Markup::Xml, svg), (Markup::Html, page), (Markup::Json, json)] {
            for between in ["", "\n", "\r\n\r\n", "\n\u{feff}", "\n\u{1e}"] {
                let input = [document; 3].join(between) + "\n";
                let expected = (vec![document.to_owned(); 3], 0, Some(Makes::Frames));
                assert_eq!(cut(Some(markup), 1000, &input), expected, "{between:?}");
                if markup != Markup::Json {
                    assert_eq!(cut(None, 1000, &input), expected, "{between:?}");
                }
            }
        }
    }

    #[test]
    fn values_and_fragments_of_a_line_each_are_lines() {
        for (markup, lines) in [
            (Markup::Json, vec!["{\"a\":1}", "[2]", "3", "\"four\""]),
            (Markup::Html, vec!["<p>a</p>", "text", "<!doctype html><h1>x</h1>"]),
            (Markup::Xml, vec!["<a/>", "<b>c</b>"]),
        ] {
            let expected = (lines.iter().map(|line| (*line).to_owned()).collect(), 0, Some(Makes::Text));
            assert_eq!(cut(Some(markup), 1000, &(lines.join("\n") + "\n")), expected);
        }
    }

    #[test]
    fn a_document_that_is_cut_off_or_too_large_is_left_out_and_the_next_one_is_not() {
        let large = format!("<svg>\n<g>{}</g>\n<g/>\n</svg>\n", "x".repeat(300));
        let good = "<svg><g/></svg>";
        assert_eq!(cut(Some(Markup::Xml), 100, &[&large, good].concat()), (vec![good.to_owned()], 1, Some(Makes::Text)));
        let torn = "<?xml version='1.0'?><svg><g>";
        let whole = "<?xml version='1.0'?><svg></svg>";
        assert_eq!(cut(Some(Markup::Xml), 100, &[torn, whole, torn].concat()), (vec![whole.to_owned()], 2, Some(Makes::Text)));
        assert_eq!(cut(Some(Markup::Json), 100, "{\"torn\n{}\n{").0, ["{}"]);
        assert_eq!(cut(Some(Markup::Xml), 100, "warning\n<a/>"), (vec!["<a/>".to_owned()], 1, Some(Makes::Text)));
    }

    #[test]
    fn text_that_begins_like_a_document_stays_text() {
        for text in ["<svg>\nno end\n", "<svg> is a tag\nof SVG\n", "<html\n", "<?xml version='1.0'?>\n<feed>\n</feed>\n"] {
            let (bodies, refused, makes) = cut(None, 1000, text);
            assert_eq!((bodies, refused, makes), (text.lines().map(str::to_owned).collect(), 0, Some(Makes::Text)));
        }
        let (bodies, ..) = cut(None, 50, &format!("<svg>\n{}\nlast\n", "x\n".repeat(50)));
        assert_eq!((bodies.len(), bodies.last().map(String::as_str)), (52 + 1, Some("last")));
    }
}
