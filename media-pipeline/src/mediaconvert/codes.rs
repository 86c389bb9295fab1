//! What MediaConvert's error codes mean for a clip ("MediaConvert error codes" of its user guide; the classes are ours).

use crate::model::ClipError;
use std::time::Duration;

/// Why a job failed, by what can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The source could not be read: it may be a moment too early, or rights are missing.
    Access,
    /// The source or the settings are what MediaConvert does not do. Never again.
    Content,
    /// Its own affair.
    Internal,
}

impl Class {
    /// The class of a code.
    #[must_use]
    pub fn of(code: i64) -> Self {
        match code {
            1010 | 1400..=1499 => Self::Access,
            1999 | 3400..=3499 | 3999 => Self::Internal,
            1000..=1998 => Self::Content,
            // What is not known is tried as what passes: attempts are bounded.
            _ => Self::Internal,
        }
    }

    /// Attempts after the first.
    #[must_use]
    pub fn retries(self) -> u32 {
        match self {
            Self::Access => 2,
            Self::Content => 0,
            Self::Internal => 3,
        }
    }
}

/// What a failed job's clip says. The service's own text is for its logs: it names buckets and roles.
#[must_use]
pub fn clip_error(code: i64) -> ClipError {
    let class = Class::of(code);
    let (reason, message) = match class {
        Class::Access => (
            "SOURCE_UNREADABLE",
            "The transcoder could not read the uploaded file. Try again.",
        ),
        Class::Content => (
            "TRANSCODE_REFUSED",
            "The transcoder cannot convert this file. Upload it in another format.",
        ),
        Class::Internal => (
            "TRANSCODER_FAILED",
            "The transcoder failed for reasons of its own. Try again.",
        ),
    };
    ClipError {
        reason: reason.to_owned(),
        message: message.to_owned(),
        retryable: class != Class::Content,
        provider_code: Some(code),
    }
}

/// When a clip whose attempt (from 1) failed is to be transcoded again; `None`: never. `roll` is a number from 0 to 1:
/// without it all clips of an outage would come back at once.
#[must_use]
pub fn retry_after(error: &ClipError, attempt: u32, roll: f64) -> Option<Duration> {
    if !error.retryable {
        return None;
    }
    let class = error.provider_code.map_or(Class::Internal, Class::of);
    if attempt > class.retries() {
        return None;
    }
    let most = FIRST
        .saturating_mul(1 << attempt.saturating_sub(1).min(10))
        .min(LONGEST);
    Some(most.mul_f64(0.5 + roll.clamp(0.0, 1.0) / 2.0))
}

/// Before the second attempt.
const FIRST: Duration = Duration::from_secs(30);

/// Before any.
const LONGEST: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_classes() {
        for (code, class) in [
            (1010, Class::Access),
            (1404, Class::Access),
            (1432, Class::Access),
            (1030, Class::Content),
            (1040, Class::Content),
            (1075, Class::Content),
            (1076, Class::Content),
            (1999, Class::Internal),
            (3401, Class::Internal),
            (3999, Class::Internal),
            (77, Class::Internal),
        ] {
            assert_eq!(Class::of(code), class, "{code}");
        }
    }

    #[test]
    fn attempts_are_bounded_by_class_and_wait_longer_each_time() {
        let waits = |code, roll| {
            let error = clip_error(code);
            (1..)
                .map_while(|attempt| retry_after(&error, attempt, roll))
                .collect::<Vec<_>>()
        };
        let s = Duration::from_secs;
        assert!(waits(1040, 1.0).is_empty());
        assert_eq!(waits(1404, 1.0), [s(30), s(60)]);
        assert_eq!(waits(3999, 1.0), [s(30), s(60), s(120)]);
        assert_eq!(waits(3999, 0.0), [s(15), s(30), s(60)]);
    }
}
