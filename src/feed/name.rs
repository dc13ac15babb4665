//! What a feed may be called. It knows no feed.

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
