//! The client protocol's port over the notifier.

use super::senders::AddressRules;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kaiwa_common::id::{DeviceId as Installation, RoomId, UserId};
use kaiwa_common::limits::NOTIFY_ROOM_SETTINGS;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::core::decision::Verdict;
use kaiwa_notifier::core::policy::policy;
use kaiwa_notifier::core::quiet::{InvalidQuietHours, Lets, Minute, QuietHours};
use kaiwa_notifier::core::settings as core;
use kaiwa_notifier::model::{Address, Channel};
use kaiwa_notifier::ports::{Explained, PushState};
use kaiwa_notifier::senders::address::{self, AddressError};
use kaiwa_notifier::service::{Notifier, NotifierError, device_id};
use kaiwa_signaling::push as port;
use port::{Answer, Push, PushError, PushInfo};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// For ever, as the client library says it: the last moment of its calendar (ECMA-262, section 21.4.1.1).
const FOR_EVER: UnixMs = UnixMs(8_640_000_000_000_000);

/// Decisions that are looked through for those that a person may ask about, of one room or all.
const LOOKED_THROUGH: usize = 500;

/// The notifier, as clients see it.
pub(super) struct PushPort {
    notifier: Arc<Notifier>,
    info: PushInfo,
    rules: AddressRules,
}

impl PushPort {
    pub(super) fn new(notifier: Arc<Notifier>, info: PushInfo, rules: AddressRules) -> Self {
        Self {
            notifier,
            info,
            rules,
        }
    }

    /// The address, if anything may be sent there. A name is looked up: who registers one that leads into the
    /// private network is told so now, and not by pushes that never come.
    async fn reached(&self, address: &port::Address) -> Result<Address, PushError> {
        let checked = self.checked(address)?;
        if let Address::WebPush { endpoint, .. } = &checked {
            let may = self.rules.http.check(&endpoint.0).await;
            may.map_err(|reason| PushError::AddressRefused(Cow::Owned(why(&reason.into()))))?;
        }
        Ok(checked)
    }

    /// The address, if its form is one that anything may be sent to.
    fn checked(&self, address: &port::Address) -> Result<Address, PushError> {
        let channel = address.channel();
        let is_on = channel == port::Channel::WebPush || self.info.channels.contains(&channel);
        if !is_on {
            return Err(PushError::ChannelOff(channel));
        }
        let checked = match address {
            port::Address::WebPush {
                endpoint,
                p256dh,
                auth,
            } => address::web_push(
                self.rules.http.guard(),
                &endpoint.0,
                &URL_SAFE_NO_PAD.encode(p256dh),
                &URL_SAFE_NO_PAD.encode(auth.0),
            ),
            port::Address::Apns {
                token,
                is_sandbox,
                topic,
            } => {
                let is_sandbox = *is_sandbox || self.rules.is_apns_sandbox;
                address::apns(&self.rules.apns_topics, &token.0, topic, is_sandbox)
            }
            port::Address::Fcm { token } => address::fcm(&token.0),
            port::Address::Sns { endpoint_arn } => {
                address::sns(&self.rules.sns_applications, &endpoint_arn.0)
            }
        };
        checked.map_err(|error| PushError::AddressRefused(Cow::Owned(why(&error))))
    }

    async fn settings_of(&self, user: &UserId) -> Result<port::NotifySettings, PushError> {
        // Before what it is the version of: what changes in between comes with a greater one.
        let version = self.notifier.settings_version(user).await.map_err(fault)?;
        let person = self.notifier.person(user).await.map_err(fault)?;
        let rooms = self.notifier.rooms(user).await.map_err(fault)?;
        Ok(port::NotifySettings {
            person: port::PersonSettings {
                is_muted: person.muted.holds(UnixMs::now()),
                lets_calls: person.calls_override,
                level: shown_level(person.level),
            },
            rooms: rooms
                .into_iter()
                .map(|(room, settings)| (room, shown_room(settings)))
                .collect(),
            version,
        })
    }

    /// The notifier's names of a person's devices, by which they have in decisions, and their apps' own.
    async fn names(&self, user: &UserId) -> Result<BTreeMap<Uuid, port::DeviceId>, PushError> {
        let devices = self.notifier.devices(user).await.map_err(fault)?;
        let names = devices
            .iter()
            .map(|device| (device.id.0, shown_id(&device.installation)));
        Ok(names.collect())
    }
}

impl Push for PushPort {
    fn info(&self) -> PushInfo {
        self.info.clone()
    }

    fn register(&self, user: UserId, registration: port::Registration) -> Answer<'_, port::Device> {
        Box::pin(async move {
            let address = self.reached(&registration.address).await?;
            let app = installation(registration.device)?;
            let label = &registration.name.0;
            let device = self.notifier.register(&user, &app, address, label).await;
            shown_device(&device.map_err(fault)?)
        })
    }

    fn set_device(
        &self,
        user: UserId,
        device: port::DeviceId,
        settings: port::DeviceSettings,
    ) -> Answer<'_, port::Device> {
        Box::pin(async move {
            let id = device_id(&user, &installation(device)?);
            let settings = device_settings(&settings)?;
            let set = self.notifier.set_device(&user, id, settings).await;
            set.map_err(fault)?;
            let devices = self.notifier.devices(&user).await.map_err(fault)?;
            let found = devices.iter().find(|device| device.id == id);
            shown_device(found.ok_or(PushError::DeviceUnknown)?)
        })
    }

    fn devices(&self, user: UserId) -> Answer<'_, Vec<port::Device>> {
        Box::pin(async move {
            let devices = self.notifier.devices(&user).await.map_err(fault)?;
            devices.iter().map(shown_device).collect()
        })
    }

    fn remove_device(&self, user: UserId, device: port::DeviceId) -> Answer<'_, ()> {
        Box::pin(async move {
            let id = device_id(&user, &installation(device)?);
            match self.notifier.remove_device(&user, id).await {
                Ok(()) | Err(NotifierError::NotFound) => Ok(()),
                Err(error) => Err(fault(error)),
            }
        })
    }

    fn settings(&self, user: UserId) -> Answer<'_, port::NotifySettings> {
        Box::pin(async move { self.settings_of(&user).await })
    }

    fn set_settings(
        &self,
        user: UserId,
        settings: port::PersonSettings,
    ) -> Answer<'_, port::NotifySettings> {
        Box::pin(async move {
            let change = core::PersonChange {
                muted: Some(if settings.is_muted {
                    core::Mute::Forever
                } else {
                    core::Mute::Off
                }),
                calls_override: Some(settings.lets_calls),
                level: Some(level(settings.level)),
            };
            let set = self.notifier.change_person(&user, change).await;
            set.map_err(fault)?;
            self.settings_of(&user).await
        })
    }

    fn set_room(
        &self,
        user: UserId,
        room: RoomId,
        settings: port::RoomSettings,
    ) -> Answer<'_, port::NotifySettings> {
        Box::pin(async move {
            let own = (settings != port::RoomSettings::default()).then(|| core::RoomSettings {
                muted: match settings.muted_until {
                    None => core::Mute::Off,
                    Some(until) if until >= FOR_EVER => core::Mute::Forever,
                    Some(until) => core::Mute::Until(until),
                },
                level: settings.level.map(level),
            });
            let set = self.notifier.set_room(&user, &room, own).await;
            set.map_err(fault)?;
            self.settings_of(&user).await
        })
    }

    fn explain(
        &self,
        user: UserId,
        room: Option<RoomId>,
        limit: usize,
    ) -> Answer<'_, Vec<port::Decision>> {
        Box::pin(async move {
            let most = if room.is_some() {
                LOOKED_THROUGH
            } else {
                limit.saturating_mul(4).min(LOOKED_THROUGH)
            };
            let recent = self.notifier.recent(&user, most).await.map_err(fault)?;
            let names = self.names(&user).await?;
            let wanted = recent
                .iter()
                // What shows nothing (read elsewhere, a call's end) nobody misses.
                .filter(|explained| !policy(explained.decision.class).is_silent)
                .filter(|explained| room.is_none() || explained.room == room)
                .take(limit);
            let told = wanted.map(|explained| {
                let mut decision = decision(explained, &names);
                for attempt in &mut decision.attempts {
                    attempt.code = shown_code(std::mem::take(&mut attempt.code));
                }
                decision
            });
            Ok(told.collect())
        })
    }
}

/// A decision as people are shown it. Devices that are gone keep the notifier's name.
pub(super) fn decision(
    explained: &Explained,
    names: &BTreeMap<Uuid, port::DeviceId>,
) -> port::Decision {
    let is_sent = |verdict| matches!(verdict, Verdict::Push | Verdict::Wait { .. });
    let (reason, message) = reason(explained);
    let attempts = explained.fates.iter().map(|(device, state)| {
        let (is_accepted, code) = match state {
            PushState::Claimed { .. } => (false, "sending".to_owned()),
            PushState::Open { code } | PushState::Failed { code } => (false, code.clone()),
            PushState::Sent { .. } => (true, "accepted".to_owned()),
        };
        port::Attempt {
            device: names
                .get(&device.0)
                .copied()
                .unwrap_or(port::DeviceId(device.0)),
            time: explained.at,
            is_accepted,
            code,
        }
    });
    port::Decision {
        event: explained.event.0,
        time: explained.at,
        room: explained.room.clone(),
        seq: explained.seq,
        is_sent: explained.decision.verdicts().any(is_sent),
        reason: Cow::Borrowed(reason),
        message: Cow::Borrowed(message),
        attempts: attempts.collect(),
    }
}

/// The word and the sentence for what decided.
fn reason(explained: &Explained) -> (&'static str, &'static str) {
    let mut found = None;
    for verdict in explained.decision.verdicts() {
        match verdict {
            Verdict::Push => return ("pushed", "a push was sent to a device, or is on its way"),
            Verdict::Wait { .. } => {
                found = Some((
                    "waits",
                    "a push waits for the end of quiet hours or of a busy minute",
                ));
            }
            Verdict::Suppressed(reason) => {
                found = found.or(Some((reason.name(), sentence(reason))));
            }
        }
    }
    found.unwrap_or(("no_device", "there is no device that could be told"))
}

fn sentence(reason: kaiwa_notifier::core::decision::Reason) -> &'static str {
    use kaiwa_notifier::core::decision::Reason;
    match reason {
        Reason::Expired => "it was too late to tell",
        Reason::Author => "they did it themselves",
        Reason::Server => "this server does not tell of such things",
        Reason::Muted => "all notifications are off",
        Reason::RoomMuted => "the room is muted",
        Reason::RoomLevel => "the room tells of mentions only, or of nothing",
        Reason::NoDevice => "there is no device that could be told",
        Reason::NothingShown => "no device shows anything of it",
        Reason::Disabled => "notifications are off on the device",
        Reason::Quarantined => "the push service has lately called the device's address bad",
        Reason::NoSender => "this server sends nothing over the device's channel",
        Reason::Quiet => "it came in quiet hours, and would have been too late after them",
        Reason::Delivered => "an open window that was looked at had it",
        Reason::Read => "it had been read, or there was nothing to read any more",
    }
}

/// A code as people are shown it: operators see whether a name was not found, not allowed, or not answered for.
fn shown_code(code: String) -> String {
    const HIDDEN: [&str; 5] = [
        "forbidden_address",
        "unresolved",
        "connect",
        "tls",
        "timeout_connect",
    ];
    let hidden = code.rsplit(": ").next();
    if hidden.is_some_and(|word| HIDDEN.contains(&word)) {
        return "unreachable".to_owned();
    }
    code
}

/// Each rule with what it found, for operators.
pub(super) fn steps(explained: &Explained) -> impl Iterator<Item = (&'static str, String)> {
    let of_person = explained.decision.steps.iter().map(|step| (*step, None));
    let of_devices = explained.decision.devices.iter().flat_map(|device| {
        let steps = device.steps.iter();
        steps.map(|step| (*step, Some(device.device)))
    });
    let all = of_person.chain(of_devices);
    all.map(|(step, device)| {
        let ruling = step.ruling.name();
        let told = device.map_or_else(
            || ruling.to_owned(),
            |device| format!("{ruling} ({})", device.0),
        );
        (step.rule.name(), told)
    })
}

/// One sentence for every endpoint that may not be called: which rule forbids it would tell anybody how names in
/// the operator's own network resolve.
const NOT_ALLOWED: &str =
    "this server sends to no such endpoint: it takes https URLs of public push services";

fn why(error: &AddressError) -> String {
    match error {
        AddressError::Endpoint(forbidden) => {
            tracing::debug!(%forbidden, "an endpoint is refused");
            NOT_ALLOWED.to_owned()
        }
        AddressError::PublicKey
        | AddressError::Auth
        | AddressError::ApnsToken
        | AddressError::ApnsTopic
        | AddressError::FcmToken
        | AddressError::SnsArn => error.to_string(),
    }
}

fn fault(error: NotifierError) -> PushError {
    use kaiwa_notifier::ports::StoreError;
    match error {
        NotifierError::NotFound => PushError::DeviceUnknown,
        NotifierError::TooManyRooms => PushError::TooManyRooms {
            limit: NOTIFY_ROOM_SETTINGS,
        },
        NotifierError::NoDevice => PushError::AddressRefused("not an address of a device".into()),
        NotifierError::Store(StoreError::Unavailable(why)) => {
            tracing::warn!(why, "the store of notifications does not answer");
            PushError::Unavailable
        }
        NotifierError::Store(StoreError::Broken(why)) => {
            tracing::error!(why, "the store of notifications is broken");
            PushError::Internal
        }
    }
}

fn installation(device: port::DeviceId) -> Result<Installation, PushError> {
    // A UUID's text is an id of an installation.
    Installation::parse(&device.0.to_string()).map_err(|_| PushError::Internal)
}

fn shown_id(installation: &Installation) -> port::DeviceId {
    // Only UUIDs are registered here.
    port::DeviceId(Uuid::parse_str(installation.as_str()).unwrap_or_default())
}

fn shown_device(device: &core::Device) -> Result<port::Device, PushError> {
    let channel = match device.channel() {
        Channel::WebPush => port::Channel::WebPush,
        Channel::Apns => port::Channel::Apns,
        Channel::Fcm => port::Channel::Fcm,
        Channel::Sns => port::Channel::Sns,
        Channel::Slack => return Err(PushError::Internal),
    };
    let settings = &device.settings;
    Ok(port::Device {
        id: shown_id(&device.installation),
        name: Redacted(device.label.0.clone()),
        channel,
        registered: device.registered,
        last_push: device.last_push,
        settings: port::DeviceSettings {
            is_muted: !settings.is_enabled,
            is_wake_only: settings.is_wake_only,
            quiet: settings.quiet.as_ref().map(|quiet| port::QuietHours {
                from_min: quiet.from().get(),
                until_min: quiet.to().get(),
                zone: quiet.zone().to_owned(),
                lets: port::Lets {
                    calls: quiet.lets().calls,
                    mentions: quiet.lets().mentions,
                },
            }),
        },
    })
}

fn device_settings(settings: &port::DeviceSettings) -> Result<core::DeviceSettings, PushError> {
    let quiet = settings.quiet.as_ref().map(quiet_hours).transpose();
    Ok(core::DeviceSettings {
        is_enabled: !settings.is_muted,
        is_wake_only: settings.is_wake_only,
        quiet: quiet.map_err(|error| match error {
            InvalidQuietHours::Zone => PushError::ZoneUnknown,
            // The wire's check has refused these.
            InvalidQuietHours::Minute | InvalidQuietHours::Empty => PushError::Internal,
        })?,
    })
}

fn quiet_hours(quiet: &port::QuietHours) -> Result<QuietHours, InvalidQuietHours> {
    let (from, to) = (
        Minute::new(quiet.from_min.into())?,
        Minute::new(quiet.until_min.into())?,
    );
    let lets = Lets {
        calls: quiet.lets.calls,
        mentions: quiet.lets.mentions,
    };
    Ok(QuietHours::new(from, to, &quiet.zone)?.letting(lets))
}

fn level(level: port::Level) -> core::Level {
    match level {
        port::Level::All => core::Level::All,
        port::Level::Mentions => core::Level::Mentions,
        port::Level::Nothing => core::Level::Nothing,
    }
}

fn shown_level(level: core::Level) -> port::Level {
    match level {
        core::Level::All => port::Level::All,
        core::Level::Mentions => port::Level::Mentions,
        core::Level::Nothing => port::Level::Nothing,
    }
}

fn shown_room(settings: core::RoomSettings) -> port::RoomSettings {
    port::RoomSettings {
        level: settings.level.map(shown_level),
        muted_until: match settings.muted {
            core::Mute::Off => None,
            core::Mute::Until(until) => Some(until),
            core::Mute::Forever => Some(FOR_EVER),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaiwa_platform::outbound::Forbidden;

    #[test]
    fn people_are_not_told_how_names_resolve() {
        let refused = [Forbidden::Address, Forbidden::Port, Forbidden::Scheme];
        let texts = refused.map(|reason| why(&AddressError::Endpoint(reason)));
        assert!(texts.iter().all(|text| text == NOT_ALLOWED), "{texts:?}");
        let shown = |code: &str| shown_code(code.to_owned());
        for code in ["rejected: forbidden_address", "transient: unresolved"] {
            assert_eq!(shown(code), "unreachable");
        }
        for code in ["accepted", "bad_token: http_403", "expired"] {
            assert_eq!(shown(code), code);
        }
    }
}
