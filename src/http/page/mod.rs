//! The viewer page: put together once, from the sources beside this file without their comments. It never differs from one reply to the
//! next, so it is compressed once, and its policy names its script by a hash. It knows nothing of feeds or requests.

use std::{io::Write, sync::LazyLock};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use ring::digest::{SHA256, digest};

/// The sources of the page's one script. Each file is a module for its tests, and so are all of them together: no two export the same name.
const SOURCES: &str = concat!(
    include_str!("words.js"),
    include_str!("split.js"),
    include_str!("sgr.js"),
    include_str!("json.js"),
    include_str!("log.js"),
    include_str!("picture.js"),
    include_str!("screen.js"),
    include_str!("show.js"),
    include_str!("feed.js"),
    include_str!("poll.js"),
    include_str!("link.js"),
    include_str!("past.js"),
    include_str!("film.js"),
    include_str!("moment.js"),
    include_str!("page.js"),
);

/// The page's script: a fifth of the sources are comments, which stand on lines of their own.
static SCRIPT: LazyLock<String> = LazyLock::new(|| {
    let code = SOURCES.split_inclusive('\n').filter(|line| !line.trim_start().starts_with("//"));
    code.collect()
});

/// The viewer page as it is served.
pub(super) static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let html = include_str!("page.html").replace("{{css}}", include_str!("page.css")).replace("{{js}}", &SCRIPT);
    Page { gzip: gzip(html.as_bytes()), html: html.into(), policy: policy() }
});

/// A page and what goes with it.
#[derive(Debug)]
pub(super) struct Page {
    /// UTF-8.
    pub(super) html: Bytes,
    /// The same as one gzip member; empty where that failed.
    pub(super) gzip: Bytes,
    /// The Content-Security-Policy.
    pub(super) policy: String,
}

/// The page's own script runs, no other does, and nothing is loaded from other hosts. HTML parts stand in frames that inherit
/// this policy, and have styles of their own: a hash in style-src would turn those off.
fn policy() -> String {
    let hash = BASE64_STANDARD.encode(digest(&SHA256, SCRIPT.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{hash}'; style-src 'unsafe-inline'; img-src 'self' blob: data:; \
         media-src blob: data:; connect-src 'self'; frame-src blob: data:; object-src blob:; base-uri 'none'; form-action 'none'"
    )
}

fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail; if it did, the page would go out as it is.
    encoder.write_all(text).and_then(|()| encoder.finish()).map(Bytes::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_file_under_64_kb() {
        let page = std::str::from_utf8(&PAGE.html).unwrap();
        assert!(page.len() < 65_536, "{} bytes", page.len());
        for foreign in ["http:", "https:", " src=", "@import", "url(", "{{"] {
            let own = page.replace("http://www.w3.org/2000/svg", "").replace(" src=\"${", "");
            assert!(!own.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn the_hash_is_that_of_all_between_the_tags() {
        let page = std::str::from_utf8(&PAGE.html).unwrap();
        let (_, script) = page.split_once("<script type=module>").unwrap();
        assert_eq!(script, format!("{}</script>\n", *SCRIPT));
        // Either would end the script early, or change where it ends; and a parser turns a CR into an LF.
        assert!(!["</script", "<!--", "\r"].iter().any(|text| SCRIPT.contains(text)));
    }

    #[test]
    fn compressed_it_is_the_same_page() {
        let mut page = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&PAGE.gzip[..]), &mut page).unwrap();
        assert_eq!(page, PAGE.html);
        assert!(PAGE.gzip.len() < 20_500, "{} bytes", PAGE.gzip.len());
    }
}
