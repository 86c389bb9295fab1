use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Value, json};

const NOW: UnixMs = UnixMs(1_790_000_000_000);

fn secret(byte: u8) -> Secret<Vec<u8>> {
    Secret::new(vec![byte; 32])
}

fn key() -> TokenKey {
    TokenKey::hs256(&secret(7), "kaiwa", None).expect("long enough")
}

fn alice(ttl: Duration) -> Identity {
    let user = UserId::parse("alice").expect("a user id");
    Identity::new(user, "Alice 会話", ServerRole::Creator, NOW, ttl)
}

/// A token of these parts, signed with the right secret whatever the header claims.
fn forge(header: &Value, claims: &Value) -> String {
    let signed = format!(
        "{}.{}",
        B64.encode(header.to_string()),
        B64.encode(claims.to_string())
    );
    let hmac_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret(7).expose());
    let tag = ring::hmac::sign(&hmac_key, signed.as_bytes());
    format!("{signed}.{}", B64.encode(tag))
}

fn with(field: &str, value: Value) -> String {
    let mut claims = json!({"sub": "alice", "exp": NOW.0 / 1000 + 60, "aud": "kaiwa"});
    claims[field] = value;
    forge(&json!({"alg": "HS256", "typ": "JWT"}), &claims)
}

fn refused(token: &str) -> TokenError {
    key().verify(token, NOW).expect_err("a refusal")
}

#[test]
fn an_issued_token_gives_the_identity_back() {
    let identity = alice(Duration::from_secs(60));
    assert_eq!(
        key().verify(&key().issue(&identity, NOW), NOW),
        Ok(identity)
    );
}

#[test]
fn the_last_millisecond_is_valid_and_the_next_is_not() {
    let token = key().issue(&alice(Duration::from_secs(60)), NOW);
    assert!(key().verify(&token, UnixMs(NOW.0 + 59_999)).is_ok());
    assert_eq!(
        key().verify(&token, UnixMs(NOW.0 + 60_000)),
        Err(TokenError::Expired)
    );
}

#[test]
fn another_secret_or_a_changed_byte_does_not_verify() {
    let token = key().issue(&alice(Duration::from_secs(60)), NOW);
    let other = TokenKey::hs256(&secret(8), "kaiwa", None).expect("long enough");
    assert_eq!(
        other.verify(&token, NOW),
        Err(TokenError::Invalid("its signature does not match"))
    );
    let claims = token.split('.').nth(1).expect("three parts");
    let decoded = String::from_utf8(B64.decode(claims).expect("base64")).expect("UTF-8");
    let tampered = token.replace(claims, &B64.encode(decoded.replace("alice", "admin")));
    assert_eq!(
        refused(&tampered),
        TokenError::Invalid("its signature does not match")
    );
}

#[test]
fn other_algorithms_are_refused_even_when_signed_with_the_secret() {
    let claims = json!({"sub": "alice", "exp": NOW.0 / 1000 + 60, "aud": "kaiwa"});
    for alg in ["none", "None", "HS384", "HS512", "RS256", "ES256", "xyz"] {
        let token = forge(&json!({"alg": alg, "typ": "JWT"}), &claims);
        assert!(matches!(refused(&token), TokenError::Invalid(_)), "{alg}");
        let (unsigned, _) = token.rsplit_once('.').expect("three parts");
        assert!(
            matches!(refused(&format!("{unsigned}.")), TokenError::Invalid(_)),
            "{alg}"
        );
        assert!(matches!(refused(unsigned), TokenError::Invalid(_)), "{alg}");
    }
}

#[test]
fn each_claim_is_required_and_checked() {
    assert!(
        key()
            .verify(&with("aud", json!(["other", "kaiwa"])), NOW)
            .is_ok()
    );
    for (field, value) in [
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("sub", json!("")),
        ("sub", json!("a b")),
        ("sub", json!(7)),
        ("exp", Value::Null),
        ("exp", json!("soon")),
        ("nbf", json!(NOW.0 / 1000 + 31)),
        ("iat", json!(NOW.0 / 1000 + 31)),
        ("role", json!("root")),
        ("name", json!("x".repeat(NAME_BYTES + 1))),
    ] {
        let token = with(field, value.clone());
        assert!(
            matches!(refused(&token), TokenError::Invalid(_)),
            "{field}: {value}"
        );
    }
    assert_eq!(refused(&with("exp", json!(0))), TokenError::Expired);
    assert_eq!(refused(&with("exp", json!(i64::MIN))), TokenError::Expired);
}

#[test]
fn a_configured_issuer_has_to_match() {
    let strict = TokenKey::hs256(&secret(7), "kaiwa", Some("us")).expect("long enough");
    assert!(strict.verify(&with("iss", json!("us")), NOW).is_ok());
    assert!(strict.verify(&with("iss", json!("them")), NOW).is_err());
    assert!(
        strict
            .verify(&with("name", json!("no issuer")), NOW)
            .is_err()
    );
}

#[test]
fn short_secrets_and_garbage_are_refused() {
    let short = Secret::new(vec![1; 31]);
    assert_eq!(
        TokenKey::hs256(&short, "kaiwa", None).expect_err("weak"),
        WeakSecret(31)
    );
    for text in ["", ".", "..", "a.b.c", "会話", &"x".repeat(TOKEN_BYTES + 1)] {
        assert!(
            matches!(refused(text), TokenError::Invalid(_)),
            "{text:.20}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_verifier_panic(text in ".{0,200}") {
        let _ = key().verify(&text, NOW);
    }
}

#[test]
fn the_claim_of_calls_narrows_what_it_names_and_passes_over_what_it_does_not_know() {
    let grant = |claim: Value| key().verify(&with("call", claim), NOW).map(|i| i.call);
    let only = |microphone, subscribe| CallGrant {
        microphone,
        camera: false,
        screen: false,
        subscribe,
    };
    for (claim, expected) in [
        (Value::Null, CallGrant::ALL),
        (json!({}), CallGrant::ALL),
        (json!({"record": true}), CallGrant::ALL),
        (
            json!({"publish": ["microphone", "smell"]}),
            only(true, true),
        ),
        (
            json!({"publish": [], "subscribe": false}),
            only(false, false),
        ),
    ] {
        assert_eq!(grant(claim.clone()), Ok(expected), "{claim}");
    }
    assert!(
        grant(json!({"publish": "all"})).is_err(),
        "of the wrong type"
    );
    let narrow = alice(Duration::from_secs(60)).with_call(only(true, false));
    assert_eq!(key().verify(&key().issue(&narrow, NOW), NOW), Ok(narrow));
}
