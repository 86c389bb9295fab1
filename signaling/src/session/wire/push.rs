//! Commands of notifications, checked.

use super::{Request, invalid, room};
use crate::push::command::Command as PushCommand;
use crate::push::{
    Address, DeviceId, DeviceSettings, Lets, Level, PersonSettings, QuietHours, Registration,
    RoomSettings, address_refused,
};
use http::Uri;
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::limits::{
    PUSH_APNS_TOKEN_DIGITS, PUSH_DECISIONS, PUSH_DEVICE_NAME_BYTES, PUSH_ENDPOINT_BYTES,
    PUSH_TOKEN_BYTES, PUSH_TOPIC_BYTES, PUSH_ZONE_BYTES,
};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_proto::client::v1 as wire;
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::device_register::Address as WireAddress;
use uuid::Uuid;

/// An APNs device token has 32 bytes at least.
const APNS_TOKEN_DIGITS_LEAST: usize = 64;

/// Minutes of a day.
const DAY_MIN: u32 = 24 * 60;

/// Checks a command of notifications.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "`super::parse` names each command that it sends here"
)]
pub(super) fn parse(command: Command) -> Result<Request, Refusal> {
    let push = match command {
        Command::PushGet(_) => PushCommand::Get,
        Command::DeviceRegister(c) => PushCommand::Register(c.try_into()?),
        Command::DeviceSet(c) => {
            let rule = "how the device is told, `{}` for all as usual";
            let settings = c.settings.ok_or_else(|| invalid("settings", rule))?;
            PushCommand::SetDevice(device(&c.device_id)?, settings.try_into()?)
        }
        Command::DeviceList(_) => PushCommand::List,
        Command::DeviceRemove(c) => PushCommand::Remove(device(&c.device_id)?),
        Command::NotifyGet(_) => PushCommand::Settings,
        Command::NotifySet(c) => PushCommand::SetSettings(PersonSettings {
            is_muted: c.is_muted,
            lets_calls: c.lets_calls,
            level: level(c.level)?.ok_or_else(|| invalid("level", "all, mentions or none"))?,
        }),
        Command::NotifySetRoom(c) => PushCommand::SetRoom(
            room(&c.room)?,
            RoomSettings {
                level: level(c.level)?,
                muted_until: muted_until(c.muted_until_ms)?,
            },
        ),
        Command::NotifyExplain(c) => PushCommand::Explain {
            room: match c.room.as_str() {
                "" => None,
                text => Some(room(text)?),
            },
            limit: match c.limit {
                0 => PUSH_DECISIONS as usize,
                limit => limit.min(PUSH_DECISIONS) as usize,
            },
        },
        _ => unreachable!("`super::parse` sends only commands of notifications here"),
    };
    Ok(Request::Push(push))
}

impl TryFrom<wire::DeviceRegister> for Registration {
    type Error = Refusal;

    fn try_from(c: wire::DeviceRegister) -> Result<Self, Refusal> {
        if c.name.len() > PUSH_DEVICE_NAME_BYTES || c.name.chars().any(char::is_control) {
            let refusal = invalid("name", "too long, or with control characters");
            return Err(refusal.with("limit", PUSH_DEVICE_NAME_BYTES));
        }
        let address = c.address.ok_or_else(|| {
            let rule = "webPush, apns, fcm or sns: how the device is reached";
            invalid("address", rule)
        })?;
        Ok(Self {
            device: device(&c.device_id)?,
            name: Redacted(c.name),
            address: address.try_into()?,
        })
    }
}

impl TryFrom<WireAddress> for Address {
    type Error = Refusal;

    fn try_from(address: WireAddress) -> Result<Self, Refusal> {
        Ok(match address {
            WireAddress::WebPush(c) => {
                let endpoint = endpoint(c.endpoint)?;
                let point = <[u8; 65]>::try_from(c.p256dh.as_slice()).ok();
                let p256dh = point.filter(|point| point[0] == 4).ok_or_else(|| {
                    invalid(
                        "p256dh",
                        "an uncompressed point of P-256: 65 bytes, the first 4",
                    )
                })?;
                let auth = <[u8; 16]>::try_from(c.auth.as_slice());
                let auth = auth.map_err(|_| invalid("auth", "16 bytes"))?;
                Self::WebPush {
                    endpoint: Redacted(endpoint),
                    p256dh,
                    auth: Redacted(auth),
                }
            }
            WireAddress::Apns(c) => apns(&c)?,
            WireAddress::Fcm(c) => Self::Fcm {
                token: Redacted(visible("token", c.token)?),
            },
            WireAddress::Sns(c) => Self::Sns {
                endpoint_arn: Redacted(arn(c.endpoint_arn)?),
            },
        })
    }
}

fn apns(c: &wire::ApnsAddress) -> Result<Address, Refusal> {
    bounded(&c.token, PUSH_APNS_TOKEN_DIGITS)?;
    let is_token = c.token.len() >= APNS_TOKEN_DIGITS_LEAST
        && c.token.len().is_multiple_of(2)
        && c.token.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_token {
        return Err(invalid("token", "64 hexadecimal digits or more"));
    }
    let is_topic = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let len = c.topic.len();
    if len == 0 || len > PUSH_TOPIC_BYTES || !c.topic.bytes().all(is_topic) {
        return Err(invalid("topic", "a bundle id").with("limit", PUSH_TOPIC_BYTES));
    }
    Ok(Address::Apns {
        token: Redacted(c.token.to_ascii_lowercase()),
        is_sandbox: c.is_sandbox,
        topic: c.topic.clone(),
    })
}

/// A URL that a push service could have given out. Where its host leads is checked by who sends.
fn endpoint(text: String) -> Result<String, Refusal> {
    bounded(&text, PUSH_ENDPOINT_BYTES)?;
    let url = || invalid("endpoint", "the URL that the push service gave");
    if text.contains('#') || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(url());
    }
    let uri: Uri = text.parse().map_err(|_| url())?;
    let authority = uri.authority().ok_or_else(url)?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(url());
    }
    if uri.scheme_str() != Some("https") {
        return Err(address_refused("not https"));
    }
    Ok(text)
}

fn arn(text: String) -> Result<String, Refusal> {
    let text = visible("endpoint_arn", text)?;
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "sns", region, account, resource]
            if !region.is_empty() && !account.is_empty() && resource.starts_with("endpoint/") =>
        {
            Ok(text)
        }
        _ => Err(invalid("endpoint_arn", "the ARN of a platform endpoint")),
    }
}

fn visible(field: &'static str, text: String) -> Result<String, Refusal> {
    bounded(&text, PUSH_TOKEN_BYTES)?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid(field, "ASCII characters without spaces"));
    }
    Ok(text)
}

fn bounded(text: &str, limit: usize) -> Result<(), Refusal> {
    if text.len() <= limit {
        return Ok(());
    }
    let refusal = Refusal::new(ErrorCode::TooLarge, "the address is too long");
    Err(refusal.with("limit", limit))
}

/// Only the one form that has hyphens, so that a client's own comparison of ids is right.
fn device(text: &str) -> Result<DeviceId, Refusal> {
    let is_form = text.len() == uuid::fmt::Hyphenated::LENGTH;
    let uuid = is_form.then(|| Uuid::try_parse(text).ok()).flatten();
    let uuid = uuid.filter(|uuid| !uuid.is_nil());
    uuid.map(DeviceId).ok_or_else(|| {
        let rule = "a UUID with hyphens that the app made at random";
        invalid("device_id", rule)
    })
}

impl TryFrom<wire::DeviceSettings> for DeviceSettings {
    type Error = Refusal;

    fn try_from(c: wire::DeviceSettings) -> Result<Self, Refusal> {
        Ok(Self {
            is_muted: c.is_muted,
            is_wake_only: c.is_wake_only,
            quiet: c.quiet.map(TryInto::try_into).transpose()?,
        })
    }
}

impl TryFrom<wire::QuietHours> for QuietHours {
    type Error = Refusal;

    fn try_from(c: wire::QuietHours) -> Result<Self, Refusal> {
        let minute = |field, minute: u32| {
            let minute = (minute < DAY_MIN).then(|| u16::try_from(minute).ok());
            let rule = "minutes after midnight, at most 1439";
            minute.flatten().ok_or_else(|| invalid(field, rule))
        };
        let (from_min, until_min) = (
            minute("from_min", c.from_min)?,
            minute("until_min", c.until_min)?,
        );
        if from_min == until_min {
            let rule = "another than from_min: a device that is always quiet is muted";
            return Err(invalid("until_min", rule));
        }
        let is_zone = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-' | b'/');
        let len = c.zone.len();
        if len == 0 || len > PUSH_ZONE_BYTES || !c.zone.bytes().all(is_zone) {
            let rule = "a name of the IANA time zone database, such as Asia/Tokyo";
            return Err(invalid("zone", rule));
        }
        Ok(Self {
            from_min,
            until_min,
            zone: c.zone,
            lets: Lets {
                calls: c.lets_calls,
                mentions: c.lets_mentions,
            },
        })
    }
}

fn level(number: i32) -> Result<Option<Level>, Refusal> {
    match wire::NotifyLevel::try_from(number) {
        Ok(wire::NotifyLevel::Unspecified) => Ok(None),
        Ok(wire::NotifyLevel::All) => Ok(Some(Level::All)),
        Ok(wire::NotifyLevel::Mentions) => Ok(Some(Level::Mentions)),
        Ok(wire::NotifyLevel::None) => Ok(Some(Level::Nothing)),
        Err(_) => Err(invalid("level", "all, mentions or none")),
    }
}

fn muted_until(ms: i64) -> Result<Option<UnixMs>, Refusal> {
    match ms {
        0 => Ok(None),
        ms if ms > 0 => Ok(Some(UnixMs(ms))),
        _ => Err(invalid("muted_until_ms", "a time, or 0 for not muted")),
    }
}

#[cfg(test)]
mod tests;
