//! The report, which is JSON of a stated schema (docs/doctor.md), and its exit code. It looks at nothing.

use serde::Serialize;

use super::{
    facts::Facts,
    finding::Finding,
    kinds::{FeedReader, Severity},
};
use crate::error::{Error, ExitCode};

/// The version of the JSON: it grows when a field goes or changes its meaning, not when one is added.
const SCHEMA: u32 = 1;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of this form.
    pub schema: u32,
    /// The version of mxr.
    pub mxr: &'static str,
    /// What was looked at, without secrets.
    pub subject: String,
    /// Whether it could be looked at.
    pub looked: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What was measured.
    pub facts: Facts,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// What each reader makes of it.
    pub readers: Vec<ReaderView>,
}

/// Why something could not be looked at.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// What could not be done, and why.
    pub sentence: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What a reader makes of it.
#[derive(Debug, Serialize)]
pub struct ReaderView {
    /// The reader.
    pub name: FeedReader,
    /// Whether nothing is known that keeps it from reading.
    pub reads: bool,
    /// The names of the findings that it does not take, and what it does not read at all.
    pub problems: Vec<String>,
}

impl Report {
    /// Of something that was looked at.
    pub(super) fn new(subject: String, facts: Facts, mut findings: Vec<Finding>, limits: Vec<(FeedReader, String)>) -> Self {
        findings.sort_by_key(|finding| finding.kind.severity);
        let readers = if facts.feed.as_ref().is_some_and(|feed| feed.parts > 0) { views(&findings, &limits) } else { Vec::new() };
        Self { schema: SCHEMA, mxr: env!("CARGO_PKG_VERSION"), subject, looked: true, error: None, facts, findings, readers }
    }

    /// Of something that could not be looked at.
    pub(super) fn not_looked(subject: String, error: &Error) -> Self {
        let failure = Failure { sentence: format!("cannot {}", error.sentence()), hint: error.advice().map(str::to_owned) };
        Self { looked: false, error: Some(failure), ..Self::new(subject, Facts::default(), Vec::new(), Vec::new()) }
    }

    /// The exit code that says the same.
    pub fn code(&self) -> ExitCode {
        match self.findings.first().map(|finding| finding.kind.severity) {
            _ if !self.looked => ExitCode::NotLooked,
            Some(Severity::Breaks) => ExitCode::Failure,
            _ => ExitCode::Clean,
        }
    }

    /// As JSON, with a line end.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

fn views(findings: &[Finding], limits: &[(FeedReader, String)]) -> Vec<ReaderView> {
    let view = |name| {
        let names = findings.iter().filter(|one| one.kind.readers.contains(&name)).map(|one| one.kind.name.to_owned());
        let limits = limits.iter().filter(|(reader, _)| *reader == name).map(|(_, why)| why.clone());
        let problems: Vec<String> = names.chain(limits).collect();
        let is_bad = |one: &&Finding| one.kind.severity == Severity::Breaks && one.kind.readers.contains(&name);
        let reads = findings.iter().find(is_bad).is_none() && !limits_reader(findings, &problems);
        ReaderView { name, reads, problems }
    };
    FeedReader::ALL.map(view).into()
}

/// Whether a problem is more than a finding.
fn limits_reader(findings: &[Finding], problems: &[String]) -> bool {
    problems.iter().any(|problem| findings.iter().all(|one| one.kind.name != problem))
}
