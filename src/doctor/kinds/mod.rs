//! Every kind of finding, with the readers that do not take it: docs/field.md as a table. It looks at nothing.

mod dialect;
mod file;
mod kind;
mod response;
mod stream;

pub use self::kind::{FeedReader, FindingKind, Severity};
pub(super) use self::{dialect::*, file::*, response::*, stream::*};

/// All kinds, in the order of docs/doctor.md.
pub fn kinds() -> impl Iterator<Item = &'static FindingKind> {
    [response::ALL, dialect::ALL, stream::ALL, file::ALL].into_iter().flatten().copied()
}

/// Kinds of findings: a constant each, and a list of all.
macro_rules! of_kinds {
    ($($constant:ident: $name:literal, $severity:ident, [$($reader:ident),*], $what:literal, $cure:literal;)*) => {
        $(pub(in crate::doctor) static $constant: FindingKind = FindingKind {
            name: $name,
            severity: Severity::$severity,
            readers: &[$(FeedReader::$reader),*],
            what: $what,
            cure: $cure,
        };)*
        pub(super) static ALL: &[&FindingKind] = &[$(&$constant),*];
    };
}
use of_kinds;
