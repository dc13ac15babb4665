//! Why a file is not shown, or later than it could be.

use super::{
    kind::{FeedReader, FindingKind, Severity},
    of_kinds,
};

of_kinds! {
    MISSING: "file-missing", Breaks, [],
        "There is no such file", "Check the path; mxr watch waits for the file. A URL begins with http:// or https://.";
    NOT_PERMITTED: "not-permitted", Breaks, [],
        "It cannot be read", "Let this user read it: chmod, and x on every directory on the way.";
    SPECIAL_FILE: "special-file", Breaks, [],
        "It is no regular file", "Read a pipe with mxr stdin.";
    NO_FILES: "no-files", Breaks, [],
        "The directory has no file that would be shown", "Names that begin with a dot and copies of editors are left out.";
    EMPTY: "file-empty", Breaks, [],
        "The file is empty", "Look at the program that writes it.";
    RECORDING: "file-recording", Note, [],
        "It is a recording of feeds, of which mxr watch would push the bytes", "Play it with mxr serve FILE.";
    TORN: "file-torn", Breaks, [Chromium],
        "The file is not whole", "Look at the program that writes it.";
    FILE_UNLIKE: "file-not-its-type", Breaks, [Chromium],
        "The file is not what its name says", "Give it the ending of what it is.";
    FILE_TOO_LARGE: "file-too-large", Breaks, [],
        "The file is larger than 64 MiB", "Raise --max-part; show a log with --tail.";
    WRITER: "writer-open", Note, [],
        "A writer has it open, and it is shown when it is closed or its end is there", "Write a new file and rename it into place.";
    SILENT_FILE_SYSTEM: "silent-file-system", Note, [],
        "The file system does not tell of every change, so mxr looks every 300 ms", "Run mxr where the file is written.";
    NO_EVENTS: "no-events", Degrades, [],
        "This user has no inotify watches or instances left, so changes show after up to a second",
        "Raise fs.inotify.max_user_watches.";
}
