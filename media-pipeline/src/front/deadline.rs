//! Until when a caller waits: `grpc-timeout`, in both forms of the API.

use crate::refusal::{Reason, Refusal};
use http::HeaderMap;
use kaiwa_common::limits::{CLIP_CALL_MARGIN, CLIP_CALL_MAX, CLIP_CALL_MIN};
use std::time::Duration;

const TIMEOUT: &str = "grpc-timeout";

/// What the caller named: one to eight digits and a unit (gRPC over HTTP/2, "Timeout").
pub(super) fn named(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let found = value.to_str().ok().and_then(parse);
    found
        .map(Some)
        .ok_or_else(|| Refusal::field(TIMEOUT, "1 to 8 digits and one of H, M, S, m, u, n"))
}

fn parse(text: &str) -> Option<Duration> {
    let digits = text.get(..text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| is_number)?;
    Some(match text.as_bytes().last()? {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// How long the work may take, so that its answer still arrives.
pub(super) fn budget(named: Option<Duration>, otherwise: Duration) -> Result<Duration, Refusal> {
    let Some(named) = named else {
        return Ok(otherwise);
    };
    if named < CLIP_CALL_MIN {
        return Err(Refusal::new(
            Reason::DeadlineTooShort,
            "less than 50 ms are left: nothing was begun",
        ));
    }
    let named = named.min(CLIP_CALL_MAX);
    Ok(named - CLIP_CALL_MARGIN.min(named / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Duration> {
        parse(text)
    }

    #[test]
    fn a_timeout_is_digits_and_a_unit_and_nothing_else() {
        assert_eq!(of("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(of("250m"), Some(Duration::from_millis(250)));
        assert_eq!(of("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for text in [
            "",
            "S",
            "1",
            "1s",
            "-1S",
            "+1S",
            "123456789S",
            "1.5S",
            "1 S",
            "é",
        ] {
            assert_eq!(of(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_answers_way_back_is_kept_from_what_the_caller_gives() {
        let ms = Duration::from_millis;
        assert_eq!(budget(None, ms(10_000)), Ok(ms(10_000)));
        assert_eq!(budget(Some(ms(50)), ms(1)), Ok(ms(45)));
        assert_eq!(budget(Some(ms(10_000)), ms(1)), Ok(ms(9_800)));
        assert_eq!(
            budget(Some(Duration::from_secs(86_400)), ms(1)),
            Ok(CLIP_CALL_MAX - CLIP_CALL_MARGIN)
        );
        let refused = budget(Some(ms(49)), ms(1)).map_err(|refusal| refusal.reason);
        assert_eq!(refused, Err(Reason::DeadlineTooShort));
    }
}
