//! What a feed can have in its parts and in their times.

use super::{
    kind::{FeedReader, FindingKind, Severity},
    of_kinds,
};

of_kinds! {
    NO_PART: "no-part", Breaks, [],
        "Not one whole part has come", "Look at the server's log; its source may have no picture.";
    DELIMITER_IN_BODY: "delimiter-in-body", Breaks, [Chromium, Firefox, Ffmpeg, Strict],
        "The delimiter stands inside a part", "Draw it at random, and check each part for it.";
    TORN_PART: "torn-part", Breaks, [Chromium],
        "A picture or document is torn", "Send what is whole; mxr watch waits until a file is.";
    NOT_ITS_TYPE: "not-its-type", Breaks, [Chromium],
        "A part is not what its type says", "Send the type of what is in it, and no error page as a picture.";
    MIXED_FAMILIES: "mixed-families", Breaks, [Chromium, Ffmpeg, Vlc],
        "An <img> is sent pictures of several families, or other parts among them",
        "Make a feed of each kind; mxr sends an <img> one kind.";
    DELIMITER_LATE: "delimiter-late", Degrades, [Chromium, Firefox, WebKit],
        "The delimiter comes with the next part, so browsers are one picture behind",
        "Send the delimiter in the same write as the part.";
    STALLS: "stalls", Degrades, [],
        "The feed stands still now and then", "Look at the network, and at what the source waits for.";
    SILENT: "silent", Breaks, [HomeAssistant],
        "No byte comes for long, and some readers give up after 10 s", "Repeat the newest part every 5 s.";
    BURSTS: "bursts", Degrades, [],
        "Parts come in bursts, as through a proxy that buffers",
        "Turn its buffering off: X-Accel-Buffering: no, proxy_buffering off.";
    SLOW_START: "slow-start", Degrades, [OctoPrint],
        "The first part takes longer than 5 s", "Keep the source running, and send the newest part at once.";
    OLD_PARTS: "old-parts", Degrades, [],
        "Parts are old when they come, by their X-Timestamp", "Send the newest part and drop the ones before it.";
    CLOCK: "clock-differs", Note, [],
        "The server's clock differs from the one here", "Set both by NTP.";
    TIMESTAMP_NO_TIME: "timestamp-no-time", Note, [],
        "X-Timestamp is no time of day but, it seems, an uptime", "Send seconds since 1970.";
    REPEATS: "repeats", Note, [],
        "Most parts are the same as the one before", "Send a part when it has changed, and every 5 s.";
    TOO_LARGE: "part-too-large", Breaks, [],
        "A part or its headers are larger than mxr takes (64 MiB, 16 KiB)", "Make it smaller.";
    BROKE_OFF: "broke-off", Breaks, [Chromium, WebKit],
        "The connection breaks off", "Look at the server's log and at proxies on the way.";
    NO_SNAPSHOT: "no-snapshot", Note, [],
        "No known URL of a still picture answers", "Programs such as OctoPrint need one; mxr relay serves /snapshot.";
    SLOW_SNAPSHOT: "slow-snapshot", Degrades, [OctoPrint],
        "The still picture takes longer than 5 s", "Keep the newest picture ready.";
}
