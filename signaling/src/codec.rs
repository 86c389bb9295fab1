//! Messages to bytes and back: one schema, two forms.

use crate::transport::frame::ROOM;
use crate::transport::{Format, Frame};
use bytes::Bytes;
use kaiwa_common::limits::FRAME_MESSAGES;
use kaiwa_proto::client::v1::push::Push;
use kaiwa_proto::client::v1::server_message::Message;
use kaiwa_proto::client::v1::{ClientMessage, ServerMessage};
use prost::Message as _;
use serde_json::Value;
use std::sync::OnceLock;

/// The form in which a connection carries messages, agreed on as it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// `kaiwa.v1+json`: proto3's canonical JSON, messages separated by newlines.
    Json,
    /// `kaiwa.v1+proto`: Protobuf, each message after its length as a varint.
    Proto,
}

/// The known subprotocols, for telling.
pub const SUBPROTOCOLS: &str = "kaiwa.v1+json, kaiwa.v1+proto";

/// A message that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The id of the command, where it could be made out; else 0.
    pub id: u32,
    /// What is wrong, for a developer.
    pub at: String,
    /// Nothing after it in the frame can be read either.
    pub is_fatal: bool,
}

impl Codec {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Json, Self::Proto];

    /// Its name in the handshake.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "kaiwa.v1+json",
            Self::Proto => "kaiwa.v1+proto",
        }
    }

    /// The codec of this name.
    #[must_use]
    pub fn by_subprotocol(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.subprotocol() == name)
    }

    /// What its frames are.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::Json => Format::Text,
            Self::Proto => Format::Binary,
        }
    }

    /// The messages of a frame, in order; the first fatal error ends them.
    #[must_use]
    pub fn decode(self, frame: &Bytes) -> Vec<Result<ClientMessage, Malformed>> {
        match self {
            Self::Json => decode_json(frame),
            Self::Proto => decode_proto(frame.clone()),
        }
    }

    /// A frame of these messages.
    #[must_use]
    pub fn encode(self, messages: &[ServerMessage]) -> Frame {
        let mut bytes = vec![0; ROOM];
        if self == Self::Proto {
            let lens = messages.iter().map(|message| {
                let len = message.encoded_len();
                prost::length_delimiter_len(len) + len
            });
            bytes.reserve_exact(lens.sum());
        }
        for message in messages {
            match self {
                Self::Json => {
                    if bytes.len() > ROOM {
                        bytes.push(b'\n');
                    }
                    serde_json::to_writer(&mut bytes, message)
                        .expect("a schema's message is JSON, and memory takes it");
                }
                Self::Proto => {
                    message
                        .encode_length_delimited(&mut bytes)
                        .expect("a vector grows");
                }
            }
        }
        Frame::in_place(self.format(), bytes)
    }
}

/// A push for many: encoded once in each form, by the first who needs that.
pub struct EncodedOnce {
    push: Push,
    json: OnceLock<Frame>,
    proto: OnceLock<Frame>,
}

impl EncodedOnce {
    /// Nothing is encoded yet.
    #[must_use]
    pub fn new(push: Push) -> Self {
        Self {
            push,
            json: OnceLock::new(),
            proto: OnceLock::new(),
        }
    }

    /// The push as a frame.
    #[must_use]
    pub fn frame(&self, codec: Codec) -> &Frame {
        let cell = match codec {
            Codec::Json => &self.json,
            Codec::Proto => &self.proto,
        };
        cell.get_or_init(|| {
            let push = kaiwa_proto::client::v1::Push {
                push: Some(self.push.clone()),
            };
            codec.encode(&[ServerMessage {
                message: Some(Message::Push(push)),
            }])
        })
    }
}

fn decode_json(frame: &Bytes) -> Vec<Result<ClientMessage, Malformed>> {
    let lines = frame
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty());
    let mut messages = Vec::new();
    for line in lines {
        if messages.len() == FRAME_MESSAGES {
            messages.push(Err(too_many()));
            break;
        }
        messages.push(decode_line(line));
    }
    messages
}

fn too_many() -> Malformed {
    let at = format!("more than {FRAME_MESSAGES} messages in one frame");
    Malformed {
        id: 0,
        at,
        is_fatal: true,
    }
}

/// A command of which only the id is looked at.
#[derive(serde::Deserialize)]
struct OnlyId {
    #[serde(default)]
    id: Value,
}

fn decode_line(line: &[u8]) -> Result<ClientMessage, Malformed> {
    serde_json::from_slice(line).map_err(|error| {
        // A second, lenient look, so that the error names the command it belongs to, and a third for
        // whether it is JSON at all. What they skip is only parsed: half of a surrogate pair, which
        // scripts make of a text cut within a character, is no reason to end the connection.
        let only_id = serde_json::from_slice::<OnlyId>(line).ok();
        Malformed {
            id: only_id
                .and_then(|message| u32::try_from(message.id.as_u64()?).ok())
                .unwrap_or(0),
            // serde's words name the field and the place, and quote nothing but tokens.
            at: error.to_string(),
            is_fatal: serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err(),
        }
    })
}

fn decode_proto(mut rest: Bytes) -> Vec<Result<ClientMessage, Malformed>> {
    let mut messages = Vec::new();
    while !rest.is_empty() {
        if messages.len() == FRAME_MESSAGES {
            messages.push(Err(too_many()));
            break;
        }
        let message = match take_delimited(&mut rest) {
            Ok(message) => message,
            Err(at) => {
                messages.push(Err(Malformed {
                    id: 0,
                    at: at.to_owned(),
                    is_fatal: true,
                }));
                break;
            }
        };
        // The framing stands, so the messages after this one can be read.
        messages.push(ClientMessage::decode(message).map_err(|error| Malformed {
            id: 0,
            at: error.to_string(),
            is_fatal: false,
        }));
    }
    messages
}

/// Takes one message's bytes off the frame.
fn take_delimited(rest: &mut Bytes) -> Result<Bytes, &'static str> {
    let len = prost::decode_length_delimiter(&mut *rest)
        .map_err(|_| "a message's length is no varint")?;
    if len > rest.len() {
        return Err("a message is longer than its frame");
    }
    Ok(rest.split_to(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaiwa_proto::client::v1 as wire;

    fn json(text: &str) -> Vec<Result<ClientMessage, Malformed>> {
        Codec::Json.decode(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn many_messages_share_a_frame_in_both_forms() {
        let pong = |count| {
            let command = wire::client_message::Command::Pong(wire::Pong { count });
            ClientMessage {
                id: 0,
                command: Some(command),
            }
        };
        let mut bytes = Vec::new();
        for count in [1, 200] {
            pong(count)
                .encode_length_delimited(&mut bytes)
                .expect("a vector grows");
        }
        let expected = vec![Ok(pong(1)), Ok(pong(200))];
        assert_eq!(Codec::Proto.decode(&bytes.into()), expected);
        assert_eq!(
            json("{\"pong\":{\"count\":\"1\"}}\n{\"pong\":{\"count\":200}}\n"),
            expected
        );
        assert_eq!(json(""), vec![]);
    }

    #[test]
    fn a_wrong_field_type_names_its_command_and_the_next_line_is_read() {
        let read = json("{\"id\":7,\"send\":{\"room\":5}}\n{\"id\":8}");
        assert_eq!(read.len(), 2);
        let malformed = read[0].as_ref().expect_err("wrong type");
        assert_eq!((malformed.id, malformed.is_fatal), (7, false));
        assert_eq!(
            read[1],
            Ok(ClientMessage {
                id: 8,
                command: None
            })
        );
    }

    #[test]
    fn half_a_character_is_refused_by_its_id_and_ends_nothing() {
        let read = json("{\"id\":9,\"send\":{\"text\":\"a \\ud83d\"}}");
        let malformed = read[0].as_ref().expect_err("no text");
        assert_eq!((malformed.id, malformed.is_fatal), (9, false));
    }

    #[test]
    fn json_that_is_no_object_is_not_fatal() {
        for text in [
            "null",
            "1",
            "[]",
            "\"\\ud83d\"",
            "{\"id\":\"\\ud83d\"}",
            "{\"id\":-1}",
        ] {
            let read = json(text);
            let malformed = read[0].as_ref().expect_err("no command");
            assert_eq!((malformed.id, malformed.is_fatal), (0, false), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_or_protobuf_is_fatal() {
        for text in ["{", "hello", "{\"id\":1}}", "\u{0}"] {
            assert!(
                json(text)[0].as_ref().expect_err("no JSON").is_fatal,
                "{text}"
            );
        }
        for bytes in [
            &b"\x05\x08"[..],
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            let read = Codec::Proto.decode(&Bytes::copy_from_slice(bytes));
            assert!(
                read[0].as_ref().expect_err("no Protobuf").is_fatal,
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn a_protobuf_message_that_is_none_spoils_no_other_in_its_frame() {
        let read = Codec::Proto.decode(&Bytes::from_static(b"\x01\x07\x02\x08\x05"));
        assert!(!read[0].as_ref().expect_err("no message").is_fatal);
        assert_eq!(
            read[1],
            Ok(ClientMessage {
                id: 5,
                command: None
            })
        );
    }

    #[test]
    fn unknown_fields_and_commands_are_no_error() {
        let read = json("{\"id\":3,\"fly\":{\"high\":true}}");
        assert_eq!(
            read,
            vec![Ok(ClientMessage {
                id: 3,
                command: None
            })]
        );
    }

    #[test]
    fn a_frame_of_countless_empty_messages_is_cut_short() {
        for (codec, frame) in [
            (Codec::Proto, vec![0; 60_000]),
            (Codec::Json, b"{}\n".repeat(20_000)),
        ] {
            let read = codec.decode(&frame.into());
            assert_eq!(read.len(), FRAME_MESSAGES + 1);
            assert!(
                read[FRAME_MESSAGES]
                    .as_ref()
                    .expect_err("too many")
                    .is_fatal
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_a_codec_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)
        ) {
            for codec in Codec::ALL {
                let _ = codec.decode(&Bytes::copy_from_slice(&bytes));
            }
        }
    }
}
