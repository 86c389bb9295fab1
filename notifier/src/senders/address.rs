//! Checking what a device registers, before anything is sent to it.

use crate::model::Address;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kaiwa_common::limits::FCM_TOKEN_BYTES;
use kaiwa_common::redact::Redacted;
use kaiwa_platform::outbound::{Forbidden, Guard};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::rand::SystemRandom;

/// What is wrong with a device's address. It repeats nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The endpoint may not be called.
    #[error("the endpoint is refused")]
    Endpoint(#[from] Forbidden),
    /// `p256dh` is not an uncompressed point of P-256 in base64url.
    #[error("p256dh is not a public key: 65 bytes of P-256 in base64url")]
    PublicKey,
    /// `auth` is not 16 bytes in base64url.
    #[error("auth is not a secret: 16 bytes in base64url")]
    Auth,
    /// Not an APNs device token.
    #[error("not an APNs device token: 64 to 200 hexadecimal digits")]
    ApnsToken,
    /// Not a bundle id, or not one of this server's apps.
    #[error("the topic is not the bundle id of an app of this server")]
    ApnsTopic,
    /// Not an FCM registration token.
    #[error("not an FCM token: 20 to {FCM_TOKEN_BYTES} characters of A-Z a-z 0-9 _ - :")]
    FcmToken,
    /// Not the ARN of a platform endpoint.
    #[error("not the ARN of an SNS platform endpoint")]
    SnsArn,
}

/// A Web Push subscription (W3C Push API). The endpoint's text is checked here, and the addresses behind its
/// name at each push.
///
/// # Errors
/// [`AddressError`] says which member is wrong.
pub fn web_push(
    guard: &Guard,
    endpoint: &str,
    p256dh: &str,
    auth: &str,
) -> Result<Address, AddressError> {
    guard.check_url(endpoint)?;
    let p256dh: Option<[u8; 65]> = base64url(p256dh).and_then(|key| key.try_into().ok());
    let p256dh = p256dh.filter(is_point).ok_or(AddressError::PublicKey)?;
    let auth = base64url(auth).and_then(|auth| auth.try_into().ok());
    Ok(Address::WebPush {
        endpoint: Redacted(endpoint.to_owned()),
        p256dh,
        auth: Redacted(auth.ok_or(AddressError::Auth)?),
    })
}

/// An APNs device token. `topics` are the bundle ids that this server may push to; a PushKit token's topic
/// has `.voip` behind it.
///
/// # Errors
/// [`AddressError::ApnsToken`], [`AddressError::ApnsTopic`].
pub fn apns(
    topics: &[String],
    token: &str,
    topic: &str,
    is_sandbox: bool,
) -> Result<Address, AddressError> {
    // Apple's have 32 bytes today, and may become longer.
    if !(64..=200).contains(&token.len()) || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(AddressError::ApnsToken);
    }
    let bundle = topic.strip_suffix(".voip").unwrap_or(topic);
    if !topics.iter().any(|known| known == bundle) {
        return Err(AddressError::ApnsTopic);
    }
    Ok(Address::Apns {
        token: Redacted(token.to_ascii_lowercase()),
        is_sandbox,
        topic: topic.to_owned(),
    })
}

/// An FCM registration token.
///
/// # Errors
/// [`AddressError::FcmToken`].
pub fn fcm(token: &str) -> Result<Address, AddressError> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-:".contains(&b);
    if !(20..=FCM_TOKEN_BYTES).contains(&token.len()) || !token.bytes().all(is_plain) {
        return Err(AddressError::FcmToken);
    }
    Ok(Address::Fcm {
        token: Redacted(token.to_owned()),
    })
}

/// The ARN of an SNS platform endpoint: `arn:…:sns:REGION:ACCOUNT:endpoint/PLATFORM/APP/ID`. `applications`
/// are the platform applications that this server may push to, by their ARNs (`…:app/PLATFORM/APP`): without
/// them anybody could name any endpoint of the operator's account.
///
/// # Errors
/// [`AddressError::SnsArn`].
pub fn sns(applications: &[String], arn: &str) -> Result<Address, AddressError> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b);
    let is_endpoint = |application: &String| {
        let Some((account, app)) = application.split_once(":app/") else {
            return false;
        };
        let id = arn
            .strip_prefix(account)
            .and_then(|rest| rest.strip_prefix(":endpoint/"))
            .and_then(|rest| rest.strip_prefix(app))
            .and_then(|rest| rest.strip_prefix('/'));
        id.is_some_and(|id| !id.is_empty() && !id.contains('/'))
    };
    let is_ours = applications.iter().any(is_endpoint);
    if arn.len() > 512 || !arn.bytes().all(is_plain) || !is_ours {
        return Err(AddressError::SnsArn);
    }
    Ok(Address::Sns {
        endpoint_arn: Redacted(arn.to_owned()),
    })
}

/// Browsers leave the padding out; some libraries don't.
fn base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// Agreeing on a secret is what a key is for, and fails for what is not on the curve.
fn is_point(key: &[u8; 65]) -> bool {
    let ours = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new());
    let theirs = UnparsedPublicKey::new(&ECDH_P256, key);
    ours.is_ok_and(|ours| agree_ephemeral(ours, &theirs, |_| ()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From RFC 8291, appendix A.
    const KEY: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    #[test]
    fn a_subscription_is_refused_with_the_member_at_fault() {
        let guard = Guard::default();
        let check = |endpoint: &str, key: &str, auth: &str| web_push(&guard, endpoint, key, auth);
        let good = "https://push.example/x";
        assert!(check(good, KEY, AUTH).is_ok());
        assert!(check(good, &format!("{KEY}="), &format!("{AUTH}==")).is_ok());
        let off_curve = KEY.replace("aOzi6", "aOzi7");
        let compressed = URL_SAFE_NO_PAD.encode([2; 33]);
        let infinity = URL_SAFE_NO_PAD.encode([0; 65]);
        for key in [
            off_curve.as_str(),
            compressed.as_str(),
            infinity.as_str(),
            "",
            "???",
        ] {
            assert_eq!(
                check(good, key, AUTH),
                Err(AddressError::PublicKey),
                "{key}"
            );
        }
        for auth in ["", "AAAA", "BTBZMqHH6r4Tts7J_aSIggAA", "+++"] {
            assert_eq!(check(good, KEY, auth), Err(AddressError::Auth), "{auth}");
        }
        for (endpoint, reason) in [
            ("http://push.example/x", Forbidden::Scheme),
            ("https://127.0.0.1/x", Forbidden::Address),
            ("https://a:b@push.example/x", Forbidden::UserInfo),
            ("https://push.example:25/x", Forbidden::Port),
        ] {
            assert_eq!(check(endpoint, KEY, AUTH), Err(reason.into()), "{endpoint}");
        }
    }

    #[test]
    fn tokens_have_the_providers_shape() {
        let topics = ["org.example.app".to_owned()];
        let token = "0F".repeat(32);
        let check = |token: &str, topic: &str| apns(&topics, token, topic, false);
        assert!(check(&token, "org.example.app").is_ok());
        assert!(check(&token, "org.example.app.voip").is_ok());
        assert_eq!(check(&token, "org.other"), Err(AddressError::ApnsTopic));
        for bad in [
            "",
            "0F",
            &"0G".repeat(32),
            &"00".repeat(101),
            "../../../etc",
        ] {
            assert_eq!(check(bad, "org.example.app"), Err(AddressError::ApnsToken));
        }
        assert!(fcm(&format!("{}:APA91b-_{}", "a".repeat(22), "B".repeat(130))).is_ok());
        for bad in [
            "",
            "short",
            &"a b".repeat(20),
            &"a".repeat(FCM_TOKEN_BYTES + 1),
        ] {
            assert_eq!(fcm(bad), Err(AddressError::FcmToken));
        }
    }

    #[test]
    fn only_endpoints_of_the_operators_applications_are_taken() {
        let apps = ["arn:aws:sns:eu-west-1:123456789012:app/GCM/kaiwa".to_owned()];
        let arn = |tail: &str| format!("arn:aws:sns:eu-west-1:123456789012:{tail}");
        assert!(sns(&apps, &arn("endpoint/GCM/kaiwa/5e3e9847")).is_ok());
        for bad in [
            arn("endpoint/GCM/other/5e3e9847"),
            arn("endpoint/GCM/kaiwa/"),
            arn("endpoint/GCM/kaiwa/a/b"),
            arn("topic"),
            "arn:aws:sns:eu-west-1:999999999999:endpoint/GCM/kaiwa/5e3e9847".to_owned(),
            String::new(),
        ] {
            assert_eq!(sns(&apps, &bad), Err(AddressError::SnsArn), "{bad}");
        }
    }

    #[test]
    fn nothing_of_an_address_is_shown_by_accident() {
        let guard = Guard::default();
        let address = web_push(&guard, "https://alice.example/secret", KEY, AUTH);
        let text = format!("{:?}", address.expect("an address"));
        assert!(
            !text.contains("alice") && !text.contains("secret"),
            "{text}"
        );
        let error = web_push(&guard, "http://alice.example/", KEY, AUTH).expect_err("http");
        assert!(!format!("{error:?} {error}").contains("alice"));
    }
}
