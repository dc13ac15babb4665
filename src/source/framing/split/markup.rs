//! Finds the end of an XML, HTML or JSON document while its bytes arrive. It follows tags, brackets and quotes, and does not judge the
//! grammar. It knows nothing of streams.

use memchr::{memchr, memmem};

use super::rule::Markup;
use crate::format::{Tag, Tags};

/// Scans one document.
#[derive(Debug)]
pub(super) struct DocumentScanner {
    markup: Markup,
    /// The offset up to which the document was read.
    at: usize,
    /// Elements or brackets that are open.
    depth: usize,
    /// In a string of JSON: whether a backslash comes before the next byte.
    string: Option<bool>,
    has_line: bool,
}

/// Where a document ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DocumentEnd {
    /// The offset of the byte after it.
    pub(super) at: usize,
    /// Whether another document begins there although this one was not complete.
    pub(super) is_cut_off: bool,
}

impl DocumentScanner {
    /// For a document of this kind.
    pub(super) fn new(markup: Markup) -> Self {
        Self { markup, at: 0, depth: 0, string: None, has_line: false }
    }

    /// Continues through `body`, which begins with the document and with the bytes of the last call. Returns its end, if that is there.
    pub(super) fn advance(&mut self, body: &[u8]) -> Option<DocumentEnd> {
        match self.markup {
            Markup::Xml => self.xml(body),
            Markup::Html => self.html(body).map(|at| DocumentEnd { at, is_cut_off: false }),
            Markup::Json => self.json(body),
        }
    }

    /// To the end of the root element. A tag that is not complete is read again when there are more bytes.
    fn xml(&mut self, body: &[u8]) -> Option<DocumentEnd> {
        let begin = self.at;
        let mut tags = Tags::of_xml(&body[begin..]);
        while let Some(tag) = tags.next() {
            let start = self.at + memchr(b'<', &body[self.at..])?;
            let is_declaration = body[start..].starts_with(b"<?xml ");
            if is_declaration && start > 0 {
                return Some(DocumentEnd { at: start, is_cut_off: true });
            }
            self.at = begin + tags.end();
            match tag {
                Tag::Start(_) => self.depth += 1,
                Tag::End(_) => self.depth = self.depth.saturating_sub(1),
                Tag::Empty(_) => {}
                Tag::Doctype | Tag::Other => continue,
            }
            if self.depth == 0 {
                return Some(DocumentEnd { at: self.at, is_cut_off: false });
            }
        }
        None
    }

    /// To `</html>`, or to the next page. A page that has more than its type on the first line, and no `<html` there, is that line.
    fn html(&mut self, body: &[u8]) -> Option<usize> {
        if let Some(newline) = memchr(b'\n', body)
            && !std::mem::replace(&mut self.has_line, true)
        {
            let line = body[..newline].trim_ascii_end();
            let count = |tag: &[u8]| memmem::find_iter(&line.to_ascii_lowercase(), tag).count();
            if count(b"<") > 1 && count(b"<html") + count(b"</html") == 0 && count(b"<!doctype") == 1 {
                return Some(line.len());
            }
        }
        while let Some(ahead) = memchr(b'<', &body[self.at..]) {
            let at = self.at + ahead;
            let tag = &body[at..];
            // So long is the longest tag that is searched for.
            if tag.len() < 10 && !tag.contains(&b'>') {
                break;
            }
            let is = |name: &[u8]| tag.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
            let skipped = [(&b"<!--"[..], &b"-->"[..]), (b"<script", b"</script"), (b"<style", b"</style")];
            let end = match skipped.iter().find(|(start, _)| is(start)) {
                Some((_, end)) => find_ignoring_case(tag, end)? + end.len(),
                None if is(b"</html") => return memchr(b'>', tag).map(|end| at + end + 1),
                None if is(b"<!doctype") && self.depth > 0 => return Some(at),
                None => 1,
            };
            self.depth += usize::from(is(b"<!doctype") || is(b"<html"));
            self.at = at + end;
        }
        None
    }

    /// To the bracket that closes the first. A string has no line end, so that one which was cut off ends there.
    fn json(&mut self, body: &[u8]) -> Option<DocumentEnd> {
        for (at, byte) in body.iter().enumerate().skip(std::mem::replace(&mut self.at, body.len())) {
            match (self.string, byte) {
                (Some(_), b'\n') => return Some(DocumentEnd { at, is_cut_off: true }),
                (Some(false), b'"') => self.string = None,
                (Some(is_escaped), byte) => self.string = Some(*byte == b'\\' && !is_escaped),
                (None, b'"') => self.string = Some(false),
                (None, b'{' | b'[') => self.depth += 1,
                (None, b'}' | b']') => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(DocumentEnd { at: at + 1, is_cut_off: false });
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// The offset of these lower-case bytes, in any case.
fn find_ignoring_case(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let start = wanted.first()?;
    let mut starts = memchr::memchr2_iter(*start, start.to_ascii_uppercase(), bytes);
    starts.find(|at| bytes.get(*at..*at + wanted.len()).is_some_and(|found| found.eq_ignore_ascii_case(wanted)))
}

/// What a document without a type is, by its first bytes: an SVG or a page. `Err(true)` if more bytes may tell.
pub(super) fn look_for_markup(bytes: &[u8]) -> Result<Markup, bool> {
    const MAX_PROLOG: usize = 4096;
    let begins = |name: &[u8]| bytes.get(..name.len()).unwrap_or(bytes).eq_ignore_ascii_case(&name[..name.len().min(bytes.len())]);
    for (name, markup) in [(&b"<svg"[..], Markup::Xml), (b"<!doctype html", Markup::Html), (b"<html", Markup::Html)] {
        match bytes.get(name.len()) {
            Some(b' ' | b'\t' | b'\r' | b'\n' | b'>') if begins(name) => return Ok(markup),
            None if begins(name) => return Err(true),
            _ => {}
        }
    }
    if !(begins(b"<?xml") || begins(b"<!--") || begins(b"<!doctype svg")) {
        return Err(false);
    }
    // The root is the first tag that has a name.
    let root = memmem::find_iter(bytes, b"<").find(|at| bytes.get(at + 1).is_none_or(|byte| byte.is_ascii_alphabetic()));
    match root.map(|at| &bytes[at..]) {
        Some(root) if root.starts_with(b"<svg") => Ok(Markup::Xml),
        Some(root) => Err(b"<svg".starts_with(root)),
        None => Err(bytes.len() < MAX_PROLOG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of the first document, which must not depend on read sizes.
    #[track_caller]
    fn end(markup: Markup, body: &str) -> Option<usize> {
        let end = |read: usize| {
            let mut scanner = DocumentScanner::new(markup);
            let reads = 1..=body.len().div_ceil(read);
            let ends = reads.map(|reads| &body.as_bytes()[..body.len().min(reads * read)]);
            ends.filter_map(|body| scanner.advance(body)).next().map(|end| end.at)
        };
        let expected = end(body.len());
        assert!([1, 2, 3, 7].iter().all(|read| end(*read) == expected), "{body}");
        expected
    }

    #[test]
    fn a_document_ends_where_its_root_or_its_first_bracket_is_closed() {
        for (markup, document) in [
            (Markup::Xml, "<svg/>"),
            (
                Markup::Xml,
                "<?xml version='1.0'?>\n<!DOCTYPE svg [<!ENTITY a '<b>'>]>\n<!-- <svg> --><svg>\n<g a='>'><![CDATA[</svg>]]></g>\n</svg>",
            ),
            (Markup::Html, "<!doctype html>\n<html><!-- </html> --><script>'</html>'</script>\n<p>x</HTML\n>"),
            (Markup::Html, "<html><p>one line</html>"),
            (Markup::Html, "<!doctype html><p>a page of one line"),
            (Markup::Json, "{\n  \"a}\": [1, {\"b\": \"\\\"]}\"}]\n}"),
            (Markup::Json, "[]"),
        ] {
            assert_eq!(end(markup, &[document, "\n<!doctype html>\n<svg>\n{"].concat()), Some(document.len()), "{document}");
            assert_eq!(end(markup, &document[..document.len() - 1]), None, "{document}");
        }
        let page = "<!doctype html>\n<p>a page without its end\n";
        assert_eq!(end(Markup::Html, &[page, "<!DOCTYPE html>\n<p>"].concat()), Some(page.len()));
    }

    #[test]
    fn an_svg_and_a_page_are_recognized_by_their_beginning() {
        for (start, markup) in [
            ("<svg xmlns=", Ok(Markup::Xml)),
            ("<?xml version='1.0'?>\n<!DOCTYPE svg PUBLIC 'x'>\n<!-- y -->\n<svg>", Ok(Markup::Xml)),
            ("<!DOCTYPE HTML>", Ok(Markup::Html)),
            ("<html lang='en'>", Ok(Markup::Html)),
            ("<", Err(true)),
            ("<?xml version='1.0'?><sv", Err(true)),
            ("<?xml version='1.0'?><feed>", Err(false)),
            ("<svgs", Err(false)),
            ("<13>Nov 1 10:00:00 host", Err(false)),
            ("text <svg>", Err(false)),
        ] {
            assert_eq!(look_for_markup(start.as_bytes()), markup, "{start}");
        }
    }
}
