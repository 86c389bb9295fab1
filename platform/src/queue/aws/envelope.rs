//! What SNS puts around a message when a queue was subscribed without raw delivery.

use serde_json::Value;
use std::collections::BTreeMap;

/// A message as it was published.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) body: String,
    pub(super) attributes: BTreeMap<String, String>,
}

/// Takes SNS's envelope off (SNS, "Parsing message formats"); `None` when there is none.
pub(super) fn open(body: &str) -> Option<Published> {
    // Most bodies are none, and are not parsed for that.
    if !body.trim_start().starts_with('{') || !body.contains("\"Notification\"") {
        return None;
    }
    let envelope: Value = serde_json::from_str(body).ok()?;
    let text = |name: &str| envelope.get(name).and_then(Value::as_str);
    if text("Type") != Some("Notification") {
        return None;
    }
    text("TopicArn")?;
    let attributes = envelope.get("MessageAttributes").and_then(Value::as_object);
    Some(Published {
        body: text("Message")?.to_owned(),
        attributes: attributes
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| {
                let value = value.get("Value").and_then(Value::as_str)?;
                Some((name.clone(), value.to_owned()))
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: &str = r#"{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:eu-west-1:1:t",
        "Message":"{\"inner\":1}","MessageAttributes":{"class":{"Type":"String","Value":"call"}}}"#;

    #[test]
    fn an_envelope_is_taken_off_with_its_attributes() {
        let published = open(ENVELOPE).expect("an envelope");
        assert_eq!(published.body, "{\"inner\":1}");
        assert_eq!(
            published.attributes,
            [("class".to_owned(), "call".to_owned())].into()
        );
    }

    #[test]
    fn what_only_looks_like_one_stays_as_it_is() {
        for body in [
            "",
            "text",
            "{\"Type\":\"Notification\"",
            "{\"Type\":\"Notification\",\"Message\":\"m\"}",
            "{\"Type\":\"Notification\",\"TopicArn\":\"t\",\"Message\":7}",
            "{\"Type\":\"Other\",\"x\":\"Notification\",\"TopicArn\":\"t\",\"Message\":\"m\"}",
        ] {
            assert_eq!(open(body), None, "{body}");
        }
    }
}
