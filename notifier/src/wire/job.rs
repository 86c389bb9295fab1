//! Jobs.

use super::event::{from_wire, to_wire, user};
use super::{Invalid, SCHEMA, checked_schema, encode, payload, uuid, wire};
use crate::event::Job;
use crate::model::{Badge, Channel, DeviceId, Urgency};
use kaiwa_common::limits::NOTIFY_DEVICES;
use kaiwa_common::time::UnixMs;

/// A job as a queue carries it.
#[must_use]
pub fn encode_job(job: &Job) -> String {
    encode(&wire::Job {
        schema: SCHEMA,
        event_id: job.event.id.0.to_string(),
        time_ms: job.event.time.0,
        expires_ms: job.expires.0,
        traceparent: job.event.traceparent.clone(),
        user_id: job
            .user
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        channel: wire::Channel::from(job.channel).into(),
        urgency: match job.urgency {
            Urgency::Low => wire::Urgency::Low,
            Urgency::Normal => wire::Urgency::Normal,
            Urgency::High => wire::Urgency::High,
        }
        .into(),
        collapse: job.collapse.clone(),
        is_silent: job.is_silent,
        badge: job.badge.map(|badge| badge.count).unwrap_or_default(),
        // No badge has version 0: it would be older than any.
        badge_version: job.badge.map(|badge| badge.version).unwrap_or_default(),
        is_wake_only: job.is_wake_only,
        event: Some(to_wire(&job.event)),
        device_ids: job.devices.iter().map(|d| d.0.to_string()).collect(),
        count: job.count,
    })
}

/// A job from a channel's queue.
///
/// # Errors
/// [`Invalid`]: it will never be one.
pub fn decode_job(body: &str) -> Result<Job, Invalid> {
    let job: wire::Job = payload(body)?;
    checked_schema(job.schema)?;
    let channel = match job.channel() {
        wire::Channel::WebPush => Channel::WebPush,
        wire::Channel::Apns => Channel::Apns,
        wire::Channel::Fcm => Channel::Fcm,
        wire::Channel::Sns => Channel::Sns,
        wire::Channel::Slack => Channel::Slack,
        wire::Channel::Unspecified => return Err(Invalid::Field("channel")),
    };
    let urgency = match job.urgency() {
        wire::Urgency::Low => Urgency::Low,
        wire::Urgency::High => Urgency::High,
        wire::Urgency::Normal | wire::Urgency::Unspecified => Urgency::Normal,
    };
    if job.collapse.is_empty() || job.collapse.len() > 160 {
        return Err(Invalid::Field("collapse"));
    }
    if job.device_ids.is_empty() || job.device_ids.len() > NOTIFY_DEVICES {
        return Err(Invalid::Field("device_ids"));
    }
    let devices = job.device_ids.iter();
    let devices = devices.map(|id| uuid(id, "device_ids").map(DeviceId));
    let devices = devices.collect::<Result<Vec<_>, _>>()?;
    let user = match job.user_id.as_str() {
        "" => None,
        text => Some(user(text, "user_id")?),
    };
    if user.is_none() != (channel == Channel::Slack) {
        return Err(Invalid::Field("user_id"));
    }
    Ok(Job {
        event: from_wire(job.event.ok_or(Invalid::Field("event"))?)?,
        expires: UnixMs(job.expires_ms),
        user,
        channel,
        devices,
        urgency,
        collapse: job.collapse,
        is_silent: job.is_silent,
        badge: (job.badge_version > 0).then_some(Badge {
            count: job.badge,
            version: job.badge_version,
        }),
        is_wake_only: job.is_wake_only,
        count: job.count.max(1),
    })
}
