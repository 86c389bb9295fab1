//! Comings and goings as lines of the log that programs read, and as metrics. docs/metrics.md lists both.

use super::core::effect::EndReason;
use super::core::noted::{Left, Noted};
use crate::metrics::Metrics;
use kaiwa_sfu::inspect::{MediaSummary, Protocol};
use std::time::Duration;

/// Of all lines.
const TARGET: &str = "kaiwa::call";

/// Notes it.
pub(super) fn note(metrics: &Metrics, noted: &Noted) {
    match noted {
        Noted::Joined {
            room,
            participant,
            way,
        } => tracing::info!(
            target: TARGET,
            %room,
            %participant,
            way = way.as_str(),
            "call.join"
        ),
        Noted::Connected(took) => metrics.call_join_seconds.record(took.as_secs_f64()),
        Noted::Left(left) => note_left(left),
    }
}

fn note_left(left: &Left) {
    let Left {
        room,
        participant,
        way,
        reason,
        lasted,
        media,
    } = left;
    let media = media.as_deref().copied().unwrap_or_default();
    let MediaSummary {
        protocol,
        connected_after,
        worst_in_loss,
        worst_out_loss,
        worst_rtt,
        freezes,
        limited_s,
    } = media;
    // Of media that never got through there is nothing to say.
    let of = connected_after.is_some();
    tracing::info!(
        target: TARGET,
        %room,
        %participant,
        way = way.as_str(),
        reason = name(*reason),
        seconds = lasted.as_secs(),
        protocol = protocol.map(Protocol::as_str),
        connect_ms = connected_after.map(ms),
        worst_loss_in = of.then(|| share(worst_in_loss)),
        worst_loss_out = of.then(|| share(worst_out_loss)),
        worst_rtt_ms = worst_rtt.map(ms),
        freezes = of.then_some(freezes),
        limited_s = of.then_some(limited_s),
        "call.leave"
    );
}

/// Why a part ended, for programs.
fn name(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Left => "left",
        EndReason::Removed => "removed",
        EndReason::NotAMember => "not_a_member",
        EndReason::TimedOut => "timed_out",
        EndReason::Failed => "failed",
        EndReason::Server => "server",
        EndReason::Replaced => "replaced",
    }
}

fn share(parts: u16) -> f64 {
    f64::from(parts) / 10_000.0
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
