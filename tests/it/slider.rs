//! The way back in time on the viewer page, in a real Chromium and a real Firefox: a slider, keys and a clock time lead to the part
//! of that moment in all tiles, read back from pixels and visible text.

use serde_json::{Value, json};

use crate::support::{
    BLUE, Browser, Colour, Folder, GREEN, Kind, Mxr, PALETTE, RED, SOON, Server, look_for, mxr, near, png, wait_until,
};

const LEFT: &str = "\u{e012}";
const RIGHT: &str = "\u{e014}";
const UP: &str = "\u{e013}";
const HOME: &str = "\u{e011}";
const END: &str = "\u{e010}";
const ESCAPE: &str = "\u{e00c}";
const ENTER: &str = "\u{e007}";
const SHIFT: &str = "\u{e008}";
