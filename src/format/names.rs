//! The type of a file: from its name where that tells, from its content otherwise. Many endings that tables give to applications or
//! films are those of texts as well, and a browser downloads what it is not told to be text.

use std::path::Path;

use super::encoding::{is_text, narrow};

const TEXT: &str = "text/plain";
const BYTES: &str = "application/octet-stream";
/// Texts that browsers, or the programs that read them, know by their types.
const KNOWN: [&str; 12] = [
    "text/html",
    "text/css",
    "text/csv",
    "text/javascript",
    "text/markdown",
    "text/vtt",
    "text/xml",
    "application/javascript",
    "application/json",
    "application/pdf",
    "application/xml",
    TEXT,
];

/// The type of a file of this name and content, without parameters.
pub(super) fn type_of(path: &Path, body: &[u8]) -> &'static str {
    let named = named(path).unwrap_or_else(|| match infer::get(body) {
        _ if is_svg(body) => "image/svg+xml",
        Some(kind) => kind.mime_type(),
        None => BYTES,
    });
    if named.starts_with("image/") || named.ends_with("+json") {
        return named;
    }
    if named.ends_with("xml") {
        // Settings and templates have such names too.
        return if starts_as_xml(body) || !is_text(body) { named } else { TEXT };
    }
    match named {
        _ if KNOWN.contains(&named) => named,
        _ if is_text(body) => TEXT,
        // TypeScript is text; MPEG transport streams begin with this byte.
        "video/vnd.dlna.mpeg-tts" if body.first() == Some(&0x47) => "video/mp2t",
        named => named,
    }
}

/// The charset of a text, if its bytes show it: UTF-8, which Firefox would otherwise read as windows-1252, or what its mark says.
pub(super) fn charset_of(body: &[u8]) -> Option<&'static str> {
    match body {
        [0xff, 0xfe, ..] => Some("utf-16le"),
        [0xfe, 0xff, ..] => Some("utf-16be"),
        _ => std::str::from_utf8(body).is_ok().then_some("utf-8"),
    }
}

fn named(path: &Path) -> Option<&'static str> {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    match ending.to_str().unwrap_or_default() {
        // The registered types; browsers play no other names of them.
        "m4a" | "m4b" => Some("audio/mp4"),
        "har" | "ipynb" | "jsonc" | "topojson" => Some("application/json"),
        // Declarations, which are not a document.
        "dtd" => Some(TEXT),
        _ => mime_guess::from_path(path).first_raw(),
    }
}

fn starts_as_xml(body: &[u8]) -> bool {
    let start = narrow(&body[..body.len().min(1024)]);
    matches!(start.trim_ascii_start(), [b'<', b'?' | b'!' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | 0x7f.., ..])
}

fn is_svg(body: &[u8]) -> bool {
    let start = narrow(&body[..body.len().min(1024)]);
    start.trim_ascii_start().starts_with(b"<") && memchr::memmem::find(&start, b"<svg").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_whatever_application_its_name_belongs_to() {
        let names = "a.tex a.sql a.sh a.org a.dat a.dot a.ts a.java a.toml a.yaml a.rs a.php a.pem a.m3u8 a.rtf a.eml a.obj a.bat a.srt a.ics \
                     a.vcf a.tsv a.json5 a.ps a.dtd a.aspx a.config a.unknown noext";
        for name in names.split_whitespace() {
            assert_eq!(type_of(Path::new(name), b"key = \"value\" # gr\xfcn\n"), TEXT, "{name}");
        }
        for (name, media) in [
            ("a.dot", "application/msword"),
            ("a.m4a", "audio/mp4"),
            ("a.ts", "video/mp2t"),
            ("a.dat", BYTES),
            ("a.sql", "application/x-sql"),
        ] {
            assert_eq!(type_of(Path::new(name), b"G\0\x01\x02"), media, "{name}");
        }
    }

    #[test]
    fn types_that_browsers_and_the_page_know_stay() {
        for (name, media) in [
            ("a.html", "text/html"),
            ("a.css", "text/css"),
            ("a.csv", "text/csv"),
            ("a.js", "text/javascript"),
            ("a.mjs", "application/javascript"),
            ("a.md", "text/markdown"),
            ("a.json", "application/json"),
            ("a.ipynb", "application/json"),
            ("a.geojson", "application/geo+json"),
            ("a.webmanifest", "application/manifest+json"),
            ("a.xml", "text/xml"),
            ("a.gpx", "application/gpx+xml"),
            ("a.svg", "image/svg+xml"),
            ("a.pdf", "application/pdf"),
            ("A.PNG", "image/png"),
        ] {
            assert_eq!(type_of(Path::new(name), b"<a>some text</a>"), media, "{name}");
        }
    }

    #[test]
    fn a_mark_tells_the_charset() {
        assert_eq!(charset_of("grün".as_bytes()), Some("utf-8"));
        assert_eq!(charset_of(b"gr\xfcn"), None);
        assert_eq!(charset_of(b"\xff\xfea\0"), Some("utf-16le"));
    }
}
