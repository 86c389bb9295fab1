//! Access tokens for a service account (RFC 7523): asked for once, used for an hour.

use crate::model::Outcome;
use crate::senders::answer::{by_status, clip, unanswered};
use crate::senders::{SenderError, jws};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use kaiwa_common::limits::FCM_TOKEN_EARLY;
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::outbound::Outbound;
use ring::signature::RsaKeyPair;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::Mutex;

/// What Google's console gives as a file.
pub struct ServiceAccount {
    project: String,
    email: String,
    key_id: String,
    key_pem: Secret<String>,
    token_uri: String,
}

#[derive(Deserialize)]
struct File {
    project_id: String,
    client_email: String,
    private_key: String,
    private_key_id: String,
    #[serde(default = "google")]
    token_uri: String,
}

fn google() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

impl ServiceAccount {
    /// Reads the file.
    ///
    /// # Errors
    /// [`SenderError::Setting`] when a member is missing, or the project is not a name.
    pub fn from_json(text: &str) -> Result<Self, SenderError> {
        let file: File = serde_json::from_str(text)
            .map_err(|_| SenderError::Setting("not a service account's file"))?;
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        if file.project_id.is_empty() || !file.project_id.bytes().all(is_plain) {
            return Err(SenderError::Setting("project_id is not a name"));
        }
        Ok(Self {
            project: file.project_id,
            email: file.client_email,
            key_id: file.private_key_id,
            key_pem: Secret::new(file.private_key),
            token_uri: file.token_uri,
        })
    }

    pub(super) fn project(&self) -> &str {
        &self.project
    }
}

/// The tokens of one account.
pub(super) struct AccessTokens {
    account: ServiceAccount,
    key: RsaKeyPair,
    /// Held while one is asked for, so that many pushes ask once.
    current: Mutex<Option<Token>>,
}

struct Token {
    value: HeaderValue,
    renew: UnixMs,
    end: UnixMs,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";

impl AccessTokens {
    pub(super) fn new(account: ServiceAccount) -> Result<Self, SenderError> {
        let key = jws::rs256_key_pem(account.key_pem.expose())?;
        Ok(Self {
            account,
            key,
            current: Mutex::new(None),
        })
    }

    /// What `Authorization` says. Renewed early; while that fails the old one is used until its end.
    pub(super) async fn get(&self, http: &Outbound, now: UnixMs) -> Result<HeaderValue, Outcome> {
        let mut current = self.current.lock().await;
        if let Some(token) = current.as_ref().filter(|token| now < token.renew) {
            return Ok(token.value.clone());
        }
        match self.ask(http, now).await {
            Ok(token) => Ok(current.insert(token).value.clone()),
            Err(outcome) => {
                let old = current.as_ref().filter(|token| now < token.end);
                old.map(|token| token.value.clone()).ok_or(outcome)
            }
        }
    }

    /// That token is no good any more.
    pub(super) async fn forget(&self, value: &HeaderValue) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|token| token.value == *value) {
            *current = None;
        }
    }

    async fn ask(&self, http: &Outbound, now: UnixMs) -> Result<Token, Outcome> {
        let request = self.request(now).map_err(|_| Outcome::Transient {
            code: "signing".to_owned(),
            retry_after: None,
        })?;
        let answer = http.send(request).await.map_err(unanswered)?;
        let (status, headers) = (answer.status(), answer.headers());
        if !status.is_success() {
            return Err(
                refused(answer.body()).unwrap_or_else(|| by_status(status, headers, None, now))
            );
        }
        let unreadable = || Outcome::Transient {
            code: "token_answer".to_owned(),
            retry_after: None,
        };
        let granted: Granted = serde_json::from_slice(answer.body()).map_err(|_| unreadable())?;
        let value = HeaderValue::try_from(format!("Bearer {}", granted.access_token));
        let mut value = value.map_err(|_| unreadable())?;
        value.set_sensitive(true);
        let life = Duration::from_secs(granted.expires_in.min(24 * 3_600));
        let early = FCM_TOKEN_EARLY.min(life / 2);
        Ok(Token {
            value,
            renew: now.plus(life - early),
            end: now.plus(life),
        })
    }

    fn request(&self, now: UnixMs) -> Result<Request<Bytes>, SenderError> {
        let issued = now.0.div_euclid(1_000);
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.account.key_id });
        let claims = json!({
            "iss": self.account.email, "scope": SCOPE, "aud": self.account.token_uri,
            "iat": issued, "exp": issued + 3_600,
        });
        let assertion = jws::rs256(&self.key, &header, &claims)?;
        Request::builder()
            .method(Method::POST)
            .uri(&self.account.token_uri)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(format!(
                "grant_type={GRANT}&assertion={assertion}"
            )))
            .map_err(|_| SenderError::Setting("token_uri is not a URL"))
    }
}

/// The token endpoint says why (RFC 6749, section 5.2): the account is wrong.
fn refused(body: &[u8]) -> Option<Outcome> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let word = body["error"].as_str()?;
    let is_ours = [
        "invalid_grant",
        "invalid_client",
        "unauthorized_client",
        "invalid_scope",
    ];
    is_ours
        .contains(&word)
        .then(|| Outcome::AuthFailed { code: clip(word) })
}
