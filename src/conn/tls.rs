//! Certificates: reads them with their key, and again when the files change or a SIGHUP asks for it. HTTP/1.1 alone is
//! spoken over it: a stream has its connection to itself.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
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
    sync::lock,
};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// More is no chain of certificates.
const MOST_BYTES: usize = 1 << 20;
/// Bytes that wait encrypted for a viewer: more of them would be old pictures.
const WAITING: usize = 32 * 1024;

/// A certificate and its key, as they are now.
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

/// Tells two states of both files apart. A change of permissions is another state.
type Version = [Signature; 2];

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its key, both in PEM.
    ///
    /// # Errors
    /// Where a file cannot be read, has nothing fitting in it, or has a key that others can read.
    pub fn load(cert: PathBuf, key: PathBuf) -> Result<Self> {
        let files = Files { cert, key };
        let version = files.version();
        let config = files.read()?;
        Ok(Self { files, current: Arc::new(Mutex::new(Current { config, version })) })
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// Where the other side does not speak TLS, or none of our versions of it.
    pub async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.lock().config.clone();
        TlsAcceptor::from(config).accept_with(socket, |session| session.set_buffer_limit(Some(WAITING))).await
    }

    /// Reads the files again whenever they change or a SIGHUP comes. What cannot be used is told, and the old ones stay.
    pub async fn keep_fresh(self) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
        let mut clock = interval(LOOK);
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
        // While one of them is missing somebody is at work there.
        if !asked && (version.is_none() || version == self.lock().version) {
            return;
        }
        let read = self.files.read();
        let mut current = self.lock();
        current.version = version;
        match read {
            Ok(config) => {
                current.config = config;
                info!(cert = %self.files.cert.display(), "certificate read again");
            }
            Err(error) => warn!(error = %format_args!("{error:#}"), "the certificate stays as it was"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        lock(&self.current)
    }
}

impl Files {
    fn version(&self) -> Option<Version> {
        let of = |path: &Path| Some(Signature::of(&fs::metadata(path).ok()?));
        Some([of(&self.cert)?, of(&self.key)?])
    }

    fn read(&self) -> Result<Arc<ServerConfig>> {
        let Self { cert, key } = self;
        let in_cert = |cause: String| Error::new(format!("use --tls-cert {}", cert.display()), cause);
        let text = read(cert).map_err(in_cert)?;
        let chain: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.map_err(|error| in_cert(in_words(error)))?;
        if chain.is_empty() {
            return Err(
                in_cert("there is no certificate in it".to_owned()).hint("it has to be in PEM, as -----BEGIN CERTIFICATE-----")
            );
        }
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

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let cannot = |cause: String| Error::new(format!("use --tls-key {}", path.display()), cause);
    let found = fs::metadata(path).map_err(|error| cannot(error.to_string()))?;
    if found.mode() & 0o007 != 0 {
        let error = cannot("every user of this machine can read or change it".to_owned());
        return Err(error.hint(format!("chmod o= {}", path.display())));
    }
    let text = read(path).map_err(cannot)?;
    // In the first line of PKCS #8, in the second of what came before (RFC 1421).
    if memchr::memmem::find(&text, b"ENCRYPTED").is_some() {
        let error = cannot("it is encrypted, and nobody is there to type its passphrase".to_owned());
        return Err(error.hint(format!("openssl pkey -in {} -out plain.pem", path.display())));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| cannot(in_words(error)))
}

/// Never waits: a FIFO that takes the place of a file would hold up the next certificate and the end of the program.
fn read(path: &Path) -> std::result::Result<Bytes, String> {
    match file::read(path, MOST_BYTES) {
        Ok(Reading::Whole(text, _)) => Ok(text),
        Ok(Reading::Changed) => Err("it changed while it was read".to_owned()),
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
