//! Both codecs of the client protocol: messages to and from WebSocket frames.

use bytes::Bytes;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_tungstenite::tungstenite::Message as Frame;

/// How messages become bytes: the subprotocol of a connection.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// `kaiwa.v1+json`: text frames, one message a line.
    Json,
    /// `kaiwa.v1+proto`: binary frames, each message after its length as a varint.
    Proto,
}

/// A frame that is not of its codec.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Text where bytes belong, or the reverse.
    #[error("a frame of the wrong type")]
    FrameType,
    /// Not the JSON of the schema.
    #[error("not the JSON of the schema")]
    Json(#[from] serde_json::Error),
    /// Not the Protobuf of the schema.
    #[error("not the Protobuf of the schema")]
    Proto(#[from] prost::DecodeError),
}

impl Codec {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Json, Self::Proto];

    /// Its name in `Sec-WebSocket-Protocol`.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "kaiwa.v1+json",
            Self::Proto => "kaiwa.v1+proto",
        }
    }

    /// A short name for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Proto => "proto",
        }
    }

    /// One frame with these messages in order.
    ///
    /// # Panics
    /// Never: schema types always serialize.
    #[must_use]
    pub fn encode<M: Message + Serialize>(self, messages: &[M]) -> Frame {
        match self {
            Self::Json => {
                let lines: Vec<String> = messages
                    .iter()
                    .map(|m| serde_json::to_string(m).expect("schema types serialize"))
                    .collect();
                Frame::text(lines.join("\n"))
            }
            Self::Proto => {
                let mut bytes = Vec::new();
                for message in messages {
                    message
                        .encode_length_delimited(&mut bytes)
                        .expect("a Vec grows");
                }
                Frame::binary(bytes)
            }
        }
    }

    /// The messages of a text or binary frame.
    ///
    /// # Errors
    /// [`DecodeError`] when the frame is not of this codec.
    pub fn decode<M>(self, frame: &Frame) -> Result<Vec<M>, DecodeError>
    where
        M: Message + Default + DeserializeOwned,
    {
        match (self, frame) {
            (Self::Json, Frame::Text(text)) => self.decode_payload(text.as_bytes()),
            (Self::Proto, Frame::Binary(bytes)) => self.decode_payload(bytes),
            _ => Err(DecodeError::FrameType),
        }
    }

    /// The messages of a frame's payload.
    ///
    /// # Errors
    /// [`DecodeError`] when the payload is not of this codec.
    pub fn decode_payload<M>(self, payload: &[u8]) -> Result<Vec<M>, DecodeError>
    where
        M: Message + Default + DeserializeOwned,
    {
        let mut messages = Vec::new();
        match self {
            Self::Json => {
                for line in payload
                    .split(|&b| b == b'\n')
                    .filter(|line| !line.is_empty())
                {
                    messages.push(serde_json::from_slice(line)?);
                }
            }
            Self::Proto => {
                let mut rest = payload;
                while !rest.is_empty() {
                    messages.push(M::decode_length_delimited(&mut rest)?);
                }
            }
        }
        Ok(messages)
    }

    /// A frame's payload, whatever its type.
    #[must_use]
    pub fn payload(frame: Frame) -> Bytes {
        frame.into_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaiwa_proto::client::v1::{ClientMessage, Pong, client_message::Command};

    fn pong(count: u64) -> ClientMessage {
        ClientMessage {
            id: 0,
            command: Some(Command::Pong(Pong { count })),
        }
    }

    #[test]
    fn several_messages_share_a_frame_in_order() {
        let messages = [pong(1), pong(u64::MAX), pong(0)];
        for codec in Codec::ALL {
            let frame = codec.encode(&messages);
            assert_eq!(codec.decode::<ClientMessage>(&frame).unwrap(), messages);
        }
    }

    #[test]
    fn an_empty_frame_has_no_messages() {
        for codec in Codec::ALL {
            assert!(
                codec
                    .decode_payload::<ClientMessage>(b"")
                    .unwrap()
                    .is_empty()
            );
        }
    }

    #[test]
    fn a_frame_of_the_other_type_is_refused() {
        let text = Codec::Json.encode(&[pong(1)]);
        assert!(matches!(
            Codec::Proto.decode::<ClientMessage>(&text),
            Err(DecodeError::FrameType)
        ));
    }
}
