//! A refusal as `google.rpc.Status` with details.

use crate::refusal::{DOMAIN, Reason, Refusal};
use crate::wire;
use std::collections::HashMap;
use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

pub(super) fn of(request: &str, refusal: &Refusal) -> Status {
    let help = ("help".to_owned(), refusal.reason.help().to_owned());
    let info = HashMap::from([help]);
    let mut details = ErrorDetails::with_error_info(refusal.reason.text(), DOMAIN, info);
    details.set_request_info(request, "");
    if !refusal.violations.is_empty() {
        let violations = refusal.violations.iter();
        let violations: Vec<FieldViolation> = violations
            .map(|v| FieldViolation::new(v.field, v.description.as_str()))
            .collect();
        details.set_bad_request(violations);
    }
    if let Some(state) = refusal.state {
        let state = wire::state(state).as_str_name();
        details.add_precondition_failure_violation(Reason::ClipState.text(), "clip", state);
    }
    if let Some(quota) = refusal.quota {
        details.add_quota_failure_violation(quota, refusal.message.as_str());
    }
    if refusal.retry_after.is_some() {
        details.set_retry_info(refusal.retry_after);
    }
    let message = refusal.message.as_str();
    Status::with_error_details(refusal.reason.code(), message, details)
}
