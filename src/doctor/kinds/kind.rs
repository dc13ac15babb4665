//! What a kind of finding is: how bad, what it breaks, and what to do. It names none.

use serde::{Serialize, Serializer};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A reader fails, or nothing is shown.
    Breaks,
    /// It works, and worse than it could.
    Degrades,
    /// Something to know.
    Note,
}

impl Severity {
    /// The word for it, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Breaks => "breaks",
            Self::Degrades => "degrades",
            Self::Note => "note",
        }
    }
}

/// A program that reads feeds (docs/field.md, Players and readers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeedReader {
    /// Chromium.
    Chromium,
    /// Firefox.
    Firefox,
    /// WebKit, of which Safari is one.
    WebKit,
    /// At least one of the three; which one depends.
    SomeBrowser,
    /// ffmpeg, and OpenCV, which reads by it.
    Ffmpeg,
    /// GStreamer.
    Gstreamer,
    /// VLC.
    Vlc,
    /// Home Assistant.
    HomeAssistant,
    /// OctoPrint.
    OctoPrint,
    /// Mainsail and Fluidd.
    Mainsail,
    /// go2rtc, and Frigate with it.
    Go2rtc,
    /// motionEye.
    MotionEye,
    /// Clients on Android and Roku.
    Clients,
    /// Go's mime/multipart.
    Go,
    /// aiohttp.
    Aiohttp,
    /// Python's email.
    PythonEmail,
    /// dicer, and busboy with it.
    Dicer,
    /// multer.
    Multer,
    /// python-multipart.
    PythonMultipart,
    /// requests-toolbelt.
    RequestsToolbelt,
    /// Whatever keeps to RFC 2046 and RFC 9112.
    Strict,
}

impl FeedReader {
    /// All of them, in the order in which a report names them.
    pub const ALL: [Self; 21] = [
        Self::Chromium,
        Self::Firefox,
        Self::WebKit,
        Self::SomeBrowser,
        Self::Ffmpeg,
        Self::Gstreamer,
        Self::Vlc,
        Self::HomeAssistant,
        Self::OctoPrint,
        Self::Mainsail,
        Self::Go2rtc,
        Self::MotionEye,
        Self::Clients,
        Self::Go,
        Self::Aiohttp,
        Self::PythonEmail,
        Self::Dicer,
        Self::Multer,
        Self::PythonMultipart,
        Self::RequestsToolbelt,
        Self::Strict,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chromium => "Chromium",
            Self::Firefox => "Firefox",
            Self::WebKit => "WebKit",
            Self::SomeBrowser => "at least one browser",
            Self::Ffmpeg => "ffmpeg, OpenCV",
            Self::Gstreamer => "GStreamer",
            Self::Vlc => "VLC",
            Self::HomeAssistant => "Home Assistant",
            Self::OctoPrint => "OctoPrint",
            Self::Mainsail => "Mainsail",
            Self::Go2rtc => "go2rtc",
            Self::MotionEye => "motionEye",
            Self::Clients => "Android and Roku clients",
            Self::Go => "Go mime/multipart",
            Self::Aiohttp => "aiohttp",
            Self::PythonEmail => "Python email",
            Self::Dicer => "dicer",
            Self::Multer => "multer",
            Self::PythonMultipart => "python-multipart",
            Self::RequestsToolbelt => "requests-toolbelt",
            Self::Strict => "strict readers",
        }
    }
}

impl Serialize for FeedReader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A kind of finding.
#[derive(Debug)]
pub struct FindingKind {
    /// Its name, which stays the same from version to version.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The readers that are known not to take it.
    pub readers: &'static [FeedReader],
    /// What it is, in one sentence.
    pub what: &'static str,
    /// What to do about it.
    pub cure: &'static str,
}
