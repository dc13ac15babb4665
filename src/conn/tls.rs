//! TLS: reads the certificate and its key, and again when the files change or on SIGHUP. It offers HTTP/1.1 alone, since a
//! stream needs a connection of its own.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    net::TcpStream,
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    },
    server::TlsStream,
};
use tracing::{info, warn};

use crate::{
    error::{Error, Result},
    file::{self, Reading, Signature},
    sync::Mutex,
};

/// How often the files are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// No chain of certificates is larger.
const MAX_BYTES: usize = 1 << 20;
/// Encrypted bytes that rustls holds for a viewer: with more of them its pictures would be old.
const BUFFER_LIMIT: usize = 32 * 1024;

/// The certificate and key in use, which follow their files.
#[derive(Debug, Clone)]
pub struct Tls {
    files: Files,
    current: Arc<Mutex<Current>>,
}

#[derive(Debug, Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    version: Option<Version>,
}

/// The state of both files; a change of permissions is a change.
type Version = [Signature; 2];

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its key, both in PEM.
    ///
    /// # Errors
    /// Where a file cannot be read, holds no certificate or key, or holds a key that others can read.
    pub fn load(cert: PathBuf, key: PathBuf) -> Result<Self> {
        let files = Files { cert, key };
        let version = files.version();
        let config = files.read()?;
        Ok(Self { files, current: Arc::new(Mutex::new(Current { config, version })) })
    }

    /// Does the server's side of the handshake.
    ///
    /// # Errors
    /// Where the peer does not speak TLS 1.2 or 1.3.
    pub async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.current.lock().config.clone();
        TlsAcceptor::from(config).accept_with(socket, |session| session.set_buffer_limit(Some(BUFFER_LIMIT))).await
    }

    /// Reads the files again when they change and on SIGHUP. If they cannot be used, it logs why and keeps the old ones.
    pub async fn keep_fresh(self) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
        let mut clock = interval(CHECK_INTERVAL);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                _ = clock.tick() => false,
            };
            let tls = self.clone();
            // A slow disk holds up no viewer.
            let _ = spawn_blocking(move || tls.refresh(asked)).await;
        }
    }

    fn refresh(&self, asked: bool) {
        let version = self.files.version();
        // While one of them is missing, they are being replaced.
        if !asked && (version.is_none() || version == self.current.lock().version) {
            return;
        }
        let read = self.files.read();
        let mut current = self.current.lock();
        current.version = version;
        match read {
            Ok(config) => {
                current.config = config;
                info!(cert = %self.files.cert.display(), "certificate read again");
            }
            Err(error) => warn!(error = %format_args!("{error:#}"), "the certificate stays as it was"),
        }
    }
}

impl Files {
    fn version(&self) -> Option<Version> {
        let of = |path: &Path| Some(Signature::of(&fs::metadata(path).ok()?));
        Some([of(&self.cert)?, of(&self.key)?])
    }

    fn read(&self) -> Result<Arc<ServerConfig>> {
        let Self { cert, key } = self;
        let in_cert = |cause: String| cannot_use("--tls-cert", cert, cause);
        let chain = read_certificates("--tls-cert", cert)?;
        let key = read_key(key)?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
        let config = builder.and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                in_cert("it belongs to another key".to_owned()).hint("is --tls-key the key of this certificate?")
            }
            error => in_cert(error.to_string()),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The certificates of a file in PEM, which a flag names.
///
/// # Errors
/// Where the file cannot be read or holds none.
pub(crate) fn read_certificates(flag: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read(path).map_err(|cause| cannot_use(flag, path, cause))?;
    let chain: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| cannot_use(flag, path, in_words(error)))?;
    if chain.is_empty() {
        let error = cannot_use(flag, path, "there is no certificate in it".to_owned());
        return Err(error.hint("it has to be in PEM, as -----BEGIN CERTIFICATE-----"));
    }
    Ok(chain)
}

fn cannot_use(flag: &str, path: &Path, cause: String) -> Error {
    Error::new(format!("use {flag} {}", path.display()), cause)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let cannot = |cause: String| cannot_use("--tls-key", path, cause);
    let found = fs::metadata(path).map_err(|error| cannot(error.to_string()))?;
    if found.mode() & 0o007 != 0 {
        let error = cannot("every user of this machine can read or change it".to_owned());
        return Err(error.hint(format!("chmod o= {}", path.display())));
    }
    let text = read(path).map_err(cannot)?;
    // In the first line of PKCS #8, in the second of the older form (RFC 1421).
    if memchr::memmem::find(&text, b"ENCRYPTED").is_some() {
        let error = cannot("it is encrypted, and nobody is there to type its passphrase".to_owned());
        return Err(error.hint(format!("openssl pkey -in {} -out plain.pem", path.display())));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| cannot(in_words(error)))
}

/// Never blocks: a FIFO in the place of a file would hold up the next certificate and the end of the program.
fn read(path: &Path) -> std::result::Result<Bytes, String> {
    match file::read(path, MAX_BYTES) {
        Ok(Reading::Whole(text, _)) => Ok(text),
        Ok(Reading::Grown(..) | Reading::Changed(..)) => Err("it changed while it was read".to_owned()),
        Ok(Reading::NotAFile) => Err("it is not a regular file".to_owned()),
        Ok(Reading::TooLarge(bytes)) => Err(format!("it has {bytes} bytes, which is too much")),
        Err(error) => Err(error.to_string()),
    }
}

fn in_words(error: pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "there is nothing fitting in it".to_owned(),
        error => error.to_string(),
    }
}
