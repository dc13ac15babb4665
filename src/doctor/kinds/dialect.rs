//! What the decoder forgives, and which readers do not.

use super::{
    kind::{FeedReader, FindingKind, Severity},
    of_kinds,
};
use crate::wire::Oddity;

of_kinds! {
    BOUNDARY_MISSING: "boundary-missing", Breaks, [Strict],
        "The Content-Type of the response has no boundary", "Write boundary=TOKEN there, with the token of the delimiters.";
    BOUNDARY_QUOTING: "boundary-quoting", Breaks, [SomeBrowser],
        "The boundary in Content-Type is quoted wrongly", "Use letters, digits and '-' alone, without quotes.";
    BOUNDARY_CAPITALS: "boundary-capitals", Breaks, [SomeBrowser],
        "The parameter of Content-Type is not spelt boundary", "Write boundary= in small letters.";
    BOUNDARY_NOT_FIRST: "boundary-not-first", Breaks, [SomeBrowser],
        "Another parameter of Content-Type comes before the boundary", "Write boundary= as the first parameter, or the only one.";
    BOUNDARY_WRONG: "boundary-wrong", Breaks, [Strict],
        "The delimiters are others than the boundary in Content-Type says", "Write the token of the delimiters there.";
    LEADING_LINE_END: "leading-line-end", Note, [],
        "A line end comes before the first delimiter", "Begin the body with the delimiter.";
    PREAMBLE: "preamble", Breaks, [Ffmpeg, Gstreamer, Vlc, RequestsToolbelt, PythonMultipart],
        "Other bytes come before the first delimiter", "Begin the body with the delimiter.";
    NO_FIRST_DELIMITER: "no-first-delimiter", Breaks, [Ffmpeg, Gstreamer, Vlc, RequestsToolbelt, PythonMultipart],
        "The first part has no delimiter before it", "Send the delimiter before each part, not behind it.";
    DASHES_IN_BOUNDARY: "dashes-in-boundary", Breaks, [Vlc, Go, Aiohttp, PythonEmail, Dicer, Multer],
        "The boundary in Content-Type has the two dashes that belong to the delimiter alone",
        "Write boundary=B for delimiters that read --B.";
    DASHES_MISSING: "dashes-missing", Breaks, [SomeBrowser, Go2rtc, Strict],
        "The delimiter does not begin with two dashes", "Write --B for boundary=B.";
    DASHES_EXTRA: "dashes-extra", Breaks, [Strict],
        "The delimiter has more dashes than two and those of the boundary", "Write --B for boundary=B.";
    SPACES_AFTER_DELIMITER: "spaces-after-delimiter", Breaks, [Firefox, Gstreamer, Dicer, PythonMultipart],
        "Spaces or tabs follow the boundary on the line of the delimiter", "End the line right behind the boundary.";
    HEADER_ON_DELIMITER_LINE: "header-on-delimiter-line", Breaks, [Strict],
        "The first header stands on the line of the delimiter", "Send CRLF behind the delimiter.";
    DELIMITER_TWICE: "delimiter-twice", Breaks, [Chromium, Ffmpeg, Gstreamer],
        "The delimiter comes twice, which makes an empty part", "Send it once before each part.";
    PART_AFTER_CLOSE: "part-after-close", Breaks, [Strict],
        "A part follows the close-delimiter, which ends the stream", "Send --B before each part, and --B-- at the end alone.";
    LF_LINE_ENDS: "lf-line-ends", Breaks, [Go2rtc],
        "Lines end in LF alone", "End delimiters and headers with CRLF.";
    RESPONSE_IN_BODY: "response-in-body", Breaks, [Strict],
        "The head of an HTTP response stands in the body",
        "Send the status line once; a part has Content-Type and Content-Length alone.";
    BLANK_LINE_BEFORE_HEADERS: "blank-line-before-headers", Breaks, [Strict],
        "A blank line comes between the delimiter and the headers", "Send the headers right behind the delimiter's line.";
    NO_BLANK_LINE: "no-blank-line", Breaks, [Strict],
        "No blank line comes before the body of a part", "Send a blank line behind the headers, and also where there are none.";
    BLANK_LINE_BEFORE_BODY: "blank-line-before-body", Breaks, [Chromium],
        "More than one blank line comes before the picture", "Send one blank line behind the headers.";
    HEADER_MALFORMED: "header-malformed", Breaks, [Strict],
        "A header of a part is folded, has no colon, or a space before it", "Write each header as Name: value on one line.";
    NO_TYPE: "no-type", Breaks, [Ffmpeg, Gstreamer, Vlc, Multer],
        "A part has no Content-Type", "Send Content-Type: image/jpeg with each part.";
    TYPE_UNREADABLE: "type-unreadable", Breaks, [Ffmpeg, Gstreamer, Vlc],
        "The Content-Type of a part is no type", "Send one such as image/jpeg with each part.";
    TYPE_ALIAS: "type-alias", Breaks, [Ffmpeg, Vlc],
        "The type is not spelt as it is registered, as image/jpg is not", "Write image/jpeg.";
    TYPE_PARAMETERS: "type-parameters", Breaks, [Ffmpeg],
        "The type of a picture has parameters", "Write image/jpeg and nothing behind it.";
    NO_LENGTH: "no-length", Breaks, [Ffmpeg, Mainsail, Go2rtc, Clients],
        "A part has no Content-Length; ffmpeg loses some frames then", "Send Content-Length with each part.";
    LENGTH_UNREADABLE: "length-unreadable", Breaks, [WebKit, Mainsail, Go2rtc, Clients],
        "The Content-Length of a part is no number", "Send the number of bytes in decimal digits.";
    LENGTH_TWICE: "length-twice", Breaks, [Clients],
        "A part has Content-Length twice", "Send it once.";
    LENGTH_TOO_LONG: "length-too-long", Breaks, [Ffmpeg, Gstreamer, Mainsail, Go2rtc, Aiohttp],
        "Content-Length is more than the part has", "Send the exact number of bytes, without the line end behind them.";
    LENGTH_TOO_SHORT: "length-too-short", Breaks, [Ffmpeg, Gstreamer, Mainsail, Go2rtc, Aiohttp],
        "Content-Length is less than the part has", "Send the exact number of bytes.";
    PADDING_COUNTED: "padding-counted", Note, [],
        "Content-Length counts bytes behind the end of the picture", "Send the picture alone.";
    PADDING_UNCOUNTED: "padding-uncounted", Note, [],
        "Bytes that belong to nothing follow the picture", "Send the picture alone, and its Content-Length.";
    EMPTY_PART: "empty-part", Breaks, [Chromium, Ffmpeg, Gstreamer],
        "A part is empty", "Leave it out.";
    NO_LINE_END: "no-line-end", Breaks, [Strict],
        "No line end comes before the delimiter, or Content-Length counts it", "Send CRLF behind each body, and do not count it.";
    EXTRA_LINE_ENDS: "extra-line-ends", Breaks, [Aiohttp, Go, PythonEmail, Dicer, Multer],
        "More than one line end comes before the delimiter", "Send one CRLF behind each body.";
    PART_CUT_OFF: "part-cut-off", Breaks, [Chromium, WebKit],
        "The stream ends in the middle of a part", "End with a whole part and the close-delimiter --B--.";
    NO_CLOSE_DELIMITER: "no-close-delimiter", Breaks, [Aiohttp, Dicer, Multer],
        "The stream ends without a close-delimiter", "Send CRLF and --B-- at the end.";
}

/// The kind of finding that an oddity is.
pub(in crate::doctor) fn of_oddity(oddity: Oddity) -> &'static FindingKind {
    match oddity {
        Oddity::BoundaryMissing => &BOUNDARY_MISSING,
        Oddity::BoundaryQuoting => &BOUNDARY_QUOTING,
        Oddity::BoundaryCapitals => &BOUNDARY_CAPITALS,
        Oddity::BoundaryNotFirst => &BOUNDARY_NOT_FIRST,
        Oddity::BoundaryWrong => &BOUNDARY_WRONG,
        Oddity::LeadingLineEnd => &LEADING_LINE_END,
        Oddity::Preamble => &PREAMBLE,
        Oddity::NoFirstDelimiter => &NO_FIRST_DELIMITER,
        Oddity::DashesInBoundary => &DASHES_IN_BOUNDARY,
        Oddity::DashesMissing => &DASHES_MISSING,
        Oddity::DashesExtra => &DASHES_EXTRA,
        Oddity::SpacesAfterDelimiter => &SPACES_AFTER_DELIMITER,
        Oddity::HeaderOnDelimiterLine => &HEADER_ON_DELIMITER_LINE,
        Oddity::DelimiterTwice => &DELIMITER_TWICE,
        Oddity::PartAfterClose => &PART_AFTER_CLOSE,
        Oddity::LfLineEnds => &LF_LINE_ENDS,
        Oddity::ResponseInBody => &RESPONSE_IN_BODY,
        Oddity::BlankLineBeforeHeaders => &BLANK_LINE_BEFORE_HEADERS,
        Oddity::NoBlankLine => &NO_BLANK_LINE,
        Oddity::BlankLineBeforeBody => &BLANK_LINE_BEFORE_BODY,
        Oddity::HeaderMalformed => &HEADER_MALFORMED,
        Oddity::NoType => &NO_TYPE,
        Oddity::TypeUnreadable => &TYPE_UNREADABLE,
        Oddity::TypeAlias => &TYPE_ALIAS,
        Oddity::TypeParameters => &TYPE_PARAMETERS,
        Oddity::NoLength => &NO_LENGTH,
        Oddity::LengthUnreadable => &LENGTH_UNREADABLE,
        Oddity::LengthTwice => &LENGTH_TWICE,
        Oddity::LengthTooLong => &LENGTH_TOO_LONG,
        Oddity::LengthTooShort => &LENGTH_TOO_SHORT,
        Oddity::PaddingCounted => &PADDING_COUNTED,
        Oddity::PaddingUncounted => &PADDING_UNCOUNTED,
        Oddity::EmptyPart => &EMPTY_PART,
        Oddity::NoLineEnd => &NO_LINE_END,
        Oddity::ExtraLineEnds => &EXTRA_LINE_ENDS,
        Oddity::PartCutOff => &PART_CUT_OFF,
        Oddity::NoCloseDelimiter => &NO_CLOSE_DELIMITER,
    }
}
