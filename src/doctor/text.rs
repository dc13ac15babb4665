//! The report as text: 80 columns, no colours, so that it can be pasted into an issue. It knows no more than the report.

use std::fmt::Write;

use super::{
    facts::{FeedFacts, FileFacts, ResponseFacts, SnapshotFacts},
    finding::Finding,
    kinds::Severity,
    report::Report,
};
use crate::escape::Escaped;

const WIDTH: usize = 80;
/// The column in which texts begin.
const INDENT: usize = 12;

/// The report as text of at most 80 columns.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    block(&mut text, "", &format!("mxr {} doctor {}", report.mxr, Escaped(&report.subject)), 0);
    if let Some(error) = &report.error {
        text.push('\n');
        block(&mut text, "", &format!("{}.", Escaped(&error.sentence)), 0);
        error.hint.iter().for_each(|hint| block(&mut text, "hint", &Escaped(hint).to_string(), INDENT));
        return text;
    }
    let facts = facts(report);
    text.push_str(if facts.is_empty() { "" } else { "\n" });
    facts.iter().for_each(|(name, value)| block(&mut text, name, value, INDENT));
    for finding in &report.findings {
        text.push('\n');
        show(&mut text, finding);
    }
    let hindered = report.readers.iter().filter(|view| !view.problems.is_empty());
    let lines: Vec<String> = hindered.map(|view| format!("{}: {}", view.name.name(), view.problems.join(", "))).collect();
    if !report.readers.is_empty() {
        text.push('\n');
        let all = if lines.is_empty() { "nothing is known that keeps any of them from reading this feed" } else { "" };
        block(&mut text, "readers", lines.first().map_or(all, String::as_str), INDENT);
        lines.iter().skip(1).for_each(|line| block(&mut text, "", line, INDENT));
    }
    text.push('\n');
    let _ = writeln!(text, "{}", summary(&report.findings));
    text
}

fn show(text: &mut String, finding: &Finding) {
    let Finding { kind, sentence, cure } = finding;
    block(text, kind.severity.name(), kind.name, INDENT);
    block(text, "", &Escaped(sentence).to_string(), INDENT);
    if !kind.readers.is_empty() {
        let names: Vec<&str> = kind.readers.iter().map(|reader| reader.name()).collect();
        block(text, "", &format!("Readers: {}.", names.join("; ")), INDENT);
    }
    block(text, "", &format!("Cure: {}", Escaped(cure)), INDENT);
}

fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.kind.severity == severity).count();
    let (breaks, degrades, notes) = (count(Severity::Breaks), count(Severity::Degrades), count(Severity::Note));
    match findings.len() {
        0 => "Nothing found.".to_owned(),
        1 => format!("1 finding, which {}.", if breaks == 1 { "breaks readers" } else { "breaks no reader" }),
        all => format!("{all} findings: breaks {breaks}, degrades {degrades}, note {notes}."),
    }
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let facts = &report.facts;
    let mut lines = Vec::new();
    facts.response.iter().for_each(|response| of_response(&mut lines, response));
    facts.feed.iter().for_each(|feed| of_feed(&mut lines, feed));
    facts.snapshot.iter().for_each(|snapshot| lines.push(("snapshot", of_snapshot(snapshot))));
    facts.file.iter().for_each(|file| of_file(&mut lines, file));
    lines
}

fn of_response(lines: &mut Vec<(&'static str, String)>, response: &ResponseFacts) {
    let media = response.content_type.as_deref().unwrap_or("no Content-Type");
    lines.push(("response", format!("{} {}, {}", response.version, response.status, Escaped(media))));
    lines.extend(response.server.iter().map(|server| ("server", Escaped(server).to_string())));
    lines.extend(response.tls.iter().map(|tls| ("TLS", tls.clone())));
    lines.extend(response.password.map(|scheme| ("password", format!("sent as {scheme}"))));
    lines.extend(response.redirects.iter().map(|from| ("redirect", format!("from {}", Escaped(from)))));
}

fn of_feed(lines: &mut Vec<(&'static str, String)>, feed: &FeedFacts) {
    let repeats = if feed.repeats == 0 { String::new() } else { format!(", {} of them repeats", feed.repeats) };
    let rate = if feed.parts > 1 { format!(", {:.1} a second", feed.parts_per_second) } else { String::new() };
    lines.push(("parts", format!("{} in {:.1} s{rate}{repeats}", feed.parts, feed.seconds)));
    let named = |(name, count): (&String, &u64)| match name.as_str() {
        "" => format!("without a type ({count})"),
        name => format!("{} ({count})", Escaped(name)),
    };
    let types: Vec<String> = feed.types.iter().map(named).collect();
    lines.extend((!types.is_empty()).then(|| ("types", types.join(", "))));
    let sizes =
        |sizes: &super::facts::Sizes| format!("{} to {}, median {}", bytes(sizes.least), bytes(sizes.most), bytes(sizes.median));
    lines.extend(feed.size_bytes.as_ref().map(|found| ("sizes", sizes(found))));
    if let (Some(byte), Some(part)) = (feed.first_byte_seconds, feed.first_part_seconds) {
        lines.push(("first", format!("byte after {}, part after {}", time(byte), time(part))));
    }
    let gaps =
        |gaps: &super::facts::Gaps| format!("median {}, p99 {}, longest {}", time(gaps.p50), time(gaps.p99), time(gaps.longest));
    lines.extend(feed.gap_seconds.as_ref().map(|found| ("gaps", gaps(found))));
    lines.extend(feed.delimiter_seconds.map(|late| ("delimiter", format!("{} after the part (median)", time(late)))));
    lines.extend(feed.age_seconds.map(|age| ("age", format!("{} by X-Timestamp (median)", time(age)))));
    lines.extend((feed.end != "open").then(|| ("end", format!("the connection is {} by the server", feed.end))));
}

fn of_snapshot(snapshot: &SnapshotFacts) -> String {
    let media = snapshot.content_type.as_deref().unwrap_or_default();
    format!("{}, {}, in {}", Escaped(&snapshot.url), Escaped(media), time(snapshot.seconds))
}

fn of_file(lines: &mut Vec<(&'static str, String)>, file: &FileFacts) {
    lines.extend(file.files.map(|files| {
        (
            "directory",
            match files {
                1 => "1 file".to_owned(),
                files => format!("{files} files; the newest is looked at"),
            },
        )
    }));
    lines.push(("file", Escaped(&file.path).to_string()));
    lines.push(("type", Escaped(&file.content_type).to_string()));
    lines.push(("size", bytes(file.bytes)));
    lines.push(("whole", file.completeness.to_owned()));
    lines.push(("writers", file.writers.to_owned()));
}

fn bytes(bytes: u64) -> String {
    if bytes < 1000 { format!("{bytes} B") } else { bytesize::ByteSize::b(bytes).display().si().to_string() }
}

fn time(seconds: f64) -> String {
    if seconds.abs() < 1.0 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.2} s") }
}

/// A heading, and a text beside it that is broken at blanks; a longer word is cut at the edge.
fn block(text: &mut String, heading: &str, body: &str, indent: usize) {
    let mut line = format!("{heading:indent$}");
    let mut is_first = true;
    for word in body.split(' ') {
        let mut word = word;
        let length = |text: &str| text.chars().count();
        if !is_first && length(&line) + 1 + length(word) > WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            (line, is_first) = (" ".repeat(indent), true);
        }
        if !is_first {
            line.push(' ');
        }
        while length(&line) + length(word) > WIDTH {
            let room = WIDTH - length(&line);
            let at = word.char_indices().nth(room).map_or(word.len(), |(at, _)| at);
            let _ = writeln!(text, "{line}{}", &word[..at]);
            (line, word) = (" ".repeat(indent), &word[at..]);
        }
        line.push_str(word);
        is_first = false;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_longer_than_the_terminal_and_no_letter_is_lost() {
        let body = format!("one {} two {}", "x".repeat(200), "grün ".repeat(60));
        let mut text = String::new();
        block(&mut text, "heading", &body, INDENT);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
        assert_eq!(letters(&text), format!("heading{}", letters(&body)));
    }
}
