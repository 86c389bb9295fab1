//! Settings: defaults, then a file (TOML), then the environment (`KAIWA_…`), then flags.
//!
//! An unknown key is an error, so that a typing mistake is not a default. docs/configuration.md
//! lists all of them.

mod calls;
mod clips;
mod push;

pub(crate) use calls::TcpListen;
pub(crate) use clips::{Clips, ClipsAws, ClipsBackend, CloudFront, GrpcListen, Hook, Webhook};
pub(crate) use push::{ApnsEnvironment, Push, Queue, QueueBackend, Sns};

use ipnet::IpNet;
use kaiwa_common::limits::{CALL_RING, Limits};
use kaiwa_sfu::inspect::SAMPLES_MAX;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use toml::{Table, Value};

/// Variables of the environment that belong to tests and tools.
const NOT_SETTINGS: &[&str] = &["KAIWA_CONFIG"];

/// Every setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where everything is kept.
    pub(crate) data_dir: PathBuf,
    /// This node's name in logs and replies; the host's name when empty.
    pub(crate) node: String,
    /// From SIGTERM to the end of the process, in seconds. Kubernetes kills after 30.
    pub(crate) drain_s: u64,
    pub(crate) http: Http,
    pub(crate) auth: Auth,
    pub(crate) calls: Calls,
    pub(crate) push: Push,
    pub(crate) queue: Queue,
    pub(crate) clips: Clips,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
}

/// The HTTP edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// Where HTTP and WebSocket are served. Port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Plain HTTP on an address that is not loopback.
    pub(crate) allow_plain: bool,
    /// A certificate with its intermediates, in PEM. Read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_key: Option<PathBuf>,
    /// A certificate made at first start and kept in the data folder.
    pub(crate) tls_self_signed: bool,
    /// Names besides `localhost` and literal addresses under which the server is reached.
    pub(crate) hosts: Vec<String>,
    /// Origins besides the server's own whose pages may connect.
    pub(crate) allowed_origins: Vec<String>,
    /// Addresses of proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// `/metrics` for everybody, not for this machine only.
    pub(crate) public_metrics: bool,
}

/// Who may come in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    /// What a token's `aud` has to contain.
    pub(crate) audience: String,
    /// What a token's `iss` has to be, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    /// A file with the HS256 secret (its bytes, at least 32); made in the data folder when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Signing in by name: `loopback`, `anywhere` or `none`.
    pub(crate) sign_in: SignIn,
    /// How long a token of that sign-in is good, in seconds.
    pub(crate) token_ttl_s: u64,
}

/// Signing in by name, without an identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SignIn {
    /// For people at this machine.
    Loopback,
    /// For everybody who can reach the server.
    Anywhere,
    /// For nobody.
    None,
}

/// Voice and video.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Calls {
    /// Whether there are calls.
    pub(crate) enabled: bool,
    /// Where media is received by UDP. Empty: on the port of `http.listen`, at all of the host's addresses.
    pub(crate) listen: Vec<SocketAddr>,
    /// Where media is received by TCP, for who has no UDP: `auto`, `off`, or a list of addresses.
    pub(crate) tcp_listen: TcpListen,
    /// Addresses that browsers are told to send to, in place of those listened on: behind one-to-one NAT.
    pub(crate) advertise: Vec<IpAddr>,
    /// Loopback addresses too, where `listen` takes all of the host's.
    pub(crate) loopback: bool,
    /// Threads that carry media; 0 for one per core.
    pub(crate) shards: usize,
    /// Pins the first of them to this core, the next to the next; for measurements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_core: Option<usize>,
    /// Voices that everybody is sent at once: the loudest.
    pub(crate) voices: u8,
    /// What a path is taken to carry whose receiver gives no feedback about it, in kbit/s.
    pub(crate) assumed_kbps: u32,
    /// Media leaves in the rate that its path is estimated to carry.
    pub(crate) paced: bool,
    /// Seconds of each participant that are kept for who inspects a call; 0 keeps none.
    pub(crate) inspect_s: u8,
    /// Codecs of pictures that are taken; publishers are asked for the first that they have.
    pub(crate) video_codecs: Vec<VideoCodec>,
}

/// A codec of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum VideoCodec {
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// H.264.
    H264,
    /// AV1.
    Av1,
}

/// What is logged, to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `text` or `json`.
    pub(crate) format: LogFormat,
    /// `info`, or by module: `info,kaiwa_chat=debug`.
    pub(crate) filter: String,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("kaiwa-data"),
            node: String::new(),
            drain_s: 25,
            http: Http::default(),
            auth: Auth::default(),
            calls: Calls::default(),
            push: Push::default(),
            queue: Queue::default(),
            clips: Clips::default(),
            log: Log::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            allow_plain: false,
            tls_certificate: None,
            tls_key: None,
            tls_self_signed: false,
            hosts: Vec::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            public_metrics: false,
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            audience: "kaiwa".to_owned(),
            issuer: None,
            secret_file: None,
            sign_in: SignIn::Loopback,
            token_ttl_s: 12 * 3600,
        }
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: Vec::new(),
            tcp_listen: TcpListen::Auto,
            advertise: Vec::new(),
            loopback: false,
            shards: 0,
            first_core: None,
            voices: 3,
            assumed_kbps: 2_000,
            paced: true,
            inspect_s: SAMPLES_MAX,
            video_codecs: vec![
                VideoCodec::Vp8,
                VideoCodec::Vp9,
                VideoCodec::H264,
                VideoCodec::Av1,
            ],
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
        }
    }
}

/// What the command line sets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) file: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) tls_files: Option<(PathBuf, PathBuf)>,
    pub(crate) tls_self_signed: bool,
    pub(crate) allow_plain: bool,
    pub(crate) media_bind: Vec<SocketAddr>,
    pub(crate) advertise: Vec<IpAddr>,
}

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("the settings file {path} can't be read")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the settings file {path} is not TOML")]
    Syntax {
        path: PathBuf,
        #[source]
        source: toml::de::Error,
    },
    #[error("a setting is unknown or wrong (docs/configuration.md lists them)")]
    Setting(#[source] toml::de::Error),
    #[error("{0}")]
    Rule(String),
}

/// Puts the settings together and checks them.
pub(crate) fn load(
    options: &Options,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut table = match &options.file {
        Some(path) => read(path)?,
        None => Table::new(),
    };
    for (name, value) in environment {
        if let Some(path) = setting_path(&name) {
            set(&mut table, &path, parse_value(&value));
        }
    }
    let mut config: Config = table.try_into().map_err(ConfigError::Setting)?;
    options.apply(&mut config);
    config.check()?;
    Ok(config)
}

fn read(path: &PathBuf) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.clone(),
        source,
    })?;
    text.parse().map_err(|source| ConfigError::Syntax {
        path: path.clone(),
        source,
    })
}

/// `KAIWA_HTTP__LISTEN` is `http.listen`. Names without `__` are settings only where one exists, so
/// that other programs may have variables with our prefix.
fn setting_path(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix("KAIWA_")?;
    if NOT_SETTINGS.contains(&name) {
        return None;
    }
    let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
    match path.as_slice() {
        [top] => matches!(top.as_str(), "data_dir" | "node" | "drain_s").then_some(path),
        _ => Some(path),
    }
}

/// A number, a truth value or a list as TOML has it; else the text itself.
fn parse_value(text: &str) -> Value {
    let table: Result<Table, _> = format!("value = {text}").parse();
    table
        .ok()
        .and_then(|mut t| t.remove("value"))
        .unwrap_or_else(|| Value::String(text.into()))
}

fn set(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            table.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = table
                .entry(first.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            if !inner.is_table() {
                *inner = Value::Table(Table::new());
            }
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

impl Options {
    fn apply(&self, config: &mut Config) {
        if let Some(data) = &self.data {
            config.data_dir.clone_from(data);
        }
        if let Some(listen) = self.listen {
            config.http.listen = listen;
        }
        if let Some((certificate, key)) = &self.tls_files {
            config.http.tls_certificate = Some(certificate.clone());
            config.http.tls_key = Some(key.clone());
        }
        config.http.tls_self_signed |= self.tls_self_signed;
        config.http.allow_plain |= self.allow_plain;
        if !self.media_bind.is_empty() {
            config.calls.listen.clone_from(&self.media_bind);
        }
        if !self.advertise.is_empty() {
            config.calls.advertise.clone_from(&self.advertise);
        }
    }
}

impl Config {
    fn check(&self) -> Result<(), ConfigError> {
        let http = &self.http;
        if http.tls_certificate.is_some() != http.tls_key.is_some() {
            let text = "http.tls_certificate and http.tls_key come together";
            return Err(ConfigError::Rule(text.to_owned()));
        }
        if http.tls_certificate.is_some() && http.tls_self_signed {
            let text = "http.tls_self_signed and http.tls_certificate exclude each other";
            return Err(ConfigError::Rule(text.to_owned()));
        }
        if !http.listen.ip().is_loopback() && !self.has_tls() && !http.allow_plain {
            return Err(ConfigError::Rule(format!(
                "{} is not a loopback address, and plain HTTP would show every message to the \
                 network: give http.tls_certificate and http.tls_key, or --tls-self-signed to try \
                 it on a LAN, or --allow-plain behind a proxy that does TLS",
                http.listen
            )));
        }
        if self.calls.voices == 0 {
            let text = "calls.voices can't be 0: calls.enabled = false switches calls off";
            return Err(ConfigError::Rule(text.to_owned()));
        }
        if self.calls.inspect_s > SAMPLES_MAX {
            let text = format!("calls.inspect_s is 0 (off) to {SAMPLES_MAX}");
            return Err(ConfigError::Rule(text));
        }
        if self.calls.video_codecs.is_empty() {
            let text = "calls.video_codecs needs one at least: VP8, VP9, H264 or AV1";
            return Err(ConfigError::Rule(text.to_owned()));
        }
        let nowhere = |ip: &&IpAddr| {
            let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
            ip.is_unspecified() || ip.is_multicast() || is_broadcast
        };
        if let Some(ip) = self.calls.advertise.iter().find(nowhere) {
            return Err(ConfigError::Rule(format!(
                "calls.advertise: no browser can send to {ip}; give the address that others reach"
            )));
        }
        self.push.check()?;
        self.queue.check()?;
        let is_protected = self.has_tls() || http.allow_plain;
        self.clips.check(&self.auth.audience, is_protected)?;
        let limits = &self.limits;
        if limits.frame_bytes < limits.text_bytes.saturating_mul(2) {
            let text = "limits.frame_bytes has to be at least twice limits.text_bytes";
            return Err(ConfigError::Rule(text.to_owned()));
        }
        if limits.call_ring_s == 0 || u64::from(limits.call_ring_s) > CALL_RING.as_secs() {
            let most = CALL_RING.as_secs();
            let text = format!("limits.call_ring_s has to be from 1 to {most}");
            return Err(ConfigError::Rule(text));
        }
        let positive = [
            ("page", limits.page),
            ("in_flight", limits.in_flight),
            ("text_bytes", limits.text_bytes),
            ("connections", limits.connections),
            ("sessions_per_user", limits.sessions_per_user),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(ConfigError::Rule(format!("limits.{name} can't be 0"))),
            None => Ok(()),
        }
    }

    /// Whether the edge speaks TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.http.tls_certificate.is_some() || self.http.tls_self_signed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_env(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        load(&Options::default(), vars)
    }

    #[test]
    fn each_layer_goes_before_the_one_below() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(
            file.path(),
            "node = \"file\"\ndrain_s = 9\n[limits]\npage = 5\n",
        )
        .expect("written");
        let options = Options {
            file: Some(file.path().to_owned()),
            listen: Some("127.0.0.1:1".parse().expect("an address")),
            ..Options::default()
        };
        let vars = [("KAIWA_NODE", "env"), ("KAIWA_HTTP__LISTEN", "127.0.0.1:2")];
        let vars = vars.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let config = load(&options, vars.into_iter()).expect("valid");
        assert_eq!(
            (config.node.as_str(), config.drain_s, config.limits.page),
            ("env", 9, 5)
        );
        assert_eq!(config.http.listen.port(), 1);
    }

    #[test]
    fn an_address_that_no_browser_can_send_to_is_not_advertised() {
        for nowhere in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1"] {
            let list = format!("[\"{nowhere}\"]");
            let error = from_env(&[("KAIWA_CALLS__ADVERTISE", &list)]).expect_err("refused");
            assert!(error.to_string().contains(nowhere), "{error}");
        }
        let public = from_env(&[("KAIWA_CALLS__ADVERTISE", "[\"203.0.113.5\", \"10.0.0.5\"]")]);
        assert_eq!(public.expect("valid").calls.advertise.len(), 2);
    }

    #[test]
    fn a_ring_lasts_for_a_second_at_least_and_not_longer_than_a_push_of_it() {
        let ring = |s: &str| from_env(&[("KAIWA_LIMITS__CALL_RING_S", s)]);
        assert!(ring("1").is_ok() && ring("45").is_ok());
        for wrong in ["0", "46"] {
            let error = ring(wrong).expect_err(wrong).to_string();
            assert!(error.starts_with("limits.call_ring_s"), "{error}");
        }
    }

    #[test]
    fn clips_segments_storage_and_keeping_are_within_bounds() {
        let clips = |name: &str, value: &str| {
            let key = format!("KAIWA_CLIPS__{}", name.to_uppercase());
            from_env(&[(&key, value)])
        };
        let most = kaiwa_common::limits::CLIP_BYTES.to_string();
        for (name, good, wrong) in [
            (
                "segment_s",
                &["2", "6", "10"][..],
                &["0", "1", "3", "7", "12"][..],
            ),
            ("storage_bytes", &["0", &most], &["1", "4294967295"]),
            (
                "keep_failed_s",
                &["3600", "31622400"],
                &["0", "3599", "31622401"],
            ),
        ] {
            for value in good {
                assert!(clips(name, value).is_ok(), "{name} = {value}");
            }
            for value in wrong {
                let error = clips(name, value).expect_err(value).to_string();
                assert!(error.starts_with(&format!("clips.{name}")), "{error}");
            }
        }
        assert_eq!(Config::default().clips.segment_s, 6);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = from_env(&[("KAIWA_HTTP__LISTN", "127.0.0.1:1")]).expect_err("unknown");
        let cause = std::error::Error::source(&error)
            .expect("a cause")
            .to_string();
        assert!(cause.contains("listn"), "{cause}");
        assert!(from_env(&[("KAIWA_LIMITS__PAGE", "many")]).is_err());
        assert!(from_env(&[("KAIWA_BIN", "somewhere")]).is_ok());
    }

    #[test]
    fn values_of_the_environment_are_read_as_toml() {
        let config = from_env(&[
            ("KAIWA_HTTP__TRUSTED_PROXIES", "[\"192.0.2.0/24\"]"),
            ("KAIWA_HTTP__PUBLIC_METRICS", "true"),
            ("KAIWA_AUTH__SIGN_IN", "none"),
        ])
        .expect("valid");
        assert_eq!(config.http.trusted_proxies.len(), 1);
        assert!(config.http.public_metrics);
        assert_eq!(config.auth.sign_in, SignIn::None);
    }

    #[test]
    fn plain_http_beyond_loopback_has_to_be_asked_for() {
        assert!(from_env(&[("KAIWA_HTTP__LISTEN", "0.0.0.0:80")]).is_err());
        for switch in ["KAIWA_HTTP__ALLOW_PLAIN", "KAIWA_HTTP__TLS_SELF_SIGNED"] {
            assert!(from_env(&[("KAIWA_HTTP__LISTEN", "0.0.0.0:80"), (switch, "true")]).is_ok());
        }
    }

    #[test]
    fn the_printed_settings_are_read_back() {
        let config = Config::default();
        let text = toml::to_string_pretty(&config).expect("TOML");
        let table: Table = text.parse().expect("TOML");
        assert_eq!(table.try_into::<Config>().expect("settings"), config);
    }
}
