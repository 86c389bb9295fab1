//! Calls of the command line to a running server.

use crate::config::Config;
use crate::data::DataDir;
use anyhow::{Context as _, bail};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use kaiwa_common::id::UserId;
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::{Identity, ServerRole};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The longest answer that is read: a page of dead letters is far below.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// To an answer's end; a server gives a request ten seconds.
const ANSWER: Duration = Duration::from_secs(30);

/// How long a token is good that is made for one command.
const TOKEN_TTL: Duration = Duration::from_secs(300);

/// Why a call did not do what it was to do; each with what a script may act on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Nobody answers.
    #[error("{server} does not answer (does it run? --server names another): {why}")]
    Unreachable { server: String, why: String },
    /// The server refuses the token.
    #[error("the server refuses: {message} ({reason})")]
    NotAllowed { reason: String, message: String },
    /// The server refuses for another reason.
    #[error("the server answers {status}: {message} ({reason})")]
    Refused {
        status: u16,
        reason: String,
        message: String,
    },
}

impl CallError {
    /// What the process ends with, of BSD's sysexits.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } => 69,
            Self::NotAllowed { .. } => 77,
            Self::Refused { .. } => 1,
        }
    }
}

/// Which server, and as whom.
pub(crate) struct Server {
    url: String,
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    token: Secret<String>,
}

/// What the command line says about the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Its address; without it the one that the settings name.
    pub(crate) url: Option<String>,
    /// A file with an administrator's token.
    pub(crate) token_file: Option<PathBuf>,
    /// The value of `KAIWA_TOKEN`.
    pub(crate) token: Option<String>,
    /// Authorities that are trusted besides the public ones, in PEM.
    pub(crate) ca: Option<PathBuf>,
}

impl Server {
    /// Understands where it is, and finds a token.
    pub(crate) fn new(config: &Config, wanted: &Wanted) -> anyhow::Result<Self> {
        let url = wanted.url.clone().unwrap_or_else(|| own_url(config));
        let url = url.trim_end_matches('/').to_owned();
        let uri: Uri = url
            .parse()
            .with_context(|| format!("--server {url:?} is no URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => bail!("--server {url:?}: http://… or https://…"),
        };
        let Some(host) = uri.host().filter(|host| !host.is_empty()) else {
            bail!("--server {url:?} names no host");
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            bail!("--server {url:?}: an address alone, without a path");
        }
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        if !is_tls && !is_loopback(&host) {
            bail!("--server {url:?}: a token would go over the network in the clear; use https://");
        }
        let tls = if is_tls {
            Some(tls(config, wanted)?)
        } else {
            None
        };
        Ok(Self {
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            token: token(config, wanted, &host)?,
            url,
            host,
            tls,
        })
    }

    /// Asks for something.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Has something done.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_vec(body).context("the request has no JSON form")?;
        self.call(Method::POST, path, body.into()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<T> {
        let authority = match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) => format!("[{v6}]:{}", self.port),
            Ok(IpAddr::V4(_)) | Err(_) => format!("{}:{}", self.host, self.port),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/notifications{path}"))
            .header(HOST, authority)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .body(Full::new(body))
            .context("no such call can be made")?;
        let answer = tokio::time::timeout(ANSWER, self.exchange(request)).await;
        let (status, bytes) = answer
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
            .map_err(|why| CallError::Unreachable {
                server: self.url.clone(),
                why,
            })?;
        if status != 200 {
            return Err(refusal(status, &bytes).into());
        }
        serde_json::from_slice(&bytes)
            .with_context(|| format!("{} answers something else than a Kaiwa server", self.url))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), String> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await;
        let tcp = tcp.map_err(|error| error.to_string())?;
        match &self.tls {
            None => exchange(tcp, request).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone());
                let name = name.map_err(|_| "its name can't be in a certificate".to_owned())?;
                let stream = tls.connect(name, tcp).await;
                let stream =
                    stream.map_err(|e| format!("TLS: {e} (--ca trusts another issuer)"))?;
                exchange(stream, request).await
            }
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Bytes), String> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut send, connection) = handshake.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let response = send.send_request(request).await;
    let response = response.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_BYTES);
    let body = body.collect().await.map_err(|error| error.to_string())?;
    connection.abort();
    Ok((status, body.to_bytes()))
}

fn refusal(status: u16, bytes: &[u8]) -> CallError {
    let answer: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = |key: &str| {
        let text = answer["error"][key].as_str().unwrap_or_default();
        text.replace(char::is_control, " ")
    };
    let (reason, message) = (text("reason"), text("message"));
    if matches!(status, 401 | 403) {
        return CallError::NotAllowed { reason, message };
    }
    CallError::Refused {
        status,
        reason,
        message,
    }
}

/// The token of whoever asks: as given, or made with the data folder's secret for a server on this machine.
pub(super) fn token(
    config: &Config,
    wanted: &Wanted,
    host: &str,
) -> anyhow::Result<Secret<String>> {
    if let Some(path) = &wanted.token_file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the token {} can't be read", path.display()))?;
        return header_text(text.trim(), &path.display().to_string());
    }
    if let Some(token) = &wanted.token {
        return header_text(token.trim(), "KAIWA_TOKEN");
    }
    if wanted.url.is_some() && !is_loopback(host) {
        bail!(
            "a server elsewhere needs an administrator's token: --token-file FILE or KAIWA_TOKEN \
             (there: kaiwa token --role admin --sub operator)"
        );
    }
    let secret = config.data_dir.join("token-secret");
    if config.auth.secret_file.is_none() && !secret.exists() {
        bail!(
            "there is no {}: name the server's data folder with --data, or give an administrator's \
             token with --token-file or KAIWA_TOKEN",
            secret.display()
        );
    }
    let key = DataDir::open(&config.data_dir)?.token_key(&config.auth)?;
    let user = UserId::parse("kaiwa-cli").context("a user id")?;
    let now = UnixMs::now();
    let identity = Identity::new(user, "", ServerRole::Admin, now, TOKEN_TTL);
    Ok(Secret::new(key.issue(&identity, now)))
}

fn header_text(token: &str, from: &str) -> anyhow::Result<Secret<String>> {
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        bail!("{from} holds no token");
    }
    Ok(Secret::new(token.to_owned()))
}

/// Where the server of these settings listens.
pub(super) fn own_url(config: &Config) -> String {
    let scheme = if config.has_tls() { "https" } else { "http" };
    let listen = config.http.listen;
    let host = match listen.ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("{scheme}://{host}:{}", listen.port())
}

fn is_loopback(host: &str) -> bool {
    let ip = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Mozilla's roots, the given ones, and the certificate that this server made for itself.
fn tls(config: &Config, wanted: &Wanted) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let own = config.data_dir.join("self-signed-certificate.pem");
    let own = own.exists().then_some(own);
    for path in wanted.ca.iter().chain(&own) {
        let about = || format!("the certificates in {}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).with_context(about)?;
        for certificate in certificates {
            let certificate = certificate.with_context(about)?;
            roots.add(certificate).with_context(about)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS can't be spoken")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
