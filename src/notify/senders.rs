//! Senders, by the settings.

use crate::config::{ApnsEnvironment, Config, Sns};
use crate::data::{DataDir, read_secret_text};
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::model::Channel;
use kaiwa_notifier::senders::PushSender;
use kaiwa_notifier::senders::apns::{ApnsConfig, ApnsSender, PRODUCTION, SANDBOX};
use kaiwa_notifier::senders::fcm::{FCM, FcmSender, ServiceAccount};
use kaiwa_notifier::senders::slack::SlackSender;
use kaiwa_notifier::senders::web_push::{VapidKeys, WebPushSender};
use kaiwa_notifier::service::{ChannelParts, Lanes};
use kaiwa_platform::outbound::{Guard, Outbound, OutboundConfig};
use kaiwa_signaling::push::{self as port, PushInfo};
use std::sync::Arc;

/// The file of the key by which push services know this server. Subscriptions are bound to it.
const VAPID: &str = "vapid-key";

/// What sends, and what devices have to know of it.
pub(super) struct Senders {
    by_channel: Vec<(Channel, Arc<dyn PushSender>)>,
    vapid_key: [u8; 65],
    rules: AddressRules,
}

/// Which addresses may be registered.
#[derive(Clone)]
pub(super) struct AddressRules {
    pub(super) http: Arc<Outbound>,
    pub(super) apns_topics: Vec<String>,
    pub(super) is_apns_sandbox: bool,
    pub(super) sns_applications: Vec<String>,
}

impl Senders {
    pub(super) fn channels(&self) -> Vec<Channel> {
        self.by_channel
            .iter()
            .map(|(channel, _)| *channel)
            .collect()
    }

    pub(super) fn rules(&self) -> AddressRules {
        self.rules.clone()
    }

    /// What clients are told.
    pub(super) fn info(&self) -> PushInfo {
        let named = |channel| match channel {
            Channel::Apns => Some(port::Channel::Apns),
            Channel::Fcm => Some(port::Channel::Fcm),
            Channel::Sns => Some(port::Channel::Sns),
            Channel::WebPush | Channel::Slack => None,
        };
        PushInfo {
            vapid_key: Some(self.vapid_key),
            channels: self.channels().into_iter().filter_map(named).collect(),
        }
    }

    /// With their queues, which were opened for the same channels in the same order.
    pub(super) fn into_parts(self, queues: Vec<(Channel, Lanes)>) -> Vec<ChannelParts> {
        let both = self.by_channel.into_iter().zip(queues);
        both.map(|((channel, sender), (_, queue))| ChannelParts {
            channel,
            queue,
            sender,
        })
        .collect()
    }
}

/// Makes those that are set up; Web Push always is.
pub(super) async fn make(config: &Config, data: &DataDir) -> anyhow::Result<Senders> {
    let settings = &config.push;
    let guard = Guard::new(&settings.allowed_private).context("push.allowed_private")?;
    let extra_roots = match &settings.extra_ca {
        Some(path) => Some(std::fs::read(path).with_context(|| path.display().to_string())?),
        None => None,
    };
    let outbound = || OutboundConfig {
        guard: guard.clone(),
        extra_roots: extra_roots.clone(),
        ..OutboundConfig::default()
    };
    let http = Arc::new(Outbound::new(outbound()).context("push.extra_ca")?);
    let keys = vapid(data)?;
    let public = URL_SAFE_NO_PAD.decode(keys.public_text()).ok();
    let vapid_key = public.and_then(|key| key.try_into().ok());
    let web_push = WebPushSender::new(Arc::clone(&http), keys, subject(config), UnixMs::now)
        .context("push.subject")?;
    let mut by_channel: Vec<(Channel, Arc<dyn PushSender>)> =
        vec![(Channel::WebPush, Arc::new(web_push))];
    let mut rules = AddressRules {
        http: Arc::clone(&http),
        apns_topics: Vec::new(),
        is_apns_sandbox: false,
        sns_applications: Vec::new(),
    };
    if let Some(apns) = &settings.apns {
        let key = read_secret_text(&apns.key_file)?;
        let at = |apple: &str| apns.endpoint.clone().unwrap_or_else(|| apple.to_owned());
        let made = ApnsConfig {
            key_id: apns.key_id.clone(),
            team_id: apns.team_id.clone(),
            key_pem: key,
            production: at(PRODUCTION),
            sandbox: at(SANDBOX),
        };
        let sender = ApnsSender::new(made, outbound(), UnixMs::now);
        let sender = sender.with_context(|| apns.key_file.display().to_string())?;
        by_channel.push((Channel::Apns, Arc::new(sender)));
        rules.apns_topics.push(apns.topic.clone());
        rules.is_apns_sandbox = apns.environment == ApnsEnvironment::Sandbox;
    }
    if let Some(fcm) = &settings.fcm {
        let path = &fcm.service_account_file;
        let about = || path.display().to_string();
        let text = read_secret_text(path)?;
        let account = ServiceAccount::from_json(text.expose()).with_context(about)?;
        let base = fcm.endpoint.as_deref().unwrap_or(FCM);
        let sender = FcmSender::new(Arc::clone(&http), account, base, UnixMs::now);
        by_channel.push((Channel::Fcm, Arc::new(sender.with_context(about)?)));
    }
    if let Some(sns) = &settings.sns {
        by_channel.push((Channel::Sns, platform_endpoints(sns).await?));
        rules.sns_applications.clone_from(&sns.applications);
    }
    if let Some(slack) = &settings.slack {
        let url = read_secret_text(&slack.webhook_file)?;
        let sender = SlackSender::new(http, &url, UnixMs::now);
        let sender = sender.with_context(|| slack.webhook_file.display().to_string())?;
        by_channel.push((Channel::Slack, Arc::new(sender)));
    }
    Ok(Senders {
        by_channel,
        vapid_key: vapid_key.context("the VAPID key is no point of P-256")?,
        rules,
    })
}

#[cfg(feature = "aws")]
async fn platform_endpoints(settings: &Sns) -> anyhow::Result<Arc<dyn PushSender>> {
    use kaiwa_notifier::senders::sns::SnsSender;
    use kaiwa_platform::queue::aws::{AwsOptions, load};

    let aws = load(AwsOptions {
        endpoint: settings.endpoint.clone(),
        region: Some(settings.region.clone()),
    })
    .await;
    Ok(Arc::new(SnsSender::new(&aws, UnixMs::now)))
}

#[cfg(not(feature = "aws"))]
async fn platform_endpoints(_: &Sns) -> anyhow::Result<Arc<dyn PushSender>> {
    std::future::ready(Err(anyhow::anyhow!(
        "push.sns: this binary was built without the feature `aws`"
    )))
    .await
}

fn vapid(data: &DataDir) -> anyhow::Result<VapidKeys> {
    let text = data.secret_text(VAPID, || Ok(VapidKeys::generate()?.to_text()))?;
    VapidKeys::from_text(text.expose()).with_context(|| format!("{VAPID} in the data folder"))
}

/// Whom a push service may write to.
fn subject(config: &Config) -> String {
    if !config.push.subject.is_empty() {
        return config.push.subject.clone();
    }
    let host = config
        .http
        .hosts
        .first()
        .map_or("localhost", String::as_str);
    format!("https://{host}")
}
