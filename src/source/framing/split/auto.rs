//! Chooses a splitter by the first bytes of a stream (docs/field.md, Pipes). It splits nothing itself.

use super::{
    rule::Split,
    splitter::{Makes, RawPart, Splitter},
};

/// The longest first line, in bytes, that may be a delimiter.
const MAX_LINE: usize = 200;

/// Waits for enough bytes, then splits by the rule that they show.
pub(super) struct Auto<B> {
    first: Vec<u8>,
    chosen: Option<Box<dyn Splitter>>,
    build: B,
}

impl<B: Fn(&Split) -> Box<dyn Splitter>> Auto<B> {
    /// A splitter that chooses among those that `build` returns.
    pub(super) fn new(build: B) -> Self {
        Self { first: Vec::new(), chosen: None, build }
    }

    fn choose(&mut self, split: &Split, bodies: &mut Vec<RawPart>) {
        let mut splitter = (self.build)(split);
        splitter.push(&std::mem::take(&mut self.first), bodies);
        self.chosen = Some(splitter);
    }
}

impl<B> std::fmt::Debug for Auto<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auto").field("first", &self.first).field("chosen", &self.chosen).finish_non_exhaustive()
    }
}

impl<B: Fn(&Split) -> Box<dyn Splitter> + Send> Splitter for Auto<B> {
    fn push(&mut self, data: &[u8], bodies: &mut Vec<RawPart>) {
        if let Some(splitter) = &mut self.chosen {
            return splitter.push(data, bodies);
        }
        self.first.extend_from_slice(data);
        if let Some(split) = sniff(&self.first) {
            self.choose(&split, bodies);
        }
    }

    fn finish(&mut self, bodies: &mut Vec<RawPart>) {
        if self.chosen.is_none() {
            self.choose(&Split::Lines, bodies);
        }
        if let Some(splitter) = &mut self.chosen {
            splitter.finish(bodies);
        }
    }

    fn makes(&self) -> Option<Makes> {
        self.chosen.as_ref().and_then(|splitter| splitter.makes())
    }

    fn refused(&self) -> u64 {
        self.chosen.as_ref().map_or(0, |splitter| splitter.refused())
    }

    fn pending(&self) -> usize {
        self.chosen.as_ref().map_or(self.first.len(), |splitter| splitter.pending())
    }
}

/// The rule for a stream that begins with these bytes, or `None` if more are needed. One or two bytes distinguish lines from
/// pictures; after a first line that may be a delimiter, the beginning of the second line decides.
fn sniff(bytes: &[u8]) -> Option<Split> {
    match bytes {
        [] | [0xff] | [b'\r'] | [b'\r', b'\n'] => None,
        [0xff, 0xd8, ..] => Some(Split::Jpeg),
        [0x89, ..] => sniff_start(bytes, b"\x89PNG\r\n\x1a\n", Split::Png),
        [b'\r', b'\n', line @ ..] | line => sniff_multipart(line),
    }
}

fn sniff_start(bytes: &[u8], start: &[u8], split: Split) -> Option<Split> {
    match bytes {
        _ if bytes.starts_with(start) => Some(split),
        _ if start.starts_with(bytes) => None,
        _ => Some(Split::Lines),
    }
}

/// `--token` and, on the next line, a header.
fn sniff_multipart(bytes: &[u8]) -> Option<Split> {
    let start = &bytes[..bytes.len().min(MAX_LINE)];
    let token = start.iter().take_while(|byte| byte.is_ascii_graphic()).count();
    let (line, rest) = start.split_at(token);
    if !line.starts_with(&b"--"[..token.min(2)]) {
        return Some(Split::Lines);
    }
    // `--jpgboundaryContent-type: image/jpeg`, from servers in Python 2.
    if memchr::memmem::find(&line.to_ascii_lowercase(), b"content-type:").is_some() {
        return Some(Split::Multipart);
    }
    let has_token = line.iter().any(|byte| *byte != b'-');
    match rest {
        [] | [b'\r'] if start.len() < MAX_LINE => None,
        [b'\n', next @ ..] | [b'\r', b'\n', next @ ..] if has_token => sniff_header(next),
        _ => Some(Split::Lines),
    }
}

fn sniff_header(line: &[u8]) -> Option<Split> {
    let line = line.to_ascii_lowercase();
    let names: [&[u8]; 3] = [b"content-", b"x-", b"http/1."];
    let results = names.map(|name| sniff_start(&line, name, Split::Multipart));
    let has = |expected: Option<Split>| results.contains(&expected);
    if has(Some(Split::Multipart)) {
        Some(Split::Multipart)
    } else if has(None) {
        None
    } else {
        Some(Split::Lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_choose_the_splitter() {
        let boundary = "-".repeat(20) + "x";
        for (bytes, split) in [
            (&b""[..], None),
            (b"h", Some(Split::Lines)),
            (b"\n", Some(Split::Lines)),
            (b"\xff", None),
            (b"\xff\xd8", Some(Split::Jpeg)),
            (b"\xff\xfe", Some(Split::Lines)),
            (b"\x89", None),
            (b"\x89PNG\r\n\x1a\n", Some(Split::Png)),
            (b"\x89PNX", Some(Split::Lines)),
            (b"-", None),
            (b"- ", Some(Split::Lines)),
            (b"--frame", None),
            (b"--frame\r\n", None),
            (b"--frame\r\nContent-", Some(Split::Multipart)),
            (b"\r\n--frame\nX-", Some(Split::Multipart)),
            (b"\r\nx", Some(Split::Lines)),
            (b"--frame\nHTTP/1.1 200 OK", Some(Split::Multipart)),
            (b"--frame\nconT", None),
            (b"--frame\nconfigure", Some(Split::Lines)),
            (b"--frame\n\n", Some(Split::Lines)),
            (b"--jpgboundaryContent-type: image/jpeg", Some(Split::Multipart)),
            (b"--- a/file", Some(Split::Lines)),
            (b"-----\n", Some(Split::Lines)),
            (b"-- signature", Some(Split::Lines)),
            (&boundary.repeat(20).into_bytes(), Some(Split::Lines)),
        ] {
            assert_eq!(sniff(bytes), split, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn no_byte_is_lost_while_it_waits_for_more() {
        for input in ["--\n", "--frame\nnext\n", "\u{89}PN\n", "\r\n", "-"] {
            let (mut auto, mut bodies) = (Split::Auto.splitter(100, true), Vec::new());
            input.as_bytes().chunks(1).for_each(|data| auto.push(data, &mut bodies));
            auto.finish(&mut bodies);
            let text: Vec<u8> = bodies.iter().flat_map(|body| [body.bytes.trim_ascii_end(), b"\n"].concat()).collect();
            assert_eq!(String::from_utf8_lossy(&text).trim(), input.trim());
            assert_eq!(auto.makes(), Some(Makes::Text));
        }
    }
}
