//! A dead letter, and how it is written into a message.

use crate::queue::check::is_xml;
use crate::queue::{Delivery, Outgoing};
use std::collections::BTreeMap;
use std::time::Duration;

/// The reason of what was received too often.
pub const MAX_RECEIVES: &str = "max_receives";

/// A message that could not be processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its name in the dead-letter queue.
    pub id: String,
    /// Why it is there; [`MAX_RECEIVES`] when the queue put it there.
    pub reason: String,
    /// Who said so; empty when SQS put it there.
    pub component: String,
    /// When it was sent first, in milliseconds since the Unix epoch.
    pub first_seen_ms: i64,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
    /// As it was sent.
    pub body: String,
    /// As they were sent.
    pub attributes: BTreeMap<String, String>,
}

/// What is written on a dead letter.
#[derive(Debug, Clone, Copy)]
pub struct Note<'a> {
    reason: &'a str,
    component: &'a str,
    trace_id: Option<&'a str>,
}

impl<'a> Note<'a> {
    /// Why, and who says so. The reason is a short word, by which letters are picked later; what is not text or
    /// longer than 256 characters is cut out.
    #[must_use]
    pub fn new(reason: &'a str, component: &'a str) -> Self {
        Self {
            reason,
            component,
            trace_id: None,
        }
    }

    /// The trace it belongs to, if the message has no `traceparent` that says so.
    #[must_use]
    pub fn with_trace(mut self, trace_id: &'a str) -> Self {
        self.trace_id = Some(trace_id);
        self
    }

    /// The message to be sent to the dead letters. Its own attributes stand in one, so that SQS's ten suffice.
    #[must_use]
    pub fn letter(&self, delivery: &Delivery) -> Outgoing {
        let mut attributes = BTreeMap::new();
        // No reason would read as SQS's own moving.
        attributes.insert(REASON.to_owned(), "unknown".to_owned());
        let mut put = |name: &str, value: &str| {
            let value: String = value.chars().filter(|c| is_xml(*c)).take(CHARS).collect();
            if !value.is_empty() {
                attributes.insert(name.to_owned(), value);
            }
        };
        put(REASON, self.reason);
        put(COMPONENT, self.component);
        put(FIRST_SEEN, &delivery.sent_ms.to_string());
        let traceparent = delivery.attributes.get("traceparent");
        let trace_id = traceparent.and_then(|parent| trace_of(parent));
        put(TRACE_ID, trace_id.or(self.trace_id).unwrap_or_default());
        if !delivery.attributes.is_empty() {
            let own = serde_json::to_string(&delivery.attributes)
                .expect("strings can be written as JSON");
            attributes.insert(ATTRIBUTES.to_owned(), own);
        }
        Outgoing {
            body: delivery.body.clone(),
            attributes,
            delay: Duration::ZERO,
        }
    }
}

impl From<&Delivery> for DeadLetter {
    fn from(delivery: &Delivery) -> Self {
        let mut attributes = delivery.attributes.clone();
        // What SQS moves keeps its attributes and gets none: then all are the message's own.
        let Some(reason) = attributes.remove(REASON) else {
            return Self {
                id: delivery.id.clone(),
                reason: MAX_RECEIVES.to_owned(),
                component: String::new(),
                first_seen_ms: delivery.sent_ms,
                trace_id: attributes
                    .get("traceparent")
                    .and_then(|parent| trace_of(parent))
                    .map(str::to_owned),
                body: delivery.body.clone(),
                attributes,
            };
        };
        let own = attributes.remove(ATTRIBUTES);
        let first_seen = attributes.remove(FIRST_SEEN);
        Self {
            id: delivery.id.clone(),
            reason,
            component: attributes.remove(COMPONENT).unwrap_or_default(),
            first_seen_ms: first_seen
                .and_then(|ms| ms.parse().ok())
                .unwrap_or(delivery.sent_ms),
            trace_id: attributes.remove(TRACE_ID),
            body: delivery.body.clone(),
            attributes: own
                .and_then(|own| serde_json::from_str(&own).ok())
                .unwrap_or_default(),
        }
    }
}

impl DeadLetter {
    /// The message as it was first sent.
    #[must_use]
    pub fn original(&self) -> Outgoing {
        Outgoing {
            body: self.body.clone(),
            attributes: self.attributes.clone(),
            delay: Duration::ZERO,
        }
    }
}

/// The trace's id in a `traceparent` (W3C Trace Context, section 3.2).
fn trace_of(parent: &str) -> Option<&str> {
    let trace = parent.split('-').nth(1)?;
    let is_id = trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then_some(trace)
}

const REASON: &str = "reason";
const COMPONENT: &str = "component";
const FIRST_SEEN: &str = "first_seen";
const TRACE_ID: &str = "trace_id";
const ATTRIBUTES: &str = "attributes";

/// Characters of each of ours: with all of them, and what JSON adds to attributes of some kilobytes, a letter stays
/// within what a queue takes above a topic's bound.
const CHARS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{MESSAGE_BYTES, QUEUED_BYTES, Receipt, check};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn delivery(attributes: BTreeMap<String, String>) -> Delivery {
        Delivery {
            id: "1".to_owned(),
            receipt: Receipt("r".to_owned()),
            body: "b".to_owned(),
            attributes,
            receives: 3,
            sent_ms: 77,
        }
    }

    fn received(sent: Outgoing) -> Delivery {
        Delivery {
            body: sent.body,
            sent_ms: 99,
            ..delivery(sent.attributes)
        }
    }

    #[test]
    fn a_letter_comes_back_as_it_was_with_its_note() {
        let attributes: BTreeMap<_, _> = (0..9)
            .map(|n| (format!("a{n}"), format!("\"{n}\"")))
            .chain([(
                "traceparent".to_owned(),
                format!("00-{TRACE}-00f067aa0ba902b7-01"),
            )])
            .collect();
        let before = delivery(attributes.clone());
        let sent = Note::new("unknown \u{0}schema", "router").letter(&before);
        check::message(&sent, QUEUED_BYTES).expect("a message that services take");
        let letter = DeadLetter::from(&received(sent));
        assert_eq!(letter.reason, "unknown schema");
        assert_eq!(letter.component, "router");
        assert_eq!(letter.first_seen_ms, 77);
        assert_eq!(letter.trace_id.as_deref(), Some(TRACE));
        assert_eq!(letter.original().attributes, attributes);
        assert_eq!(letter.original().body, before.body);
    }

    #[test]
    fn what_sqs_moved_itself_has_its_own_attributes_and_no_note() {
        let attributes: BTreeMap<_, _> = [("class".to_owned(), "call".to_owned())].into();
        let letter = DeadLetter::from(&delivery(attributes.clone()));
        assert_eq!(
            (letter.reason.as_str(), letter.component.as_str()),
            (MAX_RECEIVES, "")
        );
        assert_eq!(letter.attributes, attributes);
    }

    #[test]
    fn the_largest_message_fits_with_its_note() {
        let attributes: BTreeMap<_, _> = (0..10)
            .map(|n| (format!("{n}{}", "n".repeat(250)), "\"".repeat(90)))
            .collect();
        let mut before = delivery(attributes.clone());
        let used = check::bytes(&Outgoing {
            body: String::new(),
            attributes,
            ..Outgoing::default()
        });
        before.body = "x".repeat(MESSAGE_BYTES - used);
        let long = "理".repeat(1_000);
        let sent = Note::new(&long, &long).with_trace(&long).letter(&before);
        check::message(&sent, QUEUED_BYTES).expect("it fits");
    }
}
