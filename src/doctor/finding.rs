//! What was found: of a kind, with what was seen in particular. It looks at nothing.

use serde::{Serialize, Serializer};

use super::kinds::{FeedReader, FindingKind, Severity};

/// Something that was found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: &'static FindingKind,
    /// What was seen, in one sentence.
    pub sentence: String,
    /// What to do about it.
    pub cure: String,
}

impl Finding {
    /// Of this kind, with what was seen in particular.
    pub(super) fn of(kind: &'static FindingKind, seen: impl std::fmt::Display) -> Self {
        let seen = seen.to_string();
        let what = kind.what.trim_end_matches('.');
        let sentence = if seen.is_empty() { format!("{what}.") } else { format!("{what} ({seen}).") };
        Self { kind, sentence, cure: kind.cure.to_owned() }
    }

    /// With another cure, if there is one.
    pub(super) fn cured_by(self, cure: Option<&str>) -> Self {
        Self { cure: cure.map_or(self.cure, str::to_owned), ..self }
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            name: &'a str,
            severity: Severity,
            sentence: &'a str,
            cure: &'a str,
            readers: &'a [FeedReader],
        }
        let Self { kind, sentence, cure } = self;
        Shown { name: kind.name, severity: kind.severity, sentence, cure, readers: kind.readers }.serialize(serializer)
    }
}
