//! Bodies that contain the boundary: readers that search for it would cut the part there, and some browsers crash (docs/field.md,
//! Browsers). Text gets it broken up, in a way that means the same where the format has one; other formats cannot be changed. It
//! knows bytes and media types, no parts.

use bytes::Bytes;

use super::boundary::Boundary;
use crate::format::Media;

/// How text of a format can spell a character otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// It cannot: a space breaks the boundary up.
    Plain,
    /// `\u006d`, in strings.
    Json,
    /// `&#109;`, in text and attribute values. `is_picture`: what a space would break is not sent, since pictures that cannot be
    /// decoded crash browsers.
    Markup { is_picture: bool },
}

/// The body without the boundary: unchanged if it does not contain it, otherwise with each occurrence broken up. `None` if the format
/// allows no change: pictures, sound, film, PDF and other binary formats.
pub fn without_boundary(body: Bytes, media: &Media, boundary: &Boundary) -> Option<Bytes> {
    if !boundary.is_in(&body) {
        return Some(body);
    }
    let spelling = spelling_of(media, &body)?;
    let (mut reader, mut means_the_same) = (DocumentReader::new(&body, spelling), true);
    let spelt = break_up(&body, boundary, |at| {
        let spelt = reader.spell(at, boundary.as_str().len());
        means_the_same &= spelt.is_some();
        spelt
    });
    // The other spelling has letters and digits, of which a boundary that the user chose may consist.
    let is_gone = !boundary.is_in(&spelt);
    match spelling {
        Spelling::Markup { is_picture: true } => (is_gone && means_the_same).then(|| spelt.into()),
        _ if is_gone => Some(spelt.into()),
        _ => Some(break_up(&body, boundary, |_| None).into()),
    }
}

fn spelling_of(media: &Media, body: &[u8]) -> Option<Spelling> {
    let essence = media.essence().to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/')?;
    match subtype {
        "svg+xml" => Some(Spelling::Markup { is_picture: true }),
        "html" | "xml" => Some(Spelling::Markup { is_picture: false }),
        "json" => Some(Spelling::Json),
        _ if subtype.ends_with("+xml") => Some(Spelling::Markup { is_picture: false }),
        _ if subtype.ends_with("json") => Some(Spelling::Json),
        _ if kind == "text" => Some(Spelling::Plain),
        // Often of ASCII characters alone, but with the positions of its objects.
        "pdf" => None,
        _ if ["image", "audio", "video"].contains(&kind) => None,
        // YAML, scripts, subtitles and many more are text under the name of an application.
        _ => (std::str::from_utf8(body).is_ok() && !body.contains(&0)).then_some(Spelling::Plain),
    }
}

/// Breaks up each occurrence: replaces the character at the place that `spell` returns for an occurrence, or puts a space into it.
fn break_up(body: &[u8], boundary: &Boundary, mut spell: impl FnMut(usize) -> Option<(usize, String)>) -> Vec<u8> {
    let length = boundary.as_str().len();
    let mut broken = Vec::with_capacity(body.len() + 64);
    let mut done = 0;
    while let Some(found) = boundary.find(&body[done..]) {
        let at = done + found;
        let (end, spelt, next) = match spell(at) {
            Some((place, spelt)) => (place, spelt, place + 1),
            // A boundary of one letter can only be replaced.
            None if length == 1 => (at, "?".to_owned(), at + 1),
            None => (at + length / 2, " ".to_owned(), at + length / 2),
        };
        broken.extend_from_slice(&body[done..end]);
        broken.extend_from_slice(spelt.as_bytes());
        done = next;
    }
    broken.extend_from_slice(&body[done..]);
    broken
}

/// Where a reader of JSON or markup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// Between strings, or in the text of markup.
    Text,
    /// In a string of JSON or an attribute value, up to this quote.
    Quoted(u8),
    /// Between `<` and `>`, outside the values.
    Tag,
    /// In something of markup that ends with these bytes: a comment, a section, a script.
    Until(&'static [u8]),
}

/// Reads a document as far as needed to tell what an occurrence stands in.
#[derive(Debug)]
struct DocumentReader<'a> {
    body: &'a [u8],
    spelling: Spelling,
    at: usize,
    place: Within,
    /// The end of the last escape sequence or character reference.
    escaped_to: usize,
}

impl<'a> DocumentReader<'a> {
    fn new(body: &'a [u8], spelling: Spelling) -> Self {
        Self { body, spelling, at: 0, place: Within::Text, escaped_to: 0 }
    }

    /// Where a character of the occurrence can be spelt otherwise, and how; `None` if it cannot.
    fn spell(&mut self, occurrence: usize, length: usize) -> Option<(usize, String)> {
        while self.at < occurrence {
            match self.spelling {
                Spelling::Plain => return None,
                Spelling::Json => self.step_json(),
                Spelling::Markup { .. } => self.step_markup(),
            }
        }
        let at = occurrence.max(self.escaped_to);
        let letter = *self.body.get(at).filter(|_| at < occurrence + length)?;
        match (self.spelling, self.place) {
            (Spelling::Json, Within::Quoted(_)) => Some((at, format!("\\u{letter:04x}"))),
            (Spelling::Markup { .. }, Within::Text | Within::Quoted(_) | Within::Until(b"-->")) => {
                Some((at, format!("&#{letter};")))
            }
            _ => None,
        }
    }

    fn step_json(&mut self) {
        let byte = self.body[self.at];
        match (self.place, byte) {
            (Within::Text, b'"') => self.place = Within::Quoted(b'"'),
            (Within::Quoted(_), b'"') => self.place = Within::Text,
            (Within::Quoted(_), b'\\') => {
                let is_long = self.body.get(self.at + 1) == Some(&b'u');
                self.at += if is_long { 5 } else { 1 };
                self.escaped_to = self.at + 1;
            }
            _ => {}
        }
        self.at += 1;
    }

    fn step_markup(&mut self) {
        let rest = &self.body[self.at..];
        let starts = |prefix: &[u8]| rest.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        match self.place {
            Within::Text if rest[0] == b'<' => {
                let ends: [(&[u8], Within); 6] = [
                    (b"<!--", Within::Until(b"-->")),
                    (b"<![CDATA[", Within::Until(b"]]>")),
                    (b"<?", Within::Until(b"?>")),
                    (b"<script", Within::Until(b"</script")),
                    (b"<style", Within::Until(b"</style")),
                    (b"<", Within::Tag),
                ];
                self.place = ends.into_iter().find(|(start, _)| starts(start)).map_or(Within::Tag, |(_, place)| place);
            }
            Within::Text | Within::Quoted(_) if rest[0] == b'&' => {
                let name = rest[1..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'#').count();
                self.escaped_to = self.at + 1 + name;
            }
            Within::Quoted(quote) if rest[0] == quote => self.place = Within::Tag,
            Within::Tag if rest[0] == b'>' => self.place = Within::Text,
            Within::Tag if b"\"'".contains(&rest[0]) => self.place = Within::Quoted(rest[0]),
            // The name of the end tag is in a tag again.
            Within::Until(end) if starts(end) => self.place = if end.starts_with(b"<") { Within::Tag } else { Within::Text },
            _ => {}
        }
        self.at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(media: &str, body: &str, boundary: &str) -> Option<String> {
        let boundary = Boundary::parse(boundary).unwrap();
        let sent = without_boundary(Bytes::copy_from_slice(body.as_bytes()), &Media::from_known(media), &boundary)?;
        assert!(!boundary.is_in(&sent), "{sent:?}");
        Some(String::from_utf8(sent.to_vec()).unwrap())
    }

    #[test]
    fn a_space_breaks_the_boundary_up_in_text_and_nothing_else_changes() {
        let text = |body, boundary| sent("text/plain; charset=utf-8", body, boundary).unwrap();
        assert_eq!(text("frame 2 decoded", "frame"), "fr ame 2 decoded");
        assert_eq!(text("no such word", "frame"), "no such word");
        assert_eq!(text("\r\n--frame--\r\nGrün --frame", "frame"), "\r\n--fr ame--\r\nGrün --fr ame");
        assert_eq!(text("aaaaa", "aa"), "a a a a a");
        assert_eq!(text("a B b", "B"), "a ? b");
        assert_eq!(sent("application/yaml", "key: frame", "frame").unwrap(), "key: fr ame");
        assert_eq!(sent("text/csv", "a,frame\n", "frame").unwrap(), "a,fr ame\n");
    }

    #[test]
    fn json_spells_a_letter_of_a_string_otherwise_and_stays_the_same_value() {
        let json = |body, boundary| sent("application/json", body, boundary).unwrap();
        for (body, boundary) in [
            (r#"{"url":"/x?q=mxr-1","mxr-1":[1,"\\mxr-1"]}"#, "mxr-1"),
            (r#"{"a":"\nul","b":"\u00e4ul nul"}"#, "nul"),
            (r#"["a\"frame\"b"]"#, "frame"),
        ] {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            let spelt = json(body, boundary);
            assert_eq!(value(&spelt), value(body), "{spelt}");
        }
        assert_eq!(json(r#"{"q":"mxr-1"}"#, "mxr-1"), r#"{"q":"\u006dxr-1"}"#);
        assert_eq!(sent("application/x-ndjson", "\"frame\"\n", "frame").unwrap(), "\"\\u0066rame\"\n");
        assert_eq!(json(r#"["006d"]"#, "006d"), r#"["00 6d"]"#, "the other spelling holds it as well");
        assert_eq!(json("[true, 12]", "true"), "[tr ue, 12]", "no string: it gets through all the same");
    }

    #[test]
    fn markup_spells_a_letter_as_a_reference_where_it_means_the_same() {
        let html = |body| sent("text/html; charset=utf-8", body, "frame").unwrap();
        assert_eq!(html("<p title=\"a frame\">frame</p>"), "<p title=\"a &#102;rame\">&#102;rame</p>");
        assert_eq!(html("<!-- frame -->x<iframe>"), "<!-- &#102;rame -->x<ifr ame>");
        assert_eq!(html("<style>.frame{}</style>frame"), "<style>.fr ame{}</style>&#102;rame");
        assert_eq!(sent("application/xml", "<a>&amp;mp</a>", "amp").unwrap(), "<a>&a mp;mp</a>");
        assert_eq!(sent("text/xml", "<a>&amp; amp</a>", "amp").unwrap(), "<a>&a mp; &#97;mp</a>");
    }

    #[test]
    fn a_drawing_is_sent_if_it_stays_the_same_drawing() {
        let svg = |body| sent("image/svg+xml", body, "mxr-1");
        assert_eq!(svg("<svg><text>mxr-1</text></svg>").unwrap(), "<svg><text>&#109;xr-1</text></svg>");
        assert_eq!(svg("<svg><g id='mxr-1'/></svg>").unwrap(), "<svg><g id='&#109;xr-1'/></svg>");
        for same in ["<svg><mxr-1/></svg>", "<svg><style><![CDATA[.mxr-1{}]]></style></svg>", "<svg><?mxr-1?></svg>"] {
            assert_eq!(svg(same), None, "{same}");
        }
    }

    #[test]
    fn what_is_no_text_is_never_changed() {
        for media in ["image/png", "application/pdf", "video/mp4", "audio/mpeg", "image/x-portable-pixmap"] {
            assert_eq!(sent(media, "mxr-1", "mxr-1"), None, "{media}");
        }
        assert_eq!(sent("application/zip", "PK\0mxr-1", "mxr-1"), None);
    }

    #[test]
    fn no_cut_document_makes_it_fail() {
        for (media, body) in [
            ("application/json", r#"{"a":"\u00e4 frame \"frame","frame":"\\"#),
            ("text/html", "<p a='frame'><!--frame--><script>frame</script>&frame;<![CDATA[frame"),
        ] {
            for cut in 0..=body.len() {
                assert!(sent(media, &body[..cut], "frame").is_some());
                assert!(sent(media, &body[cut..], "frame").is_some());
            }
        }
    }
}
