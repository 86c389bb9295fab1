//! What a message must be like, so that every service takes it.

use super::{ATTRIBUTES, BATCH, DELAY, Outgoing, QueueError, SendError};

/// Refuses a batch that no service would take.
pub(super) fn batch(len: usize) -> Result<(), QueueError> {
    if len > BATCH {
        let why = format!("{len} in one batch; {BATCH} are the most");
        return Err(QueueError::Refused(why));
    }
    Ok(())
}

/// A queue's name: 1 to 80 of A-Z a-z 0-9 `_` `-` (SQS, `CreateQueue`).
pub(super) fn name(name: &str) -> Result<(), QueueError> {
    let is_good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() || name.len() > 80 || !name.bytes().all(is_good) {
        return Err(QueueError::Refused(format!("no name of a queue: {name:?}")));
    }
    Ok(())
}

/// Refuses a message that some service would not take, or that is larger than `limit` bytes.
pub(super) fn message(message: &Outgoing, limit: usize) -> Result<(), SendError> {
    let invalid = |why: String| Err(SendError::Invalid(why));
    let bytes = bytes(message);
    if bytes > limit {
        return invalid(format!("{bytes} bytes; {limit} are the most"));
    }
    if !is_text(&message.body) {
        return invalid("the body is empty or has characters that XML has not".to_owned());
    }
    if message.attributes.len() > ATTRIBUTES {
        return invalid(format!("more than {ATTRIBUTES} attributes"));
    }
    for (name, value) in &message.attributes {
        if !is_attribute_name(name) {
            return invalid(format!("no name of an attribute: {name:?}"));
        }
        if !is_text(value) {
            return invalid(format!("the attribute {name} is empty or not text"));
        }
    }
    if message.delay > DELAY {
        return invalid(format!("a delay of more than {} s", DELAY.as_secs()));
    }
    Ok(())
}

/// How large it is, as SQS counts: names, types (`String`) and values of the attributes with the body.
pub(super) fn bytes(message: &Outgoing) -> usize {
    let attributes = message.attributes.iter();
    message.body.len()
        + attributes
            .map(|(name, value)| name.len() + "String".len() + value.len())
            .sum::<usize>()
}

/// Whether SQS takes it as a body or a value.
pub(super) fn is_text(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_xml)
}

/// XML 1.0, section 2.2.
pub(super) fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// SQS, "Amazon SQS message metadata": no reserved prefix, no dot at an end or twice in a row.
fn is_attribute_name(name: &str) -> bool {
    let is_good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let lower = name.to_ascii_lowercase();
    (1..=256).contains(&name.len())
        && name.bytes().all(is_good)
        && !lower.starts_with("aws.")
        && !lower.starts_with("amazon.")
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::MESSAGE_BYTES;
    use std::time::Duration;

    fn with(name: &str, value: &str) -> Outgoing {
        Outgoing {
            body: "b".to_owned(),
            attributes: [(name.to_owned(), value.to_owned())].into(),
            ..Outgoing::default()
        }
    }

    fn is_refused(outgoing: &Outgoing) -> bool {
        message(outgoing, MESSAGE_BYTES).is_err()
    }

    #[test]
    fn only_what_every_service_takes_is_sent() {
        assert!(!is_refused(&with("event_type", "message")));
        assert!(!is_refused(&with("a.b-c_D9", "日本語 \u{1f600}\n")));
        for name in ["", ".a", "a.", "a..b", "AWS.x", "amazon.x", "ä", "a b"] {
            assert!(is_refused(&with(name, "v")), "{name:?}");
        }
        for value in ["", "\u{0}", "\u{b}", "\u{fffe}"] {
            assert!(is_refused(&with("a", value)), "{value:?}");
        }
        let body = |body: &str| Outgoing {
            body: body.to_owned(),
            ..Outgoing::default()
        };
        assert!(is_refused(&body("")));
        assert!(is_refused(&body("a\u{1}b")));
        assert!(!is_refused(&body(&"x".repeat(MESSAGE_BYTES))));
        assert!(is_refused(&body(&"x".repeat(MESSAGE_BYTES + 1))));
    }

    #[test]
    fn attributes_count_for_the_size_and_have_a_bound() {
        let mut full = with("name", "value");
        full.body = "x".repeat(MESSAGE_BYTES - "nameStringvalue".len());
        assert!(!is_refused(&full));
        full.body.push('x');
        assert!(is_refused(&full));
        let many = |count: usize| Outgoing {
            body: "b".to_owned(),
            attributes: (0..count)
                .map(|n| (format!("a{n}"), "v".to_owned()))
                .collect(),
            ..Outgoing::default()
        };
        assert!(!is_refused(&many(ATTRIBUTES)));
        assert!(is_refused(&many(ATTRIBUTES + 1)));
    }

    #[test]
    fn a_delay_has_a_bound() {
        let late = |delay| Outgoing {
            delay,
            ..with("a", "v")
        };
        assert!(!is_refused(&late(DELAY)));
        assert!(is_refused(&late(DELAY + Duration::from_secs(1))));
    }
}
