//! What SNS is told: a message for the endpoint's platform, in SNS's JSON structure, and attributes beside it.
//!
//! An endpoint is of one platform, which its ARN names; so a message has that platform's entry and `default`, which
//! SNS asks for, and takes for platforms of which it has no entry.

use super::rejected;
use crate::model::{Class, Outcome, Push, Target};
use crate::senders::apns::{Message, collapse_id};
use crate::senders::fcm;
use crate::senders::payload::{Payload, fit};
use kaiwa_common::limits::{APNS_VOIP_BYTES, SNS_BYTES};
use serde_json::{Map, Value, json};

/// Whose endpoint it is, by the word in the ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform<'a> {
    /// FCM, under its old name: SNS has no other.
    Gcm,
    /// `APNS`, `APNS_SANDBOX`; with `_VOIP` PushKit's; `MACOS`.
    Apple { name: &'a str, is_voip: bool },
    /// ADM, Baidu, Windows: they get the payload as text.
    Other,
}

impl<'a> Platform<'a> {
    /// Of the endpoint `arn:…:endpoint/PLATFORM/APP/ID`.
    pub(super) fn of(arn: &'a str) -> Option<Self> {
        let mut parts = arn.split_once(":endpoint/")?.1.split('/');
        let name = parts.next().filter(|name| !name.is_empty())?;
        Some(match name {
            "GCM" => Self::Gcm,
            "APNS_VOIP" | "APNS_VOIP_SANDBOX" => Self::Apple {
                name,
                is_voip: true,
            },
            "APNS" | "APNS_SANDBOX" | "MACOS" | "MACOS_SANDBOX" => Self::Apple {
                name,
                is_voip: false,
            },
            _ => Self::Other,
        })
    }
}

/// The message, whose entry for the platform has the size that the provider takes.
pub(super) fn structure(
    platform: &Platform<'_>,
    target: &Target,
    push: &Push,
    ttl: u64,
) -> Result<String, Outcome> {
    let (name, limit, body) = match *platform {
        Platform::Gcm => {
            let body = fit(push, SNS_BYTES, |text| {
                let message = fcm::unaddressed(target, push, ttl.min(fcm::LONGEST), text);
                bytes(&json!({ "fcmV1Message": { "message": message } }))
            });
            ("GCM", SNS_BYTES, body)
        }
        Platform::Apple { name, is_voip } => {
            // iOS ends an app that gets a PushKit push and shows no call.
            if is_voip && !matches!(push.class, Class::Call | Class::CallOver) {
                return Err(rejected("voip_is_for_calls"));
            }
            let limit = if is_voip { APNS_VOIP_BYTES } else { SNS_BYTES };
            let body = Message::new(push, is_voip).body(target, push, limit);
            (name, limit, body)
        }
        Platform::Other => {
            let body = fit(push, SNS_BYTES, |text| {
                bytes(&json!(Payload::new(target, push, text)))
            });
            ("default", SNS_BYTES, body)
        }
    };
    let body = body.and_then(|body| String::from_utf8(body).ok());
    let body = body.ok_or(Outcome::TooLarge { limit })?;
    let mut entries = Map::new();
    entries.insert("default".to_owned(), "kaiwa".into());
    entries.insert(name.to_owned(), body.into());
    Ok(Value::Object(entries).to_string())
}

/// What SNS reads itself ("Using Amazon SNS message attributes with mobile push").
pub(super) fn attributes(platform: &Platform<'_>, push: &Push, ttl: u64) -> Vec<(String, String)> {
    let named = |platform: &str, name: &str, value: String| {
        (format!("AWS.SNS.MOBILE.{platform}.{name}"), value)
    };
    match *platform {
        Platform::Gcm => vec![named("GCM", "TTL", ttl.min(fcm::LONGEST).to_string())],
        Platform::Apple { name, is_voip } => {
            let message = Message::new(push, is_voip);
            // Those of Apple's headers have one name for all of Apple's platforms.
            vec![
                named(name, "TTL", ttl.to_string()),
                named("APNS", "PUSH_TYPE", message.push_type().to_owned()),
                named("APNS", "PRIORITY", message.priority().to_owned()),
                named("APNS", "COLLAPSE_ID", collapse_id(&push.collapse)),
            ]
        }
        Platform::Other => Vec::new(),
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Address;
    use crate::senders::fixtures::{push, target};
    use kaiwa_common::redact::Redacted;

    fn arn(platform: &str) -> String {
        format!("arn:aws:sns:eu-west-1:123456789012:endpoint/{platform}/kaiwa/5e3e")
    }

    fn phone(arn: &str) -> Target {
        target(Address::Sns {
            endpoint_arn: Redacted(arn.to_owned()),
        })
    }

    /// The entries of the structure, and that of the platform read as JSON.
    fn made(platform: &str, push: &Push) -> (Map<String, Value>, Value) {
        let arn = arn(platform);
        let of = Platform::of(&arn).expect("an endpoint");
        let message = structure(&of, &phone(&arn), push, 600).expect("it fits");
        let entries: Map<String, Value> = serde_json::from_str(&message).expect("JSON");
        let own = entries.get(platform).or_else(|| entries.get("default"));
        let own = own.and_then(Value::as_str).expect("text");
        let own = serde_json::from_str(own).expect("JSON in JSON");
        (entries, own)
    }

    #[test]
    fn each_platform_gets_its_entry_and_the_default() {
        let (entries, google) = made("GCM", &push());
        assert!(entries.contains_key("default") && entries.len() == 2);
        let message = &google["fcmV1Message"]["message"];
        assert_eq!(message["data"]["body"], "the secret plan");
        assert_eq!(message["android"]["ttl"], "600s");
        assert!(message["token"].is_null(), "SNS puts the token in");
        for platform in ["APNS", "APNS_SANDBOX", "MACOS"] {
            let (entries, apple) = made(platform, &push());
            assert!(entries.contains_key("default") && entries.len() == 2);
            assert_eq!(apple["aps"]["alert"]["body"], "the secret plan");
            assert_eq!(apple["kaiwa"]["tag"], "room:r_1");
        }
        let (entries, other) = made("ADM", &push());
        assert_eq!(entries.len(), 1);
        assert_eq!(other["body"], "the secret plan");
    }

    #[test]
    fn attributes_have_the_platforms_names() {
        let of = |platform: &str| {
            let arn = arn(platform);
            let platform = Platform::of(&arn).expect("an endpoint");
            attributes(&platform, &push(), 9_999_999)
        };
        let expect = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let owned = pairs
                .iter()
                .map(|(name, value)| (format!("AWS.SNS.MOBILE.{name}"), (*value).to_owned()));
            owned.collect()
        };
        // FCM refuses more than four weeks.
        assert_eq!(of("GCM"), expect(&[("GCM.TTL", "2419200")]));
        assert_eq!(
            of("APNS_SANDBOX"),
            expect(&[
                ("APNS_SANDBOX.TTL", "9999999"),
                ("APNS.PUSH_TYPE", "alert"),
                ("APNS.PRIORITY", "10"),
                ("APNS.COLLAPSE_ID", "room:r_1"),
            ])
        );
        assert_eq!(of("ADM"), Vec::new());
    }

    #[test]
    fn pushkit_gets_calls_alone_and_a_long_text_is_cut() {
        let arn = arn("APNS_VOIP");
        let voip = Platform::of(&arn).expect("an endpoint");
        let refused = structure(&voip, &phone(&arn), &push(), 600);
        assert_eq!(refused, Err(rejected("voip_is_for_calls")));
        let mut call = push();
        call.class = Class::Call;
        assert!(structure(&voip, &phone(&arn), &call, 600).is_ok());

        let mut long = push();
        long.content.as_mut().expect("content").body = Redacted("\"long\" ".repeat(2_000));
        for platform in ["GCM", "APNS", "ADM"] {
            let (_, own) = made(platform, &long);
            let size = own.to_string().len();
            assert!(
                (SNS_BYTES - 30..=SNS_BYTES).contains(&size),
                "{platform}: {size}"
            );
        }
        long.collapse = "k".repeat(SNS_BYTES);
        let arn = self::arn("GCM");
        let google = Platform::of(&arn).expect("an endpoint");
        let limit = SNS_BYTES;
        let refused = structure(&google, &phone(&arn), &long, 600);
        assert_eq!(refused, Err(Outcome::TooLarge { limit }));
        assert_eq!(Platform::of("arn:aws:sns:eu-west-1:1:topic"), None);
    }
}
