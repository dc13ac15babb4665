//! What a stream does that a strict reader need not take. The decoder marks what it forgives, part by part; what readers make of it
//! is in `doctor`.

/// Something that the decoder forgives, and others may not (docs/field.md, Players and readers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Oddity {
    /// `Content-Type` of the response has no `boundary=`.
    BoundaryMissing,
    /// The boundary stands in single quotes, in half of the double ones, or without those that its characters need.
    BoundaryQuoting,
    /// The parameter is not spelt `boundary`, in small letters.
    BoundaryCapitals,
    /// Another parameter comes before it.
    BoundaryNotFirst,
    /// The delimiters have another boundary.
    BoundaryWrong,
    /// A line end comes before the first delimiter.
    LeadingLineEnd,
    /// Other bytes come before the first delimiter.
    Preamble,
    /// The first part begins without a delimiter.
    NoFirstDelimiter,
    /// The boundary of the header already has the dashes of the delimiter.
    DashesInBoundary,
    /// A delimiter has fewer than two dashes.
    DashesMissing,
    /// A delimiter has more dashes than two and those of the boundary.
    DashesExtra,
    /// Spaces or tabs follow the boundary on its line.
    SpacesAfterDelimiter,
    /// The first header stands on the line of the delimiter.
    HeaderOnDelimiterLine,
    /// A delimiter comes twice.
    DelimiterTwice,
    /// A close-delimiter comes before a part.
    PartAfterClose,
    /// Lines end in LF alone.
    LfLineEnds,
    /// The head of an HTTP response stands in the body.
    ResponseInBody,
    /// A blank line comes before the headers.
    BlankLineBeforeHeaders,
    /// No blank line comes before the body.
    NoBlankLine,
    /// More than one blank line comes before the body.
    BlankLineBeforeBody,
    /// A header line is folded, has no colon, or a space before it.
    HeaderMalformed,
    /// A part has no `Content-Type`.
    NoType,
    /// `Content-Type` is none.
    TypeUnreadable,
    /// The type is not spelt as readers want it: `image/jpg`.
    TypeAlias,
    /// The type of a picture has parameters.
    TypeParameters,
    /// A part has no `Content-Length`.
    NoLength,
    /// `Content-Length` is no number.
    LengthUnreadable,
    /// `Content-Length` comes twice.
    LengthTwice,
    /// `Content-Length` is more than the part has.
    LengthTooLong,
    /// `Content-Length` is less than the part has.
    LengthTooShort,
    /// `Content-Length` counts bytes behind the end of the picture.
    PaddingCounted,
    /// Bytes that no `Content-Length` counts follow the picture.
    PaddingUncounted,
    /// A part is empty.
    EmptyPart,
    /// No line end comes before a delimiter, or `Content-Length` counts it.
    NoLineEnd,
    /// More than one line end comes before a delimiter.
    ExtraLineEnds,
    /// The stream ends in the middle of a part.
    PartCutOff,
    /// The stream ends without a close-delimiter.
    NoCloseDelimiter,
}

impl Oddity {
    /// All of them, in the order of a stream.
    pub const ALL: [Self; 37] = [
        Self::BoundaryMissing,
        Self::BoundaryQuoting,
        Self::BoundaryCapitals,
        Self::BoundaryNotFirst,
        Self::BoundaryWrong,
        Self::LeadingLineEnd,
        Self::Preamble,
        Self::NoFirstDelimiter,
        Self::DashesInBoundary,
        Self::DashesMissing,
        Self::DashesExtra,
        Self::SpacesAfterDelimiter,
        Self::HeaderOnDelimiterLine,
        Self::DelimiterTwice,
        Self::PartAfterClose,
        Self::LfLineEnds,
        Self::ResponseInBody,
        Self::BlankLineBeforeHeaders,
        Self::NoBlankLine,
        Self::BlankLineBeforeBody,
        Self::HeaderMalformed,
        Self::NoType,
        Self::TypeUnreadable,
        Self::TypeAlias,
        Self::TypeParameters,
        Self::NoLength,
        Self::LengthUnreadable,
        Self::LengthTwice,
        Self::LengthTooLong,
        Self::LengthTooShort,
        Self::PaddingCounted,
        Self::PaddingUncounted,
        Self::EmptyPart,
        Self::NoLineEnd,
        Self::ExtraLineEnds,
        Self::PartCutOff,
        Self::NoCloseDelimiter,
    ];
}

/// How many parts, or places between them, had each oddity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oddities([u64; Oddity::ALL.len()]);

impl Oddities {
    /// Those that were seen, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Oddity, u64)> {
        Oddity::ALL.into_iter().map(|oddity| (oddity, self.0[oddity as usize])).filter(|(_, count)| *count > 0)
    }

    pub(super) fn count(&mut self, marks: Marks) {
        // A clean stream has none, part after part.
        if marks != Marks::default() {
            Oddity::ALL.into_iter().filter(|oddity| marks.has(*oddity)).for_each(|oddity| self.0[oddity as usize] += 1);
        }
    }
}

impl Default for Oddities {
    fn default() -> Self {
        Self([0; Oddity::ALL.len()])
    }
}

/// The oddities of one part, each of which counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marks(u64);

impl Marks {
    /// What headers and a body have: an empty part is nothing but empty.
    const OF_PART: [Oddity; 12] = [
        Oddity::BlankLineBeforeHeaders,
        Oddity::NoBlankLine,
        Oddity::BlankLineBeforeBody,
        Oddity::NoType,
        Oddity::TypeUnreadable,
        Oddity::TypeAlias,
        Oddity::TypeParameters,
        Oddity::NoLength,
        Oddity::LengthUnreadable,
        Oddity::LengthTwice,
        Oddity::LengthTooLong,
        Oddity::LengthTooShort,
    ];

    pub(super) fn add(&mut self, oddity: Oddity) {
        self.0 |= 1 << oddity as u8;
    }

    pub(super) fn add_if(&mut self, is_so: bool, oddity: Oddity) {
        self.0 |= u64::from(is_so) << oddity as u8;
    }

    pub(super) fn has(self, oddity: Oddity) -> bool {
        self.0 >> oddity as u8 & 1 == 1
    }

    pub(super) fn without_part(self) -> Self {
        Self(Self::OF_PART.iter().fold(self.0, |marks, oddity| marks & !(1 << *oddity as u8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_oddity_has_a_count_of_its_own() {
        for (at, oddity) in Oddity::ALL.into_iter().enumerate() {
            let (mut oddities, mut marks) = (Oddities::default(), Marks::default());
            assert_eq!(oddity as usize, at);
            marks.add(oddity);
            oddities.count(marks);
            assert_eq!(oddities.iter().collect::<Vec<_>>(), [(oddity, 1)]);
        }
    }
}
