//! Platform endpoints of Amazon SNS: Amazon keeps the apps' credentials, and passes on to Apple, Google and others.
//!
//! SNS answers before it has spoken to the provider: an accepted push is one that SNS took. What the provider says
//! shows with the next push, when SNS has disabled the endpoint. Repeats are known by `id` in the payload.

mod answer;
mod message;

pub use answer::{Said, outcome};

use super::{Clock, PushSender, Sending, expired, seconds_left, wrong_channel};
use crate::model::{Address, Outcome, Push, Target};
use answer::unanswered;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::config::Builder;
use aws_sdk_sns::types::MessageAttributeValue;
use kaiwa_common::limits::{SNS_CONNECT, SNS_PUBLISH};
use message::{Platform, attributes, structure};

/// Sends to endpoints of SNS, in one region.
pub struct SnsSender {
    client: Client,
    clock: Clock,
}

impl SnsSender {
    /// `config` is how AWS is reached; its time-outs and retries are replaced by a sender's.
    #[must_use]
    pub fn new(config: &SdkConfig, clock: Clock) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(SNS_CONNECT)
            .operation_timeout(SNS_PUBLISH)
            .build();
        let config = Builder::from(config)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .build();
        Self {
            client: Client::from_conf(config),
            clock,
        }
    }

    async fn push(&self, target: &Target, push: &Push) -> Outcome {
        let Address::Sns { endpoint_arn } = &target.address else {
            return wrong_channel();
        };
        let Some(ttl) = seconds_left(push, (self.clock)()) else {
            return expired();
        };
        let Some(platform) = Platform::of(&endpoint_arn.0) else {
            return rejected("not_an_endpoint");
        };
        let message = match structure(&platform, target, push, ttl) {
            Ok(message) => message,
            Err(outcome) => return outcome,
        };
        let mut call = self
            .client
            .publish()
            .target_arn(&endpoint_arn.0)
            .message_structure("json")
            .message(message);
        for (name, value) in attributes(&platform, push, ttl) {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build();
            let Ok(value) = value else {
                return rejected("request");
            };
            call = call.message_attributes(name, value);
        }
        match call.send().await {
            Ok(sent) => Outcome::Accepted {
                provider_id: super::answer::clip(sent.message_id().unwrap_or_default()),
            },
            Err(error) => unanswered(&error, (self.clock)()),
        }
    }
}

impl PushSender for SnsSender {
    fn send<'a>(&'a self, target: &'a Target, push: &'a Push) -> Sending<'a> {
        Box::pin(self.push(target, push))
    }
}

fn rejected(code: &str) -> Outcome {
    Outcome::Rejected {
        code: code.to_owned(),
    }
}
