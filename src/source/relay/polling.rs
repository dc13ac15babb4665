//! The requests for a plain picture or document that is asked for again and again: with conditions, so that nothing is sent while it
//! stays the same, and from time to time without them. It sends nothing itself.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::{
    client::{HeaderMap, Response, Target, header},
    feed::Hops,
    source::incoming::RemotePosition,
};

/// How often a request has no conditions: some cameras say "not modified" for days (home-assistant/core#150252).
const UNCONDITIONAL: Duration = Duration::from_secs(30);

/// More lines than any feed holds.
const LONGEST_HISTORY: &str = "&history=1000000";

/// What is known of the document, within one visit.
#[derive(Debug, Default)]
pub(super) struct Polling {
    /// Whether a request was answered.
    has_asked: bool,
    etag: Option<header::HeaderValue>,
    modified: Option<header::HeaderValue>,
    /// The number of the newest part of another mxr, which waits for a newer one.
    sequence: Option<u64>,
    /// When a document came last.
    seen: Option<Instant>,
}

impl Polling {
    /// How long mxr waits for a newer part.
    pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(25);

    /// Whether the answer may be that nothing has changed.
    pub(super) fn has_asked(&self) -> bool {
        self.has_asked
    }

    /// Whether an answer comes only once there is a newer part.
    pub(super) fn is_waiting_for_newer(&self) -> bool {
        self.sequence.is_some()
    }

    fn has_conditions(&self) -> bool {
        self.seen.is_some_and(|seen| seen.elapsed() < UNCONDITIONAL)
    }

    /// What is asked for: a stream of another mxr from where it was read to, a part newer than the last one, or the target itself.
    pub(super) fn target(&self, target: &Target, position: Option<&RemotePosition>, history: Option<usize>) -> Target {
        let pairs = match (self.sequence.filter(|_| self.has_conditions()), position) {
            (Some(sequence), _) => format!("after={sequence}"),
            (None, _) if self.has_asked => return target.clone(),
            (None, Some(RemotePosition { run, sequence, is_of_edge, .. })) => {
                // The last one comes again, as a sign of life.
                let after = sequence.saturating_sub(1);
                let run: String = form_urlencoded::byte_serialize(run.as_bytes()).collect();
                // An edge that was started again does not know the number, but has read the lines again.
                let history = if *is_of_edge { LONGEST_HISTORY } else { "" };
                format!("after={after}&run={run}{history}")
            }
            (None, None) => match history {
                Some(history) => format!("history={history}"),
                None => return target.clone(),
            },
        };
        let query = target.query().map_or_else(|| pairs.clone(), |query| format!("{query}&{pairs}"));
        target.with_path(&format!("{}?{query}", target.path())).unwrap_or_else(|_| target.clone())
    }

    /// The headers of the request.
    pub(super) fn headers(&self, via: &Hops) -> HeaderMap {
        let mut headers = request_headers(via);
        if self.has_asked {
            headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
        }
        if self.has_conditions() {
            let conditions = [(header::IF_NONE_MATCH, &self.etag), (header::IF_MODIFIED_SINCE, &self.modified)];
            headers.extend(conditions.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        }
        headers
    }

    /// Notes what the head of a document says.
    pub(super) fn note(&mut self, response: &Response, sequence: Option<u64>) {
        (self.has_asked, self.sequence, self.seen) = (true, sequence, Some(Instant::now()));
        let condition = |name| response.headers.get(name).filter(|_| is_settled(response)).cloned();
        (self.etag, self.modified) = (condition(header::ETAG), condition(header::LAST_MODIFIED));
    }
}

/// Whether a document that changes again has another ETag and another time then: both are often of a file's time in seconds, which is
/// the same for two changes in one second (RFC 9110, section 8.8.2.2).
fn is_settled(response: &Response) -> bool {
    let time = |name| httpdate::parse_http_date(response.header(name)?).ok();
    let Some(modified) = time(header::LAST_MODIFIED) else { return true };
    let asked = time(header::DATE).unwrap_or_else(SystemTime::now);
    // A server may keep the time of `Date` for a moment.
    asked.duration_since(modified).is_ok_and(|age| age >= Duration::from_secs(2))
}

/// The headers of every request: the processes on the way to this one.
pub(super) fn request_headers(via: &Hops) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(via) = via.to_string().parse() {
        headers.insert(header::VIA, via);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polling(sequence: Option<u64>) -> Polling {
        let value = |text: &'static str| Some(header::HeaderValue::from_static(text));
        let modified = value("Tue, 01 Jan 2030 00:00:00 GMT");
        Polling { has_asked: true, etag: value("\"1\""), modified, sequence, seen: Some(Instant::now()) }
    }

    #[tokio::test(start_paused = true)]
    async fn conditions_are_left_out_from_time_to_time_so_that_a_constant_etag_hides_nothing() {
        let polling = polling(None);
        let has_condition = || {
            let headers = polling.headers(&Hops::default());
            assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
            assert_eq!(headers.contains_key(header::IF_NONE_MATCH), headers.contains_key(header::IF_MODIFIED_SINCE));
            headers.contains_key(header::IF_NONE_MATCH)
        };
        assert!(has_condition());
        tokio::time::advance(UNCONDITIONAL - Duration::from_secs(1)).await;
        assert!(has_condition());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!has_condition());
        assert!(Polling::default().headers(&Hops::of_names(["a"])).contains_key(header::VIA));
    }

    #[tokio::test(start_paused = true)]
    async fn another_mxr_is_asked_for_what_is_newer() {
        let target = |polling: &Polling, url: &str, position: Option<&RemotePosition>, history| {
            let target = polling.target(&url.parse().unwrap(), position, history);
            format!("{}?{}", target.path(), target.query().unwrap_or_default())
        };
        let position = RemotePosition::for_tests("mxr-1", 7);
        let first = Polling::default();
        assert_eq!(target(&first, "http://a/stream?token=x", Some(&position), Some(9)), "/stream?token=x&after=6&run=mxr-1");
        assert_eq!(target(&first, "http://a/stream", None, Some(9)), "/stream?history=9");
        assert_eq!(target(&first, "http://a/stream", None, None), "/stream?");
        let polled = polling(Some(5));
        assert_eq!(target(&polled, "http://a/snapshot?token=x", None, None), "/snapshot?token=x&after=5");
        // A mxr that was started again counts from 1, and would have nothing newer for long.
        tokio::time::advance(UNCONDITIONAL + Duration::from_secs(1)).await;
        assert_eq!(target(&polled, "http://a/snapshot?token=x", None, None), "/snapshot?token=x");
    }
}
