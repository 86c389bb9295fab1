//! Values as columns.

use crate::core::decision::{Decision, DeviceDecision, Reason, Rule, Ruling, Step, Verdict};
use crate::core::quiet::{Lets, Minute, QuietHours};
use crate::core::settings::{Device, DeviceSettings, Level, Mute};
use crate::model::{Address, Channel, Class, DeviceId};
use kaiwa_common::id::{self, RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use rusqlite::Row;
use rusqlite::types::Type;
use uuid::Uuid;

pub(super) fn mute(ms: i64) -> Mute {
    match ms {
        0 => Mute::Off,
        i64::MAX => Mute::Forever,
        ms => Mute::Until(UnixMs(ms)),
    }
}

pub(super) fn mute_ms(mute: Mute) -> i64 {
    match mute {
        Mute::Off => 0,
        // Neither of the two others: a person may well name such a time.
        Mute::Until(end) => end.0.clamp(1, i64::MAX - 1),
        Mute::Forever => i64::MAX,
    }
}

pub(super) fn level(number: i64) -> Level {
    match number {
        1 => Level::Mentions,
        2 => Level::Nothing,
        _ => Level::All,
    }
}

pub(super) fn level_number(level: Level) -> i64 {
    match level {
        Level::All => 0,
        Level::Mentions => 1,
        Level::Nothing => 2,
    }
}

pub(super) fn channel_number(channel: Channel) -> i64 {
    i64::from(i32::from(kaiwa_proto::notify::v1::Channel::from(channel)))
}

/// The hash of what its provider knows a device by.
pub(super) fn token(address: &Address) -> Vec<u8> {
    let (name, key) = (address.channel().name(), key(address));
    let text = format!("{name}\n{key}");
    ring::digest::digest(&ring::digest::SHA256, text.as_bytes())
        .as_ref()
        .to_vec()
}

fn key(address: &Address) -> &str {
    match address {
        Address::WebPush { endpoint, .. } => &endpoint.0,
        Address::Apns { token, .. } | Address::Fcm { token } => &token.0,
        Address::Sns { endpoint_arn } => &endpoint_arn.0,
        Address::Slack => "",
    }
}

/// An address as three columns.
pub(super) fn address_columns(address: &Address) -> (String, Vec<u8>, Vec<u8>) {
    let (first, second) = match address {
        Address::WebPush { p256dh, auth, .. } => (p256dh.to_vec(), auth.0.to_vec()),
        Address::Apns {
            is_sandbox, topic, ..
        } => (vec![u8::from(*is_sandbox)], topic.clone().into_bytes()),
        Address::Fcm { .. } | Address::Sns { .. } | Address::Slack => (Vec::new(), Vec::new()),
    };
    (key(address).to_owned(), first, second)
}

fn address(channel: i64, key: String, first: &[u8], second: Vec<u8>) -> Option<Address> {
    let key = Redacted(key);
    match channel {
        1 => Some(Address::WebPush {
            endpoint: key,
            p256dh: first.try_into().ok()?,
            auth: Redacted(second.try_into().ok()?),
        }),
        2 => Some(Address::Apns {
            token: key,
            is_sandbox: first == [1],
            topic: String::from_utf8(second).ok()?,
        }),
        3 => Some(Address::Fcm { token: key }),
        4 => Some(Address::Sns { endpoint_arn: key }),
        _ => None,
    }
}

/// What [`device`] reads, in its order.
pub(super) const DEVICE: &str =
    "id, channel, address, address_key, address_more, label, registered_ms,
    enabled, wake_only, quiet_from, quiet_to, quiet_zone, strikes, quarantined_ms, user,
    installation, last_push_ms, quiet_calls, quiet_mentions";

pub(super) fn device(row: &Row<'_>) -> rusqlite::Result<Device> {
    let address = address(
        row.get(1)?,
        row.get(2)?,
        &row.get::<_, Vec<u8>>(3)?,
        row.get(4)?,
    )
    .ok_or_else(|| unreadable(2, "an address"))?;
    let quiet = match (
        row.get::<_, Option<u32>>(9)?,
        row.get::<_, Option<u32>>(10)?,
        row.get::<_, Option<String>>(11)?,
    ) {
        (Some(from), Some(to), Some(zone)) => {
            let made = Minute::new(from)
                .and_then(|from| Minute::new(to).map(|to| (from, to)))
                .and_then(|(from, to)| QuietHours::new(from, to, &zone));
            let lets = Lets {
                calls: row.get(17)?,
                mentions: row.get(18)?,
            };
            // A zone that a newer database has dropped: better a push at night than none at all.
            made.ok().map(|quiet| quiet.letting(lets))
        }
        _ => None,
    };
    let installation = id::DeviceId::parse(&row.get::<_, String>(15)?);
    Ok(Device {
        id: DeviceId(Uuid::from_bytes(row.get(0)?)),
        installation: installation.map_err(|_| unreadable(15, "a device id"))?,
        address,
        label: Redacted(row.get(5)?),
        registered: UnixMs(row.get(6)?),
        settings: DeviceSettings {
            is_enabled: row.get(7)?,
            is_wake_only: row.get(8)?,
            quiet,
        },
        strikes: row.get(12)?,
        quarantined: row.get::<_, Option<i64>>(13)?.map(UnixMs),
        last_push: row.get::<_, Option<i64>>(16)?.map(UnixMs),
    })
}

pub(super) fn user(column: usize, text: &str) -> rusqlite::Result<UserId> {
    UserId::parse(text).map_err(|_| unreadable(column, "a user id"))
}

pub(super) fn room(column: usize, text: &str) -> rusqlite::Result<RoomId> {
    RoomId::parse(text).map_err(|_| unreadable(column, "a room id"))
}

pub(super) fn unreadable(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("not {what}").into())
}

/// `rule=ruling`, by spaces.
pub(super) fn steps_text(steps: &[Step]) -> String {
    let each = steps.iter();
    let each = each.map(|step| format!("{}={}", step.rule.name(), step.ruling.name()));
    each.collect::<Vec<_>>().join(" ")
}

/// What a newer program wrote and this one does not know is left out.
fn steps(text: &str) -> Vec<Step> {
    let step = |word: &str| {
        let (rule, ruling) = word.split_once('=')?;
        Some(Step {
            rule: Rule::parse(rule)?,
            ruling: Ruling::parse(ruling)?,
        })
    };
    text.split(' ').filter_map(step).collect()
}

/// `id channel verdict steps…`, by lines.
pub(super) fn devices_text(devices: &[DeviceDecision]) -> String {
    let line = |device: &DeviceDecision| {
        let verdict = match device.verdict {
            Verdict::Push => "push".to_owned(),
            Verdict::Wait { until } => format!("wait:{}", until.0),
            Verdict::Suppressed(reason) => reason.name().to_owned(),
        };
        let (id, channel) = (device.device.0.simple(), device.channel.name());
        format!("{id} {channel} {verdict} {}", steps_text(&device.steps))
    };
    devices.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn devices(text: &str) -> Vec<DeviceDecision> {
    let line = |line: &str| {
        let mut words = line.splitn(4, ' ');
        let device = DeviceId(Uuid::try_parse(words.next()?).ok()?);
        let channel = words.next()?;
        let channel = Channel::ALL.into_iter().find(|c| c.name() == channel)?;
        let verdict = words.next()?;
        let verdict = match verdict.strip_prefix("wait:") {
            Some(until) => Verdict::Wait {
                until: UnixMs(until.parse().ok()?),
            },
            None if verdict == "push" => Verdict::Push,
            None => Verdict::Suppressed(Reason::parse(verdict)?),
        };
        Some(DeviceDecision {
            device,
            channel,
            steps: steps(words.next().unwrap_or_default()),
            verdict,
        })
    };
    text.lines().filter_map(line).collect()
}

/// From `class, steps, suppressed, devices`, from this column on.
pub(super) fn decision(row: &Row<'_>, from: usize) -> rusqlite::Result<Decision> {
    let class: String = row.get(from)?;
    let class = Class::ALL.into_iter().find(|c| c.name() == class);
    let suppressed: Option<String> = row.get(from + 2)?;
    Ok(Decision {
        class: class.ok_or_else(|| unreadable(from, "a class"))?,
        steps: steps(&row.get::<_, String>(from + 1)?),
        suppressed: suppressed.as_deref().and_then(Reason::parse),
        devices: devices(&row.get::<_, String>(from + 3)?),
    })
}
