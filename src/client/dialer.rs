//! Connections for another protocol than HTTP: the same addresses, deadlines, TLS and errors. What goes over them is its owner's.

use std::fmt;

use super::{
    connection::{Stream, StreamIo},
    failure::ClientError,
    settings::ClientSettings,
    target::Target,
    trust::Trust,
};

/// Opens connections to one server.
pub struct Dialer {
    settings: ClientSettings,
    trust: Trust,
}

impl Dialer {
    /// One that has no connection yet. Of the settings it heeds those of TLS, the Unix socket, proxies and the time for a connection.
    ///
    /// # Errors
    /// Where the file of certificates cannot be used.
    pub fn new(settings: ClientSettings) -> crate::error::Result<Self> {
        let trust = Trust::new(settings.ca.as_deref(), settings.insecure)?;
        Ok(Self { settings, trust })
    }

    /// A connection to the server of this target, for data of which the newest counts: little of it waits in the kernel.
    ///
    /// # Errors
    /// As `ClientError` says.
    pub async fn open(&mut self, target: &Target) -> Result<StreamIo, ClientError> {
        Ok(Stream::open(target.origin(), &self.settings, &mut self.trust, true).await?.io)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({:?})", self.settings)
    }
}
