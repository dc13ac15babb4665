//! Why a request got no response that can be used: one kind each for what a caller treats in its own way, with a cause in words and
//! a hint where there is something to do. No secret stands in either.

use std::{fmt, io, time::Duration};

use bytes::Bytes;

use super::{head::HeadFault, target::TargetError};
use crate::escape::Escaped;

/// What to do where a proxy asks for a password (407).
pub const PROXY_PASSWORD: &str =
    "it asks for user and password, which stand in the URL of the proxy: http://user:password@proxy:3128";

/// A request without a response that can be used, or a body that broke off. `Display` is the cause, without "cannot".
#[derive(Debug)]
pub enum ClientError {
    /// The host has no address.
    Resolve {
        /// The host that was looked up.
        host: String,
        /// What the resolver said.
        cause: io::Error,
    },
    /// No connection: refused, unreachable, no such socket. The cause is that of the first address.
    Connect {
        /// The address or the path.
        to: String,
        /// What connect(2) said.
        cause: io::Error,
    },
    /// The proxy makes no connection.
    Proxy {
        /// The proxy.
        proxy: String,
        /// What it answers.
        cause: String,
    },
    /// A deadline has passed.
    Timeout {
        /// What did not come.
        waiting_for: Awaited,
        /// The time that it had.
        after: Duration,
    },
    /// The TLS handshake failed, by the certificate or otherwise.
    Tls {
        /// Why, in words.
        cause: String,
        /// What the user can do about it.
        hint: Option<&'static str>,
    },
    /// The connection was closed before a byte of a response.
    Closed,
    /// The response is no HTTP/1 that can be used.
    Head {
        /// What is wrong with it.
        fault: HeadFault,
        /// What was received of the head, as it is.
        head: Bytes,
    },
    /// 401, and there is no password for this server.
    PasswordAsked {
        /// The schemes of the challenges, as `Digest, Basic`.
        schemes: String,
        /// Whether there is a password that was not sent, since a redirect led to another server.
        is_withheld: bool,
    },
    /// 401 to a password: it is wrong. Cameras lock addresses out that try again soon.
    PasswordRefused,
    /// 401 with a challenge for a token: there is none, or it is wrong.
    TokenAsked,
    /// 401 without a challenge that can be read, as some cameras send now and then: no word about the password.
    NoChallenge,
    /// 401, and none of the challenges can be answered.
    ChallengeUnknown {
        /// What they ask for, as `Negotiate` or `Digest with qop auth-int`.
        asked: String,
    },
    /// A redirect that leads nowhere.
    Redirect {
        /// The URL that redirects, without secrets.
        from: String,
        /// What is wrong with it.
        fault: RedirectFault,
    },
    /// The body broke off.
    Body {
        /// Why, in words.
        cause: String,
    },
    /// The body is larger than the caller takes.
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The address of the host.
    Address,
    /// The connection.
    Connection,
    /// The TLS handshake.
    Handshake,
    /// The head of the response.
    ResponseHead,
    /// The next bytes of the body, or the whole of it.
    ResponseBody,
}

/// What is wrong with a redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectFault {
    /// It leads to this URL, where the request has been.
    Circle(String),
    /// It is one more than allowed.
    TooMany(usize),
    /// It has no `Location`.
    NoLocation,
    /// Its `Location` is none to go to.
    Location(TargetError),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, cause } => write!(f, "{} is not found: {cause}", Escaped(host)),
            Self::Connect { to, cause } => write!(f, "no connection to {}: {cause}", Escaped(to)),
            Self::Proxy { proxy, cause } => write!(f, "the proxy {proxy} {}", Escaped(cause)),
            Self::Timeout { waiting_for, after } => write!(f, "no {waiting_for} within {}", humantime::format_duration(*after)),
            Self::Tls { cause, .. } => write!(f, "TLS: {}", Escaped(cause)),
            Self::Closed => f.write_str("the server closed the connection without a response"),
            Self::Head { fault, .. } => fault.fmt(f),
            Self::PasswordAsked { schemes, is_withheld: false } => {
                write!(f, "the server asks for a password ({})", Escaped(schemes))
            }
            Self::PasswordAsked { schemes, is_withheld: true } => {
                write!(f, "the server that a redirect leads to asks for a password ({})", Escaped(schemes))
            }
            Self::PasswordRefused => f.write_str("the server refuses the user or password"),
            Self::TokenAsked => f.write_str("the server asks for a token, or refuses the one that it got"),
            Self::NoChallenge => f.write_str("the server answers 401 without a challenge that can be read"),
            Self::ChallengeUnknown { asked } => write!(f, "the server asks for {}, which is not supported", Escaped(asked)),
            Self::Redirect { from, fault } => write!(f, "{from} redirects {fault}"),
            Self::Body { cause } => write!(f, "the body broke off: {}", Escaped(cause)),
            Self::BodyTooLarge { limit } => write!(f, "the body is larger than {limit} bytes"),
        }
    }
}

impl std::error::Error for ClientError {}

impl ClientError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Tls { hint, .. } => *hint,
            Self::Proxy { cause, .. } if cause.starts_with("answers 407") => Some(PROXY_PASSWORD),
            Self::Proxy { .. } => Some("NO_PROXY names the hosts that are reached without it"),
            Self::Head { fault: HeadFault::Tls, .. } => Some("begin the URL with https://"),
            Self::Head { fault: HeadFault::Rtsp, .. } => Some("use the HTTP port; ffmpeg turns RTSP into MJPEG"),
            Self::PasswordAsked { is_withheld: true, .. } => Some("give the URL that the redirect leads to"),
            Self::PasswordAsked { .. } => Some("give it as http://user:password@host/ or with --upstream-auth-file"),
            Self::TokenAsked => Some(
                "give it in the URL as ?token=TOKEN, or with --upstream-header @FILE, a file with the line 'Authorization: Bearer TOKEN'",
            ),
            Self::ChallengeUnknown { .. } => Some("set the server to Digest or Basic"),
            _ => None,
        }
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "address of the host",
            Self::Connection => "connection",
            Self::Handshake => "end of the TLS handshake",
            Self::ResponseHead => "response",
            Self::ResponseBody => "data",
        })
    }
}

/// Completes "URL redirects …".
impl fmt::Display for RedirectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Circle(to) => write!(f, "in a circle, back to {to}"),
            Self::TooMany(limit) => write!(f, "once more, after {limit} redirects"),
            Self::NoLocation => f.write_str("nowhere: it gives no Location"),
            Self::Location(error) => write!(f, "to a place that cannot be used: {}", Escaped(error)),
        }
    }
}
