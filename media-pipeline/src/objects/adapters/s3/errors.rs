//! Which errors of S3 and STS mean what.

use crate::ports::ObjectError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// An error of a call.
pub(super) fn call<E>(error: SdkError<E, HttpResponse>) -> ObjectError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|raw| raw.status().as_u16());
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code);
    if let Some(known) = meaning(code.unwrap_or_default(), status) {
        return known;
    }
    // Not the SDK's whole context: that has the answer in it, headers and all.
    let text = match (code, error.as_service_error()) {
        (Some(code), Some(service)) => {
            format!("{code}: {}", service.message().unwrap_or_default())
        }
        _ => chain(&error),
    };
    let is_refused = match &error {
        SdkError::ServiceError(_) => status.is_some_and(|s| (400..500).contains(&s)),
        // A request that cannot be built: an endpoint that is no URL, no region.
        SdkError::ConstructionFailure(_) => true,
        SdkError::DispatchFailure(dispatch) => dispatch.is_user(),
        // `SdkError` may grow; a time-out or half an answer may go well next time.
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) | _ => false,
    };
    if is_refused {
        ObjectError::Refused(text)
    } else {
        ObjectError::Unavailable(text)
    }
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let behind = std::iter::successors(error.source(), |error| error.source());
    behind.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}

/// What the code says by itself. Without one (an answer to `HEAD` has no body) the status counts.
fn meaning(code: &str, status: Option<u16>) -> Option<ObjectError> {
    let mismatch = || Some(ObjectError::Mismatch(code.to_owned()));
    match code {
        "NoSuchKey" | "NoSuchUpload" | "NotFound" => Some(ObjectError::NotFound),
        "BadDigest"
        | "InvalidDigest"
        | "InvalidPart"
        | "InvalidPartOrder"
        | "EntityTooSmall"
        | "EntityTooLarge"
        | "IncompleteBody"
        | "InvalidRange"
        | "XAmzContentSHA256Mismatch" => mismatch(),
        // Too many, our clock, or a token that has just run out: the SDK signs anew.
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "RequestTimeout"
        | "ExpiredToken"
        | "OperationAborted" => Some(ObjectError::Unavailable(code.to_owned())),
        "" => match status {
            Some(404) => Some(ObjectError::NotFound),
            Some(416) => mismatch(),
            Some(429) => Some(ObjectError::Unavailable("too many requests".to_owned())),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_a_caller_can_do() {
        assert_eq!(
            meaning("NoSuchUpload", Some(404)),
            Some(ObjectError::NotFound)
        );
        assert_eq!(meaning("", Some(404)), Some(ObjectError::NotFound));
        assert!(matches!(
            meaning("BadDigest", Some(400)),
            Some(ObjectError::Mismatch(_))
        ));
        assert!(matches!(
            meaning("SlowDown", Some(503)),
            Some(ObjectError::Unavailable(_))
        ));
        // Only an operator can make a bucket or mend rights.
        for code in [
            "NoSuchBucket",
            "AccessDenied",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
        ] {
            assert_eq!(meaning(code, Some(403)), None);
        }
    }
}
