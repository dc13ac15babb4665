//! The `Content-Type` of a multipart response: its boundary, in whatever spelling, and what is odd about the spelling.

use super::oddity::{Marks, Oddities, Oddity};

/// The `boundary` parameter of a response's `Content-Type`, quoted or not.
pub fn boundary_of(content_type: &str) -> Option<String> {
    let (_, value) = parameter(content_type)?;
    let bare = value.trim_matches(['"', '\'']);
    (!bare.is_empty()).then(|| bare.to_owned())
}

/// What is odd about the `Content-Type` of a multipart response.
pub fn oddities_of(content_type: &str) -> Oddities {
    let (mut marks, mut oddities) = (Marks::default(), Oddities::default());
    match parameter(content_type) {
        Some((name, value)) if boundary_of(content_type).is_some() => {
            let is_first = content_type.split(';').nth(1).is_some_and(|first| first.trim_start().starts_with(name));
            marks.add_if(name != "boundary", Oddity::BoundaryCapitals);
            marks.add_if(!is_first, Oddity::BoundaryNotFirst);
            marks.add_if(!is_quoted_well(value), Oddity::BoundaryQuoting);
        }
        _ => marks.add(Oddity::BoundaryMissing),
    }
    oddities.count(marks);
    oddities
}

/// Name and value of the parameter, as they are written.
fn parameter(content_type: &str) -> Option<(&str, &str)> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| (name.trim(), value.trim()))
    })
}

/// Whether a value is a token, or anything in double quotes (RFC 9110, section 5.6).
fn is_quoted_well(value: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&*+-.^_`|~".contains(&byte);
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').is_some_and(|inner| !inner.contains(['"', '\''])),
        None => value.bytes().all(is_token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundary_is_found_in_any_spelling_and_the_spelling_judged() {
        use Oddity::*;
        let cases: [(&str, Option<&str>, &[Oddity]); 9] = [
            ("multipart/x-mixed-replace; boundary=B", Some("B"), &[]),
            ("multipart/x-mixed-replace;boundary=\"a b\"", Some("a b"), &[]),
            ("multipart/x-mixed-replace;BOUNDARY=\"--a b\" ; x=y", Some("--a b"), &[BoundaryCapitals]),
            ("multipart/x-mixed-replace; charset=x; boundary = 'B'", Some("B"), &[BoundaryQuoting, BoundaryNotFirst]),
            ("multipart/x-mixed-replace;boundary=ZoneMinderFrame;", Some("ZoneMinderFrame"), &[]),
            ("multipart/x-mixed-replace; boundary=--video boundary--", Some("--video boundary--"), &[BoundaryQuoting]),
            ("multipart/x-mixed-replace; boundary=\"B", Some("B"), &[BoundaryQuoting]),
            ("multipart/x-mixed-replace; boundary=", None, &[BoundaryMissing]),
            ("boundary=B", None, &[BoundaryMissing]),
        ];
        for (content_type, boundary, odd) in cases {
            assert_eq!(boundary_of(content_type).as_deref(), boundary, "{content_type}");
            let mut odd = odd.to_vec();
            odd.sort();
            assert_eq!(oddities_of(content_type).iter().map(|(oddity, _)| oddity).collect::<Vec<_>>(), odd, "{content_type}");
        }
    }
}
