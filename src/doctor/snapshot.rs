//! The still picture beside a feed: where servers have it, and whether one answers. It judges no feed.

use std::time::{Duration, Instant};

use super::{
    facts::{SnapshotFacts, seconds},
    finding::Finding,
    kinds,
};
use crate::client::{Client, HeaderMap, Target, header};

/// OctoPrint waits so long.
const SLOW: Duration = Duration::from_secs(5);
/// A server that takes longer gives none.
const PATIENCE: Duration = Duration::from_secs(8);
/// The largest picture, in bytes.
const MOST: usize = 64 << 20;

/// Endings of paths, with those of the still pictures: mxr and ustreamer, mjpg-streamer, go2rtc, picamera2 and others.
const PLACES: [(&str, &str); 7] = [
    ("/api/stream.mjpeg", "/api/frame.jpeg"),
    ("/mjpg/video.mjpg", "/jpg/image.jpg"),
    ("/axis-cgi/mjpg/video.cgi", "/axis-cgi/jpg/image.cgi"),
    ("/stream.mjpg", "/snapshot.jpg"),
    ("/video", "/shot.jpg"),
    ("/stream", "/snapshot"),
    ("/", "/snapshot"),
];

/// Looks for one that answers with something of a type among `types`.
pub(super) async fn find(client: &mut Client, feed: &Target, types: &[&str]) -> (Option<SnapshotFacts>, Option<Finding>) {
    for place in places(feed.path(), feed.query()) {
        let Ok(target) = feed.with_path(&place) else { continue };
        let asked = Instant::now();
        let Ok(Some(content_type)) = tokio::time::timeout(PATIENCE, ask(client, &target, types)).await else { continue };
        let took = asked.elapsed();
        let facts = SnapshotFacts { url: target.to_string(), content_type: Some(content_type), seconds: seconds(took) };
        let slow = (took > SLOW).then(|| Finding::of(&kinds::SLOW_SNAPSHOT, format!("{:.1} s", took.as_secs_f64())));
        return (Some(facts), slow);
    }
    (None, Some(Finding::of(&kinds::NO_SNAPSHOT, "")))
}

/// The type of what is there, if it is a picture or of one of the types.
async fn ask(client: &mut Client, target: &Target, types: &[&str]) -> Option<String> {
    let mut response = client.get(target, &HeaderMap::new()).await.ok()?;
    let media = response.header(header::CONTENT_TYPE)?.to_owned();
    let is_wanted = media.starts_with("image/") || types.contains(&media.as_str());
    if !response.status.is_success() || !is_wanted {
        return None;
    }
    let body = response.body.read_to_end(MOST, PATIENCE).await.ok()?;
    (!body.is_empty()).then_some(media)
}

/// Paths where a still picture may be, the likeliest first; the rest of the query stays, which may have a token.
fn places(path: &str, query: Option<&str>) -> Vec<String> {
    let mut places = Vec::new();
    if let Some(query) = query.filter(|query| query.contains("action=stream")) {
        places.push(format!("{path}?{}", query.replace("action=stream", "action=snapshot")));
    }
    let rest = query.map_or_else(String::new, |query| format!("?{query}"));
    // mxr and others have a feed's name behind it.
    if let Some((before, name)) = path.rsplit_once("/stream/") {
        places.push(format!("{before}/snapshot/{name}{rest}"));
    }
    let others = PLACES.iter();
    places.extend(others.filter_map(|(feed, still)| Some(format!("{}{still}{rest}", path.strip_suffix(feed)?))));
    if path != "/" {
        places.push(format!("/snapshot{rest}"));
    }
    let mut seen = std::collections::HashSet::new();
    places.retain(|place| seen.insert(place.clone()));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_still_picture_is_where_the_server_of_such_a_feed_has_it() {
        for (path, query, first) in [
            ("/", None, "/snapshot"),
            ("/", Some("action=stream"), "/?action=snapshot"),
            ("/cam/", Some("action=stream_1&token=t"), "/cam/?action=snapshot_1&token=t"),
            ("/stream", Some("token=t"), "/snapshot?token=t"),
            ("/cam/stream/a%20b", None, "/cam/snapshot/a%20b"),
            ("/api/stream.mjpeg", Some("src=a"), "/api/frame.jpeg?src=a"),
            ("/video", None, "/shot.jpg"),
            ("/other", None, "/snapshot"),
        ] {
            assert_eq!(places(path, query)[0], first, "{path} {query:?}");
        }
    }
}
