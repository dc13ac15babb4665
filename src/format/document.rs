//! Whether text documents are complete: XML and SVG, HTML, JSON, PDF; and whether a TIFF is consistent. It reads slices, and knows
//! neither media types nor files.

use quick_xml::events::Event;

/// The local name of the root element, if the document is well-formed to its end.
pub(super) fn xml_root(body: &[u8]) -> Option<String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // Most bodies that come here are large pictures of another kind.
    if !body.trim_ascii_start().starts_with(b"<") {
        return None;
    }
    let mut reader = quick_xml::Reader::from_str(std::str::from_utf8(body).ok()?);
    let (mut root, mut depth) = (None, 0usize);
    loop {
        let event = reader.read_event().ok()?;
        if let (Event::Start(tag) | Event::Empty(tag), 0) = (&event, depth) {
            let second_root = root.replace(String::from_utf8_lossy(tag.local_name().as_ref()).into_owned());
            if second_root.is_some() {
                return None;
            }
        }
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.checked_sub(1)?,
            Event::Eof => return root.filter(|_| depth == 0),
            _ => {}
        }
    }
}

/// Whether a page that opens `<html` closes it; `None` for a fragment, which has no end mark.
pub(super) fn html_is_closed(body: &[u8]) -> Option<bool> {
    let has = |bytes: &[u8], tag: &[u8]| bytes.windows(tag.len()).any(|window| window.eq_ignore_ascii_case(tag));
    let start = &body[..body.len().min(4096)];
    let end = &body[body.len().saturating_sub(256)..];
    has(start, b"<html").then(|| has(end, b"</html"))
}

/// Whether the bytes are JSON values to the end: one, or one per line.
pub(super) fn is_complete_json(body: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<serde::de::IgnoredAny>().peekable();
    values.peek().is_some() && values.all(|value| value.is_ok())
}

/// Whether a PDF ends with its end-of-file marker (ISO 32000-1, section 7.5.5), with at most a few bytes after it.
pub(super) fn is_complete_pdf(body: &[u8]) -> bool {
    let end = &body[body.len().saturating_sub(1024)..];
    body.starts_with(b"%PDF-") && memchr::memmem::rfind(end, b"%%EOF").is_some()
}

/// Whether a TIFF's first directory lies inside the file (TIFF 6.0, section 2): writers write it last, or before data that it points
/// to.
pub(super) fn is_consistent_tiff(body: &[u8]) -> bool {
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = body.get(at..at.checked_add(size)?)?;
        let add = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
        match body.first()? {
            b'I' => Some(bytes.iter().rev().fold(0, add)),
            _ => Some(bytes.iter().fold(0, add)),
        }
    };
    let directory = || {
        let at = number(4, 4)?;
        let entries = number(at, 2)?;
        (at >= 8 && entries > 0).then_some(at + 2 + entries * 12 + 4)
    };
    matches!(body.get(..4), Some(b"II*\0" | b"MM\0*")) && directory().is_some_and(|end| end <= body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_xml_document_begins_with_markup() {
        assert_eq!(xml_root(b"\xef\xbb\xbf\n<a><b/></a>\n").as_deref(), Some("a"));
        assert_eq!(xml_root(b"text <a/>"), None);
        assert_eq!(xml_root(b""), None);
    }

    #[test]
    fn an_html_page_is_complete_when_it_closes() {
        assert_eq!(html_is_closed(b"<!doctype html><HTML><p>x</HTML>\n"), Some(true));
        assert_eq!(html_is_closed(b"<html><p>x</ht"), Some(false));
        assert_eq!(html_is_closed(b"<p>a fragment"), None);
    }

    #[test]
    fn every_cut_of_a_json_document_is_incomplete() {
        let complete = br#"{"a": [1, "x"]}"#;
        assert!(is_complete_json(complete) && is_complete_json(b"{}\n{}\n"));
        assert!((0..complete.len()).all(|n| !is_complete_json(&complete[..n])));
    }

    #[test]
    fn a_pdf_ends_with_its_marker() {
        assert!(is_complete_pdf(b"%PDF-1.4 stuff startxref 9 %%EOF\n"));
        assert!(!is_complete_pdf(b"%PDF-1.4 stuff startxref 9 %%E"));
    }

    #[test]
    fn a_tiff_without_its_directory_is_inconsistent() {
        let tiff = [&b"II*\0\x0a\0\0\0"[..], &[7, 7], &1u16.to_le_bytes(), &[0; 12], &[0; 4]].concat();
        assert!(is_consistent_tiff(&tiff));
        assert!((0..tiff.len()).all(|n| !is_consistent_tiff(&tiff[..n])));
    }
}
