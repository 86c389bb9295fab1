//! The breakers of one channel's providers, and how its removals are watched.

use crate::core::breaker::{Admit, Breaker, Change, Health};
use crate::core::settings::Device;
use crate::core::tokens::{Judgement, Tokens};
use crate::metrics;
use crate::model::{Address, Channel, Outcome};
use crate::service::rolls::Rolls;
use kaiwa_common::limits::NOTIFY_PROVIDERS;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::Clock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

pub(super) struct Gate {
    channel: Channel,
    clock: Arc<dyn Clock>,
    rolls: Arc<Rolls>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    breakers: BTreeMap<String, Breaker>,
    tokens: Tokens,
}

/// The name of a channel's only provider, and of those that there is no room for.
const ONE: &str = "";

impl Gate {
    pub(super) fn new(channel: Channel, clock: Arc<dyn Clock>, rolls: Arc<Rolls>) -> Self {
        Self {
            channel,
            clock,
            rolls,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// All of the channel's pushes go to one provider: when it is away, nothing is polled. Web Push has
    /// a provider for each host, and one that is away must not stop the others.
    pub(super) fn is_single(&self) -> bool {
        self.channel != Channel::WebPush
    }

    pub(super) fn provider(address: Option<&Address>) -> String {
        match address {
            Some(Address::WebPush { endpoint, .. }) => host(&endpoint.0).to_owned(),
            Some(
                Address::Apns { .. } | Address::Fcm { .. } | Address::Sns { .. } | Address::Slack,
            )
            | None => ONE.to_owned(),
        }
    }

    pub(super) fn admit(&self, provider: &str) -> Admit {
        let now = self.clock.now();
        let mut state = self.state();
        state.breaker(provider).admit(now)
    }

    pub(super) fn waits(&self, provider: &str) -> Option<UnixMs> {
        let now = self.clock.now();
        self.state().breaker(provider).waits(now)
    }

    /// What became of an attempt; of a probe, `None` says that nothing was sent.
    pub(super) fn record(
        &self,
        provider: &str,
        is_probe: bool,
        health: Option<Health>,
    ) -> Option<Change> {
        let (now, roll) = (self.clock.now(), self.rolls.roll());
        let mut state = self.state();
        let breaker = state.breaker(provider);
        let change = match (is_probe, health) {
            (true, health) => breaker.record_probe(health, now, roll),
            (false, Some(health)) => breaker.record(health, now, roll),
            (false, None) => None,
        };
        if is_probe || change.is_some() {
            let open = state.breakers.values().filter(|b| b.is_open()).count();
            metrics::breakers_open(self.channel, open);
            drop(state);
            self.changed.notify_waiters();
        }
        if let Some(Change::Opened(cause)) = change {
            metrics::breaker_opened(self.channel, cause);
        }
        change
    }

    pub(super) fn judge(&self, device: &Device, outcome: &Outcome) -> Judgement {
        let now = self.clock.now();
        self.state().tokens.judge(device, outcome, now)
    }

    /// Until then, or until something changes.
    pub(super) async fn wait(&self, until: UnixMs) {
        tokio::select! {
            () = self.clock.sleep_until(until) => {}
            () = self.changed.notified() => {}
        }
    }

    /// Ends when there is use in receiving.
    pub(super) async fn wants(&self) {
        while self.is_single()
            && let Some(until) = self.waits(ONE)
        {
            self.wait(until).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn breaker(&mut self, provider: &str) -> &mut Breaker {
        let mut key = provider;
        if !self.breakers.contains_key(key) && self.breakers.len() >= NOTIFY_PROVIDERS {
            let well = self.breakers.iter().find(|(_, breaker)| !breaker.is_open());
            match well.map(|(key, _)| key.clone()) {
                Some(well) => {
                    self.breakers.remove(&well);
                }
                None => key = ONE,
            }
        }
        self.breakers.entry(key.to_owned()).or_default()
    }
}

/// Of a URL. What is none has been refused when it was registered.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

impl Outcome {
    /// What it says of the provider.
    #[must_use]
    pub fn health(&self) -> Health {
        match self {
            Self::Accepted { .. }
            | Self::Unregistered { .. }
            | Self::BadToken { .. }
            | Self::Throttled { .. }
            | Self::TooLarge { .. }
            | Self::Rejected { .. } => Health::Well,
            Self::Transient { .. } => Health::Ill,
            Self::AuthFailed { .. } => Health::Refused,
        }
    }
}
