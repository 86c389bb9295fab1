//! Notices to operators: to the log, and to Slack's queue where there is one; equal ones once per interval.

use crate::core::notices::Notices;
use crate::core::policy;
use crate::event::{Event, Job, Notice, Severity, What};
use crate::metrics;
use crate::model::{Channel, Class, DeviceId, EventId};
use crate::wire;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::Clock;
use kaiwa_platform::queue::{Outgoing, Queue};
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

pub(super) struct Alerts {
    slack: Option<Arc<dyn Queue>>,
    clock: Arc<dyn Clock>,
    notices: Mutex<Notices>,
}

impl Alerts {
    pub(super) fn new(slack: Option<Arc<dyn Queue>>, clock: Arc<dyn Clock>) -> Self {
        Self {
            slack,
            clock,
            notices: Mutex::default(),
        }
    }

    /// Tells an event that is a notice, unless its like was told lately. False when it must be tried again.
    pub(super) async fn tell(&self, event: &Event, notice: &Notice) -> bool {
        let now = self.clock.now();
        let admitted = {
            let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
            notices.admit(&notice.key, event.id, now)
        };
        let Some(untold) = admitted else {
            metrics::withheld();
            return true;
        };
        let Some(slack) = &self.slack else {
            metrics::suppressed("no_sender", 1);
            return true;
        };
        let mut event = event.only_for(None);
        if untold > 0
            && let What::Notice(notice) = &mut event.what
        {
            notice.text.push_str(&format!(" ({untold} more like this)"));
        }
        let policy = policy::policy(Class::Notice);
        let job = Job {
            expires: policy::expires(&event, Class::Notice),
            user: None,
            channel: Channel::Slack,
            devices: vec![DeviceId(Uuid::nil())],
            urgency: policy.urgency,
            collapse: policy::collapse(&event, Class::Notice),
            is_silent: false,
            badge: None,
            is_wake_only: false,
            count: 1,
            event,
        };
        let message = Outgoing {
            body: wire::encode_job(&job),
            ..Outgoing::default()
        };
        let sent = slack.send(vec![message]).await;
        matches!(sent, Ok(results) if results.iter().all(Result::is_ok))
    }

    /// The notifier's own trouble.
    pub(super) async fn raise(&self, key: String, title: String, text: String) {
        tracing::warn!(key, title, text, "an operator should look");
        let now = self.clock.now();
        let event = Event {
            id: own_id(&key, now),
            time: now,
            expires: now.plus(policy::policy(Class::Notice).ttl),
            traceparent: String::new(),
            recipients: Vec::new(),
            what: What::Notice(Notice {
                severity: Severity::Critical,
                key,
                title,
                text,
            }),
        };
        if let What::Notice(notice) = &event.what {
            self.tell(&event, notice).await;
        }
    }
}

fn own_id(key: &str, now: UnixMs) -> EventId {
    let name = format!("{key}\n{}", now.0);
    EventId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
}
