//! Events and jobs as the queues carry them: `kaiwa.notify.v1` in base64. What comes in is checked here.

mod event;
mod job;

pub use event::{decode_event, encode_event};
pub use job::{decode_job, encode_job};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kaiwa_proto::notify::v1 as wire;
use uuid::Uuid;

/// The version that this program knows.
pub const SCHEMA: u32 = 1;

/// Why a body is nothing that we know. It goes to the dead letters with this as its reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not base64.
    #[error("broken envelope")]
    Envelope,
    /// Not a message of the schema.
    #[error("broken payload")]
    Payload,
    /// Written by a newer program, or not by one of ours.
    #[error("unknown schema version {0}")]
    Schema(u32),
    /// A field is missing or not what it should be.
    #[error("broken field {0}")]
    Field(&'static str),
}

impl Invalid {
    /// Its kind, as a label of metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Payload => "payload",
            Self::Schema(_) => "schema",
            Self::Field(_) => "field",
        }
    }
}

fn encode<M: prost::Message>(message: &M) -> String {
    STANDARD.encode(message.encode_to_vec())
}

/// The bytes of a body. SNS's envelope, where raw delivery is not switched on, the queue's adapter takes off.
fn bytes(body: &str) -> Result<Vec<u8>, Invalid> {
    STANDARD.decode(body.trim()).map_err(|_| Invalid::Envelope)
}

/// Reads the version before anything else: a newer message may not mean what it seems to.
fn checked_schema(schema: u32) -> Result<(), Invalid> {
    if schema == SCHEMA {
        Ok(())
    } else {
        Err(Invalid::Schema(schema))
    }
}

fn uuid(text: &str, field: &'static str) -> Result<Uuid, Invalid> {
    Uuid::try_parse(text).map_err(|_| Invalid::Field(field))
}

fn payload<M: prost::Message + Default>(body: &str) -> Result<M, Invalid> {
    M::decode(bytes(body)?.as_slice()).map_err(|_| Invalid::Payload)
}

impl From<crate::model::Channel> for wire::Channel {
    fn from(channel: crate::model::Channel) -> Self {
        use crate::model::Channel;
        match channel {
            Channel::WebPush => Self::WebPush,
            Channel::Apns => Self::Apns,
            Channel::Fcm => Self::Fcm,
            Channel::Sns => Self::Sns,
            Channel::Slack => Self::Slack,
        }
    }
}
