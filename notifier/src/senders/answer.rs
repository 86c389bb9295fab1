//! What all providers' answers have in common.

use crate::model::Outcome;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use kaiwa_common::limits;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::outbound::OutboundError;
use std::time::{Duration, UNIX_EPOCH};

/// The wish in `Retry-After` (RFC 9110, section 10.2.3): seconds or a date. Longer than
/// [`limits::RETRY_AFTER`] counts as that; what can't be read is no wish.
pub(super) fn retry_after(headers: &HeaderMap, now: UnixMs) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let wish = if is_number {
        // More digits than a number has are a long time too.
        text.parse()
            .map_or(limits::RETRY_AFTER, Duration::from_secs)
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        UnixMs::from(date.max(UNIX_EPOCH)).since(now)
    };
    Some(wish.min(limits::RETRY_AFTER))
}

/// No answer.
pub(super) fn unanswered(error: OutboundError) -> Outcome {
    let code = error.code().to_owned();
    match error {
        OutboundError::Forbidden(_) => Outcome::Rejected { code },
        OutboundError::Unresolved
        | OutboundError::Connect
        | OutboundError::Tls
        | OutboundError::Lost
        | OutboundError::TimedOut(_)
        | OutboundError::Answer
        | OutboundError::Busy => Outcome::Transient {
            code,
            retry_after: None,
        },
    }
}

/// An answer by its status alone, for those that a provider's own table doesn't have. `code` is the
/// provider's word, if it had one.
pub(super) fn by_status(
    status: StatusCode,
    headers: &HeaderMap,
    code: Option<&str>,
    now: UnixMs,
) -> Outcome {
    let code = code.map_or_else(|| format!("http_{}", status.as_u16()), clip);
    let retry_after = retry_after(headers, now);
    match status.as_u16() {
        408 | 425 | 500..=599 => Outcome::Transient { code, retry_after },
        429 => Outcome::Throttled { retry_after },
        _ => Outcome::Rejected { code },
    }
}

/// A provider's word as it may stand in records: short, and only what such words are made of.
pub(super) fn clip(code: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "_-.:/".contains(*c);
    code.chars().filter(is_plain).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn wish(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(text).expect("a header"));
        // 1994-11-06T08:49:37Z.
        retry_after(&headers, UnixMs(784_111_777_000))
    }

    #[test]
    fn a_wish_is_seconds_or_a_date_and_bounded() {
        let seconds = |s| Some(Duration::from_secs(s));
        let table = [
            ("0", seconds(0)),
            ("120", seconds(120)),
            (" 7 ", seconds(7)),
            ("99999999", Some(limits::RETRY_AFTER)),
            ("99999999999999999999999", Some(limits::RETRY_AFTER)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", seconds(120)),
            ("Sunday, 06-Nov-94 08:51:37 GMT", seconds(120)),
            ("Sun Nov  6 08:51:37 1994", seconds(120)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", seconds(0)),
            ("Fri, 06 Nov 2054 08:00:00 GMT", Some(limits::RETRY_AFTER)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (text, expected) in table {
            assert_eq!(wish(text), expected, "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), UnixMs(0)), None);
    }

    #[test]
    fn a_providers_word_is_short_and_plain() {
        assert_eq!(clip("BadDeviceToken"), "BadDeviceToken");
        assert_eq!(clip("a\nb<script>\u{202e}"), "abscript");
        assert_eq!(clip(&"x".repeat(1_000)).len(), 64);
    }
}
