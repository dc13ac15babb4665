//! The built-in demo of `mxr demo`: fifteen parts, first texts, then a picture, then HTML pages, since a part can have any type. It
//! comes from a 2021 example in Tcl by D. Bohdan (MIT licence). It knows its publisher, not its viewers.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::sleep;

use super::context::{Context, Work};
use crate::{
    error::Result,
    feed::{Prepared, Publisher},
    format::Media,
    part::Part,
};

const PICTURE: &[u8] = include_bytes!("demo.png");
const PICTURE_BASE64: &str = concat!(
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgBAMAAACBVGfHAAAAMFBMVEXy9PH+/xb/ysn/ev8A+vmhk/+XmJYA6wCBgYD/R0UArQA1",
    "ZiodCuEAMQAAAXEFCARuxRLHAAAAg0lEQVR42r3OR1UFURAE0DuFAhz0eQZIGpCAOL4EsDAWMEB2MArI6Z3TK1Z/eztULW/YYXtk",
    "9focAAURYPKEgATQHFQHHYDl6oYdBqm28QpxDADEQQcd5s1/e7zhHCsu9Y29wXL3bBu4xgWSYrSTQ6NMCMQZIBSMX0kJ8CMJYwpR",
    "AMA7X8kSzYsnKHwAAAAASUVORK5CYII=",
);
const TEXT: [&str; 2] = ["Hello,       text       ", "       plain      world!"];
const WORDS: [&str; 6] = ["Hello,", "the", "<i>wonderful</i>", "world", "of", "HTML!"];

/// The demo as a source: each viewer gets its own run.
///
/// # Errors
/// None: the demo needs no input.
pub fn source(context: &Context) -> Result<Work> {
    let script = Arc::<Script>::default();
    context.open_runs("demo", move |publisher| play(script.clone(), publisher));
    Ok(Box::pin(std::future::pending()))
}

/// The parts, which the first run prepares for all; `None` for one that the feed refuses, under a tiny --max-part.
#[derive(Debug, Default)]
pub struct Script(OnceLock<Vec<(Option<Prepared>, Duration)>>);

/// Plays the demo once, no faster than its viewer takes the parts.
pub async fn play(script: Arc<Script>, publisher: Publisher) {
    let prepare = |(media, body, pause)| (publisher.prepare(Part::now(Media::from_known(media), body)).ok(), pause);
    let parts = script.0.get_or_init(|| self::script().map(prepare).collect());
    for (at, (part, pause)) in parts.iter().enumerate() {
        if !publisher.room().await {
            return;
        }
        let is_last = at + 1 == parts.len();
        part.iter().for_each(|part| publisher.publish_prepared(part, is_last));
        if !is_last {
            sleep(*pause).await;
        }
    }
}

/// Types, bodies and the pauses after them.
fn script() -> impl Iterator<Item = (&'static str, Vec<u8>, Duration)> {
    let text = (0..6).map(|n| ("text/plain", TEXT[n % 2].as_bytes().to_vec(), Duration::from_millis(500)));
    let picture = ("image/png", PICTURE.to_vec(), Duration::from_millis(1000));
    let html = |words: usize, tail: &str| {
        let body = format!("<!doctype html><h1>{}</h1>{tail}", WORDS[..words].join(" "));
        ("text/html", body.into_bytes(), Duration::from_millis(300))
    };
    let last = html(6, &format!("<img src=\"data:image/png;base64,{PICTURE_BASE64}\">"));
    text.chain([picture]).chain((0..=6).map(move |words| html(words, ""))).chain([last])
}
