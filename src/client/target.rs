//! The URL of an upstream: parsed leniently, resolved for redirects, and displayed without any secret in it. It opens nothing.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use hyper::http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::credentials::Credentials;

/// What must not stand in a request line as it is. Cameras write blanks and worse into the URLs that they give out.
const NOT_IN_PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// What is asked for, and of which server. User and password are taken out of the URL and decoded; `Display` and `Debug` show
/// neither them nor any value of the query.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    origin: Origin,
    path: PathAndQuery,
    credentials: Option<Credentials>,
}

/// A server as credentials are bound to it: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) is_tls: bool,
    /// In lower case. An IPv6 address has no brackets, and its zone behind `%` where there is one.
    pub(super) host: String,
    pub(super) port: u16,
}

/// Why a text is no URL of an upstream. It does not repeat the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetError {
    /// It begins with no scheme.
    NoScheme,
    /// Its scheme is another than http or https.
    Scheme(String),
    /// It has no host, or a host of impossible characters.
    Host,
    /// Its host has letters beyond ASCII.
    HostLetters,
    /// Its port is no number from 1 to 65535.
    Port,
    /// Its user or password cannot be read: an escape is broken, or a reserved character stands there as it is.
    Userinfo,
    /// Its path cannot be sent.
    Path,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScheme => f.write_str("the URL has no scheme"),
            Self::Scheme(scheme) => write!(f, "its scheme is {scheme}, not http or https"),
            Self::Host => f.write_str("the URL has no host that can be looked up"),
            Self::HostLetters => f.write_str("its host has letters beyond ASCII"),
            Self::Port => f.write_str("its port is no number from 1 to 65535"),
            Self::Userinfo => f.write_str("the user or password in the URL cannot be read"),
            Self::Path => f.write_str("its path cannot be sent"),
        }
    }
}

impl std::error::Error for TargetError {}

impl TargetError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoScheme => Some("begin it with http:// or https://"),
            Self::HostLetters => Some("write the host as DNS has it, with xn--"),
            // A password with `/` in it ends the host early, so that its beginning is taken for a port.
            Self::Userinfo | Self::Port => Some(
                "write @ as %40, / as %2F, ? as %3F, # as %23 and % as %25 in a password, or give it with --upstream-auth-file",
            ),
            Self::Scheme(_) | Self::Host | Self::Path => None,
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(TargetError::NoScheme)?;
        let (default_port, is_tls) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (80, false),
            "https" => (443, true),
            _ if is_scheme(scheme) => return Err(TargetError::Scheme(scheme.to_owned())),
            _ => return Err(TargetError::NoScheme),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // `http://user:p@ss?x@host/` would go to the host `ss`.
        if path.starts_with(['?', '#']) && path.contains('@') {
            return Err(TargetError::Userinfo);
        }
        let (userinfo, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (host, port) = host_and_port(place)?;
        let origin = Origin { is_tls, host, port: port.unwrap_or(default_port) };
        Ok(Self { origin, path: path_and_query(path)?, credentials: credentials(userinfo)? })
    }
}

impl Target {
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// User and password, where the URL had them.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Whether it is https.
    pub fn is_tls(&self) -> bool {
        self.origin.is_tls
    }

    /// The host without brackets; an IPv6 address with its zone.
    pub fn host(&self) -> &str {
        &self.origin.host
    }

    /// The port, the default one where the URL has none.
    pub fn port(&self) -> u16 {
        self.origin.port
    }

    /// The path as it is sent, without the query.
    pub fn path(&self) -> &str {
        self.path.path()
    }

    /// The query as it is sent. It may hold secrets.
    pub fn query(&self) -> Option<&str> {
        self.path.query()
    }

    /// Path and query as they stand in the request line.
    pub(super) fn path_and_query(&self) -> &PathAndQuery {
        &self.path
    }

    /// Another path and query on the same server, with the same credentials.
    ///
    /// # Errors
    /// Where it cannot be sent.
    pub fn with_path(&self, path_and_query: &str) -> Result<Self, TargetError> {
        Ok(Self { path: self::path_and_query(path_and_query)?, ..self.clone() })
    }

    /// The same without user and password.
    #[must_use]
    pub fn without_credentials(self) -> Self {
        Self { credentials: None, ..self }
    }

    /// Whether both are asked for with the same words of the same server.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        self.origin == other.origin && self.path == other.path
    }

    /// Where a redirect leads (RFC 3986, section 5.2). User and password in `Location` are not used: a server does not decide what
    /// is sent to another one.
    ///
    /// # Errors
    /// Where it leads to no http or https URL.
    pub(super) fn resolve(&self, location: &str) -> Result<Self, TargetError> {
        let location = location.trim();
        if let Some((scheme, _)) = location.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) {
            // `camera:8080/x` is read as a scheme too, as everybody does.
            let absolute = location.parse::<Self>().map_err(|error| match error {
                TargetError::NoScheme => TargetError::Scheme(scheme.to_owned()),
                other => other,
            })?;
            return Ok(Self { credentials: None, ..absolute });
        }
        if location.starts_with("//") {
            let scheme = if self.origin.is_tls { "https:" } else { "http:" };
            return Ok(Self { credentials: None, ..format!("{scheme}{location}").parse()? });
        }
        let location = location.split('#').next().unwrap_or_default();
        let (path, query) = location.split_at(location.find('?').unwrap_or(location.len()));
        let text = match (path, query) {
            ("", "") => self.path.to_string(),
            ("", query) => format!("{}{query}", self.path()),
            (path, query) if path.starts_with('/') => without_dots(path) + query,
            (path, query) => {
                let folder = self.path().rsplit_once('/').map_or("", |(folder, _)| folder);
                without_dots(&format!("{folder}/{path}")) + query
            }
        };
        Ok(Self { origin: self.origin.clone(), path: path_and_query(&text)?, credentials: None })
    }
}

impl Origin {
    /// The value of `Host`: a zone means nothing to others (RFC 6874, section 4).
    pub(super) fn host_header(&self) -> String {
        let host = self.host.split('%').next().unwrap_or_default();
        self.with_port(host)
    }

    fn with_port(&self, host: &str) -> String {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match (self.is_tls, self.port) {
            (false, 80) | (true, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.with_port(&self.host.replace('%', "%25")))
    }
}

/// `http://camera/stream?key=…`: a value of the query may be a token, and so may a key without a value.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path())?;
        for (at, pair) in self.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
            let key = pair.split_once('=').map_or("", |(key, _)| key);
            write!(f, "{}{key}{}…", if at == 0 { '?' } else { '&' }, if pair.contains('=') { "=" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), TargetError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(TargetError::Host)?;
            (ipv6(address)?, port)
        }
        None => {
            let (host, port) = place.split_at(place.find(':').unwrap_or(place.len()));
            (name(host)?, port)
        }
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, None)),
        Some("") => Ok((host, None)),
        // `parse` would take a sign.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse() {
            Ok(port) if port != 0 => Ok((host, Some(port))),
            _ => Err(TargetError::Port),
        },
        _ => Err(TargetError::Port),
    }
}

fn name(host: &str) -> Result<String, TargetError> {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if !host.is_ascii() {
        return Err(TargetError::HostLetters);
    }
    if host.is_empty() || !host.bytes().all(is_name_byte) {
        return Err(TargetError::Host);
    }
    Ok(host.to_ascii_lowercase())
}

/// An address with a zone (RFC 6874: behind `%25`; people and browsers write `%` alone).
fn ipv6(address: &str) -> Result<String, TargetError> {
    let (address, zone) = match address.split_once('%') {
        Some((address, zone)) => (address, zone.strip_prefix("25").filter(|zone| !zone.is_empty()).unwrap_or(zone)),
        None => (address, ""),
    };
    let is_zone_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let parsed: Ipv6Addr = address.parse().map_err(|_| TargetError::Host)?;
    match zone {
        "" => Ok(parsed.to_string()),
        zone if zone.bytes().all(is_zone_byte) => Ok(format!("{parsed}%{zone}")),
        _ => Err(TargetError::Host),
    }
}

fn path_and_query(text: &str) -> Result<PathAndQuery, TargetError> {
    let text = text.split('#').next().unwrap_or_default();
    let slash = if text.starts_with('/') { "" } else { "/" };
    let encoded = format!("{slash}{}", utf8_percent_encode(text, NOT_IN_PATH));
    PathAndQuery::try_from(encoded).map_err(|_| TargetError::Path)
}

fn credentials(userinfo: &str) -> Result<Option<Credentials>, TargetError> {
    if userinfo.is_empty() {
        return Ok(None);
    }
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let credentials = Credentials::new(decode(user)?, decode(password)?);
    credentials.map(Some).ok_or(TargetError::Userinfo)
}

/// Decoded once. A `%` that begins no escape is one that the user forgot to escape, and others may then be meant as they are.
fn decode(text: &str) -> Result<String, TargetError> {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let is_broken = |(at, byte): (usize, &u8)| *byte == b'%' && !(is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2)));
    if bytes.iter().enumerate().any(is_broken) {
        return Err(TargetError::Userinfo);
    }
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| TargetError::Userinfo)
}

/// The path without `.` and `..` (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments = path.strip_prefix('/').unwrap_or(path).split('/');
    let mut ends_in_folder = false;
    for segment in segments {
        ends_in_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let end = if ends_in_folder && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}
