//! Providers that do as they are told, and write down what they took.

use super::{Chance, SimClock};
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::model::{Address, DeviceId, EventId, Outcome, Push, Target};
use kaiwa_notifier::senders::PushSender;
use kaiwa_platform::clock::Clock as _;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a provider said yes to.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// When it was handed over, and when it was taken.
    pub(crate) asked: UnixMs,
    pub(crate) at: UnixMs,
    pub(crate) token: String,
    pub(crate) device: DeviceId,
    pub(crate) push: Push,
}

pub(crate) type Script = Box<dyn FnMut(&Target, &Push, UnixMs, &mut Chance) -> Reply + Send>;

/// What a provider does with a push.
pub(crate) struct Reply {
    pub(crate) outcome: Outcome,
    /// Before it has decided.
    pub(crate) before: Duration,
    /// From then until we hear of it.
    pub(crate) after: Duration,
}

impl Reply {
    pub(crate) fn now(outcome: Outcome) -> Self {
        Self {
            outcome,
            before: Duration::ZERO,
            after: Duration::ZERO,
        }
    }

    pub(crate) fn yes() -> Self {
        Self::now(Outcome::Accepted {
            provider_id: "id".to_owned(),
        })
    }
}

pub(crate) struct Provider {
    clock: SimClock,
    chance: Mutex<Chance>,
    script: Mutex<Script>,
    pub(crate) accepted: Mutex<Vec<Accepted>>,
    pub(crate) attempts: Mutex<BTreeMap<(EventId, DeviceId), u32>>,
}

impl Provider {
    pub(crate) fn new(clock: SimClock, seed: u64, script: Script) -> Arc<Self> {
        Arc::new(Self {
            clock,
            chance: Mutex::new(Chance::new(seed)),
            script: Mutex::new(script),
            accepted: Mutex::default(),
            attempts: Mutex::default(),
        })
    }

    pub(crate) fn well(clock: SimClock) -> Arc<Self> {
        Self::new(clock, 0, Box::new(|_, _, _, _| Reply::yes()))
    }

    pub(crate) fn script(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    pub(crate) fn accepted(&self) -> Vec<Accepted> {
        self.accepted.lock().unwrap().clone()
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.lock().unwrap().values().sum()
    }
}

pub(crate) fn token(address: &Address) -> String {
    match address {
        Address::WebPush { endpoint, .. } => endpoint.0.clone(),
        Address::Apns { token, .. } | Address::Fcm { token } => token.0.clone(),
        Address::Sns { endpoint_arn } => endpoint_arn.0.clone(),
        Address::Slack => String::new(),
    }
}

impl PushSender for Provider {
    fn send<'a>(
        &'a self,
        target: &'a Target,
        push: &'a Push,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(async move {
            let key = (push.event, target.device);
            *self.attempts.lock().unwrap().entry(key).or_default() += 1;
            let asked = self.clock.now();
            let reply = {
                let (mut script, mut chance) =
                    (self.script.lock().unwrap(), self.chance.lock().unwrap());
                script(target, push, self.clock.now(), &mut chance)
            };
            tokio::time::sleep(reply.before).await;
            if let Outcome::Accepted { .. } = reply.outcome {
                self.accepted.lock().unwrap().push(Accepted {
                    asked,
                    at: self.clock.now(),
                    token: token(&target.address),
                    device: target.device,
                    push: push.clone(),
                });
            }
            // Whoever crashes now does not know that it was taken.
            tokio::time::sleep(reply.after).await;
            reply.outcome
        })
    }
}
