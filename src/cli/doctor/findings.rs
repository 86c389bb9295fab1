//! What was looked at, and how it is.

use serde::Serialize;
use std::fmt::Write as _;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, and not for everybody or not for long.
    Warn,
    /// It does not work.
    Fail,
}

/// One check and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) status: Status,
    pub(super) text: String,
    /// What to do; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self {
            check,
            status: Status::Ok,
            text: text.into(),
            remedy: None,
        }
    }

    pub(super) fn warn(
        check: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status: Status::Warn,
            remedy: Some(remedy.into()),
            ..Self::ok(check, text)
        }
    }

    pub(super) fn fail(
        check: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status: Status::Fail,
            ..Self::warn(check, text, remedy)
        }
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    checks: &'a [Finding],
}

/// Whether nothing fails.
pub(super) fn is_well(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.status < Status::Fail)
}

/// For people: a line for each check, and one more for what to do.
pub(super) fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let status = match finding.status {
            Status::Ok => "OK",
            Status::Warn => "WARN",
            Status::Fail => "FAIL",
        };
        writeln!(text, "{status:<5} {:<12} {}", finding.check, finding.text)
            .expect("a string grows");
        if let Some(remedy) = &finding.remedy {
            writeln!(text, "      {:<12} → {remedy}", "").expect("a string grows");
        }
    }
    text
}

/// For programs.
pub(super) fn json(findings: &[Finding]) -> String {
    let answer = Answer {
        ok: is_well(findings),
        checks: findings,
    };
    serde_json::to_string_pretty(&answer).expect("texts have a JSON form") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_no_failure_and_each_finding_says_what_to_do() {
        let mut findings = vec![
            Finding::ok("clock", "it agrees"),
            Finding::warn("open files", "1024", "raise it"),
        ];
        assert!(is_well(&findings));
        assert_eq!(
            text(&findings),
            "OK    clock        it agrees\nWARN  open files   1024\n                   → raise it\n"
        );
        findings.push(Finding::fail("udp", "blocked", "let it through"));
        assert!(!is_well(&findings));
        let json: serde_json::Value = serde_json::from_str(&json(&findings)).expect("JSON");
        assert_eq!(json["ok"], false);
        assert_eq!(json["checks"][2]["status"], "FAIL");
        assert!(json["checks"][0].get("remedy").is_none());
    }
}
