//! Certificates, read from files and read again when the files change.

use rustls::ServerConfig;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// How often the files are looked at. A renewal is days before the end.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, followed by its intermediates.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read as PEM.
    #[error("{path} can't be read as PEM")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The certificate and the key don't belong together, or are of no known kind.
    #[error("the certificate and the key can't be used")]
    Use(#[source] rustls::Error),
}

/// The certificate in use.
#[derive(Debug)]
pub struct Certificates {
    files: Files,
    current: RwLock<(Arc<CertifiedKey>, Vec<Option<SystemTime>>)>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], with the file at fault.
    pub fn load(files: Files) -> Result<Arc<Self>, TlsError> {
        let stamp = stamp(&files);
        let key = read(&files)?;
        Ok(Arc::new(Self {
            files,
            current: RwLock::new((Arc::new(key), stamp)),
        }))
    }

    /// Reads the files again if they changed. A change that can't be used is an error, and the
    /// certificate before stays in use.
    ///
    /// # Errors
    /// [`TlsError`], with the file at fault.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let stamp = stamp(&self.files);
        if self
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            == stamp
        {
            return Ok(false);
        }
        let key = read(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (Arc::new(key), stamp);
        Ok(true)
    }

    /// Keeps reloading, for as long as the process runs.
    pub async fn watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(CHECK_EVERY);
        let mut failed = None;
        loop {
            ticks.tick().await;
            match self.reload() {
                Ok(true) => tracing::info!("the certificate was renewed"),
                Ok(false) => {}
                Err(error) => {
                    // Once for each state of the files, not every ten seconds.
                    let stamp = stamp(&self.files);
                    if failed.as_ref() != Some(&stamp) {
                        tracing::warn!(%error, "the new certificate can't be used; the old one stays");
                        failed = Some(stamp);
                    }
                }
            }
        }
    }

    /// TLS with this certificate.
    ///
    /// # Panics
    /// Never: the versions are those of the provider.
    #[must_use]
    pub fn server_config(self: &Arc<Self>) -> Arc<ServerConfig> {
        self.config(b"http/1.1")
    }

    /// TLS with this certificate for gRPC, which is HTTP/2 alone.
    ///
    /// # Panics
    /// Never, as [`server_config`](Self::server_config).
    #[must_use]
    pub fn grpc_config(self: &Arc<Self>) -> Arc<ServerConfig> {
        self.config(b"h2")
    }

    fn config(self: &Arc<Self>, protocol: &[u8]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the default versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![protocol.to_vec()];
        // Tickets save a returning client half a handshake; two are enough for a browser.
        config.send_tls13_tickets = 2;
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(
            &self
                .current
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .0,
        ))
    }
}

fn stamp(files: &Files) -> Vec<Option<SystemTime>> {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    vec![modified(&files.certificate), modified(&files.key)]
}

fn read(files: &Files) -> Result<CertifiedKey, TlsError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Read { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(error(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(error(&files.key))?;
    let certified = CertifiedKey::new(chain, any_supported_type(&key).map_err(TlsError::Use)?);
    certified.keys_match().map_err(TlsError::Use)?;
    Ok(certified)
}
