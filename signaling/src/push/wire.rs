//! From the domain's notifications to the wire's.

use super::{
    Attempt, Channel, Decision, Device, DeviceSettings, Level, NotifySettings, PushInfo, QuietHours,
};
use kaiwa_proto::client::v1 as proto;

/// Whether anything is sent over this channel.
pub(super) fn has_channel(info: &PushInfo, channel: Channel) -> bool {
    match channel {
        Channel::WebPush => info.vapid_key.is_some(),
        Channel::Apns | Channel::Fcm | Channel::Sns => info.channels.contains(&channel),
    }
}

impl From<&PushInfo> for proto::PushInfo {
    fn from(info: &PushInfo) -> Self {
        let key = info.vapid_key.map(|key| key.to_vec());
        Self {
            vapid_key: key.unwrap_or_default(),
            has_apns: has_channel(info, Channel::Apns),
            has_fcm: has_channel(info, Channel::Fcm),
            has_sns: has_channel(info, Channel::Sns),
        }
    }
}

impl From<Channel> for proto::PushChannel {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::WebPush => Self::WebPush,
            Channel::Apns => Self::Apns,
            Channel::Fcm => Self::Fcm,
            Channel::Sns => Self::Sns,
        }
    }
}

impl From<&Device> for proto::Device {
    fn from(device: &Device) -> Self {
        Self {
            device_id: device.id.0.to_string(),
            name: device.name.0.clone(),
            channel: proto::PushChannel::from(device.channel).into(),
            registered_ms: device.registered.0,
            last_push_ms: device.last_push.map_or(0, |time| time.0),
            settings: Some((&device.settings).into()),
        }
    }
}

impl From<&DeviceSettings> for proto::DeviceSettings {
    fn from(settings: &DeviceSettings) -> Self {
        Self {
            is_muted: settings.is_muted,
            is_wake_only: settings.is_wake_only,
            quiet: settings.quiet.as_ref().map(Into::into),
        }
    }
}

impl From<&QuietHours> for proto::QuietHours {
    fn from(quiet: &QuietHours) -> Self {
        Self {
            from_min: quiet.from_min.into(),
            until_min: quiet.until_min.into(),
            zone: quiet.zone.clone(),
            lets_calls: quiet.lets.calls,
            lets_mentions: quiet.lets.mentions,
        }
    }
}

impl From<Level> for proto::NotifyLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::All => Self::All,
            Level::Mentions => Self::Mentions,
            Level::Nothing => Self::None,
        }
    }
}

impl From<&NotifySettings> for proto::NotifySettings {
    fn from(settings: &NotifySettings) -> Self {
        let person = settings.person;
        let rooms = settings.rooms.iter().map(|(room, own)| proto::NotifyRoom {
            room: room.to_string(),
            level: own
                .level
                .map_or(proto::NotifyLevel::Unspecified, Into::into)
                .into(),
            muted_until_ms: own.muted_until.map_or(0, |time| time.0),
        });
        Self {
            is_muted: person.is_muted,
            lets_calls: person.lets_calls,
            level: proto::NotifyLevel::from(person.level).into(),
            rooms: rooms.collect(),
            version: settings.version,
        }
    }
}

impl From<&Decision> for proto::NotifyDecision {
    fn from(decision: &Decision) -> Self {
        let room = decision.room.as_ref();
        Self {
            event_id: decision.event.to_string(),
            time_ms: decision.time.0,
            room: room.map(ToString::to_string).unwrap_or_default(),
            seq: decision.seq.unwrap_or_default(),
            is_sent: decision.is_sent,
            reason: decision.reason.clone().into_owned(),
            message: decision.message.clone().into_owned(),
            attempts: decision.attempts.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Attempt> for proto::NotifyAttempt {
    fn from(attempt: &Attempt) -> Self {
        Self {
            device_id: attempt.device.0.to_string(),
            time_ms: attempt.time.0,
            is_accepted: attempt.is_accepted,
            code: attempt.code.clone(),
        }
    }
}
