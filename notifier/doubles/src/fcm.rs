//! Google's: the OAuth 2.0 token endpoint (RFC 7523) and `messages:send` of HTTP v1.

use crate::record::Delivery;
use crate::server::{Answer, answer};
use crate::{State, jwt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{StatusCode, request};
use ring::signature::{KeyPair, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Nobody's key: it opens this double and nothing else.
const KEY: &str = include_str!("../keys/fcm-double.pem");
const PROJECT: &str = "double";
const EMAIL: &str = "push@double.iam.gserviceaccount.example";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

pub(crate) struct Service {
    public: Vec<u8>,
    /// Access tokens with their ends.
    tokens: Mutex<HashMap<String, i64>>,
}

impl Service {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes())?;
        let pair = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der());
        let pair = pair.map_err(|error| anyhow::anyhow!("{error}"))?;
        let public = pair.public_key().as_ref().to_vec();
        Ok(Self {
            public,
            tokens: Mutex::default(),
        })
    }

    pub(crate) fn credentials(&self, url: &str) -> Value {
        json!({
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "double",
            "private_key": KEY,
            "client_email": EMAIL,
            "token_uri": format!("{url}/token"),
        })
    }

    fn grant(&self) -> anyhow::Result<String> {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("{error}"))?;
        let token = format!("ya29.{}", URL_SAFE_NO_PAD.encode(bytes));
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(token.clone(), jwt::now() + 3_599);
        Ok(token)
    }

    fn is_good(&self, head: &request::Parts) -> bool {
        let header = head
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")) else {
            return false;
        };
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(token).is_some_and(|end| *end > jwt::now())
    }
}

/// An error as Google's APIs tell it (`google.rpc.Status`), with FCM's own code or the field at fault.
fn refusal(status: StatusCode, name: &str, code: Option<&str>, field: Option<&str>) -> Answer {
    let mut details = Vec::new();
    if let Some(code) = code {
        details.push(json!({
            "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code,
        }));
    }
    if let Some(field) = field {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{ "field": field, "description": "invalid" }],
        }));
    }
    let error = json!({
        "code": status.as_u16(), "message": "refused", "status": name, "details": details,
    });
    answer(status, json!({ "error": error }).to_string())
}

pub(crate) fn serve(state: &State, head: &request::Parts, body: &Bytes) -> Answer {
    let send = format!("/v1/projects/{PROJECT}/messages:send");
    match head.uri.path() {
        "/token" => token(state, body),
        path if path == send => match accept(state, head, body) {
            Ok(delivery) => {
                let count = state.record().report.requests;
                state.accept(delivery);
                let name = format!("projects/{PROJECT}/messages/0:{count}");
                answer(StatusCode::OK, json!({ "name": name }).to_string())
            }
            Err((reason, refusal)) => {
                state.record().refuse(reason);
                *refusal
            }
        },
        _ => refusal(StatusCode::NOT_FOUND, "NOT_FOUND", None, None),
    }
}

fn token(state: &State, body: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(body);
    let field = |name: &str| {
        text.split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
    };
    let grant = field("grant_type").map(|(_, value)| value.replace("%3A", ":"));
    let assertion = field("assertion").map_or("", |(_, value)| value);
    let jwt = jwt::rs256(assertion, &state.fcm.public);
    let is_good = jwt.is_some_and(|jwt| {
        let (issued, end) = (jwt.claims["iat"].as_i64(), jwt.claims["exp"].as_i64());
        let is_short = issued.zip(end).is_some_and(|(issued, end)| {
            end > jwt::now() && issued <= jwt::now() + 60 && end - issued <= 3_600
        });
        let audience = format!("{}/token", state.url());
        let is_ours = jwt.claims["iss"] == EMAIL && jwt.claims["aud"] == audience;
        is_short && is_ours && jwt.claims["scope"] == SCOPE && jwt.header["kid"] == "double"
    });
    if grant.as_deref() != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") || !is_good {
        state.record().refuse("invalid_grant");
        return answer(StatusCode::BAD_REQUEST, r#"{"error":"invalid_grant"}"#);
    }
    let Ok(token) = state.fcm.grant() else {
        return answer(StatusCode::INTERNAL_SERVER_ERROR, "");
    };
    state.record().report.tokens += 1;
    let granted = json!({ "access_token": token, "expires_in": 3_599, "token_type": "Bearer" });
    answer(StatusCode::OK, granted.to_string())
}

type Refused = (&'static str, Box<Answer>);

fn invalid(field: &str) -> Refused {
    let status = StatusCode::BAD_REQUEST;
    let code = Some("INVALID_ARGUMENT");
    let answer = refusal(status, "INVALID_ARGUMENT", code, Some(field));
    ("INVALID_ARGUMENT", Box::new(answer))
}

fn accept(state: &State, head: &request::Parts, body: &Bytes) -> Result<Delivery, Refused> {
    if !state.fcm.is_good(head) {
        let answer = refusal(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", None, None);
        return Err(("UNAUTHENTICATED", Box::new(answer)));
    }
    let request: Value = serde_json::from_slice(body).map_err(|_| invalid("message"))?;
    let message = &request["message"];
    let token = message["token"].as_str().filter(|token| token.len() >= 20);
    let token = token.ok_or_else(|| invalid("message.token"))?;
    let data = message["data"]
        .as_object()
        .ok_or_else(|| invalid("message.data"))?;
    let mut bytes = 0;
    for (key, value) in data {
        let is_reserved = ["from", "message_type"].contains(&key.as_str())
            || key.starts_with("google.")
            || key.starts_with("gcm.");
        let value = value.as_str().filter(|_| !is_reserved);
        bytes += key.len() + value.ok_or_else(|| invalid("message.data"))?.len();
    }
    if bytes > 4_096 {
        return Err(invalid("message.data"));
    }
    let android = &message["android"];
    let seconds = android["ttl"]
        .as_str()
        .and_then(|ttl| ttl.strip_suffix('s'));
    let seconds = seconds.filter(|ttl| ttl.parse::<f64>().is_ok_and(|ttl| ttl <= 2_419_200.0));
    let seconds = seconds.ok_or_else(|| invalid("message.android.ttl"))?;
    let priority = android["priority"].as_str().unwrap_or("NORMAL");
    if !["NORMAL", "HIGH"].contains(&priority) {
        return Err(invalid("message.android.priority"));
    }
    Ok(Delivery {
        device: token.to_owned(),
        id: data
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        collapse: android["collapse_key"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        urgency: priority.to_owned(),
        push_type: String::new(),
        ttl: seconds.to_owned(),
        payload: message.to_string(),
        bytes: body.len(),
        body: body.clone(),
    })
}
