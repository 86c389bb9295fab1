//! One try of one job: each device on its own.

use super::ChannelHandler;
use crate::core::breaker::{Admit, Change};
use crate::core::policy;
use crate::core::retry::Failure;
use crate::core::router::Seen;
use crate::core::settings::Device;
use crate::core::tokens::Fate;
use crate::event::{Job, What};
use crate::metrics;
use crate::model::{Address, DeviceId, Outcome, Target};
use crate::ports::{Claim, Claimed, PushState, Settled, Shown, Standee};
use crate::service::content;
use crate::service::gate::Gate;
use crate::service::router::unstored;
use futures_util::future::join_all;
use kaiwa_common::time::UnixMs;
use std::time::Duration;

/// How long a device is ours, in times of what a push may take: with its record, and with room. A crash costs this
/// before another tries.
const CLAIM: u32 = 2;

/// A provider's yes that cannot be recorded is tried to be: without it, it would be sent again. Each try waits for so
/// much longer than the one before, and all of them for two thirds of what a push may take, so that they end within
/// [`CLAIM`].
const RECORD: Duration = Duration::from_millis(100);

/// How long a push to a host that may never answer waits at least, while as many as may be are on their way to such.
const CROWDED: Duration = Duration::from_secs(1);

/// And so much more at most: by then the first have answered, if they do.
const CROWDED_MS: u64 = 3_000;

/// What is left to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing.
    Done,
    /// Some devices again.
    Again {
        /// The providers' wish.
        wish: Option<Duration>,
        /// What happened.
        code: String,
    },
    /// Somebody else is at it.
    Busy(UnixMs),
    /// Its provider is away.
    Parked(UnixMs),
}

pub(super) struct Round<'a> {
    handler: &'a ChannelHandler,
    job: &'a Job,
    /// It tries whether the one provider is back.
    is_probe: bool,
}

struct Sent {
    device: DeviceId,
    was: Option<Box<Device>>,
    provider: String,
    result: Result<Outcome, UnixMs>,
    change: Option<Change>,
}

impl<'a> Round<'a> {
    pub(super) fn new(handler: &'a ChannelHandler, job: &'a Job, is_probe: bool) -> Self {
        Self {
            handler,
            job,
            is_probe,
        }
    }

    pub(super) async fn run(self) -> Result<After, Failure> {
        let result = self.try_all().await;
        if self.is_probe {
            // No matter when something was sent; else the next one may try.
            self.handler.gate.record("", true, None);
        }
        result
    }

    async fn try_all(&self) -> Result<After, Failure> {
        let now = self.handler.clock.now();
        let claim = Claim {
            event: self.job.event.id,
            user: self.job.user.clone(),
            channel: self.job.channel,
            devices: self.job.devices.clone(),
            shows: (!self.job.is_silent).then(|| self.shown()),
            now,
            until: now.plus(self.handler.send * CLAIM),
        };
        let claimed = self.handler.store.claim(claim).await;
        let claimed = claimed.map_err(|error| unstored(&error))?;
        let mut ours = Vec::new();
        let mut busy = None;
        for (device, claimed) in self.job.devices.iter().zip(claimed) {
            match claimed {
                Claimed::Yes(was) => ours.push((*device, was)),
                Claimed::Busy(until) => busy = busy.max(Some(until)),
                Claimed::Done => metrics::suppressed("repeat", 1),
                Claimed::Gone => metrics::suppressed("device_gone", 1),
                Claimed::Over => metrics::suppressed("call_over", 1),
            }
        }
        if let Some(code) = self.seen_since(!ours.is_empty()).await {
            metrics::suppressed(code, 1);
            let failed = ours.into_iter().map(|(device, _)| {
                let code = code.to_owned();
                self.settled(device, PushState::Failed { code })
            });
            self.settle(failed.collect()).await?;
            ours = Vec::new();
        }
        let sends = ours.into_iter().map(|(device, was)| self.send(device, was));
        let sent = join_all(sends).await;
        let after = self.finish(sent).await?;
        Ok(match (after, busy) {
            (After::Done, Some(until)) => After::Busy(until),
            (After::Parked(until), Some(other)) => After::Busy(until.max(other)),
            (after, _) => after,
        })
    }

    fn shown(&self) -> Shown {
        let place = self.job.event.message_place();
        Shown {
            key: policy::shown(&self.job.event),
            up_to: place.map_or(0, |place| place.seq),
        }
    }

    /// After the claim: a read mark that is routed later finds what this device is going to show.
    async fn seen_since(&self, has_any: bool) -> Option<&'static str> {
        let place = self.job.event.message_place().filter(|_| has_any)?;
        let standee = Standee {
            user: self.job.user.clone()?,
            uncounted: Vec::new(),
        };
        let asked = self
            .handler
            .read_state
            .standings(Some(place), std::slice::from_ref(&standee));
        let standing = match asked.await {
            Ok(standings) => standings.first().copied().unwrap_or_default(),
            Err(error) => {
                metrics::unanswered("read_state");
                tracing::warn!(%error, "whether it has been read is not known");
                return None;
            }
        };
        match standing.seen {
            Seen::No => None,
            Seen::Delivered => Some("delivered"),
            Seen::Read => Some("read"),
        }
    }

    async fn send(&self, device: DeviceId, was: Option<Box<Device>>) -> Sent {
        let address = was.as_ref().map(|device| &device.address);
        let provider = Gate::provider(address);
        let gate = &self.handler.gate;
        let mut is_probe = self.is_probe;
        let Ok(_place) = gate.place(&provider, self.job.event.is_urgent()) else {
            let wait = CROWDED + Duration::from_millis(self.handler.rolls.roll() % CROWDED_MS);
            return Sent {
                device,
                was,
                provider,
                result: Err(self.handler.clock.now().plus(wait)),
                change: None,
            };
        };
        if !gate.is_single() {
            match gate.admit(&provider) {
                Admit::Send => {}
                Admit::Probe => is_probe = true,
                Admit::Wait(until) => {
                    return Sent {
                        device,
                        was,
                        provider,
                        result: Err(until),
                        change: None,
                    };
                }
            }
        }
        let target = Target {
            device,
            address: address.cloned().unwrap_or(Address::Slack),
        };
        let push = content::push(self.job, was.as_deref());
        let sending = self.handler.sender.send(&target, &push);
        let outcome = tokio::time::timeout(self.handler.send, sending).await;
        let outcome = outcome.unwrap_or_else(|_| Outcome::Transient {
            code: "timeout".to_owned(),
            retry_after: None,
        });
        metrics::pushed(self.job.channel, &outcome);
        let said = code(&outcome);
        let change = gate.record(&provider, is_probe, Some((outcome.health(), &said)));
        Sent {
            device,
            was,
            provider,
            result: Ok(outcome),
            change,
        }
    }

    /// Records what became of each device, and says what is left.
    async fn finish(&self, sent: Vec<Sent>) -> Result<After, Failure> {
        let mut settled = Vec::with_capacity(sent.len());
        let mut after = After::Done;
        for one in &sent {
            let outcome = match &one.result {
                Ok(outcome) => outcome,
                Err(until) => {
                    let code = "provider_away".to_owned();
                    settled.push(self.settled(one.device, PushState::Open { code }));
                    after = worse(after, After::Parked(*until));
                    continue;
                }
            };
            let mut record = self.settled(one.device, state(outcome));
            if let PushState::Sent { .. } = &record.state {
                let since = record.at.since(self.job.event.time);
                metrics::delivered(self.job.channel, since);
                record.took_away = self.took_away();
            }
            record.fate = self.fate(one, outcome).await;
            settled.push(record);
            if let Some(left) = self.left(one, outcome) {
                after = worse(after, left);
            }
            let code = code(outcome);
            self.handler.alert(&one.provider, one.change, &code).await;
        }
        self.settle(settled).await?;
        Ok(after)
    }

    async fn fate(&self, one: &Sent, outcome: &Outcome) -> Option<(Fate, UnixMs)> {
        let was = one.was.as_deref()?;
        let judgement = self.handler.gate.judge(was, outcome);
        if judgement.is_alarm {
            self.handler.alarm().await;
        }
        let name = match judgement.fate {
            Fate::Keep => return None,
            Fate::Prune => "removed",
            Fate::Quarantine(_) => "quarantined",
        };
        metrics::invalid_token(self.job.channel, name);
        Some((judgement.fate, was.registered))
    }

    fn left(&self, one: &Sent, outcome: &Outcome) -> Option<After> {
        let wish = match outcome {
            Outcome::Accepted { .. }
            | Outcome::Unregistered { .. }
            | Outcome::BadToken { .. }
            | Outcome::TooLarge { .. }
            | Outcome::Rejected { .. } => return None,
            Outcome::Throttled { retry_after } | Outcome::Transient { retry_after, .. } => {
                *retry_after
            }
            Outcome::AuthFailed { .. } => None,
        };
        let gate = &self.handler.gate;
        if !gate.is_single()
            && let Some(until) = gate.waits(&one.provider)
        {
            return Some(After::Parked(until));
        }
        let code = code(outcome);
        Some(After::Again { wish, code })
    }

    fn took_away(&self) -> Option<(kaiwa_common::id::UserId, Shown)> {
        let key = policy::takes_away(&self.job.event)?;
        let up_to = match &self.job.event.what {
            What::Read(place) => place.seq,
            What::Message(_)
            | What::Call(_)
            | What::CallOver(_)
            | What::Clip(_)
            | What::Notice(_) => u64::MAX,
        };
        Some((self.job.user.clone()?, Shown { key, up_to }))
    }

    fn settled(&self, device: DeviceId, state: PushState) -> Settled {
        Settled {
            event: self.job.event.id,
            device,
            state,
            fate: None,
            took_away: None,
            at: self.handler.clock.now(),
        }
    }

    async fn settle(&self, settled: Vec<Settled>) -> Result<(), Failure> {
        let (mut pause, mut waited) = (RECORD, Duration::ZERO);
        loop {
            let Err(error) = self.handler.store.settle(settled.clone()).await else {
                return Ok(());
            };
            waited += pause;
            if waited > self.handler.send * 2 / 3 {
                return Err(unstored(&error));
            }
            tokio::time::sleep(pause).await;
            pause += RECORD;
        }
    }
}

fn state(outcome: &Outcome) -> PushState {
    match outcome {
        Outcome::Accepted { provider_id } => PushState::Sent {
            provider_id: provider_id.clone(),
        },
        Outcome::Throttled { .. } | Outcome::Transient { .. } | Outcome::AuthFailed { .. } => {
            PushState::Open {
                code: code(outcome),
            }
        }
        Outcome::Unregistered { .. }
        | Outcome::BadToken { .. }
        | Outcome::TooLarge { .. }
        | Outcome::Rejected { .. } => PushState::Failed {
            code: code(outcome),
        },
    }
}

fn code(outcome: &Outcome) -> String {
    let name = outcome.name();
    match outcome {
        Outcome::BadToken { code }
        | Outcome::Transient { code, .. }
        | Outcome::AuthFailed { code }
        | Outcome::Rejected { code } => format!("{name}: {code}"),
        Outcome::Accepted { .. }
        | Outcome::Unregistered { .. }
        | Outcome::Throttled { .. }
        | Outcome::TooLarge { .. } => name.to_owned(),
    }
}

/// Of what is left for two devices, what the message has to do.
fn worse(a: After, b: After) -> After {
    match (a, b) {
        (After::Done, other) | (other, After::Done) => other,
        (After::Again { wish, code }, After::Again { wish: other, .. }) => After::Again {
            wish: wish.max(other),
            code,
        },
        (again @ After::Again { .. }, _) | (_, again @ After::Again { .. }) => again,
        (After::Parked(a), After::Parked(b)) => After::Parked(a.max(b)),
        (busy, _) => busy,
    }
}
