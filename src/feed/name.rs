//! What a feed may be called, and how its name stands in URLs and headers. It knows no feed.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters of a name that URLs and `X-Feed` keep: the unreserved ones of RFC 3986, section 2.3.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest name of a feed, in bytes.
const MOST_BYTES: usize = 200;

/// Checks that a name can stand in the path of a URL, percent-encoded, where every browser and proxy leaves it as it is.
///
/// # Errors
/// Why it cannot.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        _ if name.trim().is_empty() => Err("it is empty"),
        _ if name.chars().any(char::is_control) => Err("it has control characters"),
        _ if name.len() > MOST_BYTES => Err("it is longer than 200 bytes"),
        _ if name.split('/').any(|segment| matches!(segment, "" | "." | "..")) => {
            Err("a browser would change such a path: between slashes there has to be something other than '.' and '..'")
        }
        _ => Ok(()),
    }
}

/// A name as it stands in URLs and in `X-Feed`: percent-encoded.
pub fn url_name(name: &str) -> String {
    utf8_percent_encode(name, KEPT).to_string()
}
