//! Which TLS servers are believed: those of the system's authorities, those of a file, or all. It says in words why one is not.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError, PeerIncompatible, RootCertStore,
        SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::failure::ClientError;
use crate::conn::tls::read_certificates;

const OLD_TLS: &str = "the server may have only TLS 1.0 or 1.1, which mxr has not; use http://, or a proxy such as stunnel";
const NO_TLS: &str = "is it a port for http://?";
const UNKNOWN: &str =
    "--upstream-ca FILE believes the server's certificate or its authority; --upstream-insecure believes every server";
const OLD_CERTIFICATE: &str = "give the server a new certificate; --upstream-insecure believes every server";
const OTHER_NAME: &str = "use a name that the certificate is for, or --upstream-ca FILE with this very certificate";
const EXPIRED: &str =
    "renew the server's certificate, and check the clocks of both machines; --upstream-insecure believes every server";
const NO_AUTHORITIES: &str = "install the package ca-certificates, or use --upstream-ca FILE";

/// The settings of TLS. Those of the system are read when the first handshake needs them.
#[derive(Debug)]
pub(super) struct Trust(Option<Arc<ClientConfig>>);

impl Trust {
    /// Believes the certificates of a file, and those that they sign; every server if `insecure`; else what the system does.
    ///
    /// # Errors
    /// Where the file cannot be read or holds no certificate that can be used.
    pub(super) fn new(ca: Option<&Path>, insecure: bool) -> crate::error::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let flag = |path: &Path| format!("use --upstream-ca {}", path.display());
        let verifier: Arc<dyn ServerCertVerifier> = match ca {
            _ if insecure => Arc::new(Unverified(provider.clone())),
            Some(path) => {
                let certificates = read_certificates("--upstream-ca", path)?;
                let found = Pinned::new(certificates, &provider);
                Arc::new(found.map_err(|cause| crate::error::Error::new(flag(path), cause))?)
            }
            None => return Ok(Self(None)),
        };
        let config = config(verifier, provider);
        config.map(|config| Self(Some(config))).map_err(|error| crate::error::Error::new("use TLS", error))
    }

    fn config(&mut self) -> Result<Arc<ClientConfig>, ClientError> {
        if let Some(config) = &self.0 {
            return Ok(config.clone());
        }
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 {
            let cause = "this machine knows no certificate authorities".to_owned();
            return Err(ClientError::Tls { cause, hint: Some(NO_AUTHORITIES) });
        }
        let cannot = |error: String| ClientError::Tls { cause: error, hint: None };
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build();
        let verifier = verifier.map_err(|error| cannot(error.to_string()))?;
        let config = config(verifier, provider).map_err(|error| cannot(error.to_string()))?;
        self.0 = Some(config.clone());
        Ok(config)
    }

    /// Does the client's side of the handshake.
    pub(super) async fn handshake<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        host: &str,
        socket: T,
    ) -> Result<TlsStream<T>, ClientError> {
        // A zone is of this machine alone.
        let host = host.split('%').next().unwrap_or_default().to_owned();
        let name = ServerName::try_from(host);
        let name =
            name.map_err(|_| ClientError::Tls { cause: "the host is no name that a certificate has".to_owned(), hint: None })?;
        let connector = TlsConnector::from(self.config()?);
        connector.connect(name, socket).await.map_err(|error| in_words(&error))
    }
}

fn config(verifier: Arc<dyn ServerCertVerifier>, provider: Arc<CryptoProvider>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn in_words(error: &io::Error) -> ClientError {
    let tls = |cause: &str, hint| ClientError::Tls { cause: cause.to_owned(), hint };
    let Some(of_tls) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) else {
        let is_closed = error.kind() == io::ErrorKind::UnexpectedEof || error.kind() == io::ErrorKind::ConnectionReset;
        return if is_closed { tls("the server ended the handshake", Some(OLD_TLS)) } else { tls(&error.to_string(), None) };
    };
    match of_tls {
        rustls::Error::InvalidCertificate(certificate) => of_certificate(certificate),
        rustls::Error::InvalidMessage(_) => tls("the server does not speak TLS", Some(NO_TLS)),
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        )
        | rustls::Error::AlertReceived(
            AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
        ) => tls(&of_tls.to_string(), Some(OLD_TLS)),
        error => tls(&error.to_string(), None),
    }
}

fn of_certificate(error: &CertificateError) -> ClientError {
    let says = |other: &OtherError, what| other.to_string().contains(what);
    let (cause, hint) = match error {
        // What `openssl req -x509` makes is an authority, and shown as a server's.
        CertificateError::Other(other) if says(other, "CaUsedAsEndEntity") => {
            ("the certificate is signed by itself, not by an authority that this machine knows".to_owned(), Some(UNKNOWN))
        }
        CertificateError::UnknownIssuer => ("the certificate is of no authority that this machine knows".to_owned(), Some(UNKNOWN)),
        CertificateError::Expired => ("the certificate has expired".to_owned(), Some(EXPIRED)),
        CertificateError::ExpiredContext { not_after, .. } => {
            (format!("the certificate expired on {}", date(*not_after)), Some(EXPIRED))
        }
        CertificateError::NotValidYet => ("the certificate is not valid yet".to_owned(), Some(EXPIRED)),
        CertificateError::NotValidYetContext { not_before, .. } => {
            (format!("the certificate is valid from {} on", date(*not_before)), Some(EXPIRED))
        }
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            (format!("the certificate is for {}", presented.join(", ")), Some(OTHER_NAME))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ("the certificate is not for this host".to_owned(), Some(OTHER_NAME))
        }
        CertificateError::Other(other) if says(other, "UnsupportedCertVersion") => {
            ("the certificate is of an old version (X.509 v1) that cannot be checked".to_owned(), Some(OLD_CERTIFICATE))
        }
        other => (rustls::Error::from(other.clone()).to_string(), Some(UNKNOWN)),
    };
    ClientError::Tls { cause, hint }
}

fn date(time: UnixTime) -> String {
    // `httpdate` knows no date after the year 9999.
    let seconds = time.as_secs().min(253_402_300_799);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Believes what the certificates of a file sign, and a server that shows one of them itself: a camera's own certificate is neither
/// an authority nor for the name that it has in this network.
#[derive(Debug)]
struct Pinned {
    certificates: Vec<CertificateDer<'static>>,
    signed: Arc<WebPkiServerVerifier>,
}

impl Pinned {
    fn new(certificates: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let signed = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build();
        Ok(Self { certificates, signed: signed.map_err(|error| error.to_string())? })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificates.iter().any(|pinned| pinned == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        self.signed.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

/// Believes every server, without reading its certificate: rustls reads none of version 1 (rustls/rustls#731).
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
