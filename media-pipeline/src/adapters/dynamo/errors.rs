//! Which errors of DynamoDB mean what.

use crate::ports::StoreError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{BuildError, DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// An error of a call.
pub(super) fn call<E>(error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map(|raw| raw.status().as_u16());
    let Some(service) = error.as_service_error() else {
        let is_ours = match error {
            // A request that cannot be built: an endpoint that is no URL, no region.
            SdkError::ConstructionFailure(_) => true,
            SdkError::DispatchFailure(dispatch) => dispatch.is_user(),
            // `SdkError` may grow; a time-out or half an answer may go well next time.
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) | _ => false,
        };
        let text = DisplayErrorContext(error).to_string();
        return sorted(is_ours, text);
    };
    let code = service.code().unwrap_or_default();
    let text = format!("{code}: {}", service.message().unwrap_or_default());
    match meaning(code, status) {
        Meaning::Conflict => StoreError::Conflict,
        Meaning::Passes => StoreError::Unavailable(text),
        Meaning::Stays if code == "ResourceNotFoundException" => {
            StoreError::Broken(format!("there is no such table, it has to be made: {text}"))
        }
        Meaning::Stays => StoreError::Broken(text),
    }
}

/// A request that we put together wrongly.
pub(super) fn unbuilt(error: &BuildError) -> StoreError {
    StoreError::Broken(error.to_string())
}

fn sorted(stays: bool, text: String) -> StoreError {
    if stays {
        StoreError::Broken(text)
    } else {
        StoreError::Unavailable(text)
    }
}

/// What an error's code says to whoever called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A condition did not hold.
    Conflict,
    /// It may go well next time.
    Passes,
    /// Only an operator, or another program, can help.
    Stays,
}

/// Of an error of a call, and of one reason of a transaction that was cancelled (which has no status).
pub(super) fn meaning(code: &str, status: Option<u16>) -> Meaning {
    match code {
        "ConditionalCheckFailedException" | "ConditionalCheckFailed" => Meaning::Conflict,
        "ProvisionedThroughputExceededException"
        | "ProvisionedThroughputExceeded"
        | "ThrottlingException"
        | "ThrottlingError"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "TransactionConflictException"
        | "TransactionConflict"
        | "TransactionInProgressException"
        | "InternalServerError"
        | "InternalFailure"
        | "ServiceUnavailable"
        // A token that has just run out: the SDK signs anew.
        | "ExpiredTokenException"
        | "RequestExpired" => Meaning::Passes,
        _ if status.is_some_and(|status| status >= 500 || status == 429) => Meaning::Passes,
        _ => Meaning::Stays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_a_caller_can_do() {
        let of = |code| meaning(code, Some(400));
        assert_eq!(of("ConditionalCheckFailedException"), Meaning::Conflict);
        for code in ["ThrottlingException", "TransactionConflictException"] {
            assert_eq!(of(code), Meaning::Passes, "{code}");
        }
        for code in ["AccessDeniedException", "ResourceNotFoundException"] {
            assert_eq!(of(code), Meaning::Stays, "{code}");
        }
        assert_eq!(meaning("", Some(503)), Meaning::Passes);
        assert_eq!(meaning("TransactionConflict", None), Meaning::Passes);
        assert_eq!(meaning("ValidationError", None), Meaning::Stays);
    }
}
