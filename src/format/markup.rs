//! Whether XML and HTML break off: tags, comments and quotes are followed, the grammar is not judged, since readers take undefined
//! entities, other encodings, omitted end tags and more. It knows neither media types nor files.

use memchr::{memchr3, memmem};

use super::completeness::Completeness::{self, Complete, Readable, Truncated, Unknown};

/// A piece of markup, with the name of its element; text is left out.
pub enum Tag<'a> {
    /// `<g>`.
    Start(&'a [u8]),
    /// A start tag that ends with `/>`.
    Empty(&'a [u8]),
    /// `</g>`.
    End(&'a [u8]),
    /// `<!DOCTYPE …>`.
    Doctype,
    /// A comment, a processing instruction, CDATA.
    Other,
}

/// The tags of a text, and whether it breaks off in one.
pub struct Tags<'a> {
    text: &'a [u8],
    at: usize,
    is_html: bool,
    is_torn: bool,
}

impl<'a> Tags<'a> {
    /// The tags of XML.
    pub fn of_xml(text: &'a [u8]) -> Self {
        Self::new(text, false)
    }

    fn new(text: &'a [u8], is_html: bool) -> Self {
        Self { text, at: 0, is_html, is_torn: false }
    }

    /// The offset after the last tag.
    pub fn end(&self) -> usize {
        self.at
    }

    /// Goes on to behind `mark`; the text breaks off if it is not there.
    fn skip(&mut self, from: usize, mark: &[u8]) -> Option<()> {
        let found = self.text.get(from..).and_then(|rest| memmem::find(rest, mark));
        self.is_torn = found.is_none();
        self.at = found.map_or(self.text.len(), |ahead| from + ahead + mark.len());
        found.map(drop)
    }

    /// Goes on to the end tag of an element whose content is no markup.
    fn skip_raw(&mut self, name: &[u8]) {
        while let Some(ahead) = memmem::find(&self.text[self.at..], b"</") {
            self.at += ahead;
            if self.text[self.at + 2..].get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
                return;
            }
            self.at += 2;
        }
        (self.at, self.is_torn) = (self.text.len(), true);
    }

    /// The end of a tag: the next `>` that is not in the quotes of an attribute.
    fn tag_end(&self) -> Option<usize> {
        let mut at = self.at;
        loop {
            at += memchr3(b'>', b'"', b'\'', self.text.get(at..)?)?;
            match self.text[at] {
                b'>' => return Some(at),
                quote if self.text[self.at..at].trim_ascii_end().ends_with(b"=") => {
                    at += 2 + memchr::memchr(quote, &self.text[at + 1..])?;
                }
                _ => at += 1,
            }
        }
    }

    /// The end of a document type, with the declarations in it.
    fn doctype(&mut self) -> Option<()> {
        let mut is_inside = false;
        self.at += 2;
        loop {
            let rest = &self.text[self.at..];
            match rest.first() {
                None => {
                    self.is_torn = true;
                    return None;
                }
                Some(b'<') if rest.starts_with(b"<!--") => self.skip(self.at + 4, b"-->")?,
                Some(b'<') if rest.starts_with(b"<?") => self.skip(self.at, b"?>")?,
                Some(quote @ (b'"' | b'\'')) => self.skip(self.at + 1, &[*quote])?,
                Some(byte) => {
                    self.at += 1;
                    match byte {
                        b'[' => is_inside = true,
                        b']' => is_inside = false,
                        b'>' if !is_inside => return Some(()),
                        _ => {}
                    }
                }
            }
        }
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        self.at += memchr::memchr(b'<', self.text.get(self.at..)?)?;
        let rest = &self.text[self.at..];
        let marked = [(&b"<!--"[..], &b"-->"[..]), (b"<![CDATA[", b"]]>"), (b"<?", if self.is_html { b">" } else { b"?>" })];
        if let Some((start, end)) = marked.into_iter().find(|(start, _)| rest.starts_with(start)) {
            return self.skip(self.at + start.len(), end).map(|()| Tag::Other);
        }
        match rest.get(1) {
            Some(b'!') if self.is_html => self.skip(self.at, b">").map(|()| Tag::Doctype),
            Some(b'!') => self.doctype().map(|()| Tag::Doctype),
            Some(b'/' | b'_' | b':' | b'a'..=b'z' | b'A'..=b'Z' | 0x7f..) => {
                let start = self.at;
                let Some(end) = self.tag_end() else {
                    (self.at, self.is_torn) = (self.text.len(), true);
                    return None;
                };
                self.at = end + 1;
                Some(tag(&self.text[start + 1..end]))
            }
            Some(_) => {
                self.at += 1;
                Some(Tag::Other)
            }
            None => {
                self.is_torn = true;
                None
            }
        }
    }
}

/// A tag, from what is between `<` and `>`.
fn tag(inside: &[u8]) -> Tag<'_> {
    let name = |from: usize| {
        let length = inside[from..].iter().take_while(|byte| !byte.is_ascii_whitespace() && **byte != b'/').count();
        &inside[from..from + length]
    };
    match inside {
        [b'/', ..] => Tag::End(name(1)),
        [.., b'/'] => Tag::Empty(name(0)),
        _ => Tag::Start(name(0)),
    }
}

/// What an XML document is.
pub(super) struct Xml<'a> {
    /// Whether every element is closed at its end.
    pub(super) completeness: Completeness,
    /// The name of the root element, without its prefix.
    pub(super) root: Option<&'a [u8]>,
}

/// Examines XML, as bytes of ASCII and whatever else the encoding has.
pub(super) fn xml(text: &[u8]) -> Xml<'_> {
    let mut xml = Xml { completeness: Truncated, root: None };
    // Most bodies that come here are large pictures of another kind.
    if !text.trim_ascii_start().starts_with(b"<") {
        return xml;
    }
    let (mut tags, mut open, mut roots) = (Tags::new(text, false), Vec::new(), 0);
    for tag in tags.by_ref() {
        match tag {
            Tag::Start(name) | Tag::Empty(name) => {
                if open.is_empty() {
                    roots += 1;
                    xml.root.get_or_insert(name.rsplit(|byte| *byte == b':').next().unwrap_or(name));
                }
                if let Tag::Start(_) = tag {
                    open.push(name);
                }
            }
            // What closes another element is the tail of an older text behind a shorter one, and no reader takes it.
            Tag::End(name) if open.pop() != Some(name) => return xml,
            _ => {}
        }
    }
    if !tags.is_torn && open.is_empty() {
        xml.completeness = match roots {
            0 => Truncated,
            1 => Complete,
            // A list of elements, to which more are added.
            _ => Readable,
        };
    }
    xml
}

/// Examines HTML. The end tags of `html` and `body` may be omitted; then only a reader of the page could tell whether it is all there.
pub(super) fn html(text: &[u8]) -> Completeness {
    let mut page = HtmlPage::default();
    let mut tags = Tags::new(text, true);
    while let Some(tag) = tags.next() {
        match tag {
            Tag::Start(name) => {
                let name = name.to_ascii_lowercase();
                if RAW.contains(&&name[..]) {
                    tags.skip_raw(&name);
                }
                page.open(&name);
            }
            Tag::End(name) => page.close(&name.to_ascii_lowercase()),
            Tag::Doctype => page.is_document = true,
            Tag::Empty(_) | Tag::Other => {}
        }
    }
    match page {
        // A script without its end tag swallows that of the page.
        _ if tags.is_torn => {
            if ends_with_html_tag(text) {
                Unknown
            } else {
                Truncated
            }
        }
        HtmlPage { is_closed: true, .. } => Complete,
        HtmlPage { is_document: false, has_content: true, depth: 0, .. } => Readable,
        _ => Unknown,
    }
}

/// Whether the text ends with `</html>`, or with that and a comment.
fn ends_with_html_tag(text: &[u8]) -> bool {
    let mut end = text.trim_ascii_end();
    if end.ends_with(b"-->") {
        end = end[..memmem::rfind(end, b"<!--").unwrap_or_default()].trim_ascii_end();
    }
    end[end.len().saturating_sub(7)..].eq_ignore_ascii_case(b"</html>")
}

/// Elements whose content is no markup (HTML, section 13.2.6.2).
const RAW: [&[u8]; 8] = [b"script", b"style", b"title", b"textarea", b"xmp", b"iframe", b"noembed", b"noframes"];
/// Elements of which only a document has one; a page may begin with them that has neither `html` nor `head`.
const DOCUMENT: [&[u8]; 7] = [b"head", b"body", b"frameset", b"title", b"meta", b"link", b"base"];
/// Elements without an end tag, and those whose end tag may be omitted (HTML, section 13.1.2).
const UNCLOSED: [&[u8]; 28] = [
    b"area",
    b"base",
    b"br",
    b"col",
    b"embed",
    b"hr",
    b"img",
    b"input",
    b"link",
    b"meta",
    b"source",
    b"track",
    b"wbr",
    b"p",
    b"li",
    b"dt",
    b"dd",
    b"option",
    b"optgroup",
    b"tr",
    b"td",
    b"th",
    b"thead",
    b"tbody",
    b"tfoot",
    b"colgroup",
    b"caption",
    b"rp",
];

/// What a page of HTML has.
#[derive(Default)]
struct HtmlPage {
    /// Whether it says that it is a document, not a fragment.
    is_document: bool,
    is_closed: bool,
    has_content: bool,
    /// How many elements are open that need an end tag.
    depth: usize,
}

impl HtmlPage {
    fn open(&mut self, name: &[u8]) {
        match name {
            b"html" => (self.is_document, self.is_closed) = (true, false),
            _ if DOCUMENT.contains(&name) => self.is_document = true,
            _ => {
                self.has_content |= !matches!(name, b"script" | b"style" | b"noscript");
                self.depth += usize::from(!UNCLOSED.contains(&name));
            }
        }
    }

    fn close(&mut self, name: &[u8]) {
        match name {
            b"html" => self.is_closed = self.is_document,
            _ if DOCUMENT.contains(&name) => {}
            _ => self.depth = self.depth.saturating_sub(usize::from(!UNCLOSED.contains(&name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml_is(text: &[u8]) -> Completeness {
        xml(text).completeness
    }

    #[test]
    fn xml_is_complete_when_its_root_is_closed_whatever_else_is_in_it() {
        for text in [
            &b"\n<a><b/></a>\n"[..],
            b"<?xml version='1.0' encoding='ISO-8859-1'?>\n<!-- don't --><r>gr\xfcn</r>",
            b"<!DOCTYPE r [<!ENTITY a \"<b>x</b>\"> <!-- don't ] > --> <?x ]> ?>]>\n<r>&a;&nbsp;</r>",
            b"<r a='>' b=\"</r>\"><![CDATA[<x>]]></r><!-- behind -->\0\0",
            b"<x:r></x:r >",
        ] {
            assert_eq!(xml_is(text), Complete, "{}", text.escape_ascii());
            assert_eq!(xml(text).root.map(<[u8]>::len), Some(1));
        }
        assert_eq!(xml_is(b"<e>1</e>\n<e>2</e>\n"), Readable);
    }

    #[test]
    fn xml_that_breaks_off_or_has_the_tail_of_another_is_truncated() {
        let whole = b"<?xml version='1.0'?><!DOCTYPE r [<!ENTITY a \"<b>\">]><r a='<'><![CDATA[x]]><b/><!-- <r> --></r>";
        assert!((0..whole.len()).all(|n| xml_is(&whole[..n]) == Truncated));
        for text in [&b""[..], b"text <a/>", b"<a/><", b"<a/></b>", b"<a><b></a></b>"] {
            assert_eq!(xml_is(text), Truncated, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_page_is_complete_when_html_is_closed_whatever_is_behind_it() {
        for text in [
            "<!doctype html><HTML><p>x</HTML>\n".to_owned(),
            format!("<html><p title=don't>x</html>\n<!-- {} -->\n", "cached ".repeat(90)),
            format!("<html><p>x</html>\n<script>{}'</html>'</script>\n", "/* injected */".repeat(90)),
        ] {
            assert_eq!(html(text.as_bytes()), Complete, "{text}");
        }
    }

    #[test]
    fn a_page_without_its_end_tag_cannot_prove_its_end() {
        assert_eq!(html(b"<!DOCTYPE html>\n<title>t</title>\n<p>The end tags are optional.\n"), Unknown);
        assert_eq!(html(b"<title>t</title>\n"), Unknown, "its text may follow");
        assert_eq!(html(b"<div><p>a fragment"), Unknown);
        assert_eq!(html(b"<p>a fragment <br><b>b</b>"), Readable);
        assert_eq!(html(b"only text"), Unknown);
        assert_eq!(html(b"<html><script src=x>\n</body></html>\n<!-- x -->\n"), Unknown, "a script swallows the end tag");
    }

    #[test]
    fn every_cut_of_a_page_is_not_complete() {
        let whole = b"<!-- c --><!DOCTYPE html><html><title></html></title><script>'<html></html>'</script><p a='</html>'></html>";
        assert!((0..whole.len()).all(|n| matches!(html(&whole[..n]), Truncated | Unknown)));
    }
}
