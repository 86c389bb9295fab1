//! The operators' port over the notifier.

use super::port::{decision, steps};
use base64::Engine as _;
use kaiwa_common::id::UserId;
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::model::EventId;
use kaiwa_notifier::ports::Explained;
use kaiwa_notifier::service::{BreakerState as Breakers, BreakerView, Notifier, NotifierError};
use kaiwa_notifier::wire::{decode_event, decode_job};
use kaiwa_platform::queue::dead_letters;
use kaiwa_platform::queue::{DeadLetters, QueueError};
use kaiwa_signaling::push::admin::{
    AdminError, Answer, Breaker, BreakerState, DeadLetter, DeadPage, Decided, Done, NotifyAdmin,
    Pick, QueueState, Step,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// The notifier, as operators see it.
pub(super) struct Admin {
    notifier: Arc<Notifier>,
}

/// What is done to dead letters.
#[derive(Clone, Copy)]
enum Todo {
    Redrive,
    Discard,
}

impl Admin {
    pub(super) fn new(notifier: Arc<Notifier>) -> Self {
        Self { notifier }
    }

    /// The queues that are meant: this one, or all.
    fn picked(&self, queue: Option<&str>) -> Result<Vec<&DeadLetters>, AdminError> {
        match queue {
            None => Ok(self.notifier.dead_letters().iter().collect()),
            Some(name) => {
                let found = self.notifier.dead_letters_of(name);
                Ok(vec![found.map_err(|_| AdminError::QueueUnknown)?])
            }
        }
    }

    async fn state(&self, letters: &DeadLetters) -> Result<QueueState, AdminError> {
        let breakers = self.notifier.breakers_of(letters.queue().name());
        let depth = letters.queue().depth().await.map_err(unavailable)?;
        let dead = letters.dead().depth().await.map_err(unavailable)?;
        Ok(QueueState {
            name: letters.queue().name().to_owned(),
            visible: depth.visible,
            in_flight: depth.in_flight,
            delayed: depth.delayed,
            oldest: depth.oldest_ms.map(UnixMs),
            dead: dead.visible + dead.in_flight + dead.delayed,
            breakers: shown_breakers(breakers),
        })
    }

    /// Does it to what is picked, one id after the other, or all at once.
    async fn each(
        &self,
        queue: &str,
        (pick, limit): (Pick, usize),
        todo: Todo,
    ) -> Result<Done, AdminError> {
        let letters = self.notifier.dead_letters_of(queue);
        let letters = letters.map_err(|_| AdminError::QueueUnknown)?;
        let picks = match pick {
            Pick::All => vec![dead_letters::Pick::All],
            Pick::Reason(reason) => vec![dead_letters::Pick::Reason(reason)],
            Pick::Ids(ids) => ids.into_iter().map(dead_letters::Pick::Id).collect(),
        };
        let mut done = Done::default();
        for pick in picks {
            let id = match &pick {
                dead_letters::Pick::Id(id) => Some(id.clone()),
                dead_letters::Pick::All | dead_letters::Pick::Reason(_) => None,
            };
            let outcome = match todo {
                Todo::Redrive => letters.redrive(&pick, limit).await,
                Todo::Discard => letters.discard(&pick, limit).await,
            };
            let is_missing = outcome.done == 0 && outcome.failed.is_empty();
            if let Some(id) = id.filter(|_| is_missing && outcome.stopped.is_none()) {
                done.failed
                    .push((id, "there is none of this id".to_owned()));
            }
            done.done += outcome.done;
            done.failed.extend(outcome.failed);
            done.has_more |= outcome.has_more;
            if let Some(error) = outcome.stopped {
                done.stopped = Some(error.to_string());
                break;
            }
        }
        Ok(done)
    }
}

impl NotifyAdmin for Admin {
    fn queues(&self) -> Answer<'_, Vec<QueueState>> {
        Box::pin(async move {
            let mut states = Vec::new();
            for letters in self.notifier.dead_letters() {
                states.push(self.state(letters).await?);
            }
            Ok(states)
        })
    }

    fn dead(
        &self,
        queue: Option<String>,
        reason: Option<String>,
        limit: usize,
    ) -> Answer<'_, DeadPage> {
        Box::pin(async move {
            let pick = reason.map_or(dead_letters::Pick::All, dead_letters::Pick::Reason);
            let mut page = DeadPage::default();
            for letters in self.picked(queue.as_deref())? {
                let left = limit.saturating_sub(page.letters.len());
                if left == 0 {
                    page.has_more = true;
                    break;
                }
                let listed = letters.list(&pick, left).await.map_err(unavailable)?;
                page.has_more |= listed.has_more;
                let name = letters.queue().name();
                page.letters
                    .extend(listed.letters.iter().map(|letter| shown(name, letter)));
            }
            Ok(page)
        })
    }

    fn dead_letter(&self, queue: Option<String>, id: String) -> Answer<'_, Option<DeadLetter>> {
        Box::pin(async move {
            for letters in self.picked(queue.as_deref())? {
                if let Some(letter) = letters.show(&id).await.map_err(unavailable)? {
                    return Ok(Some(shown(letters.queue().name(), &letter)));
                }
            }
            Ok(None)
        })
    }

    fn redrive(&self, queue: String, pick: Pick, limit: usize) -> Answer<'_, Done> {
        Box::pin(async move { self.each(&queue, (pick, limit), Todo::Redrive).await })
    }

    fn discard(&self, queue: String, pick: Pick, limit: usize) -> Answer<'_, Done> {
        Box::pin(async move { self.each(&queue, (pick, limit), Todo::Discard).await })
    }

    fn decisions(
        &self,
        event: Option<Uuid>,
        user: Option<UserId>,
        limit: usize,
    ) -> Answer<'_, Vec<Decided>> {
        Box::pin(async move {
            let found = match (event.map(EventId), user) {
                (Some(event), Some(user)) => {
                    let explained = self.notifier.explain(event, &user).await.map_err(store)?;
                    explained
                        .map(|explained| (user, explained))
                        .into_iter()
                        .collect()
                }
                (Some(event), None) => self.notifier.decided(event, limit).await.map_err(store)?,
                (None, Some(user)) => {
                    let recent = self.notifier.recent(&user, limit).await.map_err(store)?;
                    recent.into_iter().map(|e| (user.clone(), e)).collect()
                }
                (None, None) => Vec::new(),
            };
            Ok(found.into_iter().map(decided).collect::<Vec<_>>())
        })
    }
}

fn decided((user, explained): (UserId, Explained)) -> Decided {
    Decided {
        user,
        decision: decision(&explained, &BTreeMap::new()),
        steps: steps(&explained)
            .map(|(rule, ruling)| Step {
                rule: Cow::Borrowed(rule),
                ruling: Cow::Owned(ruling),
            })
            .collect(),
    }
}

fn shown_breakers(breakers: Vec<BreakerView>) -> Vec<Breaker> {
    let shown = breakers.into_iter().map(|breaker| Breaker {
        provider: breaker.provider,
        state: match breaker.state {
            Breakers::HalfOpen => BreakerState::HalfOpen,
            Breakers::Open => BreakerState::Open,
            Breakers::Unauthorized => BreakerState::Unauthorized,
        },
        until: breaker.until,
        why: breaker.why.clone(),
    });
    shown.collect()
}

/// A dead letter without what people wrote.
fn shown(queue: &str, letter: &dead_letters::DeadLetter) -> DeadLetter {
    let mut facts = BTreeMap::new();
    let mut fact = |name: &str, value: String| {
        facts.insert(name.to_owned(), value);
    };
    let (mut event, mut user) = (None, None);
    if let Ok(job) = decode_job(&letter.body) {
        event = Some(job.event.id.0);
        user = job.user;
        fact("channel", job.channel.name().to_owned());
        fact("devices", job.devices.len().to_string());
        fact("expires_ms", job.expires.0.to_string());
    } else if let Ok(decoded) = decode_event(&letter.body) {
        event = Some(decoded.id.0);
        fact("recipients", decoded.recipients.len().to_string());
        fact("expires_ms", decoded.expires.0.to_string());
        if let Some(room) = decoded.room() {
            fact("room", room.to_string());
        }
    } else if base64::engine::general_purpose::STANDARD
        .decode(&letter.body)
        .is_err()
    {
        fact("body", "not base64".to_owned());
    }
    DeadLetter {
        id: letter.id.clone(),
        queue: queue.to_owned(),
        reason: letter.reason.clone(),
        component: letter.component.clone(),
        first_seen: UnixMs(letter.first_seen_ms),
        trace: letter.trace_id.clone(),
        event,
        user,
        body_bytes: letter.body.len(),
        facts,
    }
}

fn unavailable(error: QueueError) -> AdminError {
    AdminError::Unavailable(error.to_string())
}

fn store(error: NotifierError) -> AdminError {
    AdminError::Unavailable(error.to_string())
}
