//! Apple's push service: HTTP/2, provider tokens, one reason for each refusal.

use crate::record::Delivery;
use crate::server::{Answer, answer};
use crate::{State, jwt};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, StatusCode, request};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};

const KEY_ID: &str = "DOUBLEKEY1";
const TEAM_ID: &str = "DOUBLETEAM";
const TOPIC: &str = "org.example.app";

pub(crate) struct Service {
    key_pem: String,
    public: Vec<u8>,
    /// When the newest token was issued, and itself: changing it often is refused.
    newest: Mutex<Option<(i64, String)>>,
}

impl Service {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random);
        let made = made.map_err(|_| anyhow::anyhow!("no key"))?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random);
        let pair = pair.map_err(|_| anyhow::anyhow!("no key"))?;
        Ok(Self {
            key_pem: pem(made.as_ref()),
            public: pair.public_key().as_ref().to_vec(),
            newest: Mutex::default(),
        })
    }

    pub(crate) fn credentials(&self) -> Value {
        json!({
            "key_id": KEY_ID, "team_id": TEAM_ID, "topic": TOPIC, "key_pem": self.key_pem,
        })
    }

    fn check_token(&self, head: &request::Parts) -> Result<(), Refusal> {
        let forbidden = |reason| Refusal {
            status: StatusCode::FORBIDDEN,
            reason,
        };
        let header = head
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("bearer "));
        let token = token.ok_or(forbidden("MissingProviderToken"))?;
        let invalid = forbidden("InvalidProviderToken");
        let jwt = jwt::es256(token, &self.public).ok_or(invalid)?;
        let issued = jwt.claims["iat"].as_i64().ok_or(invalid)?;
        if jwt.header["kid"] != KEY_ID || jwt.claims["iss"] != TEAM_ID {
            return Err(invalid);
        }
        let age = jwt::now() - issued;
        if !(-60..3_600).contains(&age) {
            return Err(forbidden("ExpiredProviderToken"));
        }
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let is_too_soon = |(at, old): &(i64, String)| {
            old != token && issued != *at && (issued - at).abs() < 1_200
        };
        if newest.as_ref().is_some_and(is_too_soon) {
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Err(Refusal {
                status,
                reason: "TooManyProviderTokenUpdates",
            });
        }
        *newest = Some((issued, token.to_owned()));
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Refusal {
    status: StatusCode,
    reason: &'static str,
}

fn bad(reason: &'static str) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        reason,
    }
}

pub(crate) fn serve(state: &State, head: &request::Parts, body: &Bytes) -> Answer {
    let named = head.headers.get("apns-id").cloned();
    let mut served = match accept(state, head, body) {
        Ok(delivery) => {
            state.accept(delivery);
            answer(StatusCode::OK, "")
        }
        Err(Refusal { status, reason }) => {
            state.record().refuse(reason);
            answer(status, json!({ "reason": reason }).to_string())
        }
    };
    let id = named.unwrap_or(HeaderValue::from_static(
        "00000000-0000-4000-8000-000000000000",
    ));
    served.headers_mut().insert("apns-id", id);
    served
}

fn accept(state: &State, head: &request::Parts, body: &Bytes) -> Result<Delivery, Refusal> {
    if head.method != Method::POST {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(Refusal {
            status,
            reason: "MethodNotAllowed",
        });
    }
    let not_found = Refusal {
        status: StatusCode::NOT_FOUND,
        reason: "BadPath",
    };
    let token = head
        .uri
        .path()
        .strip_prefix("/3/device/")
        .ok_or(not_found)?;
    state.apns.check_token(head)?;
    if token.is_empty() {
        return Err(bad("MissingDeviceToken"));
    }
    if token.len() < 64 || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad("BadDeviceToken"));
    }
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let named = check_headers(&header)?;
    let is_voip = named.push_type == "voip";
    if body.is_empty() {
        return Err(bad("PayloadEmpty"));
    }
    if body.len() > if is_voip { 5_120 } else { 4_096 } {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(Refusal {
            status,
            reason: "PayloadTooLarge",
        });
    }
    Ok(Delivery {
        device: token.to_owned(),
        id: named.id.to_owned(),
        collapse: named.collapse.to_owned(),
        urgency: named.priority.to_owned(),
        push_type: named.push_type.to_owned(),
        ttl: named.expires.to_owned(),
        payload: String::from_utf8_lossy(body).into_owned(),
        bytes: body.len(),
        body: body.clone(),
    })
}

struct Named<'a> {
    push_type: &'a str,
    id: &'a str,
    collapse: &'a str,
    priority: &'a str,
    expires: &'a str,
}

fn check_headers<'a>(header: &impl Fn(&str) -> Option<&'a str>) -> Result<Named<'a>, Refusal> {
    let push_type = header("apns-push-type").ok_or(bad("InvalidPushType"))?;
    if !["alert", "background", "voip"].contains(&push_type) {
        return Err(bad("InvalidPushType"));
    }
    let is_voip = push_type == "voip";
    let topic = header("apns-topic").ok_or(bad("MissingTopic"))?;
    let wanted = if is_voip {
        format!("{TOPIC}.voip")
    } else {
        TOPIC.to_owned()
    };
    if topic != wanted {
        return Err(bad("DeviceTokenNotForTopic"));
    }
    let id = header("apns-id").unwrap_or_default();
    if !id.is_empty() && (id.len() != 36 || id.bytes().filter(|b| *b == b'-').count() != 4) {
        return Err(bad("BadMessageId"));
    }
    let collapse = header("apns-collapse-id").unwrap_or_default();
    if collapse.len() > 64 {
        return Err(bad("BadCollapseId"));
    }
    let priority = header("apns-priority").unwrap_or("10");
    let is_known = ["1", "5", "10"].contains(&priority);
    if !is_known || (push_type == "background" && priority == "10") {
        return Err(bad("BadPriority"));
    }
    let expires = header("apns-expiration").unwrap_or("0");
    expires
        .parse::<i64>()
        .map_err(|_| bad("BadExpirationDate"))?;
    Ok(Named {
        push_type,
        id,
        collapse,
        priority,
        expires,
    })
}

/// A key in PEM (RFC 7468), as Apple gives it.
fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out + "-----END PRIVATE KEY-----\n"
}
