//! The breakers of one channel's providers, and how its removals are watched.

use crate::core::breaker::{Admit, Breaker, BreakerState, Change, Health};
use crate::core::settings::Device;
use crate::core::tokens::{Judgement, Tokens};
use crate::metrics;
use crate::model::{Address, Channel, Outcome};
use crate::service::rolls::Rolls;
use kaiwa_common::limits::{NOTIFY_IN_HAND_UNKNOWN, NOTIFY_PROVIDERS};
use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::Clock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// A provider to which nothing is sent now, or one push only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerView {
    /// The host of Web Push's; empty for the only one of a channel.
    pub provider: String,
    /// What its breaker does.
    pub state: BreakerState,
    /// When one push may try next.
    pub until: Option<UnixMs>,
    /// What it said last when it was not well.
    pub why: String,
}

/// Bytes that are kept of what a provider says.
const WHY_BYTES: usize = 256;

pub(super) struct Gate {
    channel: Channel,
    clock: Arc<dyn Clock>,
    rolls: Arc<Rolls>,
    state: Mutex<State>,
    changed: Notify,
    /// Places for hosts that are not known to answer; of rings, and of all else.
    unknown: [Arc<Semaphore>; 2],
}

#[derive(Default)]
struct State {
    breakers: BTreeMap<String, Provider>,
}

#[derive(Default)]
struct Provider {
    breaker: Breaker,
    /// Its own: of Web Push anybody can name a host, and what one of those says of its devices must not keep
    /// those of others.
    tokens: Tokens,
    /// Its last word when it was not well.
    why: String,
    /// It answered when it was last asked.
    is_known: bool,
    /// While it is not known to answer.
    places: Option<Arc<Semaphore>>,
}

/// Of one host, and of all that are not known to answer; given back when it is dropped.
#[expect(dead_code, reason = "it is held, not looked at")]
pub(super) struct Place(OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Of those places, one host's: as many as open its breaker when none of them is answered.
const OF_ONE_HOST: usize = 4;

/// The name of a channel's only provider.
const ONE: &str = "";

impl Gate {
    pub(super) fn new(channel: Channel, clock: Arc<dyn Clock>, rolls: Arc<Rolls>) -> Self {
        Self {
            channel,
            clock,
            rolls,
            state: Mutex::default(),
            changed: Notify::new(),
            unknown: [(); 2].map(|()| Arc::new(Semaphore::new(NOTIFY_IN_HAND_UNKNOWN))),
        }
    }

    /// All of the channel's pushes go to one provider: when it is away, nothing is polled. Web Push has
    /// a provider for each host, and one that is away must not stop the others.
    pub(super) fn is_single(&self) -> bool {
        self.channel != Channel::WebPush
    }

    pub(super) fn provider(address: Option<&Address>) -> String {
        match address {
            Some(Address::WebPush { endpoint, .. }) => host(&endpoint.0).to_ascii_lowercase(),
            Some(
                Address::Apns { .. } | Address::Fcm { .. } | Address::Sns { .. } | Address::Slack,
            )
            | None => ONE.to_owned(),
        }
    }

    /// A place for a push to it; an error while hosts that do not answer have all that they may have together.
    pub(super) fn place(
        &self,
        provider: &str,
        is_urgent: bool,
    ) -> Result<Option<Place>, TryAcquireError> {
        if self.is_single() {
            return Ok(None);
        }
        let mut state = self.state();
        let of_host = state.provider(provider);
        if of_host.is_known {
            return Ok(None);
        }
        let of_host = of_host
            .places
            .get_or_insert_with(|| Arc::new(Semaphore::new(OF_ONE_HOST)));
        let of_host = Arc::clone(of_host).try_acquire_owned()?;
        let places = Arc::clone(&self.unknown[usize::from(is_urgent)]);
        Ok(Some(Place(of_host, places.try_acquire_owned()?)))
    }

    pub(super) fn admit(&self, provider: &str) -> Admit {
        let now = self.clock.now();
        let mut state = self.state();
        state.provider(provider).breaker.admit(now)
    }

    pub(super) fn waits(&self, provider: &str) -> Option<UnixMs> {
        let now = self.clock.now();
        self.state().provider(provider).breaker.waits(now)
    }

    /// What became of an attempt, and what the provider said; of a probe, `None` says that nothing was sent.
    pub(super) fn record(
        &self,
        provider: &str,
        is_probe: bool,
        said: Option<(Health, &str)>,
    ) -> Option<Change> {
        let (now, roll) = (self.clock.now(), self.rolls.roll());
        let mut state = self.state();
        let Provider {
            breaker,
            why,
            is_known,
            ..
        } = state.provider(provider);
        if let Some((health, _)) = said {
            *is_known = health == Health::Well;
        }
        if let Some((Health::Ill | Health::Refused, said)) = said {
            said[..said.floor_char_boundary(WHY_BYTES)].clone_into(why);
        }
        let health = said.map(|(health, _)| health);
        let change = match (is_probe, health) {
            (true, health) => breaker.record_probe(health, now, roll),
            (false, Some(health)) => breaker.record(health, now, roll),
            (false, None) => None,
        };
        if is_probe || change.is_some() {
            let open = state.breakers.values();
            let open = open.filter(|p| p.breaker.is_open()).count();
            metrics::breakers_open(self.channel, open);
            drop(state);
            self.changed.notify_waiters();
        }
        if let Some(Change::Opened(cause)) = change {
            metrics::breaker_opened(self.channel, cause);
        }
        change
    }

    /// The providers that are not well.
    pub(super) fn views(&self) -> Vec<BreakerView> {
        let state = self.state();
        let view = |(name, provider): (&String, &Provider)| {
            let (state, until) = provider.breaker.view()?;
            Some(BreakerView {
                provider: name.clone(),
                state,
                until: Some(until),
                why: provider.why.clone(),
            })
        };
        state.breakers.iter().filter_map(view).collect()
    }

    pub(super) fn judge(&self, device: &Device, outcome: &Outcome) -> Judgement {
        let now = self.clock.now();
        let provider = Self::provider(Some(&device.address));
        let mut state = self.state();
        state.provider(&provider).tokens.judge(device, outcome, now)
    }

    /// Until then, or until the one provider's breaker changes, or has changed since it was asked.
    pub(super) async fn wait(&self, until: UnixMs) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if self.waits(ONE).is_none() {
            return;
        }
        tokio::select! {
            () = self.clock.sleep_until(until) => {}
            () = changed => {}
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
    fn provider(&mut self, provider: &str) -> &mut Provider {
        if !self.breakers.contains_key(provider) && self.breakers.len() >= NOTIFY_PROVIDERS {
            // Those that are not known to answer go first; of them those that are well, then the one that may be tried soonest. Never one breaker for many: who
            // names hosts that are ill would close it for the well ones.
            let until = |p: &Provider| p.breaker.view().map(|(_, until)| until);
            let least = self.breakers.iter();
            let least = least.min_by_key(|(_, p)| (p.is_known, until(p)));
            if let Some(key) = least.map(|(key, _)| key.clone()) {
                self.breakers.remove(&key);
            }
        }
        self.breakers.entry(provider.to_owned()).or_default()
    }
}

/// Of a URL. What is none has been refused when it was registered.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Whether it is one app's own credentials, behind the provider, that are wrong (FCM, SNS): pushes to others still go.
fn is_of_one_app(code: &str) -> bool {
    let code = code.strip_suffix("Exception").unwrap_or(code);
    matches!(
        code,
        "THIRD_PARTY_AUTH_ERROR" | "PlatformApplicationDisabled"
    )
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
            Self::Transient { code, .. } if is_of_one_app(code) => Health::Well,
            Self::Transient { .. } => Health::Ill,
            Self::AuthFailed { .. } => Health::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tokens::Fate;
    use kaiwa_common::redact::Redacted;
    use kaiwa_platform::clock::SystemClock;

    fn gate() -> Gate {
        let rolls = Arc::new(Rolls::new(1));
        Gate::new(Channel::WebPush, Arc::new(SystemClock), rolls)
    }

    fn address(endpoint: &str) -> Address {
        Address::WebPush {
            endpoint: Redacted(endpoint.to_owned()),
            p256dh: [4; 65],
            auth: Redacted([1; 16]),
        }
    }

    fn ill(gate: &Gate, host: &str) {
        for _ in 0..4 {
            if gate.admit(host) == Admit::Send {
                gate.record(host, false, Some((Health::Ill, "503")));
            }
        }
    }

    #[test]
    fn however_many_hosts_are_ill_one_that_is_well_is_sent_to() {
        let gate = gate();
        for n in 0..2 * NOTIFY_PROVIDERS {
            ill(&gate, &format!("{n}.example"));
        }
        assert!(gate.views().len() <= NOTIFY_PROVIDERS);
        for _ in 0..10 {
            assert_eq!(gate.admit("push.example"), Admit::Send);
            gate.record("push.example", false, Some((Health::Well, "")));
            ill(&gate, "another.example");
        }
    }

    #[test]
    fn a_host_that_denies_its_devices_does_not_keep_those_of_others() {
        let gate = gate();
        let device = |endpoint: &str| Device {
            id: crate::model::DeviceId(uuid::Uuid::nil()),
            installation: kaiwa_common::id::DeviceId::parse("laptop").expect("an id"),
            address: address(endpoint),
            label: Redacted(String::new()),
            registered: UnixMs(0),
            settings: crate::core::settings::DeviceSettings::default(),
            strikes: 0,
            quarantined: None,
            last_push: None,
        };
        let gone = Outcome::Unregistered { since: None };
        for _ in 0..100 {
            gate.judge(&device("https://evil.example/1"), &gone);
        }
        let of = |endpoint: &str| gate.judge(&device(endpoint), &gone).fate;
        assert_eq!(of("https://evil.example/1"), Fate::Keep, "halted");
        assert_eq!(of("https://push.example/1"), Fate::Prune);
    }

    #[test]
    fn who_begins_to_wait_when_the_provider_is_back_does_not_wait() {
        use futures_util::FutureExt as _;
        let clock = kaiwa_platform::clock::ManualClock::at(UnixMs(0));
        let rolls = Arc::new(Rolls::new(1));
        let gate = Gate::new(Channel::Apns, Arc::new(clock.clone()), rolls);
        gate.record(ONE, false, Some((Health::Refused, "403")));
        clock.advance(std::time::Duration::from_secs(60));
        assert_eq!(gate.admit(ONE), Admit::Probe);
        let Admit::Wait(until) = gate.admit(ONE) else {
            panic!("one tries, another waits");
        };
        assert_eq!(gate.wait(until).now_or_never(), None, "it is still tried");
        gate.record(ONE, true, Some((Health::Well, "")));
        assert_eq!(gate.wait(until).now_or_never(), Some(()));
    }

    #[test]
    fn credentials_of_one_app_do_not_stop_the_others_of_the_provider() {
        let transient = |code: &str| Outcome::Transient {
            code: code.to_owned(),
            retry_after: None,
        };
        for (code, health) in [
            ("THIRD_PARTY_AUTH_ERROR", Health::Well),
            ("PlatformApplicationDisabled", Health::Well),
            ("PlatformApplicationDisabledException", Health::Well),
            ("UNAVAILABLE", Health::Ill),
        ] {
            assert_eq!(transient(code).health(), health, "{code}");
        }
    }

    #[test]
    fn a_host_has_one_breaker_however_it_is_written() {
        let of = |endpoint: &str| Gate::provider(Some(&address(endpoint)));
        assert_eq!(of("https://PUSH.example/a"), of("https://push.example/b"));
    }
}
