//! The answer to the question whether a body is complete. It knows no format.

/// Whether a body is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// The end mark or the length of the format is certain proof that nothing is missing.
    Complete,
    /// The format has no end mark, and any beginning of it can be shown: plain text, CSV, Markdown.
    Readable,
    /// The bytes cannot prove that nothing is missing: binary formats without an end mark.
    Unknown,
    /// Something is missing, or the start does not match the type.
    Truncated,
}
