//! Reads a feed of another machine for a while, and collects what is found. One connection at a time: some cameras take no more.

use std::time::{Duration, Instant, SystemTime};

use super::{
    facts::Facts,
    finding::Finding,
    head, judgement,
    kinds::{self, FeedReader},
    observation::{MOST_PARTS, Observation},
    report::Report,
    snapshot,
};
use crate::{
    client::{Client, ClientError, ClientSettings, HeaderMap, Response, Target, header},
    error::Error,
    format::{Completeness, Media, inspect},
    wire::{Bounds, Decoder, begins_as_multipart, boundary_of, oddities_of},
};

/// What is read of a response that is no feed.
const MOST_OTHER: usize = 1 << 20;
/// How long it is looked at what an `<img>` is sent.
const IMG: Duration = Duration::from_secs(3);
/// As Chromium asks for an `<img>`.
const IMG_ACCEPT: header::HeaderValue =
    header::HeaderValue::from_static("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8");

/// What is found at a URL.
pub(super) struct UrlLook {
    target: Target,
    client: Client,
    read_for: Duration,
    facts: Facts,
    findings: Vec<Finding>,
    limits: Vec<(FeedReader, String)>,
}

/// Looks at a URL for so long.
pub(super) async fn look(target: Target, settings: ClientSettings, read_for: Duration) -> Report {
    let subject = target.to_string();
    let client = match Client::new(settings) {
        Ok(client) => client,
        Err(error) => return Report::not_looked(subject, &error),
    };
    let mut look = UrlLook { target, client, read_for, facts: Facts::default(), findings: Vec::new(), limits: Vec::new() };
    let asked = Instant::now();
    match look.client.get(&look.target, &HeaderMap::new()).await {
        Ok(response) => look.response(response, asked).await,
        Err(error) => match head::finding_of_error(&error) {
            Some(finding) => look.findings.push(finding),
            None => return Report::not_looked(subject, &not_reached(&look.target, &error)),
        },
    }
    Report::new(subject, look.facts, look.findings, look.limits)
}

fn not_reached(target: &Target, error: &ClientError) -> Error {
    let unreached = Error::new(format!("look at {target}"), error);
    error.hint().into_iter().fold(unreached, Error::hint)
}

impl UrlLook {
    async fn response(&mut self, response: Response, asked: Instant) {
        let facts = head::facts(&response, asked.elapsed(), SystemTime::now());
        self.findings.extend(head::findings(&response, &facts));
        let clock = head::certain_clock(&facts);
        let content_type = facts.content_type.clone().unwrap_or_default();
        if let Some(finding) = head::finding_of_status(response.status) {
            self.findings.push(finding);
        } else if response.headers.contains_key(header::CONTENT_ENCODING)
            && self.findings.iter().any(|one| one.kind.name == kinds::COMPRESSED.name)
        {
            // What is in it cannot be read.
        } else if content_type.trim_start().to_ascii_lowercase().starts_with("multipart/") {
            self.findings.extend(head::findings_of_feed(&response, &facts));
            if !content_type.to_ascii_lowercase().contains("x-mixed-replace") {
                self.findings.push(Finding::of(&kinds::NOT_REPLACE, content_type.split(';').next().unwrap_or_default()));
            }
            self.findings.extend(judgement::dialect(&oddities_of(&content_type), 0));
            self.feed(response, boundary_of(&content_type).as_deref(), (asked, clock), Vec::new()).await;
        } else {
            self.no_feed(response, &content_type, (asked, clock)).await;
        }
        self.facts.response = Some(facts);
    }

    /// A response that does not say that it is multipart.
    async fn no_feed(&mut self, mut response: Response, content_type: &str, asked: (Instant, Option<f64>)) {
        let mut body = Vec::new();
        let deadline = Instant::now() + self.read_for;
        while body.len() < MOST_OTHER && !begins_as_multipart(&body) {
            let left = deadline.saturating_duration_since(Instant::now());
            match response.body.chunk(left).await {
                Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                Ok(None) | Err(_) => break,
            }
        }
        if begins_as_multipart(&body) {
            self.findings.push(Finding::of(&kinds::TYPE_NOT_MULTIPART, content_type));
            return self.feed(response, None, asked, body).await;
        }
        let media = Media::parse(content_type).ok();
        let essence = media.as_ref().map(|media| media.essence().to_ascii_lowercase()).unwrap_or_default();
        let kind = match essence.as_str() {
            _ if body.is_empty() => &kinds::EMPTY_RESPONSE,
            "text/html" | "application/xhtml+xml" => &kinds::HTML_PAGE,
            image if image.starts_with("image/") => &kinds::PLAIN_PICTURE,
            text if text.starts_with("text/") => &kinds::PLAIN_TEXT,
            _ => &kinds::NOT_A_FEED,
        };
        self.findings.push(Finding::of(kind, content_type));
        if let Some(media) = media.filter(|_| essence.starts_with("image/") && body.len() < MOST_OTHER && !body.is_empty()) {
            let inspection = inspect(&media, &body);
            match inspection.unlike {
                Some(name) => self.findings.push(Finding::of(&kinds::NOT_ITS_TYPE, format!("it does not look like {name}"))),
                None if inspection.completeness == Completeness::Truncated => {
                    self.findings.push(Finding::of(&kinds::TORN_PART, ""))
                }
                None => {}
            }
        }
    }

    /// A multipart body, of which `begun` has been read.
    async fn feed(&mut self, mut response: Response, boundary: Option<&str>, asked: (Instant, Option<f64>), begun: Vec<u8>) {
        let began = Instant::now();
        let mut seen = Observation::new(boundary, asked.0, began);
        if !begun.is_empty() {
            seen.push(&begun, began, SystemTime::now());
        }
        let end = observe(&mut response, &mut seen, began + self.read_for).await;
        let end = match end {
            Ok(end) => end,
            Err(error) => {
                self.findings.push(Finding::of(&kinds::BROKE_OFF, error));
                "broken"
            }
        };
        // Some cameras take one connection.
        drop(response);
        let facts = judgement::facts(&seen, began.elapsed(), asked.1, end);
        if seen.parts.is_empty() {
            self.findings.push(no_part(&seen, boundary));
        }
        self.findings.extend(judgement::findings(&seen, &facts));
        self.limits = judgement::limits(&seen);
        self.facts.feed = Some(facts);
        if seen.families.iter().filter(|count| **count > 0).count() > 1 {
            self.img().await;
        }
        if !seen.parts.is_empty() {
            let types: Vec<&str> = seen.types.keys().map(String::as_str).collect();
            let (facts, finding) = snapshot::find(&mut self.client, &self.target, &types).await;
            self.facts.snapshot = facts;
            self.findings.extend(finding);
        }
    }

    /// What an `<img>` is sent: mxr leaves out what it cannot take.
    async fn img(&mut self) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, IMG_ACCEPT)]);
        let asked = Instant::now();
        let Ok(mut response) = self.client.get(&self.target, &headers).await else { return };
        let boundary = response.header(header::CONTENT_TYPE).and_then(boundary_of);
        let mut seen = Observation::new(boundary.as_deref(), asked, asked);
        let _ = observe(&mut response, &mut seen, asked + IMG.min(self.read_for)).await;
        let [rasters, svgs, others] = seen.families;
        if [rasters, svgs, others].iter().filter(|count| **count > 0).count() > 1 {
            let counts = format!("{rasters} of pixels, {svgs} SVG, {others} others");
            self.findings.push(Finding::of(&kinds::MIXED_FAMILIES, counts));
        }
    }
}

/// Reads until the deadline or the end, and says how it ended.
async fn observe(response: &mut Response, seen: &mut Observation, deadline: Instant) -> Result<&'static str, ClientError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let chunk = response.body.chunk(left).await;
        let now = Instant::now();
        match chunk {
            Ok(Some(bytes)) => seen.push(&bytes, now, SystemTime::now()),
            Ok(None) => {
                seen.finish(now, SystemTime::now());
                return Ok("closed");
            }
            Err(ClientError::Timeout { .. }) => {
                seen.rest(now);
                return Ok("open");
            }
            Err(error) => return Err(error),
        }
        if now >= deadline || seen.parts.len() >= MOST_PARTS {
            return Ok("open");
        }
    }
}

/// Why there is no part: none comes, or none behind the boundary of the header.
fn no_part(seen: &Observation, boundary: Option<&str>) -> Finding {
    let mut parts = Vec::new();
    let mut decoder = Decoder::new(None, Bounds::bodies(seen.beginning.len()));
    decoder.push(&seen.beginning, &mut parts);
    decoder.finish(&mut parts);
    match (parts.is_empty(), boundary) {
        (false, Some(_)) => Finding::of(&kinds::BOUNDARY_WRONG, ""),
        _ => Finding::of(
            &kinds::NO_PART,
            if seen.bytes == 0 { "no byte has come".to_owned() } else { format!("{} bytes have come", seen.bytes) },
        ),
    }
}
