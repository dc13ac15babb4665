//! The HTTP/1.1 client with which feeds of other machines are read, and one's own are sent to them: TLS, passwords, redirects, deadlines, and heads as they were
//! received. It knows nothing of feeds, parts and multipart.
//!
//! ```no_run
//! # async fn read() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use mxr::client::{Client, ClientSettings, HeaderMap, Target};
//!
//! let target: Target = "http://user:password@camera/stream".parse()?;
//! let mut client = Client::new(ClientSettings::default())?;
//! let mut response = client.get(&target, &HeaderMap::new()).await?;
//! while let Some(bytes) = response.body.chunk(Duration::from_secs(10)).await? {
//!     println!("{} bytes", bytes.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A client is for one upstream and does one request at a time. `http_proxy` and its like in the environment are ignored unless its
//! settings have them: they catch cameras on the local network too (sigoden/aichat#1013).

mod challenge;
mod connection;
mod credentials;
mod dialer;
mod digest;
mod exchange;
mod failure;
mod head;
mod login;
mod proxy;
mod response;
mod settings;
mod target;
#[cfg(test)]
mod tests;
mod trust;
mod upload;

pub use hyper::{HeaderMap, Method, StatusCode, header};

pub use self::{
    connection::StreamIo,
    credentials::Credentials,
    dialer::Dialer,
    exchange::Client,
    failure::{Awaited, ClientError, PROXY_PASSWORD, RedirectFault},
    head::HeadFault,
    proxy::ProxyRules,
    response::{Response, ResponseBody},
    settings::ClientSettings,
    target::{Target, TargetError},
};
