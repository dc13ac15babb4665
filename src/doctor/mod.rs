//! `mxr doctor`: says what is wrong with a feed or a file, or that nothing is. It reads as `mxr relay` and `mxr watch` do, by the
//! same code, and judges by one table of what each reader takes (`kinds`). It serves nothing and pushes nothing.

mod facts;
mod finding;
mod head;
mod judgement;
mod kinds;
mod observation;
mod path;
mod report;
mod snapshot;
mod text;
mod url;

use std::{path::PathBuf, time::Duration};

pub use self::{
    finding::Finding,
    kinds::{FeedReader, FindingKind, Severity, kinds},
    report::Report,
    text::text,
};
use crate::client::{ClientSettings, Target};

/// What to look at, and how to say what is found.
#[derive(Debug)]
pub struct DoctorSettings {
    /// A feed or a path.
    pub subject: Subject,
    /// How long a feed is read.
    pub read_for: Duration,
    /// Print JSON.
    pub is_json: bool,
}

/// What to look at.
#[derive(Debug)]
pub enum Subject {
    /// A feed of another machine, and how it is asked for.
    Url(Box<Target>, Box<ClientSettings>),
    /// A file or a directory of this one.
    Path(PathBuf),
}

/// Looks.
pub async fn examine(subject: Subject, read_for: Duration) -> Report {
    match subject {
        Subject::Url(target, settings) => url::look(*target, *settings, read_for).await,
        Subject::Path(path) => path::look(&path),
    }
}
