//! Why a call works badly whose media is there, from the inspector's last seconds.

use super::media::by_tcp_alone;
use super::{Cause, Kind};
use kaiwa_common::time::UnixMs;
use kaiwa_sfu::control::trace::Told;
use kaiwa_sfu::control::{LimitedBy, Source};
use kaiwa_sfu::inspect::{
    Changed, ParticipantReport, PublicationReport, Sample, SubscriptionReport,
};
use kaiwa_sfu::unit::Bitrate;
use std::time::Duration;

/// The seconds that are looked at, and how many of them there have to be: one bad second is nothing.
const SECONDS: usize = 10;
const SECONDS_AT_LEAST: usize = 4;

/// Those after which a loss that goes on is none that less sending helps.
const SECONDS_STILL: usize = 3;

/// The share of packets from which on a loss is felt: sound conceals less, and repairs of pictures come in time.
const LOSS: f32 = 0.03;

/// Of the seconds that are looked at, those in which packets have to be lost: 7 of 10.
const LOSSY_TENTHS: usize = 7;

/// A picture that is not sent for so long is missed.
const STARVED: Duration = Duration::from_secs(3);

/// What was so short a time ago still shows in the seconds that are looked at.
const LATELY: Duration = Duration::from_secs(10);

/// Requests that a publisher has left without a key frame: with their spacing they have taken two seconds.
const UNANSWERED: u32 = 4;

/// What is wrong with a participant's media, if anything is: what hurts most, first.
#[must_use]
pub fn of_participant(report: &ParticipantReport, now: UnixMs, told: &[Told]) -> Option<Cause> {
    let mut publications = report.publications.iter();
    publications
        .find_map(of_publication)
        .or_else(|| loss(report, now))
        .or_else(|| starved(report, now))
        .or_else(|| by_tcp_alone(&report.trace, told))
}

/// What is wrong with what somebody publishes.
#[must_use]
pub fn of_publication(report: &PublicationReport) -> Option<Cause> {
    let is_picture = matches!(report.source, Source::Camera | Source::Screen);
    if !is_picture || report.is_muted {
        return None;
    }
    let mut layers = report.layers.iter();
    let layer =
        layers.find(|layer| layer.bitrate > Bitrate(0) && layer.keyframe_requests >= UNANSWERED)?;
    let name = layer
        .rid
        .map(|rid| format!(" (layer {rid})"))
        .unwrap_or_default();
    Some(Cause::new(
        Kind::NoKeyframes,
        format!(
            "pictures come{name}, and no key frame: {} requests for one went unanswered",
            layer.keyframe_requests
        ),
        "have the encoder answer PLI, or send a key frame every two seconds: without one nobody can begin to watch",
    ))
}

/// Packets are lost on one of a participant's two links.
fn loss(report: &ParticipantReport, now: UnixMs) -> Option<Cause> {
    let up = persistent(&report.samples, |s| {
        (s.incoming > Bitrate(0)).then_some(s.in_loss)
    });
    let down = persistent(&report.samples, lost_down).filter(|_| !is_crowded(report, now));
    let (share, way) = match (up, down) {
        (Some(up), Some(down)) if down > up => (down, "from this server to them"),
        (Some(up), _) => (up, "from them to this server"),
        (None, Some(down)) => (down, "from this server to them"),
        (None, None) => return None,
    };
    Some(Cause::new(
        Kind::Loss,
        format!("{:.0} % of the packets {way} are lost", share * 100.0),
        "look at that link: weak Wi-Fi, a saturated line, or a limit on UDP; a cable helps",
    ))
}

fn lost_down(sample: &Sample) -> Option<f32> {
    (sample.outgoing > Bitrate(0)).then_some(sample.out_loss)
}

/// Packets are lost because more is sent than the path carries: less is sent since, and it is too early to say whether that
/// helps, or it does, or it is still more. That a probe of a narrow path is lost says nothing of the link.
fn is_crowded(report: &ParticipantReport, now: UnixMs) -> bool {
    let mut limited = report
        .subscriptions
        .iter()
        .filter(|subscription| subscription.limited_by == Some(LimitedBy::Bandwidth));
    let is_limited = limited.any(|subscription| {
        let is_early = subscription
            .since
            .is_none_or(|since| now.since(since) < STARVED);
        subscription.target.is_none() || is_early || !is_lossy_still(&report.samples)
    });
    is_limited || was_starved(report, now)
}

/// A picture did not fit, a moment ago.
fn was_starved(report: &ParticipantReport, now: UnixMs) -> bool {
    report.changes.iter().any(|change| {
        let is_late = now.since(change.at) < LATELY;
        let why = Some(LimitedBy::Bandwidth);
        is_late && matches!(change.what, Changed::Layer { to: None, why: of, .. } if of == why)
    })
}

/// In each of the last seconds.
fn is_lossy_still(samples: &[Sample]) -> bool {
    let mut shares = samples.iter().rev().take(SECONDS_STILL).map(lost_down);
    shares.all(|share| share.is_some_and(|share| share >= LOSS))
}

/// The mean share of the last seconds, when most of them are lossy.
fn persistent(samples: &[Sample], share: impl Fn(&Sample) -> Option<f32>) -> Option<f32> {
    let shares: Vec<f32> = samples
        .iter()
        .rev()
        .take(SECONDS)
        .filter_map(share)
        .collect();
    let lossy = shares.iter().filter(|share| **share >= LOSS).count();
    let is_so = shares.len() >= SECONDS_AT_LEAST && lossy * 10 >= shares.len() * LOSSY_TENTHS;
    let count = u16::try_from(shares.len()).ok().map(f32::from)?;
    is_so.then(|| shares.iter().sum::<f32>() / count)
}

/// Their path carries not even the smallest of a picture that they want.
fn starved(report: &ParticipantReport, now: UnixMs) -> Option<Cause> {
    let is_missed = |subscription: &&SubscriptionReport| {
        let since = subscription.since.map(|since| now.since(since));
        subscription.limited_by == Some(LimitedBy::Bandwidth)
            && subscription.target.is_none()
            && since.is_some_and(|since| since >= STARVED)
    };
    let missed = report.subscriptions.iter().filter(is_missed).count();
    let estimate = report
        .samples
        .last()
        .map_or(Bitrate(0), |sample| sample.estimate);
    (missed > 0).then(|| {
        Cause::new(
            Kind::Starved,
            format!(
                "the path to them carries {} kbit/s, less than the smallest layer of {missed} pictures that they want",
                estimate.0 / 1_000
            ),
            "look at their line and at what else uses it; publishers who send small layers (simulcast, SVC) leave \
             something for such a path",
        )
    })
}

#[cfg(test)]
mod tests;
