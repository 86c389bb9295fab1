//! A server as clients reach it: its URL, TLS, and one request on a connection of its own.

use anyhow::{Context as _, bail};
use http::Uri;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// To an answer: a person would have given up as well.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of an answer, that is read.
const ANSWER_BYTES: u64 = 256 * 1024;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) url: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_tls: bool,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// A request line's method and path, and further header lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) line: &'a str,
    pub(super) headers: &'a str,
    /// It holds a secret: it is sent only to who shows a certificate that is good by the public roots and these files, on
    /// the same connection.
    pub(super) trusts: Option<&'a [PathBuf]>,
    /// The answer's head is enough: what follows has no end.
    pub(super) is_upgrade: bool,
}

impl Site {
    pub(super) fn parse(url: &str) -> anyhow::Result<Self> {
        let uri: Uri = url
            .parse()
            .with_context(|| format!("--url {url:?} is no URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => bail!("--url {url:?}: http://… or https://…"),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.with_context(|| format!("--url {url:?} names no host"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            host,
            is_tls,
        })
    }

    fn authority(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) => format!("[{v6}]:{}", self.port),
            Ok(IpAddr::V4(_)) | Err(_) => format!("{}:{}", self.host, self.port),
        }
    }

    /// Where its name leads to, as this machine resolves it.
    pub(super) async fn addresses(&self) -> Vec<IpAddr> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let mut ips: Vec<IpAddr> = found
            .into_iter()
            .flatten()
            .map(|at: SocketAddr| at.ip())
            .collect();
        ips.sort_unstable();
        ips.dedup();
        ips
    }

    /// Asks; also gives the certificates that it showed, whoever has signed them.
    ///
    /// # Errors
    /// Why there is no answer, for people.
    pub(super) async fn ask(
        &self,
        ask: Ask<'_>,
    ) -> Result<(Answer, Vec<CertificateDer<'static>>), String> {
        let asked = tokio::time::timeout(PATIENCE, self.exchange(ask)).await;
        asked.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    async fn exchange(
        &self,
        ask: Ask<'_>,
    ) -> Result<(Answer, Vec<CertificateDer<'static>>), String> {
        let connection = if ask.is_upgrade { "Upgrade" } else { "close" };
        let request = format!(
            "{} HTTP/1.1\r\nHost: {}\r\nConnection: {connection}\r\nUser-Agent: kaiwa-doctor\r\n{}\r\n",
            ask.line,
            self.authority(),
            ask.headers
        );
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await;
        let tcp = tcp.map_err(|error| error.to_string())?;
        if !self.is_tls {
            return Ok((talk(tcp, &request, ask.is_upgrade).await?, Vec::new()));
        }
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|_| "its name can't be in a certificate".to_owned())?;
        let connector = TlsConnector::from(Arc::new(looking().map_err(|e| e.to_string())?));
        let tls = connector.connect(name, tcp).await;
        let tls = tls.map_err(|error| format!("TLS: {error}"))?;
        let shown = tls.get_ref().1.peer_certificates().unwrap_or_default();
        let shown: Vec<_> = shown.iter().map(|one| one.clone().into_owned()).collect();
        if let Some(files) = ask.trusts {
            let roots = roots(files).map_err(|error| format!("{error:#}"))?;
            verify(roots, &shown, &self.host, UnixTime::now())
                .map_err(|error| format!("the certificate is not good any more: {error}"))?;
        }
        Ok((talk(tls, &request, ask.is_upgrade).await?, shown))
    }
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
    is_head_enough: bool,
) -> Result<Answer, String> {
    let said = |error: std::io::Error| error.to_string();
    stream.write_all(request.as_bytes()).await.map_err(said)?;
    let mut bytes = Vec::new();
    let mut limited = stream.take(ANSWER_BYTES);
    loop {
        let came = limited.read_buf(&mut bytes).await;
        let has_head = bytes.windows(4).any(|end| end == b"\r\n\r\n");
        match came {
            Ok(0) => break,
            Ok(_) if has_head && is_head_enough => break,
            Ok(_) => {}
            // Some end a connection without TLS's good-bye.
            Err(_) if has_head => break,
            Err(error) => return Err(said(error)),
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or("something else than HTTP answers")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.ok_or("something else than HTTP answers")?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// What certificates are checked against: Mozilla's roots, and these files.
pub(super) fn roots(files: &[PathBuf]) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for path in files {
        let about = || format!("the certificates in {}", path.display());
        for certificate in CertificateDer::pem_file_iter(path).with_context(about)? {
            roots
                .add(certificate.with_context(about)?)
                .with_context(about)?;
        }
    }
    Ok(roots)
}

/// Checks a chain for a name at a time.
pub(super) fn verify(
    roots: RootCertStore,
    shown: &[CertificateDer<'_>],
    name: &str,
    at: UnixTime,
) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = verifier
        .build()
        .map_err(|e| rustls::Error::General(e.to_string()))?;
    let name = ServerName::try_from(name.to_owned());
    let name = name.map_err(|e| rustls::Error::General(e.to_string()))?;
    let (first, rest) = shown
        .split_first()
        .ok_or(rustls::Error::NoCertificatesPresented)?;
    verifier
        .verify_server_cert(first, rest, &name, &[], at)
        .map(|_| ())
}

/// Takes whatever certificate is shown: it is what is looked at. Nothing secret is told on a connection whose certificate
/// was not [verified](verify); see [`Ask::trusts`].
fn looking() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Looking(Arc::clone(&provider)));
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

#[derive(Debug)]
struct Looking(Arc<CryptoProvider>);

impl ServerCertVerifier for Looking {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
