//! The viewer page: assembled once from its sources beside this file, stamped with a fresh nonce for each reply.

use std::sync::LazyLock;

use rand::Rng;

const SCRIPTS: &[&str] = &[
    include_str!("page/words.js"),
    include_str!("page/split.js"),
    include_str!("page/sgr.js"),
    include_str!("page/json.js"),
    include_str!("page/log.js"),
    include_str!("page/picture.js"),
    include_str!("page/show.js"),
    include_str!("page/feed.js"),
    include_str!("page/link.js"),
    include_str!("page/page.js"),
];

/// The scripts are modules for their tests and one script in the page: imports and exports stand on lines of their own.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    let lines = SCRIPTS.iter().flat_map(|script| script.lines());
    let script: Vec<&str> = lines.filter(|line| !line.starts_with("import ") && !line.starts_with("export ")).collect();
    include_str!("page/page.html").replace("{{css}}", include_str!("page/page.css")).replace("{{js}}", &script.join("\n"))
});

/// The page and the policy that goes with it: its own script runs, nothing else does, nothing is loaded from elsewhere.
pub(super) fn page() -> (String, String) {
    let nonce = format!("{:032x}", rand::rng().random::<u128>());
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src 'self' blob: data:; \
         media-src blob: data:; connect-src 'self'; frame-src blob: data:; object-src blob:; base-uri 'none'; form-action 'none'"
    );
    (PAGE.replace("{{nonce}}", &nonce), policy)
}
