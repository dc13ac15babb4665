//! The URL of a broker: `mqtt://USER:PASSWORD@HOST:PORT/PATH`. It opens nothing, and displays no secret.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::client::{Credentials, Target, TargetError};

/// The schemes, with that of HTTP which is as safe, and the ports that IANA has for them.
const SCHEMES: [(&str, &str, u16); 2] = [("mqtt", "http", 1883), ("mqtts", "https", 8883)];

/// A broker, as a URL names it, without the topics.
#[derive(Clone, PartialEq, Eq)]
pub struct Broker {
    scheme: &'static str,
    target: Target,
}

/// What stands behind the broker and a slash in a URL, decoded: a prefix or a filter of topics.
pub type BrokerPath = String;

impl Broker {
    /// The broker and the path of a URL.
    ///
    /// # Errors
    /// Why it is no URL of a broker. The error does not repeat the URL, which may hold a password.
    pub fn parse(url: &str) -> Result<(Self, BrokerPath), TargetError> {
        let ((scheme, http, port), rest) = scheme_of(url).ok_or(TargetError::NoScheme)?;
        // `#` is a wildcard here, and begins no fragment; a password with a slash or `#` in it would end the host early.
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if path.contains('@') && !authority.contains('@') {
            return Err(TargetError::Userinfo);
        }
        if path.starts_with(['?', '#']) || path.contains('?') {
            return Err(TargetError::Path);
        }
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let has_port = place.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let port = if has_port { String::new() } else { format!(":{port}") };
        let target = format!("{http}://{authority}{port}/").parse()?;
        let path = percent_decode_str(path.strip_prefix('/').unwrap_or(path)).decode_utf8().map_err(|_| TargetError::Path)?;
        Ok((Self { scheme, target }, path.into_owned()))
    }

    /// Whether the connection is to be encrypted.
    pub fn is_tls(&self) -> bool {
        self.target.is_tls()
    }

    /// User and password, where the URL had them.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.target.credentials()
    }

    /// The host without brackets.
    pub fn host(&self) -> &str {
        self.target.host()
    }

    /// What is dialled.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }
}

/// Without user and password.
impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.target.host();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        write!(f, "{}://{host}:{}", self.scheme, self.target.port())
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broker({self})")
    }
}

fn scheme_of(url: &str) -> Option<((&'static str, &'static str, u16), &str)> {
    let (scheme, rest) = url.trim().split_once("://")?;
    SCHEMES.into_iter().find(|(name, ..)| name.eq_ignore_ascii_case(scheme)).map(|found| (found, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_has_its_own_ports_and_the_path_keeps_its_wildcards() {
        for (url, shown, path) in [
            ("mqtt://broker", "mqtt://broker:1883", ""),
            ("mqtts://broker/lab", "mqtts://broker:8883", "lab"),
            ("MQTT://user:pass@Broker:2883/frigate/+/snapshot", "mqtt://broker:2883", "frigate/+/snapshot"),
            ("mqtt://[::1]/mxr/#", "mqtt://[::1]:1883", "mxr/#"),
            ("mqtt://broker:80/home%20lab/#", "mqtt://broker:80", "home lab/#"),
            ("mqtt://broker//esp/cam", "mqtt://broker:1883", "/esp/cam"),
        ] {
            let (broker, found) = Broker::parse(url).unwrap();
            assert_eq!((broker.to_string().as_str(), found.as_str()), (shown, path), "{url}");
        }
        let (broker, _) = Broker::parse("mqtt://user:p%40ss@broker").unwrap();
        let credentials = broker.credentials().unwrap();
        assert_eq!((credentials.user(), credentials.password()), ("user", "p@ss"));
        assert!(!format!("{broker:?} {broker}").contains("p@ss"));
    }

    #[test]
    fn what_is_no_url_of_a_broker_is_told_without_its_password() {
        for url in ["http://broker/", "broker", "mqtt://", "mqtt://u:p/ss@broker/x", "mqtt://broker/x?y=1", "mqtt://broker:0/"] {
            assert!(Broker::parse(url).is_err(), "{url}");
        }
    }
}
