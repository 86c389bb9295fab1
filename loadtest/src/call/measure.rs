//! One round: some time to settle, a window in which a server's CPU time is compared with what arrived, and
//! what was missing at the end.

use super::engine::PeerId;
use super::host::Host;
use super::peer::{Received, Sent};
use super::stage::Stage;
use super::witness::Witness;
use crate::chat::stats::{Latency, Spread};
use crate::proc;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The lengths of a round's parts.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Timing {
    /// Seconds between the last join and the window.
    #[arg(long, default_value_t = 3.0)]
    pub settle: f64,
    /// Seconds of the window.
    #[arg(long, default_value_t = 10.0)]
    pub window: f64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            settle: 3.0,
            window: 10.0,
        }
    }
}

/// What a round showed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Round {
    /// CPU time of the server's threads per different packet that arrived, decrypted, in µs.
    pub us_per_packet: f64,
    /// Of one core, in the window.
    pub cores: f64,
    /// Packets that arrived in the window, each second.
    pub per_s: f64,
    /// Resident memory of the server per subscriber, in KiB.
    pub kib_per_subscriber: f64,
    /// From `call_join` to keys, in ms; zeros where that is not measured.
    pub join_ms: Spread,
    /// What all publishers sent, from the beginning.
    pub sent: Sent,
    /// What all subscribers received, up to the end.
    pub received: Received,
    /// From sending to receiving, in the window.
    pub latency: Latency,
    /// What participants were told that they should not have been.
    pub faults: Vec<String>,
}

/// Who takes part in a round.
#[derive(Default)]
pub struct Cast {
    /// Those who publish.
    pub publishers: Vec<PeerId>,
    /// Those who receive; somebody may do both.
    pub subscribers: Vec<PeerId>,
    /// From `call_join` to keys, in ms, of subscribers.
    pub join_ms: Vec<f64>,
    /// The server's memory before the subscribers came, in bytes.
    pub memory_before: u64,
    /// A participant on the ordinary `webrtc` crate, beside the subscribers.
    pub witness: Option<Arc<dyn Witness>>,
}

/// How long the last packets of a round may take, repair included.
const GRACE: Duration = Duration::from_secs(3);

impl Cast {
    /// Lets somebody in who receives, and notes how long that took.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn seat(
        &mut self,
        stage: &Stage,
        host: &mut Host,
        plan: super::peer::Plan,
        wishes: super::stage::Wishes,
    ) -> Result<PeerId> {
        let began = Instant::now();
        let peer = host.enter(stage, plan, wishes).await?;
        self.join_ms.push(began.elapsed().as_secs_f64() * 1e3);
        self.subscribers.push(peer);
        Ok(peer)
    }
}

/// Measures; the publishers are silent afterwards.
///
/// # Errors
/// When the server or a peer is gone.
pub async fn round(stage: &Stage, host: &Host, cast: &Cast, timing: Timing) -> Result<Round> {
    tokio::time::sleep(Duration::from_secs_f64(timing.settle)).await;
    stage.engine.take_latency().await;
    let pid = host.pid()?;
    let (arrived, used, began) = (
        unique(stage, cast).await?,
        proc::running(pid)?,
        Instant::now(),
    );
    tokio::time::sleep(Duration::from_secs_f64(timing.window)).await;
    let used = proc::running(pid)?.saturating_sub(used).as_secs_f64();
    let (seconds, arrived) = (
        began.elapsed().as_secs_f64(),
        unique(stage, cast).await? - arrived,
    );
    let latency = stage.engine.take_latency().await;
    let memory = proc::memory(pid)?.rss.saturating_sub(cast.memory_before);
    let last = Arc::new(stage.silence(&cast.publishers).await?);
    let end = Instant::now() + GRACE;
    let received = loop {
        let all = stage
            .received(&cast.subscribers, Some(last.clone()))
            .await?;
        let mut sum = Received::default();
        all.into_iter().for_each(|one| sum += one);
        if (sum.video.missing(), sum.audio.missing()) == (0, 0) || Instant::now() >= end {
            break sum;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let subscribers = cast.subscribers.len().max(1) as f64;
    Ok(Round {
        us_per_packet: used * 1e6 / (arrived.max(1) as f64),
        cores: used / seconds,
        per_s: arrived as f64 / seconds,
        kib_per_subscriber: memory as f64 / 1024.0 / subscribers,
        join_ms: Spread::of(cast.join_ms.iter().copied()),
        sent: stage.sent(&cast.publishers).await?,
        received,
        latency: Latency::of(&latency),
        faults: host.faults(),
    })
}

/// Different packets of media that everybody has by now.
async fn unique(stage: &Stage, cast: &Cast) -> Result<u64> {
    let all = stage.received(&cast.subscribers, None).await?;
    let light: u64 = all
        .iter()
        .map(|one| one.video.unique + one.audio.unique)
        .sum();
    Ok(light
        + cast
            .witness
            .as_ref()
            .map_or(0, |witness| witness.count().0.unique))
}
