//! The emulated screen: what a program draws on a terminal, as a part. `Screen` is the terminal, `ScreenFeed` pushes what stands on
//! it at a pace. The emulator is the crate alacritty_terminal (docs/terminal.md says why). This module does not know where the bytes
//! come from, nor who takes the answers.

mod document;
mod emulator;
mod pace;
mod sequences;

pub use self::emulator::{LineFeeds, Screen, ScreenSize, TERM};
pub(super) use self::pace::ScreenFeed;
