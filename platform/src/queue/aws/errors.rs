//! Which errors of the services mean what.

use crate::queue::{QueueError, ReceiptError, SendError};
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// An error of a whole call.
pub(super) fn call<E>(error: &SdkError<E, HttpResponse>) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map(|raw| raw.status().as_u16());
    let is_refused = match error {
        SdkError::ServiceError(service) => is_refusal(service.err().code(), status),
        // A request that cannot be built: an endpoint that is no URL, no region.
        SdkError::ConstructionFailure(_) => true,
        SdkError::DispatchFailure(dispatch) => dispatch.is_user(),
        // `SdkError` may grow; a time-out or half an answer may go well next time.
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) | _ => false,
    };
    let text = DisplayErrorContext(error).to_string();
    if is_refused {
        QueueError::Refused(text)
    } else {
        QueueError::Unavailable(text)
    }
}

/// Whether only an operator can help: everything that is the request's fault, but too many of them.
fn is_refusal(code: Option<&str>, status: Option<u16>) -> bool {
    let code = code.unwrap_or_default();
    let is_throttling = ["Throttl", "OverLimit", "TooManyRequests", "RequestLimit"]
        .iter()
        .any(|word| code.contains(word));
    // SQS's own clock and ours, or a token that has just run out: the SDK signs anew.
    let is_passing = matches!(code, "RequestExpired" | "ExpiredToken" | "RequestTimeout");
    !is_throttling && !is_passing && status.is_some_and(|s| (400..500).contains(&s) && s != 429)
}

/// One message of a batch that was not sent.
pub(super) fn send(is_senders_fault: bool, code: &str, message: Option<&str>) -> SendError {
    let text = format!("{code}: {}", message.unwrap_or_default());
    if is_senders_fault && is_refusal(Some(code), Some(400)) {
        SendError::Invalid(text)
    } else {
        SendError::Failed(text)
    }
}

/// One receipt of a batch that did not serve.
pub(super) fn receipt(is_senders_fault: bool, code: &str, message: Option<&str>) -> ReceiptError {
    // `ReceiptHandleIsInvalid`, `MessageNotInflight`, `InvalidParameterValue` (one that has expired).
    if is_senders_fault && is_refusal(Some(code), Some(400)) {
        ReceiptError::Stale
    } else {
        ReceiptError::Failed(format!("{code}: {}", message.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_operator_must_mend_is_a_refusal() {
        for (code, status, refused) in [
            ("AWS.SimpleQueueService.NonExistentQueue", 400, true),
            ("QueueDoesNotExist", 400, true),
            ("NotFound", 404, true),
            ("AccessDenied", 403, true),
            ("InvalidClientTokenId", 403, true),
            ("SignatureDoesNotMatch", 403, true),
            ("KmsThrottled", 400, false),
            ("RequestThrottled", 400, false),
            ("ThrottlingException", 400, false),
            ("OverLimit", 403, false),
            ("ExpiredToken", 403, false),
            ("", 429, false),
            ("InternalError", 500, false),
            ("ServiceUnavailable", 503, false),
        ] {
            assert_eq!(is_refusal(Some(code), Some(status)), refused, "{code}");
        }
        assert!(!is_refusal(None, None));
    }

    #[test]
    fn a_batchs_failures_are_told_apart_by_whose_fault_they_are() {
        assert!(matches!(
            send(true, "InvalidMessageContents", None),
            SendError::Invalid(_)
        ));
        assert!(matches!(
            send(true, "RequestThrottled", None),
            SendError::Failed(_)
        ));
        assert!(matches!(
            send(false, "InternalError", None),
            SendError::Failed(_)
        ));
        assert_eq!(
            receipt(true, "ReceiptHandleIsInvalid", None),
            ReceiptError::Stale
        );
        assert!(matches!(
            receipt(false, "InternalError", None),
            ReceiptError::Failed(_)
        ));
    }
}
