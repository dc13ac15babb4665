//! The reasons why a feed refuses a part. It does not know how they are found.

/// Why a part was refused. The feed is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// An empty body breaks readers (docs/field.md, Players and readers).
    Empty,
    /// Larger than the limit.
    TooLarge,
    /// It contains the boundary, and its format is not text, in which that could be broken up.
    HasBoundary,
    /// Its bytes equal those of the previous part.
    Same,
    /// There is no memory for its copy.
    NoMemory,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::TooLarge => "it is larger than --max-part",
            Self::HasBoundary => "it contains the boundary",
            Self::Same => "it is the same as the one before",
            Self::NoMemory => "there is not enough memory for it",
        })
    }
}
