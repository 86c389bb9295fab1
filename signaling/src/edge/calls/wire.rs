//! The call inspector's answers as JSON. docs/inspector.md is their specification.

use super::super::reports::wire::{Cause, Failure, Pair, pairs};
use crate::call::causes;
use crate::call::core::effect::{Entry, Summary};
use crate::call::failures::SeenPair;
use crate::call::service::inspect::{Inspected, Scope};
use kaiwa_common::id::RoomId;
use kaiwa_common::time::UnixMs;
use kaiwa_sfu::control::trace::Told;
use kaiwa_sfu::control::{LimitedBy, ParticipantId, Source};
use kaiwa_sfu::inspect::{
    self, Changed, LayerReport, MediaState, ParticipantReport, PublicationReport, SentLayer,
    SubscriptionReport,
};
use kaiwa_sfu::unit::Bitrate;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// `GET …/calls/{room}?…`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomQuery {
    pub(super) seconds: Option<u64>,
    /// Those after this participant.
    pub(super) after: Option<String>,
}

/// Every call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Calls {
    now_ms: i64,
    calls: Vec<Call>,
    failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    room: String,
    started_ms: i64,
    participants: u32,
}

/// One room's call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Room {
    now_ms: i64,
    room: String,
    scope: &'static str,
    participants: Vec<Participant>,
    failures: Vec<Failure>,
    /// There are more: ask for those after this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Participant {
    id: String,
    user: String,
    name: String,
    joined_ms: i64,
    state: &'static str,
    protocol: Option<&'static str>,
    local: Option<String>,
    remote: Option<String>,
    cause: Option<Cause>,
    samples: Vec<Sample>,
    publications: Vec<Publication>,
    subscriptions: Vec<Subscription>,
    changes: Vec<Change>,
    pairs: Vec<Pair>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sample {
    ms: i64,
    in_kbps: u64,
    out_kbps: u64,
    estimate_kbps: u64,
    allocated_kbps: u64,
    in_loss: f32,
    out_loss: f32,
    rtt_ms: Option<f64>,
    jitter_ms: Option<f64>,
    out_jitter_ms: Option<f64>,
    freezes: u8,
    keyframe_requests: u8,
    keyframes_sent: u8,
    nacks: u16,
    queued: u16,
    dropped: u16,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Publication {
    id: String,
    source: &'static str,
    codec: Option<&'static str>,
    muted: bool,
    layers: Vec<Layer>,
    loss_now: f32,
    cause: Option<Cause>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    #[serde(skip_serializing_if = "Option::is_none")]
    rid: Option<String>,
    /// The spatial layer within an encoding that has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<u8>,
    kbps: u64,
    fps: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u16>,
    last_keyframe_ms: Option<i64>,
    keyframe_requests: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    mid: String,
    publication: String,
    user: Option<String>,
    layer: Option<u8>,
    wanted_width: u16,
    wanted_height: u16,
    limited_by: Option<&'static str>,
    since_ms: Option<i64>,
    fps: u8,
    freeze_now: bool,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    ms: i64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

/// Every call in three numbers.
pub(super) fn calls(
    now: UnixMs,
    summaries: Vec<(RoomId, Summary)>,
    failures: Vec<Failure>,
) -> Calls {
    let calls = summaries.into_iter().map(|(room, summary)| Call {
        room: room.to_string(),
        started_ms: summary.started.0,
        participants: summary.count,
    });
    Calls {
        now_ms: now.0,
        calls: calls.collect(),
        failures,
    }
}

/// One room's call, as far as the scope shows it.
pub(super) fn room(
    scope: &Scope,
    inspected: Inspected,
    told: &[Told],
    failures: Vec<Failure>,
) -> Room {
    let Inspected {
        roster,
        participants,
        has_more,
        report,
    } = inspected;
    let entries: HashMap<ParticipantId, &Entry> = roster
        .entries
        .iter()
        .map(|entry| (entry.participant, entry))
        .collect();
    let reports: HashMap<ParticipantId, &ParticipantReport> = report
        .participants
        .iter()
        .map(|report| (report.participant, report))
        .collect();
    let at = report.at;
    let next = participants.last().filter(|_| has_more);
    Room {
        now_ms: report.at.0,
        room: roster.room.to_string(),
        scope: match scope {
            Scope::Server | Scope::Room(_) => "all",
            Scope::Own(_) => "own",
        },
        next: next.map(ToString::to_string),
        failures,
        participants: participants
            .iter()
            .filter_map(|id| {
                let entry = entries.get(id)?;
                let shows_addresses = scope.shows_addresses(&entry.user.id);
                let report = reports.get(id).copied();
                let mut told_of = participant(entry, report, shows_addresses, &entries);
                if let Some(of) = report {
                    told_of.cause = causes::of_participant(of, at, told)
                        .as_ref()
                        .map(Into::into);
                    let seen = SeenPair::of(&of.trace, at);
                    told_of.pairs = pairs(&seen, shows_addresses);
                }
                Some(told_of)
            })
            .collect(),
    }
}

fn participant(
    entry: &Entry,
    report: Option<&ParticipantReport>,
    shows_addresses: bool,
    entries: &HashMap<ParticipantId, &Entry>,
) -> Participant {
    let path = report.and_then(|report| report.path);
    let shown = path.filter(|_| shows_addresses);
    let of = |report: &ParticipantReport| {
        (
            report.samples.iter().map(sample).collect(),
            report.publications.iter().map(publication).collect(),
            report
                .subscriptions
                .iter()
                .map(|subscription| self::subscription(subscription, entries))
                .collect(),
            report.changes.iter().map(change).collect(),
        )
    };
    let (samples, publications, subscriptions, changes) = report.map(of).unwrap_or_default();
    Participant {
        id: entry.participant.to_string(),
        user: entry.user.id.to_string(),
        name: entry.user.name.0.clone(),
        joined_ms: entry.joined.0,
        state: match report.map(|report| report.state) {
            None | Some(MediaState::Connecting) => "connecting",
            Some(MediaState::Connected) => "connected",
            Some(MediaState::Interrupted) => "interrupted",
        },
        protocol: path.map(|path| path.protocol.as_str()),
        local: shown.and_then(|path| path.local).map(|at| at.to_string()),
        remote: shown.map(|path| path.remote.to_string()),
        cause: None,
        samples,
        publications,
        subscriptions,
        changes,
        pairs: Vec::new(),
    }
}

fn sample(sample: &inspect::Sample) -> Sample {
    Sample {
        ms: sample.at.0,
        in_kbps: kbps(sample.incoming),
        out_kbps: kbps(sample.outgoing),
        estimate_kbps: kbps(sample.estimate),
        allocated_kbps: kbps(sample.allocated),
        in_loss: sample.in_loss,
        out_loss: sample.out_loss,
        rtt_ms: sample.rtt.map(ms),
        jitter_ms: sample.jitter.map(ms),
        out_jitter_ms: sample.out_jitter.map(ms),
        freezes: sample.freezes,
        keyframe_requests: sample.keyframe_requests,
        keyframes_sent: sample.keyframes_sent,
        nacks: sample.nacks,
        queued: sample.queued,
        dropped: sample.dropped,
    }
}

fn publication(report: &PublicationReport) -> Publication {
    let has_spatial = report.layers.iter().any(|layer| layer.spatial > 0);
    Publication {
        id: report.id.to_string(),
        source: source(report.source),
        codec: report.codec,
        muted: report.is_muted,
        layers: report
            .layers
            .iter()
            .map(|layer| self::layer(layer, has_spatial))
            .collect(),
        loss_now: report.loss,
        cause: causes::of_publication(report).as_ref().map(Into::into),
    }
}

fn layer(report: &LayerReport, has_spatial: bool) -> Layer {
    let known = |length: u16| (length > 0).then_some(length);
    Layer {
        rid: report.rid.map(|rid| rid.to_string()),
        sid: has_spatial.then_some(report.spatial),
        kbps: kbps(report.bitrate),
        fps: report.fps,
        width: known(report.size.0),
        height: known(report.size.1),
        last_keyframe_ms: report.keyframe_at.map(|at| at.0),
        keyframe_requests: report.keyframe_requests,
    }
}

fn subscription(
    report: &SubscriptionReport,
    entries: &HashMap<ParticipantId, &Entry>,
) -> Subscription {
    let publisher = entries.get(&report.publisher);
    Subscription {
        mid: report.mid.to_string(),
        publication: report.publication.to_string(),
        user: publisher.map(|entry| entry.user.id.to_string()),
        layer: report.layer,
        wanted_width: report.wanted.0,
        wanted_height: report.wanted.1,
        limited_by: report.limited_by.map(LimitedBy::name),
        since_ms: report.since.map(|at| at.0),
        fps: report.fps,
        freeze_now: report.is_frozen,
    }
}

fn change(change: &inspect::Change) -> Change {
    let of = |kind| Change {
        ms: change.at.0,
        kind,
        ..Change::default()
    };
    match change.what {
        Changed::Layer { mid, from, to, why } => Change {
            mid: mid.map(|mid| mid.to_string()),
            from: Some(sent_layer(from)),
            to: Some(sent_layer(to)),
            why: why.map(LimitedBy::name),
            ..of("layer")
        },
        Changed::Freeze { mid, why } => Change {
            mid: mid.map(|mid| mid.to_string()),
            why: why.map(LimitedBy::name),
            ..of("freeze")
        },
        Changed::Protocol { from, to } => Change {
            from: Some(from.as_str().to_owned()),
            to: Some(to.as_str().to_owned()),
            ..of("protocol")
        },
        Changed::Interrupted => of("interrupted"),
        Changed::Recovered => of("recovered"),
    }
}

/// A layer and its temporal one, such as `2/1`.
fn sent_layer(sent: Option<SentLayer>) -> String {
    sent.map_or_else(
        || "none".to_owned(),
        |sent| format!("{}/{}", sent.layer, sent.temporal),
    )
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Microphone => "microphone",
        Source::Camera => "camera",
        Source::Screen => "screen",
        Source::ScreenAudio => "screen_audio",
    }
}

fn kbps(rate: Bitrate) -> u64 {
    rate.0 / 1_000
}

/// In milliseconds, to a tenth.
fn ms(span: Duration) -> f64 {
    let tenths = u32::try_from(span.as_micros() / 100).unwrap_or(u32::MAX);
    f64::from(tenths) / 10.0
}
