//! How a double is made to fail.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What is done to requests, instead of or beside the ordinary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Action {
    /// This answer; nothing is accepted.
    Answer {
        /// Its status.
        status: u16,
        /// `Retry-After`.
        #[serde(default)]
        retry_after: Option<String>,
        /// Its body.
        #[serde(default)]
        body: String,
    },
    /// The connection ends without an answer; nothing is accepted.
    Drop,
    /// The request is accepted, and the connection ends without an answer.
    AcceptAndDrop,
    /// The stream is reset (HTTP/2).
    Reset,
    /// The request is served, and the connection says GOAWAY.
    GoAway,
    /// The request is served; the answer's head comes this late.
    SlowHead {
        /// Milliseconds.
        ms: u64,
    },
    /// The request is served; the answer's end comes this late.
    SlowBody {
        /// Milliseconds.
        ms: u64,
    },
    /// The answer's body is this long.
    LongBody {
        /// Bytes.
        bytes: usize,
    },
}

/// One line of a script: done to the next `times` requests (to that device, if it names one).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// How often; the last request makes the line go away.
    #[serde(default = "one")]
    pub times: u64,
    /// The device's token, or the last part of the path.
    #[serde(default)]
    pub device: Option<String>,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

fn one() -> u64 {
    1
}

impl Step {
    /// Once, to whichever request comes next.
    #[must_use]
    pub fn once(action: Action) -> Self {
        Self {
            times: 1,
            device: None,
            action,
        }
    }

    /// To every request until the script is cleared.
    #[must_use]
    pub fn always(action: Action) -> Self {
        Self {
            times: u64::MAX,
            device: None,
            action,
        }
    }

    /// Only to one device.
    #[must_use]
    pub fn to(mut self, device: &str) -> Self {
        self.device = Some(device.to_owned());
        self
    }

    /// An answer, once.
    #[must_use]
    pub fn answer(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::once(Action::Answer {
            status,
            retry_after: None,
            body,
        })
    }

    /// An answer that says when to come again, once.
    #[must_use]
    pub fn retry(status: u16, retry_after: &str) -> Self {
        let retry_after = Some(retry_after.to_owned());
        Self::once(Action::Answer {
            status,
            retry_after,
            body: String::new(),
        })
    }
}

#[derive(Default)]
pub(crate) struct Scripts(VecDeque<Step>);

impl Scripts {
    pub(crate) fn push(&mut self, step: Step) {
        self.0.push_back(step);
    }

    /// The action for a request to that device: the first line that fits.
    pub(crate) fn next(&mut self, device: &str) -> Option<Action> {
        let fits = |step: &Step| step.device.as_ref().is_none_or(|only| only == device);
        let index = self.0.iter().position(fits)?;
        let step = self.0.get_mut(index)?;
        let action = step.action.clone();
        step.times -= 1;
        if step.times == 0 {
            self.0.remove(index);
        }
        Some(action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_followed_line_by_line_and_by_device() {
        let mut scripts = Scripts::default();
        scripts.push(Step {
            times: 2,
            device: Some("a".into()),
            action: Action::Drop,
        });
        scripts.push(Step::once(Action::GoAway));
        assert_eq!(scripts.next("b"), Some(Action::GoAway));
        assert_eq!(scripts.next("a"), Some(Action::Drop));
        assert_eq!(scripts.next("b"), None);
        assert_eq!(scripts.next("a"), Some(Action::Drop));
        assert_eq!(scripts.next("a"), None);
    }

    #[test]
    fn a_line_reads_from_json() {
        let text = r#"{"do":"answer","status":429,"retry_after":"7","times":3}"#;
        let step: Step = serde_json::from_str(text).expect("a step");
        assert_eq!((step.times, step.action), (3, Step::retry(429, "7").action));
    }
}
