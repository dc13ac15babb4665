//! Certificates that are believed, and why others are not.

use std::{path::PathBuf, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
        sign::{CertifiedKey, SingleCertAndKey},
    },
};

use super::*;

/// Of X.509 version 1, as `openssl x509 -req -signkey` makes them.
const VERSION_1: &str = "MIIBHzCBxQIUHtaOHah2wDOi88oiVZPQVdt7IvswCgYIKoZIzj0EAwIwETEPMA0GA1UEAwwGY2FtZXJhMCAXDTI2MTEyOTExMzkyNFoYDzIxMjYxMTA1\
MTEzOTI0WjARMQ8wDQYDVQQDDAZjYW1lcmEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQSnhhWnslEEDJvYmiolXwV5o5u9+VKbjyfMdg8cG7nVUw7MjIVqEc5K4p5\
iV4RI1Bwt8JNjBKordxRa/rGaKApMAoGCCqGSM49BAMCA0kAMEYCIQDKxgfuAUkUH6cgaEzqtYZN+ufAbMFXwLhwOv9JrsG93gIhANSgb9oGlD3FOAg17PSPfhXK4sAn\
3SeKrA9GWqg6dn6M";

/// A certificate and its key.
struct Identity {
    params: CertificateParams,
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    fn own(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap().der().clone(), params, key }
    }

    /// What `openssl req -x509` makes: an authority that is a server as well.
    fn of_camera() -> Self {
        let mut params = CertificateParams::new(["camera".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self::own(params)
    }

    /// Another one, signed by this one.
    fn signed(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        Self { certificate: params.signed_by(&key, &issuer).unwrap().der().clone(), params, key }
    }
}

/// A server with this certificate that answers one request and closes without a word of TLS.
async fn serve(certificate: CertificateDer<'static>, key: &KeyPair, response: &'static str) -> u16 {
    let provider = ring::default_provider();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    // Not through `with_single_cert`, which reads it.
    let certified = CertifiedKey::new(vec![certificate], provider.key_provider.load_private_key(key).unwrap());
    let builder = ServerConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let Ok(mut socket) = TlsAcceptor::from(Arc::new(config)).accept(socket).await else { return };
        request_of(&mut socket).await;
        socket.write_all(response.as_bytes()).await.unwrap();
        socket.flush().await.unwrap();
        // No `close_notify`.
        let _ = socket.get_mut().0.shutdown().await;
    });
    port
}

const UNTIL_THE_END: &str = "HTTP/1.0 200 OK\r\n\r\nto the end";

async fn ask(settings: ClientSettings, host: &str, port: u16) -> Result<Response, ClientError> {
    get(&mut Client::new(settings).unwrap(), &format!("https://{host}:{port}/").parse().unwrap()).await
}

/// A file with these certificates in PEM.
fn file_of(folder: &tempfile::TempDir, certificates: &[&CertificateDer<'_>]) -> PathBuf {
    let path = folder.path().join("ca.pem");
    let pem =
        |der: &&CertificateDer<'_>| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der));
    std::fs::write(&path, certificates.iter().map(pem).collect::<String>()).unwrap();
    path
}

fn believing(path: PathBuf) -> ClientSettings {
    ClientSettings { ca: Some(path), ..ClientSettings::default() }
}

fn insecure() -> ClientSettings {
    ClientSettings { insecure: true, ..ClientSettings::default() }
}

#[tokio::test]
async fn a_server_is_believed_by_the_authority_of_a_file_and_under_its_names_alone() {
    let authority = Identity::of_camera();
    let server = authority.signed(CertificateParams::new(["127.0.0.1".to_owned()]).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let settings = believing(file_of(&folder, &[&authority.certificate]));

    let port = serve(server.certificate.clone(), &server.key, UNTIL_THE_END).await;
    let mut response = ask(settings.clone(), "127.0.0.1", port).await.unwrap();
    assert_eq!(response.tls.as_deref(), Some("TLSv1_3"));
    // The end of the connection is the end of the body, even where TLS does not say so.
    assert_eq!(response.body.read_to_end(100, LONG).await.unwrap(), "to the end");

    let port = serve(server.certificate, &server.key, UNTIL_THE_END).await;
    let error = ask(settings, "localhost", port).await.unwrap_err();
    assert!(error.to_string().starts_with("TLS: the certificate is for "), "{error}");
    assert!(error.hint().unwrap().contains("--upstream-ca"));
}

#[tokio::test]
async fn a_camera_is_believed_by_its_own_certificate_whatever_its_name() {
    let (camera, other) = (Identity::of_camera(), Identity::of_camera());
    let folder = tempfile::tempdir().unwrap();
    let settings = believing(file_of(&folder, &[&other.certificate, &camera.certificate]));
    let port = serve(camera.certificate.clone(), &camera.key, UNTIL_THE_END).await;
    assert_eq!(ask(settings.clone(), "127.0.0.1", port).await.unwrap().status, 200);
    // Without its key the certificate is of no use.
    let port = serve(camera.certificate.clone(), &other.key, UNTIL_THE_END).await;
    let error = ask(settings.clone(), "127.0.0.1", port).await.unwrap_err();
    assert!(matches!(error, ClientError::Tls { .. }), "{error:?}");
    let stranger = Identity::of_camera();
    let port = serve(stranger.certificate.clone(), &stranger.key, UNTIL_THE_END).await;
    assert!(matches!(ask(settings, "127.0.0.1", port).await, Err(ClientError::Tls { .. })));
}

#[tokio::test]
async fn a_server_of_no_known_authority_is_not_believed_unless_every_one_is() {
    let camera = Identity::own(CertificateParams::new(["localhost".to_owned()]).unwrap());
    for camera in [&camera, &Identity::of_camera()] {
        let port = serve(camera.certificate.clone(), &camera.key, UNTIL_THE_END).await;
        let error = ask(ClientSettings::default(), "localhost", port).await.unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("--upstream-ca")), "{error:?}");
        assert!(error.to_string().contains("authorit"), "{error}");
    }
    let version_1 = STANDARD.decode(VERSION_1).unwrap();
    let port = serve(version_1.clone().into(), &camera.key, UNTIL_THE_END).await;
    let error = ask(ClientSettings::default(), "127.0.0.1", port).await.unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("--upstream-insecure") || hint.contains("ca-certificates")), "{error:?}");
    for der in [camera.certificate.to_vec(), version_1, b"no certificate at all".to_vec()] {
        let port = serve(der.into(), &camera.key, UNTIL_THE_END).await;
        assert_eq!(ask(insecure(), "127.0.0.1", port).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_certificate_that_has_expired_or_is_not_valid_yet_is_told_with_its_date() {
    for (from, until, words) in [(2001, 2002, "expired on Tue, 01 Jan 2002"), (2098, 2099, "is valid from Wed, 01 Jan 2098")] {
        let authority = Identity::of_camera();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(until, 1, 1));
        let server = authority.signed(params);
        let folder = tempfile::tempdir().unwrap();
        let port = serve(server.certificate, &server.key, UNTIL_THE_END).await;
        let error = ask(believing(file_of(&folder, &[&authority.certificate])), "localhost", port).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hint().unwrap().contains("clocks"));
    }
}

/// Answers whatever comes with these bytes.
async fn answering(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 1024]).await;
        let _ = socket.write_all(bytes).await;
        let _ = socket.shutdown().await;
        let _ = socket.read_to_end(&mut Vec::new()).await;
    });
    port
}

#[tokio::test]
async fn old_tls_and_no_tls_are_told_apart() {
    // The alert `protocol_version`, which OpenSSL sends where it has TLS 1.1 at most.
    let error = ask(insecure(), "localhost", answering(b"\x15\x03\x02\0\x02\x02\x46").await).await.unwrap_err();
    assert!(error.hint().unwrap().contains("TLS 1.0 or 1.1"), "{error:?}");
    let error = ask(insecure(), "localhost", answering(b"").await).await.unwrap_err();
    assert!(error.hint().unwrap().contains("TLS 1.0 or 1.1"), "{error:?}");
    let error = ask(insecure(), "localhost", answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await).await.unwrap_err();
    assert_eq!(error.to_string(), "TLS: the server does not speak TLS");
    assert_eq!(error.hint(), Some("is it a port for http://?"));
}

#[test]
fn a_file_that_holds_no_certificate_is_refused_when_the_client_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_of(&folder, &[]);
    let error = Client::new(believing(path.clone())).unwrap_err().to_string();
    assert!(error.starts_with(&format!("mxr: cannot use --upstream-ca {}: there is no", path.display())), "{error}");
    let error = Client::new(believing(folder.path().join("none"))).unwrap_err().to_string();
    assert!(error.contains("No such file"), "{error}");
    let junk = file_of(&folder, &[&CertificateDer::from(b"junk".to_vec())]);
    let error = Client::new(believing(junk)).unwrap_err().to_string();
    assert!(error.contains("--upstream-ca"), "{error}");
}
