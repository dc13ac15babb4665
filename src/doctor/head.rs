//! What is odd about the head of a response, by its raw bytes and its headers. It reads no body.

use std::time::{Duration, SystemTime};

use super::{
    facts::{ResponseFacts, rounded, seconds},
    finding::Finding,
    kinds,
};
use crate::{
    client::{ClientError, HeadFault, Response, StatusCode, header},
    escape::Escaped,
};

/// A difference of clocks that `Date`, which has whole seconds, can tell.
const CLOCK: f64 = 2.0;

/// The head in words and numbers. `took`: from the request to now.
pub(super) fn facts(response: &Response, took: Duration, now: SystemTime) -> ResponseFacts {
    ResponseFacts {
        status: response.status.as_u16(),
        version: format!("{:?}", response.version),
        content_type: response.header(header::CONTENT_TYPE).map(str::to_owned),
        server: response.header(header::SERVER).map(str::to_owned),
        tls: response.tls.clone(),
        password: response.authenticated_by,
        redirects: response.redirects.iter().map(ToString::to_string).collect(),
        chunked: response.headers.contains_key(header::TRANSFER_ENCODING),
        head_seconds: seconds(took),
        clock_ahead_seconds: clock_ahead(response, now),
    }
}

fn clock_ahead(response: &Response, now: SystemTime) -> Option<f64> {
    let date = httpdate::parse_http_date(response.header(header::DATE)?).ok()?;
    // It was cut to a whole second.
    let date = date + Duration::from_millis(500);
    let ahead = date.duration_since(now).map_or_else(|error| -error.duration().as_secs_f64(), |ahead| ahead.as_secs_f64());
    Some(rounded(ahead))
}

/// How far the server's clock is ahead, where it is certain that it is not right.
pub(super) fn certain_clock(facts: &ResponseFacts) -> Option<f64> {
    facts.clock_ahead_seconds.filter(|ahead| ahead.abs() > CLOCK)
}

/// What is wrong with the head of any response.
pub(super) fn findings(response: &Response, facts: &ResponseFacts) -> Vec<Finding> {
    let raw = &response.raw_head[..];
    let mut findings = Vec::new();
    let mut add = |is_so: bool, kind, what: String| findings.extend(is_so.then(|| Finding::of(kind, what)));
    add(!facts.redirects.is_empty(), &kinds::REDIRECTED, format!("to {}", response.target));
    add(has_bare_lf(raw), &kinds::HEAD_LF, String::new());
    let malformed = lines(raw).skip(1).find(|line| is_malformed(line)).map(shown);
    add(malformed.is_some(), &kinds::HEAD_MALFORMED, malformed.unwrap_or_default());
    let lengths = lines(raw).filter(|line| has_name(line, b"content-length")).count();
    add(lengths > 1, &kinds::LENGTH_REPEATED, String::new());
    let encoding = response.header(header::CONTENT_ENCODING).filter(|value| !value.eq_ignore_ascii_case("identity"));
    add(encoding.is_some(), &kinds::COMPRESSED, encoding.unwrap_or_default().to_owned());
    let clock = certain_clock(facts).unwrap_or_default();
    let way = if clock > 0.0 { "ahead" } else { "behind" };
    add(clock != 0.0, &kinds::CLOCK, format!("it is {:.0} s {way}", clock.abs()));
    findings
}

/// What is wrong with the head of a feed.
pub(super) fn findings_of_feed(response: &Response, facts: &ResponseFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |is_so: bool, kind| findings.extend(is_so.then(|| Finding::of(kind, "")));
    let has_length = lines(&response.raw_head).filter(|line| has_name(line, b"content-length")).count() == 1;
    add(has_length, &kinds::LENGTH_ON_STREAM);
    add(facts.chunked, &kinds::CHUNKED);
    let caching = response.header(header::CACHE_CONTROL).unwrap_or_default().to_ascii_lowercase();
    let is_kept_out = ["no-store", "no-cache", "max-age=0"].iter().any(|word| caching.contains(word));
    let is_old = response.header(header::PRAGMA).is_some_and(|pragma| pragma.to_ascii_lowercase().contains("no-cache"));
    add(!is_kept_out && !is_old, &kinds::CACHEABLE);
    let buffering = response.header("x-accel-buffering").unwrap_or_default();
    add(!buffering.trim().eq_ignore_ascii_case("no"), &kinds::MAY_BE_BUFFERED);
    findings
}

/// What a response is that is no 200.
pub(super) fn finding_of_status(status: StatusCode) -> Option<Finding> {
    let kind = match status {
        StatusCode::OK => return None,
        StatusCode::FORBIDDEN => &kinds::FORBIDDEN,
        StatusCode::NOT_FOUND | StatusCode::GONE => &kinds::NOT_FOUND,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            &kinds::UNAVAILABLE
        }
        _ => &kinds::BAD_STATUS,
    };
    Some(Finding::of(kind, status))
}

/// What a server did that gives no response; nothing where no server was reached.
pub(super) fn finding_of_error(error: &ClientError) -> Option<Finding> {
    use crate::client::Awaited;
    let kind = match error {
        ClientError::Resolve { .. } | ClientError::Connect { .. } | ClientError::Proxy { .. } => return None,
        ClientError::Timeout { waiting_for: Awaited::Address | Awaited::Connection, .. } => return None,
        ClientError::Timeout { waiting_for: Awaited::Handshake, .. } => &kinds::TLS,
        ClientError::Timeout { .. } | ClientError::Closed => &kinds::NO_RESPONSE,
        ClientError::Tls { cause, .. } if cause.contains("certificate") => &kinds::CERTIFICATE,
        ClientError::Tls { .. } => &kinds::TLS,
        ClientError::Head { fault: HeadFault::Tls | HeadFault::Icy | HeadFault::Rtsp | HeadFault::NotHttp(_), .. } => {
            &kinds::NOT_HTTP
        }
        ClientError::Head { fault: HeadFault::ContentLength(_), .. } => &kinds::LENGTH_INVALID,
        ClientError::Head { .. } => &kinds::HEAD_BROKEN,
        ClientError::PasswordAsked { .. } => &kinds::PASSWORD_ASKED,
        ClientError::PasswordRefused => &kinds::PASSWORD_REFUSED,
        ClientError::TokenAsked => &kinds::TOKEN_ASKED,
        ClientError::NoChallenge => &kinds::CHALLENGE_MISSING,
        ClientError::ChallengeUnknown { .. } => &kinds::CHALLENGE_UNKNOWN,
        ClientError::Redirect { .. } => &kinds::REDIRECT_BROKEN,
        ClientError::Body { .. } | ClientError::BodyTooLarge { .. } => &kinds::BROKE_OFF,
    };
    let hint = error.hint().map(sentence);
    Some(Finding::of(kind, seen(error)).cured_by(hint.as_deref()))
}

/// What an error says beyond its finding: a sentence is not said twice.
fn seen(error: &ClientError) -> String {
    match error {
        ClientError::PasswordAsked { schemes, is_withheld: false } => Escaped(schemes).to_string(),
        ClientError::ChallengeUnknown { asked } => Escaped(asked).to_string(),
        ClientError::PasswordRefused | ClientError::NoChallenge => String::new(),
        _ => error.to_string(),
    }
}

/// A hint as a sentence of its own.
fn sentence(hint: &str) -> String {
    let mut letters = hint.chars();
    // A name of an option begins with a dash.
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    format!("{}{}.", first.into_iter().collect::<String>(), letters.as_str().trim_end_matches('.'))
}

fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).filter(|line| !line.is_empty())
}

fn has_bare_lf(raw: &[u8]) -> bool {
    raw.first() == Some(&b'\n') || raw.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
}

fn is_malformed(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    name.len() == line.len() || name.is_empty() || !name.iter().all(is_token)
}

fn has_name(line: &[u8], name: &[u8]) -> bool {
    line.split(|byte| *byte == b':').next().is_some_and(|found| found.trim_ascii().eq_ignore_ascii_case(name))
}

/// The name of a header; its value may be a secret.
fn shown(line: &[u8]) -> String {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    format!("it begins with \"{}\"", String::from_utf8_lossy(&name[..name.len().min(20)]))
}
