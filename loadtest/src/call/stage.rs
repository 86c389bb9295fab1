//! What all participants of a run share, and the participants themselves: a peer in an engine, and the
//! signalling that belongs to it.

pub mod person;

pub use person::{Person, Wishes};

use super::dtls::Identity;
use super::engine::{Engine, PeerId};
use super::outlet::Clock;
use super::peer::{Peer, Plan, Received, Sent, Status};
use super::stamp::Stream;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// See the module; cheap to clone.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Runs the participants.
    pub engine: Arc<Engine>,
    identity: Identity,
    clock: Clock,
    bind: SocketAddr,
    /// Each peer has another.
    seed: u64,
}

/// From the answer to keys.
const CONNECTED_WITHIN: Duration = Duration::from_secs(20);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Stage {
    /// A stage with so many threads, whose sockets have this address; without, that of whichever way leads to the
    /// server by IPv4.
    ///
    /// # Errors
    /// When the system refuses threads or randomness.
    pub fn new(threads: usize, bind: Option<SocketAddr>) -> Result<Self> {
        Ok(Self {
            engine: Arc::new(Engine::start(threads)?),
            identity: Identity::generate()?,
            clock: Clock::system(),
            bind: bind.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into()),
            seed: 1,
        })
    }

    /// The same with other seeds: a run that is repeated is not the same one.
    #[must_use]
    pub fn reseeded(&self, seed: u64) -> Self {
        Self {
            seed: self.seed.wrapping_add(seed.wrapping_mul(1_000_003)),
            ..self.clone()
        }
    }

    /// A peer that is in no engine yet.
    #[must_use]
    pub fn peer(&self, plan: Plan, number: u64) -> Peer {
        let seed = self.seed.wrapping_add(number);
        Peer::new(
            plan,
            self.identity.clone(),
            self.clock,
            Instant::now(),
            seed,
        )
    }

    /// Puts a peer into the engine.
    ///
    /// # Errors
    /// When there is no socket for it.
    pub fn enter(&self, peer: Peer) -> Result<PeerId> {
        self.engine.add(peer, self.bind)
    }

    /// Waits until a peer has its keys.
    ///
    /// # Errors
    /// When it fails, or takes too long.
    pub async fn connected(&self, peer: PeerId) -> Result<Status> {
        self.until(peer, "keys", |status| status.connected.is_some())
            .await
    }

    /// Waits until something is true of a peer.
    ///
    /// # Errors
    /// When it fails, or takes too long.
    pub async fn until(
        &self,
        peer: PeerId,
        what: &str,
        is_so: impl Fn(&Status) -> bool,
    ) -> Result<Status> {
        let end = Instant::now() + CONNECTED_WITHIN;
        loop {
            let status = self.status(peer).await?;
            if let Some(failure) = &status.failure {
                bail!("no {what}: {failure}");
            }
            if is_so(&status) {
                return Ok(status);
            }
            if Instant::now() >= end {
                let received = self.received(&[peer], None).await?;
                bail!("no {what} within {CONNECTED_WITHIN:?}: {status:?}, {received:?}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How a peer is.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn status(&self, peer: PeerId) -> Result<Status> {
        let status = self.engine.with(peer, |peer, _, _| peer.status()).await;
        status.context("the peer is gone")
    }

    /// What some peers have received, in their order; with the publishers' last counters, what did not come at
    /// the end is missing.
    ///
    /// # Errors
    /// When one is gone.
    pub async fn received(
        &self,
        peers: &[PeerId],
        last: Option<Arc<BTreeMap<Stream, u32>>>,
    ) -> Result<Vec<Received>> {
        let mut all = Vec::with_capacity(peers.len());
        for &peer in peers {
            let last = last.clone();
            let received = self
                .engine
                .with(peer, move |peer, _, _| peer.received(last.as_deref()))
                .await;
            all.push(received.context("a peer is gone")?);
        }
        Ok(all)
    }

    /// What some peers have sent, together.
    ///
    /// # Errors
    /// When one is gone.
    pub async fn sent(&self, peers: &[PeerId]) -> Result<Sent> {
        let mut all = Sent::default();
        for &peer in peers {
            let sent = self.engine.with(peer, |peer, _, _| peer.sent()).await;
            all += sent.context("a peer is gone")?;
        }
        Ok(all)
    }

    /// Silences publishers; gives the last counters of their streams.
    ///
    /// # Errors
    /// When one is gone.
    pub async fn silence(&self, peers: &[PeerId]) -> Result<BTreeMap<Stream, u32>> {
        let mut all = BTreeMap::new();
        for &peer in peers {
            let last = self.engine.with(peer, |peer, _, _| {
                peer.stop_sending();
                let mut last = BTreeMap::new();
                peer.last(&mut last);
                last
            });
            all.extend(last.await.context("a peer is gone")?);
        }
        Ok(all)
    }

    /// A peer says goodbye and goes.
    pub async fn leave(&self, peer: PeerId) {
        // One that is gone need not say it.
        let _ = self
            .engine
            .with(peer, |peer, now, outlet| peer.close(now, outlet))
            .await;
        self.engine.remove(peer);
    }
}
