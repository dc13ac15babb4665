//! The options of `--publish`: the hub or the broker, the token or password for it, the names there, and the proxy on the way.

use std::time::Duration;

use super::{Config, access::read_secret, broker::is_broker, relay};
use crate::{
    cli::{PublishArgs, Typed},
    client::{ClientSettings, ProxyRules, Target, TargetError, header},
    error::{Error, Result},
    feed,
    sink::{HubAccess, PublishSettings, PublishTo},
};

/// The longest silence on the connection to a hub.
const SILENCE: Duration = Duration::from_secs(10);

impl Config {
    /// The same, which publishes what these options say.
    pub(super) fn publishing(self, publish: PublishArgs, typed: &Typed) -> Result<Self> {
        // Without a sign of life the hub and proxies on the way would cut the connection.
        let keepalive = self.http.keepalive.unwrap_or(SILENCE).min(SILENCE);
        let publish = settings(publish, typed)?.map(|settings| PublishSettings { keepalive, ..settings });
        Ok(Self { publish, ..self })
    }

    /// The same, whose feeds may be several: they are named below `--publish-name`.
    pub(super) fn publishing_several(self, are_several: bool) -> Self {
        let publish = self.publish.map(|settings| PublishSettings { are_several, ..settings });
        Self { publish, ..self }
    }
}

fn settings(publish: PublishArgs, typed: &Typed) -> Result<Option<PublishSettings>> {
    let others = ["publish_name", "publish_token", "publish_token_file", "publish_ca", "publish_insecure", "mqtt_discovery"];
    let Some(url) = publish.publish.as_deref().filter(|url| !url.is_empty()) else {
        return match others.into_iter().find(|option| typed.has(option)) {
            Some(option) => {
                let error = Error::usage(format!("use --{}", option.replace('_', "-")), "nothing is published");
                Err(error.hint("--publish URL says where to"))
            }
            None => Ok(None),
        };
    };
    if publish.publish_insecure && publish.publish_ca.is_some() {
        return Err(Error::usage("use --publish-ca with --publish-insecure", "one believes some certificates, the other all"));
    }
    if let Some(name) = &publish.publish_name {
        feed::check_name(name).map_err(|why| Error::usage(format!("use --publish-name {name:?}"), why))?;
    }
    let name = publish.publish_name.clone();
    let to = if is_broker(url) { broker::to(url, &publish)? } else { PublishTo::Hub(hub(url, &publish)?) };
    Ok(Some(PublishSettings { to, name, are_several: false, keepalive: SILENCE }))
}

fn trust(publish: &PublishArgs) -> ClientSettings {
    let (ca, insecure) = (publish.publish_ca.clone(), publish.publish_insecure);
    ClientSettings { ca, insecure, ..ClientSettings::default() }
}

fn hub(url: &str, publish: &PublishArgs) -> Result<HubAccess> {
    #[cfg(feature = "mqtt")]
    if publish.mqtt_discovery.is_some() {
        return Err(Error::usage("use --mqtt-discovery", "a hub announces nothing").hint("it is for --publish mqtt://BROKER/"));
    }
    let (root, in_url) = root(url)?;
    let authorization = authorization(publish, in_url)?;
    // The other variable says nothing of this hub.
    let other = if root.is_tls() { "http_proxy" } else { "https_proxy" };
    let variable = |name: &str| std::env::var(name).ok().filter(|_| !name.eq_ignore_ascii_case(other));
    let proxies = ProxyRules::of_environment(variable).map_err(|(variable, why)| {
        let why = match why {
            TargetError::Scheme(scheme) => format!("its scheme is {scheme}, and only proxies of http can be used"),
            why => why.to_string(),
        };
        let error = Error::usage(format!("use the proxy of {variable}"), why);
        error.hint("it looks like http://proxy:3128; NO_PROXY names the hosts that are reached without it")
    })?;
    let client = ClientSettings { proxies, ..trust(publish) };
    Ok(HubAccess { root, authorization, client })
}

/// The root of the hub, and the token that its URL holds. No error repeats the URL.
fn root(url: &str) -> Result<(Target, Option<header::HeaderValue>)> {
    let target = relay::target(url).map_err(|error| error.map(&|text| relay::with_brokers(&of_publish(text))))?;
    let path = target.path().trim_end_matches('/').to_owned() + "/";
    let of_query = match target.query() {
        None | Some("") => None,
        Some(query) => {
            let token = query.strip_prefix("token=").filter(|token| !token.is_empty() && !token.contains('&'));
            let error = || Error::usage("use the URL of --publish", "it has a query").hint("it is that of the root of a hub");
            Some(bearer(token.ok_or_else(error)?)?)
        }
    };
    let of_user = target.credentials().and_then(|credentials| credentials.authorization());
    if of_query.is_some() && of_user.is_some() {
        return Err(Error::usage("use the URL of --publish", "it has two tokens"));
    }
    let root = target.with_path(&path).map_err(|why| Error::usage("use the URL of --publish", why))?;
    Ok((root.without_credentials(), of_query.or(of_user)))
}

/// A text about the URL of an upstream, for that of a hub.
fn of_publish(text: &str) -> String {
    text.replace("use the URL", "use the URL of --publish").replace("--upstream-auth-file", "--publish-token-file")
}

fn authorization(publish: &PublishArgs, in_url: Option<header::HeaderValue>) -> Result<Option<header::HeaderValue>> {
    let token = secret(publish, in_url.is_some())?;
    token.as_deref().map(bearer).transpose().map(|token| token.or(in_url))
}

/// The token or password beside the URL; there can be only one with that in the URL.
fn secret(publish: &PublishArgs, is_in_url: bool) -> Result<Option<String>> {
    let typed = publish.publish_token.clone().filter(|token| !token.is_empty());
    let read = |path: &std::path::PathBuf| read_secret(path, "--publish-token-file").map(|text| text.trim().to_owned());
    let filed = publish.publish_token_file.as_ref().map(read).transpose()?;
    match (typed, filed, is_in_url) {
        (Some(_), Some(_), _) | (Some(_), _, true) | (_, Some(_), true) => {
            Err(Error::usage("use two tokens to publish", "there can be only one: in the URL, a file or MXR_PUBLISH_TOKEN"))
        }
        (typed, filed, _) => Ok(typed.or(filed)),
    }
}

fn bearer(token: &str) -> Result<header::HeaderValue> {
    let value = header::HeaderValue::try_from(format!("Bearer {token}"));
    let is_word = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut value = value.ok().filter(|_| is_word).ok_or_else(|| Error::usage("use the token to publish", "it is not one word"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Brokers, which this build does not know.
#[cfg(not(feature = "mqtt"))]
mod broker {
    use super::{super::broker::no_broker, PublishArgs, PublishTo, Result};

    pub(super) fn to(_: &str, _: &PublishArgs) -> Result<PublishTo> {
        Err(no_broker("use the URL of --publish"))
    }
}

/// Brokers.
#[cfg(feature = "mqtt")]
mod broker {
    use super::{super::broker::NO_QUERY, Error, PublishArgs, PublishTo, Result, secret, trust};
    use crate::{
        cli::MqttDiscovery,
        client::Credentials,
        mqtt::{Broker, BrokerSettings, TopicPrefix},
        sink::{BrokerAccess, DiscoveredAs},
    };

    pub(super) fn to(url: &str, publish: &PublishArgs) -> Result<PublishTo> {
        let wrong = |why: &str| Error::usage("use the URL of --publish", why);
        let looks = "it looks like mqtt://USER@BROKER/PREFIX, with the password in the file of --publish-token-file or in MXR_PUBLISH_TOKEN";
        let hint = if url.contains('?') { NO_QUERY } else { looks };
        let (broker, path) = Broker::parse(url).map_err(|why| wrong(&why.to_string()).hint(hint))?;
        let prefix = TopicPrefix::new(&path).map_err(|why| wrong(&format!("{path:?} is no prefix of topics: {why}")))?;
        let credentials = credentials(&broker, publish)?;
        let client = trust(publish);
        let discovery = publish.mqtt_discovery.map(|kind| match kind {
            MqttDiscovery::Camera => DiscoveredAs::Camera,
            MqttDiscovery::Image => DiscoveredAs::Image,
        });
        Ok(PublishTo::Broker(BrokerAccess { broker: BrokerSettings { broker, credentials, client }, prefix, discovery }))
    }

    /// User and password where the URL has none, or has the user alone.
    fn credentials(broker: &Broker, publish: &PublishArgs) -> Result<Option<Credentials>> {
        let in_url = broker.credentials();
        let Some(secret) = secret(publish, in_url.is_some_and(|known| !known.password().is_empty()))? else { return Ok(None) };
        let pair = match in_url {
            Some(known) => Some((known.user().to_owned(), secret.clone())),
            None => secret.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned())),
        };
        let wrong = |why| Error::usage("use the password to publish", why);
        if in_url.is_some_and(|known| secret.starts_with(&format!("{}:", known.user()))) {
            return Err(
                wrong("it begins with the user, whom the URL has").hint("beside mqtt://USER@BROKER/ it is the password alone")
            );
        }
        let (user, password) = pair.ok_or_else(|| {
            wrong("there is no user for it").hint("the URL has one as in mqtt://USER@BROKER/, or the password is USER:PASSWORD")
        })?;
        Credentials::new(user, password).map(Some).ok_or_else(|| wrong("it has control characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, token: Option<&str>) -> std::result::Result<(String, Option<String>), String> {
        let publish = PublishArgs {
            publish: Some(url.to_owned()),
            publish_name: None,
            publish_token: token.map(str::to_owned),
            publish_token_file: None,
            publish_ca: None,
            publish_insecure: false,
            #[cfg(feature = "mqtt")]
            mqtt_discovery: None,
        };
        let hub = hub(url, &publish).map_err(|error| error.to_string())?;
        let shown = hub.authorization.map(|value| value.to_str().unwrap().to_owned());
        Ok((hub.root.to_string(), shown))
    }

    #[test]
    fn a_token_stands_in_the_url_or_beside_it_and_is_never_shown() {
        for (url, token, shown) in [
            ("http://hub:8080", None, None),
            ("http://secret@hub:8080/", None, Some("Bearer secret")),
            ("http://any:secret@hub:8080", None, Some("Basic YW55OnNlY3JldA==")),
            ("http://hub:8080/?token=secret", None, Some("Bearer secret")),
            ("http://hub:8080/", Some("secret"), Some("Bearer secret")),
        ] {
            let (root, authorization) = read(url, token).unwrap();
            assert_eq!((root.as_str(), authorization.as_deref()), ("http://hub:8080/", shown), "{url}");
        }
        assert_eq!(read("https://hub.example/lab", None).unwrap().0, "https://hub.example/lab/");
        for (url, token) in [
            ("http://hub/?key=secret", None),
            ("http://secret@hub/", Some("secret")),
            ("ftp://secret@hub/", None),
            ("http://hub/", Some("two secret words")),
        ] {
            let error = read(url, token).unwrap_err();
            assert!(error.starts_with("mxr: cannot use ") && !error.contains("secret"), "{url}: {error}");
        }
    }
}
