//! The words of `--split`, which shells complete. Any other text is a separator, so nothing is refused here.

use std::ffi::OsStr;

use clap::{
    Arg, Command, Error,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};

/// Each word, and where a part ends by it.
const WORDS: [(&str, &str); 7] = [
    ("auto", "by the first bytes"),
    ("lines", "at line ends"),
    ("nul", "at NUL, as of find -print0"),
    ("blank", "at empty lines"),
    ("jpeg", "at the end of a JPEG"),
    ("png", "at the end of a PNG"),
    ("multipart", "at the delimiters of a multipart stream"),
];

/// Accepts any text, and knows the words.
#[derive(Debug, Clone)]
pub(super) struct SplitWords;

impl TypedValueParser for SplitWords {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(WORDS.iter().map(|(word, help)| PossibleValue::new(*word).help(*help))))
    }
}
