//! Slack, by an incoming webhook: notices for operators.

#[cfg(test)]
mod tests;

use super::answer::{by_status, clip, unanswered};
use super::{Clock, PushSender, SenderError, Sending, expired, seconds_left, wrong_channel};
use crate::model::{Address, Outcome, Push, Target};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use kaiwa_common::limits::SLACK_TEXT_CHARS;
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::outbound::Outbound;
use serde_json::json;
use std::sync::Arc;

/// Posts to one webhook. Its URL is a secret: whoever has it can post.
pub struct SlackSender {
    http: Arc<Outbound>,
    url: Secret<Uri>,
    clock: Clock,
}

impl SlackSender {
    /// `url` as Slack gives it.
    ///
    /// # Errors
    /// [`SenderError::Setting`] when the URL may not be called.
    pub fn new(
        http: Arc<Outbound>,
        url: &Secret<String>,
        clock: Clock,
    ) -> Result<Self, SenderError> {
        let checked = http.guard().check_url(url.expose());
        let (uri, _) = checked.map_err(|_| SenderError::Setting("not a webhook's URL"))?;
        Ok(Self {
            http,
            url: Secret::new(uri),
            clock,
        })
    }

    async fn push(&self, target: &Target, push: &Push) -> Outcome {
        let now = (self.clock)();
        if target.address != Address::Slack {
            return wrong_channel();
        }
        if seconds_left(push, now).is_none() {
            return expired();
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.expose().clone())
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(Bytes::from(message(push)));
        let Ok(request) = request else {
            return Outcome::Rejected {
                code: "request".to_owned(),
            };
        };
        match self.http.send(request).await {
            Ok(answer) => outcome(answer.status(), answer.headers(), answer.body(), now),
            Err(error) => unanswered(error),
        }
    }
}

impl PushSender for SlackSender {
    fn send<'a>(&'a self, target: &'a Target, push: &'a Push) -> Sending<'a> {
        Box::pin(self.push(target, push))
    }
}

/// `text` is what notifications of Slack's own apps show, the block is what the channel shows.
fn message(push: &Push) -> String {
    let (title, body) = match &push.content {
        Some(content) => (content.title.0.as_str(), content.body.0.as_str()),
        None => ("Notice", ""),
    };
    let title = escape(title, SLACK_TEXT_CHARS / 10);
    let body = escape(body, SLACK_TEXT_CHARS - SLACK_TEXT_CHARS / 10 - 3);
    // Its own marks would end the bold text early.
    let bold = title.replace('*', "\u{2217}");
    let block = format!("*{bold}*\n{body}");
    json!({
        "text": title,
        "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text": block.trim_end() } }],
    })
    .to_string()
}

/// Slack's three control characters (`<!channel>` would call everybody), and at most so many characters of
/// what comes of it.
fn escape(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    for c in text.chars() {
        let escaped = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => "",
        };
        count += escaped.len().max(1);
        if count >= limit {
            out.push('…');
            break;
        }
        if escaped.is_empty() {
            out.push(c)
        } else {
            out.push_str(escaped)
        }
    }
    out
}

/// What Slack's answer means ("Handling errors" of incoming webhooks). A webhook that is gone is a wrong
/// setting: no notice will arrive until somebody mends it.
#[must_use]
pub fn outcome(status: StatusCode, headers: &HeaderMap, body: &[u8], now: UnixMs) -> Outcome {
    let word = std::str::from_utf8(body).unwrap_or_default().trim();
    match (status.as_u16(), word) {
        (200, _) => Outcome::Accepted {
            provider_id: String::new(),
        },
        (
            400..=499,
            "no_service"
            | "no_service_id"
            | "no_team"
            | "no_active_hooks"
            | "invalid_token"
            | "team_disabled"
            | "channel_not_found"
            | "channel_is_archived"
            | "action_prohibited"
            | "posting_to_general_channel_denied",
        )
        | (401 | 403 | 404 | 410, _) => Outcome::AuthFailed {
            code: if word.is_empty() {
                format!("http_{}", status.as_u16())
            } else {
                clip(word)
            },
        },
        _ => by_status(
            status,
            headers,
            Some(word).filter(|word| !word.is_empty()),
            now,
        ),
    }
}
