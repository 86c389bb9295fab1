//! Takes events, asks the rules, and gives the channels their jobs.

use crate::core::decision::{Decision, Verdict};
use crate::core::digest::DigestRule;
use crate::core::policy;
use crate::core::retry::Failure;
use crate::core::router::{self, Question, Recipient};
use crate::core::settings::ServerRules;
use crate::event::{Event, Job, What};
use crate::metrics;
use crate::model::{Channel, DeviceId};
use crate::ports::{
    Ask, Due, Hold, Profile, ReadState, Record, Shown, Standee, Standing, Store, StoreError,
};
use crate::service::Lanes;
use crate::service::alerts::Alerts;
use crate::service::consumer::Handler;
use crate::wire;
use kaiwa_common::id::UserId;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::Clock;
use kaiwa_platform::queue::{BATCH, Delivery, Outgoing, Queue, SendError};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

pub(super) struct Router {
    pub(super) store: Arc<dyn Store>,
    pub(super) read_state: Arc<dyn ReadState>,
    pub(super) queues: BTreeMap<Channel, Ways>,
    pub(super) rules: ServerRules,
    pub(super) digest: DigestRule,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) alerts: Arc<Alerts>,
}

/// To a channel.
pub(super) struct Ways {
    pub(super) ordinary: Arc<dyn Queue>,
    /// For rings and their ends.
    urgent: Arc<dyn Queue>,
}

impl Ways {
    pub(super) fn to(lanes: &Lanes) -> Self {
        let urgent = lanes.urgent.as_ref().unwrap_or(&lanes.ordinary);
        Self {
            ordinary: Arc::clone(lanes.ordinary.queue()),
            urgent: Arc::clone(urgent.queue()),
        }
    }

    fn of(&self, event: &Event) -> &dyn Queue {
        if event.is_urgent() {
            self.urgent.as_ref()
        } else {
            self.ordinary.as_ref()
        }
    }
}

impl Handler for Router {
    fn name(&self) -> &'static str {
        "router"
    }

    fn wants(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn handle<'a>(
        &'a self,
        delivery: &'a Delivery,
    ) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>> {
        Box::pin(self.route(&delivery.body))
    }
}

impl Router {
    async fn route(&self, body: &str) -> Result<(), Failure> {
        let event = wire::decode_event(body).map_err(|invalid| {
            tracing::debug!(%invalid, "an event that is none");
            Failure::Poison {
                reason: invalid.label().to_owned(),
            }
        })?;
        if let What::Notice(notice) = &event.what {
            let told = self.alerts.tell(&event, notice).await;
            return told.then_some(()).ok_or_else(|| again("slack_queue"));
        }
        let users = event.recipients.clone();
        if let What::CallOver(_) = &event.what
            && let Some(key) = policy::takes_away(&event)
        {
            // Before it is looked at what rings: a ring that is claimed later finds that it is over.
            let over = self.store.call_over(users.clone(), key, self.clock.now());
            over.await.map_err(|error| unstored(&error))?;
        }
        let profiles = self.profiles(&event, users).await;
        let profiles = profiles.map_err(|error| unstored(&error))?;
        let profiles: Vec<_> = profiles.into_iter().filter(|p| !p.is_decided).collect();
        self.tell(&event, profiles, None, &[]).await
    }

    /// What has waited for one person under one key is asked anew.
    pub(super) async fn release(&self, dues: &[Due]) -> Result<(), Failure> {
        let Some(first) = dues.first() else {
            return Ok(());
        };
        let Ok(event) = wire::decode_event(&first.event) else {
            return self.give_up(dues, "no event").await;
        };
        let devices: Vec<_> = dues.iter().map(|due| due.device).collect();
        let profiles = self.profiles(&event, vec![first.user.clone()]).await;
        let profiles = profiles.map_err(|error| unreleased(&error))?;
        if profiles.is_empty() {
            return self.give_up(dues, "unreadable").await;
        }
        self.tell(&event, profiles, Some(&devices), dues).await
    }

    /// What waited and can never be sent goes, so that it is not in the way of all that waits behind it.
    pub(super) async fn give_up(&self, dues: &[Due], reason: &str) -> Result<(), Failure> {
        tracing::error!(reason, "what waited can't be sent");
        let record = self.store.record(Vec::new(), dues.to_vec());
        record.await.map_err(|error| unstored(&error))
    }

    async fn profiles(
        &self,
        event: &Event,
        users: Vec<UserId>,
    ) -> Result<Vec<Profile>, StoreError> {
        let up_to = match &event.what {
            What::Read(place) => place.seq,
            What::Message(_)
            | What::Call(_)
            | What::CallOver(_)
            | What::Clip(_)
            | What::Notice(_) => u64::MAX,
        };
        let ask = Ask {
            event: event.id,
            room: event.room().cloned(),
            takes_away: policy::takes_away(event).map(|key| Shown { key, up_to }),
            users,
            now: self.clock.now(),
        };
        self.store.profiles(ask).await
    }

    /// Decides, sends the jobs, and then records: a crash in between gives the same jobs once more,
    /// which the ledger knows.
    async fn tell(
        &self,
        event: &Event,
        profiles: Vec<Profile>,
        released: Option<&[DeviceId]>,
        dues: &[Due],
    ) -> Result<(), Failure> {
        let recipients = self.with_standings(event, profiles).await;
        let question = Question {
            event,
            rules: &self.rules,
            digest: self.digest,
            released,
            now: self.clock.now(),
        };
        let count = dues.iter().map(|due| due.count).max().unwrap_or(1);
        let mut jobs = Vec::new();
        let mut records = Vec::with_capacity(recipients.len());
        for recipient in &recipients {
            let answer = router::decide(question, recipient);
            metrics::routed(answer.decision.class);
            answer.decision.verdicts().for_each(metrics::verdict);
            jobs.extend(router::jobs(question, recipient, &answer.decision, count));
            records.push(Record {
                event: event.id,
                time: event.time,
                room: event.room().cloned(),
                seq: event.message_place().map(|place| place.seq),
                user: recipient.user.clone(),
                holds: holds(event, recipient, &answer.decision, count),
                recent: answer.recent,
                decision: answer.decision,
                at: question.now,
            });
        }
        self.send(event, &jobs).await?;
        if records.is_empty() && dues.is_empty() {
            return Ok(());
        }
        let recorded = self.store.record(records, dues.to_vec()).await;
        let is_release = !dues.is_empty();
        recorded.map_err(|error| match is_release {
            true => unreleased(&error),
            false => unstored(&error),
        })
    }

    async fn with_standings(&self, event: &Event, profiles: Vec<Profile>) -> Vec<Recipient> {
        let standees = profiles.iter().map(|profile| Standee {
            user: profile.recipient.user.clone(),
            uncounted: profile.uncounted.clone(),
        });
        let standees: Vec<_> = standees.collect();
        let mut standings = Vec::new();
        if !standees.is_empty() {
            let asked = self.read_state.standings(event.message_place(), &standees);
            // Who cannot be asked about is told: once too often is better than never.
            standings = asked.await.unwrap_or_else(|error| {
                metrics::unanswered("read_state");
                tracing::warn!(%error, "how far people are is not known");
                Vec::new()
            });
        }
        let standings = standings
            .into_iter()
            .chain(std::iter::repeat(Standing::default()));
        profiles
            .into_iter()
            .zip(standings)
            .map(|(profile, standing)| Recipient {
                seen: standing.seen,
                badge: standing.badge,
                ..profile.recipient
            })
            .collect()
    }

    async fn send(&self, event: &Event, jobs: &[Job]) -> Result<(), Failure> {
        for (channel, ways) in &self.queues {
            let queue = ways.of(event);
            let of_channel = jobs.iter().filter(|job| job.channel == *channel);
            let messages: Vec<_> = of_channel.map(outgoing).collect();
            for batch in messages.chunks(BATCH) {
                let sent = queue.send(batch.to_vec()).await.map_err(|error| {
                    metrics::unanswered("queue");
                    tracing::warn!(queue = queue.name(), %error, "jobs not sent");
                    again("queue")
                })?;
                for result in sent {
                    result.map_err(|error| match error {
                        SendError::Failed(_) => again("queue"),
                        SendError::Invalid(_) => Failure::Poison {
                            reason: "refused_by_queue".to_owned(),
                        },
                    })?;
                }
            }
        }
        Ok(())
    }
}

fn outgoing(job: &Job) -> Outgoing {
    let mut message = Outgoing {
        body: wire::encode_job(job),
        ..Outgoing::default()
    };
    if !job.event.traceparent.is_empty() {
        let traceparent = job.event.traceparent.clone();
        message
            .attributes
            .insert("traceparent".to_owned(), traceparent);
    }
    message
}

fn holds(event: &Event, recipient: &Recipient, decision: &Decision, count: u32) -> Vec<Hold> {
    let wait = |until: UnixMs, device: DeviceId| {
        let mut only = event.only_for(Some(&recipient.user));
        only.recipients = vec![recipient.user.clone()];
        Hold {
            device,
            collapse: policy::collapse(event, decision.class),
            until,
            seq: event.message_place().map_or(0, |place| place.seq),
            event: wire::encode_event(&only),
            count,
        }
    };
    let devices = decision.devices.iter();
    let waiting = devices.filter_map(|device| match device.verdict {
        Verdict::Wait { until } => Some(wait(until, device.device)),
        Verdict::Push | Verdict::Suppressed(_) => None,
    });
    waiting.collect()
}

fn again(code: &'static str) -> Failure {
    Failure::Backoff {
        code: code.to_owned(),
    }
}

/// What waits has no receives that end: what cannot be read would be in the way for ever.
fn unreleased(error: &StoreError) -> Failure {
    match error {
        StoreError::Broken(reason) => Failure::Poison {
            reason: reason.clone(),
        },
        StoreError::Unavailable(_) => unstored(error),
    }
}

/// Whatever it is, an operator may mend it before the last receive.
pub(super) fn unstored(error: &StoreError) -> Failure {
    metrics::unanswered("store");
    tracing::warn!(%error, "the store does not answer");
    again("store")
}
