//! What the feeds of upstreams are called: after the feed of another mxr, or else after the host, with the end of the path where one
//! host has several. It opens no feed.

use percent_encoding::percent_decode_str;

use crate::client::Target;

/// The names of these upstreams, in their order. Two that are the same get a number when they are opened.
pub(super) fn names_of(upstreams: &[Target]) -> Vec<String> {
    let has_host_alone = |target: &Target| upstreams.iter().filter(|other| other.host() == target.host()).count() == 1;
    upstreams.iter().map(|target| feed_of_mxr(target).unwrap_or_else(|| name_of_host(target, has_host_alone(target)))).collect()
}

/// The name of a feed in the URL of another mxr: `/stream/NAME`, `/snapshot/NAME`.
fn feed_of_mxr(target: &Target) -> Option<String> {
    let path = target.path();
    let name = ["/stream/", "/snapshot/"].iter().find_map(|route| path.rsplit_once(route)).map(|(_, name)| name)?;
    let name = percent_decode_str(name).decode_utf8().ok()?;
    (!name.is_empty() && !name.contains('/') && !name.chars().any(char::is_control)).then(|| name.into_owned())
}

fn name_of_host(target: &Target, is_alone: bool) -> String {
    let host = target.host();
    let end = target.path().trim_matches('/').rsplit('/').next().unwrap_or_default();
    if is_alone || matches!(end, "" | "." | "..") { host.to_owned() } else { format!("{host}/{end}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_called_after_its_host_or_after_the_feed_of_another_mxr() {
        let names = |urls: &[&str]| names_of(&urls.iter().map(|url| url.parse().unwrap()).collect::<Vec<_>>());
        assert_eq!(names(&["http://door.local/video.mjpg"]), ["door.local"]);
        assert_eq!(names(&["http://a:8080/stream/plot.png?token=secret", "http://a:8080/snapshot/a%20b"]), ["plot.png", "a b"]);
        assert_eq!(
            names(&["http://a/cam/1.mjpg?key=secret", "http://a/cam/2.mjpg", "http://b/", "http://[::1]:81/stream"]),
            ["a/1.mjpg", "a/2.mjpg", "b", "::1"]
        );
    }
}
