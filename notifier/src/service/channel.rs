//! Sends a channel's jobs: claims, asks the provider's breaker, sends to each device, records.

mod round;

use crate::core::breaker::{Admit, Cause, Change};
use crate::core::retry::{self, Failure};
use crate::event::Job;
use crate::metrics;
use crate::model::Channel;
use crate::ports::{PushState, ReadState, Settled, Store};
use crate::senders::PushSender;
use crate::service::alerts::Alerts;
use crate::service::consumer::Handler;
use crate::service::gate::Gate;
use crate::service::rolls::Rolls;
use crate::service::router::unstored;
use crate::service::shares::{Share, Shares};
use crate::wire;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::Clock;
use kaiwa_platform::queue::{DELAY, Delivery, RETENTION};
use round::{After, Round};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long a person's next pushes wait at least, while as many of theirs as may be are in hand.
const CROWDED: Duration = Duration::from_secs(5);

/// And so much more at most.
const SPREAD_MS: u64 = 10_000;

pub(super) struct ChannelHandler {
    pub(super) channel: Channel,
    pub(super) sender: Arc<dyn PushSender>,
    pub(super) store: Arc<dyn Store>,
    pub(super) read_state: Arc<dyn ReadState>,
    pub(super) gate: Arc<Gate>,
    /// How long one push may take; then it counts as transient.
    pub(super) send: Duration,
    pub(super) shares: Arc<Shares>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rolls: Arc<Rolls>,
    pub(super) alerts: Arc<Alerts>,
}

impl Handler for ChannelHandler {
    fn name(&self) -> &'static str {
        self.channel.name()
    }

    fn wants(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.gate.wants())
    }

    fn handle<'a>(
        &'a self,
        delivery: &'a Delivery,
    ) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>> {
        Box::pin(self.deliver(delivery))
    }
}

impl ChannelHandler {
    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        let job = wire::decode_job(&delivery.body).map_err(|invalid| {
            tracing::debug!(%invalid, "a job that is none");
            poison(invalid.label())
        })?;
        if job.channel != self.channel {
            return Err(poison("channel"));
        }
        let Ok(_share) = self.share(&job) else {
            // Later by more than a push takes, and not all at once.
            let wait = CROWDED + Duration::from_millis(self.rolls.roll() % SPREAD_MS);
            let until = self.clock.now().plus(wait);
            return Err(self.later(After::Parked(until), &job, delivery.receives));
        };
        loop {
            let now = self.clock.now();
            if now >= job.expires {
                return self.give_up(&job, now, "expired").await;
            }
            let mut is_probe = false;
            if self.gate.is_single() {
                // The message stays in hand while the provider is away: that costs it no receive.
                match self.gate.admit("") {
                    Admit::Send => {}
                    Admit::Probe => is_probe = true,
                    Admit::Wait(until) => {
                        self.gate.wait(until.min(job.expires)).await;
                        continue;
                    }
                }
            }
            let round = Round::new(self, &job, is_probe);
            let after = round.run().await?;
            let is_away = self.gate.is_single() && self.gate.waits("").is_some();
            match after {
                After::Done => return Ok(()),
                After::Again { .. } if is_away => {}
                After::Parked(_) if self.clock.now().since(job.event.time) > RETENTION => {
                    return self.give_up(&job, now, "provider_away").await;
                }
                after @ (After::Again { .. } | After::Busy(_) | After::Parked(_)) => {
                    return Err(self.later(after, &job, delivery.receives));
                }
            }
        }
    }

    /// A place for it among what is in hand, where that is divided; an error when there is none. A call is over
    /// before it would come again.
    fn share(&self, job: &Job) -> Result<Option<Share>, ()> {
        match &job.user {
            Some(user) if !self.gate.is_single() && !job.event.is_urgent() => {
                self.shares.take(user).map(Some).ok_or(())
            }
            Some(_) | None => Ok(None),
        }
    }

    fn later(&self, after: After, job: &Job, receives: u32) -> Failure {
        let now = self.clock.now();
        let backoff = retry::backoff(receives, self.rolls.roll());
        match after {
            After::Again { wish, code } => Failure::Retry {
                after: retry::again(wish, backoff, now, job.expires),
                code,
            },
            After::Busy(until) => Failure::Retry {
                after: until.since(now) + Duration::from_secs(1),
                code: "claimed".to_owned(),
            },
            After::Parked(until) => Failure::Park {
                delay: until
                    .since(now)
                    .max(backoff)
                    .min(job.expires.since(now))
                    .min(DELAY),
            },
            After::Done => Failure::Drop { reason: "done" },
        }
    }

    /// It is not tried any more; that is the reason which is recorded for each device that was not told.
    async fn give_up(&self, job: &Job, now: UnixMs, reason: &'static str) -> Result<(), Failure> {
        let settled = job.devices.iter().map(|device| Settled {
            event: job.event.id,
            device: *device,
            state: PushState::Failed {
                code: reason.to_owned(),
            },
            fate: None,
            took_away: None,
            at: now,
        });
        let settled = self.store.settle(settled.collect()).await;
        settled.map_err(|error| unstored(&error))?;
        metrics::suppressed(reason, 1);
        Err(Failure::Drop { reason })
    }

    async fn alert(&self, provider: &str, change: Option<Change>, code: &str) {
        let Some(Change::Opened(Cause::Refused)) = change else {
            return;
        };
        let name = self.channel.name();
        let key = format!("refused:{name}:{provider}");
        let title = format!("{name}: the provider does not accept our credentials");
        let text =
            format!("It says {code}. Nothing is sent until that is mended; then it goes on.");
        self.alerts.raise(key, title, text).await;
    }

    async fn alarm(&self) {
        let name = self.channel.name();
        let title = format!("{name}: too many invalid tokens");
        let text = "More than 5 % within a minute: a wrong environment, key or topic. No device is \
                    removed meanwhile.";
        self.alerts
            .raise(format!("tokens:{name}"), title, text.to_owned())
            .await;
    }
}

fn poison(reason: &str) -> Failure {
    Failure::Poison {
        reason: reason.to_owned(),
    }
}
