//! Settings of notifications: whom they go through, and where they wait.
//!
//! Secrets are files, named here and read when the senders start: none of them is printed.

use super::ConfigError;
use kaiwa_platform::outbound::{Guard, InvalidAllowed};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Telling people who are away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Push {
    /// Whether anybody is told of anything.
    pub(crate) enabled: bool,
    /// Whom a push service may write to about this server (VAPID's `sub`, RFC 8292): `mailto:` or `https:`.
    pub(crate) subject: String,
    /// No content leaves the server: devices are woken and fetch what they show.
    pub(crate) wake_only: bool,
    /// How long one push may take, in seconds, and how long what a server had in hand that was killed is hidden from
    /// the next; a push that was under way then waits twice as long.
    pub(crate) send_s: u32,
    /// Hosts (with a port or without), addresses and networks that push endpoints may lead to though they
    /// are not public.
    pub(crate) allowed_private: Vec<String>,
    /// Authorities in PEM that are trusted besides the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) extra_ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apns: Option<Apns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fcm: Option<Fcm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sns: Option<Sns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slack: Option<Slack>,
}

/// Apple's push service, by a token of the team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Apns {
    /// Ten characters.
    pub(crate) team_id: String,
    /// Of the key, ten characters.
    pub(crate) key_id: String,
    /// The key (`AuthKey_….p8`, PEM), mode 600.
    pub(crate) key_file: PathBuf,
    /// The app's bundle id.
    pub(crate) topic: String,
    /// Which of Apple's services devices belong to that do not say.
    #[serde(default)]
    pub(crate) environment: ApnsEnvironment,
    /// In place of both of Apple's services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
}

/// One of Apple's two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ApnsEnvironment {
    /// For what comes from the store.
    #[default]
    Production,
    /// For what comes from Xcode.
    Sandbox,
}

/// Google's push service, HTTP v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fcm {
    /// The service account's key (JSON), mode 600.
    pub(crate) service_account_file: PathBuf,
    /// In place of Google's service. Access tokens are asked for where the service account's file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
}

/// Platform endpoints of Amazon SNS. Credentials are those of the environment (a role, a profile).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sns {
    /// Such as `eu-west-1`.
    pub(crate) region: String,
    /// ARNs of the platform applications whose endpoints devices may name: those of others are refused.
    #[serde(default)]
    pub(crate) applications: Vec<String>,
    /// In place of Amazon's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
}

/// An operators' channel in Slack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slack {
    /// A file with the incoming webhook's URL, which is a secret; mode 600.
    pub(crate) webhook_file: PathBuf,
}

/// Where notifications wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Queue {
    /// `embedded` or `aws`.
    pub(crate) backend: QueueBackend,
    /// Of SQS and SNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    /// In place of Amazon's own addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    /// Before each queue's name: `kaiwa-events`, `kaiwa-push-webpush`, `kaiwa-push-webpush-urgent` …
    pub(crate) prefix: String,
    /// The ARN of the topic that events are published to; without it they go to the queue itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) topic: Option<String>,
}

/// Who keeps the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum QueueBackend {
    /// This server, in its database.
    Embedded,
    /// Amazon SQS and SNS.
    Aws,
}

impl Default for Push {
    fn default() -> Self {
        Self {
            enabled: true,
            subject: String::new(),
            wake_only: false,
            send_s: 30,
            allowed_private: Vec::new(),
            extra_ca: None,
            apns: None,
            fcm: None,
            sns: None,
            slack: None,
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            backend: QueueBackend::Embedded,
            region: None,
            endpoint: None,
            prefix: "kaiwa-".to_owned(),
            topic: None,
        }
    }
}

/// Names of queues end at 80 characters; ours and `-dead` take 24 of them.
const PREFIX_CHARS: usize = 56;

/// Shorter, and a connection that is opened takes up all of it; longer, and a crash is felt for minutes.
const SEND_S: RangeInclusive<u32> = 3..=120;

impl Push {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(SEND_S.contains(&self.send_s)) {
            return rule(format!(
                "push.send_s has to be from {} to {}",
                SEND_S.start(),
                SEND_S.end()
            ));
        }
        let is_contact = self.subject.starts_with("mailto:") && self.subject.contains('@');
        if !self.subject.is_empty() && !is_contact && !is_url(&self.subject, &["https"]) {
            return rule(format!(
                "push.subject: {:?} is neither mailto:somebody@example.org nor an https URL; push \
                 services write there when something is wrong with this server's pushes",
                self.subject
            ));
        }
        if let Err(InvalidAllowed(entry)) = Guard::new(&self.allowed_private) {
            return rule(format!(
                "push.allowed_private: {entry:?} is neither a host's name or address (with a port or \
                 without), nor a network such as 10.1.0.0/16"
            ));
        }
        if let Some(apns) = &self.apns {
            apns.check()?;
        }
        if let Some(fcm) = &self.fcm {
            check_service("push.fcm.endpoint", fcm.endpoint.as_deref())?;
        }
        self.sns.as_ref().map_or(Ok(()), Sns::check)
    }
}

impl Sns {
    fn check(&self) -> Result<(), ConfigError> {
        check_aws("push.sns", Some(&self.region), self.endpoint.as_deref())?;
        if self.applications.is_empty() {
            return rule(
                "push.sns.applications: the ARNs of the platform applications that this server pushes to \
                 are needed",
            );
        }
        match self.applications.iter().find(|arn| !self.is_ours(arn)) {
            Some(arn) => rule(format!(
                "push.sns.applications: {arn:?} is no ARN of a platform application in {} \
                 (arn:aws:sns:{}:…:app/GCM/…)",
                self.region, self.region
            )),
            None => Ok(()),
        }
    }

    /// Whether it is `arn:…:sns:REGION:ACCOUNT:app/PLATFORM/NAME`, of this region.
    fn is_ours(&self, arn: &str) -> bool {
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", _, "sns", region, account, app] = parts[..] else {
            return false;
        };
        let app: Vec<&str> = app.split('/').collect();
        let is_app =
            matches!(app[..], ["app", platform, name] if !platform.is_empty() && !name.is_empty());
        region == self.region && !account.is_empty() && is_app
    }
}

impl Apns {
    fn check(&self) -> Result<(), ConfigError> {
        for (name, id) in [("team_id", &self.team_id), ("key_id", &self.key_id)] {
            if id.len() != 10 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return rule(format!(
                    "push.apns.{name}: {id:?} is not ten letters and digits, as Apple's developer site \
                     shows them"
                ));
            }
        }
        let is_topic = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        if self.topic.is_empty() || !self.topic.bytes().all(is_topic) {
            return rule(format!("push.apns.topic: {:?} is no bundle id", self.topic));
        }
        if self.topic.ends_with(".voip") {
            return rule(
                "push.apns.topic: without .voip; devices say which of their tokens is PushKit's",
            );
        }
        check_service("push.apns.endpoint", self.endpoint.as_deref())
    }
}

impl Queue {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if self.prefix.len() > PREFIX_CHARS || !self.prefix.bytes().all(is_name) {
            return rule(format!(
                "queue.prefix: at most {PREFIX_CHARS} of A-Z a-z 0-9 - and _, as in SQS's names"
            ));
        }
        if self.backend == QueueBackend::Embedded {
            let unused = [
                ("region", self.region.is_some()),
                ("endpoint", self.endpoint.is_some()),
                ("topic", self.topic.is_some()),
            ];
            let unused = unused.iter().find(|(_, is_set)| *is_set);
            return unused.map_or(Ok(()), |(name, _)| {
                rule(format!("queue.{name} is for queue.backend = \"aws\""))
            });
        }
        if let Some(topic) = &self.topic
            && !(topic.starts_with("arn:") && topic.split(':').nth(2) == Some("sns"))
        {
            return rule(format!(
                "queue.topic: {topic:?} is no ARN of an SNS topic (arn:aws:sns:…)"
            ));
        }
        check_aws("queue", self.region.as_ref(), self.endpoint.as_deref())
    }
}

pub(super) fn check_aws(
    section: &str,
    region: Option<&String>,
    endpoint: Option<&str>,
) -> Result<(), ConfigError> {
    let Some(region) = region else {
        return rule(format!("{section}.region is needed, such as eu-west-1"));
    };
    let is_region = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if region.is_empty() || !region.bytes().all(is_region) {
        return rule(format!(
            "{section}.region: {region:?} is no region, such as eu-west-1"
        ));
    }
    match endpoint {
        Some(url) if !is_url(url, &["https", "http"]) => rule(format!(
            "{section}.endpoint: {url:?} is no http or https URL"
        )),
        Some(_) | None => Ok(()),
    }
}

/// The address of a service: https, a host, perhaps a port; the service's paths are put behind it.
fn check_service(name: &str, endpoint: Option<&str>) -> Result<(), ConfigError> {
    let is_bare = |url: &str| {
        let authority = url.strip_prefix("https://").unwrap_or_default();
        is_url(url, &["https"]) && !authority.contains(['/', '?', '#', '@'])
    };
    match endpoint {
        Some(url) if !is_bare(url) => rule(format!(
            "{name}: {url:?} is not https, a host and perhaps a port, such as \
             https://push.internal:8443"
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn is_url(text: &str, schemes: &[&str]) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    schemes.contains(&scheme) && !host.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

pub(super) fn rule<T>(text: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::Rule(text.into()))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Options, load};
    use super::*;

    fn from_toml(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let options = Options {
            file: Some(file.path().to_owned()),
            ..Options::default()
        };
        load(&options, std::iter::empty())
    }

    const EVERYTHING: &str = r#"
        [push]
        subject = "mailto:ops@example.org"
        wake_only = true
        send_s = 10
        allowed_private = ["push.internal:8443", "push.internal", "10.1.0.0/16", "fd00::1"]
        extra_ca = "ca.pem"
        [push.apns]
        team_id = "ABCDE12345"
        key_id = "12345ABCDE"
        key_file = "/etc/kaiwa/AuthKey.p8"
        topic = "com.example.app"
        environment = "sandbox"
        endpoint = "https://apple.internal:8443"
        [push.fcm]
        service_account_file = "/etc/kaiwa/fcm.json"
        endpoint = "https://google.internal"
        [push.sns]
        region = "eu-west-1"
        applications = ["arn:aws:sns:eu-west-1:123456789012:app/GCM/kaiwa"]
        endpoint = "http://127.0.0.1:4566"
        [push.slack]
        webhook_file = "/etc/kaiwa/slack"
        [queue]
        backend = "aws"
        region = "eu-west-1"
        prefix = "prod-"
        topic = "arn:aws:sns:eu-west-1:123456789012:kaiwa-events"
    "#;

    #[test]
    fn every_setting_of_notifications_is_read_and_printed() {
        let config = from_toml(EVERYTHING).expect("valid");
        assert!(config.push.wake_only && config.push.enabled);
        let apns = config.push.apns.clone().expect("set");
        assert_eq!(apns.environment, ApnsEnvironment::Sandbox);
        let printed = toml::to_string_pretty(&config).expect("TOML");
        assert_eq!(from_toml(&printed).expect("valid"), config);
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_name() {
        for (text, names) in [
            ("[push]\nsubject = \"ops@example.org\"", "push.subject"),
            ("[push]\nsubject = \"http://example.org\"", "push.subject"),
            ("[push]\nsend_s = 2", "push.send_s"),
            (
                "[push]\nallowed_private = [\"10.0.0.0/99\"]",
                "push.allowed_private",
            ),
            (
                "[push]\nallowed_private = [\"https://x/\"]",
                "push.allowed_private",
            ),
            (
                "[push]\nallowed_private = [\"push.internal:99999\"]",
                "push.allowed_private",
            ),
            ("[push.sns]\nregion = \"Ireland\"", "push.sns.region"),
            (
                "[push.sns]\nregion = \"eu-west-1\"\nendpoint = \"localhost\"",
                "push.sns.endpoint",
            ),
            ("[queue]\nbackend = \"aws\"", "queue.region"),
            ("[queue]\nregion = \"eu-west-1\"", "queue.region"),
            ("[queue]\nprefix = \"a.b\"", "queue.prefix"),
            (
                "[queue]\nbackend = \"aws\"\nregion = \"eu-west-1\"\ntopic = \"events\"",
                "queue.topic",
            ),
        ] {
            let error = from_toml(text).expect_err(text).to_string();
            assert!(error.starts_with(names), "{text}: {error}");
        }
        let sns = from_toml("[push.sns]\nregion = \"eu-west-1\"").expect_err("no application");
        assert!(sns.to_string().starts_with("push.sns.applications"));
        for application in [
            "arn:aws:sns:us-east-1:123456789012:app/GCM/kaiwa",
            "arn:aws:sns:eu-west-1:123456789012:endpoint/GCM/kaiwa/5e3e",
            "arn:aws:sns:eu-west-1:123456789012:app/GCM/",
            "arn:aws:sns:eu-west-1::app/GCM/kaiwa",
            "arn:aws:sqs:eu-west-1:123456789012:app/GCM/kaiwa",
            "kaiwa",
        ] {
            let text =
                format!("[push.sns]\nregion = \"eu-west-1\"\napplications = [{application:?}]");
            let error = from_toml(&text).expect_err(application).to_string();
            assert!(error.starts_with("push.sns.applications"), "{error}");
        }
        let apns = |team: &str, topic: &str| {
            from_toml(&format!(
                "[push.apns]\nteam_id = \"{team}\"\nkey_id = \"12345ABCDE\"\nkey_file = \"k\"\n\
                 topic = \"{topic}\""
            ))
        };
        assert!(apns("ABCDE12345", "com.example.app").is_ok());
        for (team, topic, names) in [
            ("ABC", "com.example.app", "push.apns.team_id"),
            ("ABCDE12345", "", "push.apns.topic"),
            ("ABCDE12345", "com.example.app.voip", "push.apns.topic"),
        ] {
            let error = apns(team, topic).expect_err("refused").to_string();
            assert!(error.starts_with(names), "{error}");
        }
    }

    #[test]
    fn a_services_address_is_https_a_host_and_no_path() {
        let fcm = |url: &str| {
            let text = format!("[push.fcm]\nservice_account_file = \"k\"\nendpoint = \"{url}\"");
            from_toml(&text)
        };
        let apns = |url: &str| {
            from_toml(&format!(
                "[push.apns]\nteam_id = \"ABCDE12345\"\nkey_id = \"12345ABCDE\"\nkey_file = \"k\"\n\
                 topic = \"com.example.app\"\nendpoint = \"{url}\""
            ))
        };
        for fine in [
            "https://127.0.0.1:8443",
            "https://push.internal",
            "https://[fd00::1]:443",
        ] {
            assert!(fcm(fine).is_ok() && apns(fine).is_ok(), "{fine}");
        }
        for wrong in [
            "",
            "push.internal",
            "http://push.internal",
            "https://",
            "https://push.internal/",
            "https://push.internal/v1",
            "https://push.internal?a=b",
            "https://user@push.internal",
            "https://push internal",
        ] {
            let error = fcm(wrong).expect_err(wrong).to_string();
            assert!(error.starts_with("push.fcm.endpoint"), "{error}");
            let error = apns(wrong).expect_err(wrong).to_string();
            assert!(error.starts_with("push.apns.endpoint"), "{error}");
        }
    }

    #[test]
    fn a_secret_in_the_settings_is_an_unknown_key() {
        for text in [
            "[push.slack]\nwebhook = \"https://hooks.slack.com/services/T/B/x\"",
            "[push.fcm]\nprivate_key = \"x\"",
            "[push.apns]\nkey = \"x\"",
            "[queue]\nsecret_access_key = \"x\"",
        ] {
            assert!(
                matches!(from_toml(text), Err(ConfigError::Setting(_))),
                "{text}"
            );
        }
    }
}
