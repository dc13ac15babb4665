//! A test authority and certificates that it signs, in the files that mxr expects.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData};

use super::Folder;

pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: Folder,
}

impl Ca {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "mxr test authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = Folder::new();
        folder.put("ca.pem", issuer.pem());
        Self { issuer, folder }
    }

    /// Signs a certificate for localhost and 127.0.0.1, in place of the previous one. Returns its pin: the SHA-256 of the key.
    pub fn sign(&self, name: &str) -> Vec<u8> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        self.folder.put("key.pem", key.serialize_pem());
        self.allow(0o600);
        self.folder.put("cert.pem", cert.pem());
        key.subject_public_key_info()
    }

    /// Sets the permissions of the key.
    pub fn allow(&self, mode: u32) {
        fs::set_permissions(self.key(), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn ca(&self) -> PathBuf {
        self.folder.file("ca.pem")
    }

    pub fn cert(&self) -> PathBuf {
        self.folder.file("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.file("key.pem")
    }
}
