//! Whether a PDF is complete (ISO 32000-1, section 7.5 and annex F). It reads slices, and knows neither media types nor files.

use memchr::memmem;

use super::completeness::Completeness::{self, Complete, Truncated, Unknown};

/// Readers look for the header in this many first bytes (ISO 32000-1, annex H, note 13).
const HEADER_WITHIN: usize = 1024;
const MARK: &[u8] = b"%%EOF";

/// A PDF ends with the offset of its cross-reference section and `%%EOF`. What is behind the mark does not count, unless it is an
/// update that has not come to its own mark.
pub(super) fn pdf(body: &[u8]) -> Completeness {
    let Some(start) = memmem::find(&body[..body.len().min(HEADER_WITHIN)], b"%PDF-") else { return Truncated };
    let document = &body[start..];
    if length_of_linearized(document).is_some_and(|length| document.len() < length) {
        return Truncated;
    }
    let Some(mark) = memmem::rfind(document, MARK) else {
        return if ends_with_reference(document, body) { Unknown } else { Truncated };
    };
    let behind = &document[mark + MARK.len()..];
    if has_object(behind) {
        return if ends_with_reference(behind, body) { Unknown } else { Truncated };
    }
    if ends_with_reference(&document[..mark], body) { Complete } else { Unknown }
}

/// The length that a linearized file says of itself (`/L`): its mark at the end is not the first one.
fn length_of_linearized(document: &[u8]) -> Option<usize> {
    let start = &document[..document.len().min(HEADER_WITHIN)];
    let dictionary = &start[memmem::find(start, b"/Linearized")?..];
    let dictionary = &dictionary[..memmem::find(dictionary, b">>").unwrap_or(dictionary.len())];
    // `/L` itself, not `/Linearized`.
    memmem::find_iter(dictionary, b"/L").find_map(|at| number(&dictionary[at + 2..]))
}

/// Whether `startxref` and an offset are at the end of `part`, and a cross-reference section is at that offset. Some writers count
/// from the header, others from the first byte.
fn ends_with_reference(part: &[u8], body: &[u8]) -> bool {
    let end = &part[part.len().saturating_sub(HEADER_WITHIN)..];
    let Some(offset) = memmem::rfind(end, b"startxref").and_then(|at| number(&end[at + 9..])) else { return false };
    let start = memmem::find(&body[..body.len().min(HEADER_WITHIN)], b"%PDF-").unwrap_or_default();
    [start.saturating_add(offset), offset].iter().any(|at| {
        let section = body.get(*at..).unwrap_or_default().trim_ascii_start();
        section.starts_with(b"xref")
            || (section.first().is_some_and(u8::is_ascii_digit) && has_object(&section[..section.len().min(40)]))
    })
}

/// Whether an object begins here, as in `12 0 obj`.
fn has_object(bytes: &[u8]) -> bool {
    memmem::find_iter(bytes, b" obj").any(|at| at > 0 && bytes[at - 1].is_ascii_digit())
}

fn number(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.trim_ascii_start();
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&digits[..length]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PDF: &[u8] = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\nxref\n0 1\ntrailer\n<<>>\nstartxref\n28\n%%EOF\n";

    #[test]
    fn a_pdf_ends_with_its_mark_whatever_is_around_it() {
        let junk = [0; 3000];
        for body in [PDF, &[b"@PJL JOB\n", PDF].concat(), &[PDF, &junk].concat(), &[PDF, b"<!-- page -->\n"].concat()] {
            assert_eq!(pdf(body), Complete);
        }
        assert!((0..PDF.len() - 1).all(|n| pdf(&PDF[..n]) != Complete));
    }

    #[test]
    fn a_pdf_without_a_mark_or_with_a_wrong_offset_cannot_prove_its_end() {
        assert_eq!(pdf(&PDF[..PDF.len() - 6]), Unknown);
        assert_eq!(pdf(b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\nstartxref\n99\n%%EOF\n"), Unknown);
        assert_eq!(pdf(b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n"), Truncated);
        assert_eq!(pdf(b"text"), Truncated);
    }

    #[test]
    fn an_update_and_a_linearized_file_need_their_own_end() {
        assert_eq!(pdf(&[PDF, b"1 0 obj\n<</A 1>>"].concat()), Truncated);
        let linearized = [b"%PDF-1.4\n1 0 obj <</Linearized 1 /L 400 /H [1 2]>> endobj xref startxref 0 %%EOF\n", PDF].concat();
        assert_eq!(pdf(&linearized), Truncated);
    }
}
