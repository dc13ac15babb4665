//! The options of `mxr relay`, and how upstreams are asked. It opens no connection.

use std::{path::Path, time::Duration};

#[cfg(feature = "mqtt")]
use super::broker::broker;
#[cfg(not(feature = "mqtt"))]
use super::broker::no_broker;
use super::{Config, access::read_secret, broker::is_broker};
use crate::{
    cli::{RelayArgs, Typed, UpstreamArgs},
    client::{ClientSettings, Credentials, HeaderMap, Target, header},
    error::{Error, Result},
    source::{
        SourceStart,
        relay::{self, RelaySettings},
    },
};
#[cfg(feature = "mqtt")]
use crate::{
    mqtt::{Broker, TopicFilter},
    sink::{PublishSettings, PublishTo},
};

/// The shortest time between two requests.
const SHORTEST: Duration = Duration::from_millis(10);
/// The shortest time after which an upstream may be given up.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
/// Headers that the client writes itself, with the reason where there is another way.
const OWN_HEADERS: [(header::HeaderName, &str); 5] = [
    (header::HOST, "it is that of the URL"),
    (header::CONNECTION, "it is of the connection"),
    (header::CONTENT_LENGTH, "the request has no body"),
    (header::TRANSFER_ENCODING, "the request has no body"),
    (header::VIA, "it names the relays on the way"),
];

impl Config {
    /// From `mxr relay`.
    ///
    /// # Errors
    /// If a value is invalid.
    pub(super) fn relay(mut relay: RelayArgs, typed: Typed) -> Result<Self> {
        if relay.urls.len() > 1 && relay.common.parts.name.take().is_some() && typed.has("name") {
            return Err(Error::usage("use --name with several URLs", "their feeds are named after the hosts"));
        }
        if relay.always && typed.has("linger") {
            let why = "one leaves the upstream after the last viewer, the other does not";
            return Err(Error::usage("use --linger with --always", why));
        }
        if relay.urls.iter().all(|url| is_broker(url)) {
            check_for_brokers(&typed)?;
        }
        let linger = (!relay.always).then_some(relay.linger);
        let settings = settings(&relay.urls, relay.every, linger, relay.upstream)?;
        let are_several = relay::may_be_several(&settings);
        #[cfg(feature = "mqtt")]
        let brokers = settings.brokers.clone();
        let mut config = Self::new(SourceStart::new(|context| relay::source(settings, &context)), relay.common, typed)?;
        config.expect_every(relay.every);
        #[cfg(feature = "mqtt")]
        check_no_circle(&brokers, config.publish.as_ref())?;
        Ok(config.publishing_several(are_several))
    }
}

/// Refuses what has nothing to act on where all upstreams are brokers.
fn check_for_brokers(typed: &Typed) -> Result<()> {
    let options = [
        ("every", "a broker sends what is new by itself", Some("--max-fps limits the rate")),
        ("linger", "a broker is read all the time", None),
        ("upstream_header", "a topic has no headers", None),
    ];
    match options.into_iter().find(|(option, ..)| typed.has(option)) {
        Some((option, why, hint)) => {
            let error = Error::usage(format!("use --{} for a broker", option.replace('_', "-")), why);
            Err(hint.into_iter().fold(error, Error::hint))
        }
        None => Ok(()),
    }
}

/// Refuses to publish to the topics that are relayed.
#[cfg(feature = "mqtt")]
fn check_no_circle(brokers: &[(Broker, TopicFilter)], publish: Option<&PublishSettings>) -> Result<()> {
    let Some(PublishTo::Broker(access)) = publish.map(|publish| &publish.to) else { return Ok(()) };
    let is_same = |broker: &Broker| broker.to_string() == access.broker.broker.to_string();
    match brokers.iter().find(|(broker, filter)| is_same(broker) && filter.overlaps(&access.prefix)) {
        Some((_, filter)) => {
            let what = format!("publish below {} what is read from {}", access.prefix.as_str(), filter.as_str());
            Err(Error::usage(what, "it would go in a circle")
                .hint("another prefix in the URL of --publish is none of these topics"))
        }
        None => Ok(()),
    }
}

/// The upstreams, and how they are visited.
pub(super) fn settings(urls: &[String], every: Duration, linger: Option<Duration>, args: UpstreamArgs) -> Result<RelaySettings> {
    if every < SHORTEST {
        let what = format!("use --every {}", humantime::format_duration(every));
        return Err(Error::usage(what, "less than 10ms would only keep the upstream busy"));
    }
    if urls.iter().enumerate().any(|(at, url)| urls[..at].contains(url)) {
        return Err(Error::usage("use the URLs", "one of them is there twice, and an upstream has one connection"));
    }
    if let Some(path) = path_of(urls) {
        return Err(not_a_url(path, "relay", &format!("mxr watch {path}")));
    }
    let (of_brokers, of_http): (Vec<_>, Vec<_>) = urls.iter().partition(|url| is_broker(url));
    let upstreams = of_http.into_iter().map(|url| target(url).map_err(|error| error.map(&with_brokers)));
    let upstreams = upstreams.collect::<Result<Vec<_>>>()?;
    #[cfg(feature = "mqtt")]
    let brokers = of_brokers.into_iter().map(|url| topics(url)).collect::<Result<Vec<_>>>()?;
    #[cfg(not(feature = "mqtt"))]
    if !of_brokers.is_empty() {
        return Err(no_broker("use the URL"));
    }
    let timeout = args.upstream_timeout;
    let client = client(args)?;
    #[cfg(feature = "mqtt")]
    if let Some(filed) = &client.credentials {
        let is_other = |user: &str| user != filed.user();
        if brokers
            .iter()
            .filter_map(|(broker, _)| broker.credentials())
            .any(|known| known.password().is_empty() && is_other(known.user()))
        {
            return Err(Error::usage(
                "use two users for a broker",
                "one is in the URL, the other in the file of --upstream-auth-file",
            ));
        }
    }
    Ok(RelaySettings {
        upstreams,
        #[cfg(feature = "mqtt")]
        brokers,
        timeout,
        client,
        every,
        linger,
    })
}

/// A broker, and what is read there.
#[cfg(feature = "mqtt")]
fn topics(url: &str) -> Result<(Broker, TopicFilter)> {
    let (broker, path) = broker(url)?;
    let filter = TopicFilter::new(&path).map_err(|why| {
        let hint = "mqtt://BROKER/PREFIX/# stands for all topics below PREFIX, mqtt://BROKER/TOPIC for one";
        Error::usage(format!("read the topics {path:?}"), why).hint(hint)
    })?;
    Ok((broker, filter))
}

/// What is a path and no URL.
pub(super) fn path_of(urls: &[String]) -> Option<&str> {
    urls.iter().map(String::as_str).find(|url| !url.contains("://") && Path::new(url).exists())
}

/// The mistake, with the command that does it. A file that is there is no secret.
pub(super) fn not_a_url(path: &str, verb: &str, command: &str) -> Error {
    Error::usage(format!("{verb} {path}"), "it is a path, not a URL").hint(format!("for what is on this machine: {command}"))
}

/// A URL, which may hold a password: no error repeats it.
pub(super) fn target(url: &str) -> Result<Target> {
    url.parse().map_err(|error: crate::client::TargetError| {
        let hint = error.hint();
        let error = Error::usage("use the URL", error);
        hint.into_iter().fold(error, Error::hint)
    })
}

/// A text about schemes, for a URL that may be that of a broker, too.
pub(super) fn with_brokers(text: &str) -> String {
    match cfg!(feature = "mqtt") {
        true => text
            .replace("not http or https", "not http, https, mqtt or mqtts")
            .replace("http:// or https://", "http://, https://, mqtt:// or mqtts://"),
        false => text.to_owned(),
    }
}

/// How upstreams are asked.
pub(super) fn client(args: UpstreamArgs) -> Result<ClientSettings> {
    let timeout = args.upstream_timeout;
    if timeout < SHORTEST_TIMEOUT {
        let what = format!("use --upstream-timeout {}", humantime::format_duration(timeout));
        return Err(Error::usage(what, "less than 100ms would give healthy upstreams up"));
    }
    if args.upstream_insecure && args.upstream_ca.is_some() {
        return Err(Error::usage("use --upstream-ca with --upstream-insecure", "one believes some certificates, the other all"));
    }
    Ok(ClientSettings {
        credentials: args.upstream_auth_file.as_deref().map(credentials).transpose()?,
        headers: headers(&args.upstream_header)?,
        ca: args.upstream_ca,
        insecure: args.upstream_insecure,
        unix: args.upstream_unix,
        connect_timeout: timeout,
        head_timeout: timeout,
        ..ClientSettings::default()
    })
}

fn credentials(path: &Path) -> Result<Credentials> {
    let cannot =
        |why: &str| Error::new(format!("use --upstream-auth-file {}", path.display()), why).hint("it has one line, USER:PASSWORD");
    let text = read_secret(path, "--upstream-auth-file")?;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let line = lines.next().ok_or_else(|| cannot("it is empty"))?;
    if lines.next().is_some() {
        return Err(cannot("it has several lines"));
    }
    let (user, password) = line.split_once(':').ok_or_else(|| cannot("its line has no colon"))?;
    Credentials::new(user, password).ok_or_else(|| cannot("it has control characters"))
}

fn headers(lines: &[String]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for text in lines.iter().filter(|text| !text.is_empty()) {
        match text.strip_prefix('@') {
            Some(path) => {
                let lines = read_secret(Path::new(path), "the file of --upstream-header")?;
                let lines = lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
                for (at, line) in lines {
                    let place = format!("use line {} of --upstream-header @{path}", at + 1);
                    add_header(&mut headers, line).map_err(|why| Error::new(place, why))?;
                }
            }
            // The text may be a secret.
            None => add_header(&mut headers, text).map_err(|why| {
                Error::usage("use --upstream-header", why).hint("it looks like --upstream-header 'X-Key: value', or @FILE")
            })?,
        }
    }
    Ok(headers)
}

fn add_header(headers: &mut HeaderMap, line: &str) -> std::result::Result<(), String> {
    let (name, value) = line.split_once(':').ok_or("it has no colon")?;
    let name: header::HeaderName = name.trim().parse().map_err(|_| "that is not the name of a header".to_owned())?;
    if let Some((name, why)) = OWN_HEADERS.iter().find(|(own, _)| *own == name) {
        return Err(format!("mxr writes {name} itself: {why}"));
    }
    let mut value = value.trim().parse::<header::HeaderValue>().map_err(|_| "its value has control characters".to_owned())?;
    value.set_sensitive(true);
    headers.append(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> std::result::Result<HeaderMap, String> {
        headers(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()).map_err(|error| error.sentence())
    }

    #[test]
    fn headers_are_read_as_they_are_typed_or_from_a_file() {
        let map = read(&["X-Key:  secret ", "x-key: other", ""]).unwrap();
        assert_eq!(map.get_all("x-key").iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>(), ["secret", "other"]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "Authorization: Bearer secret\n\nX-B: 1\r\n").unwrap();
        let map = read(&[&format!("@{}", file.path().display())]).unwrap();
        assert_eq!((map["authorization"].to_str().unwrap(), map["x-b"].to_str().unwrap()), ("Bearer secret", "1"));
        for wrong in ["X-Key secret", ": secret", "X Key: secret", "X-Key: se\u{7}cret", "Host: secret"] {
            let error = read(&[wrong]).unwrap_err();
            assert!(error.starts_with("use --upstream-header") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn no_error_repeats_a_url() {
        for wrong in
            ["camera/video?key=secret", "http://user:secret%zz@camera/", "ftp://user:secret@camera/", "http://u:p@secret?x@camera/"]
        {
            let error = target(wrong).unwrap_err().to_string();
            assert!(error.starts_with("mxr: cannot use the URL: ") && !error.contains("secret"), "{error}");
        }
    }
}
