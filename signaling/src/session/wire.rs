//! From the wire's commands to the domain's: this is where input is validated.

mod call;
mod push;

use crate::call::command::Command as CallCommand;
use crate::codec::Codec;
use crate::push::command::Command as PushCommand;
use crate::transport::Frame;
use kaiwa_chat::model::{HistoryFrom, Mentions, NewRoom, Role, RoomKind, Visibility, Write};
use kaiwa_common::close::CloseCode;
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::id::{Cid, InvalidId, RoomId, UserId};
use kaiwa_common::limits::{CREATE_MEMBERS, Limits, MENTIONS};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_proto::client::v1 as wire;
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::reply::Result as ReplyResult;

/// A command of a connected client.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// A change, taken in order.
    Write(Write),
    /// Something to be read.
    Read(Read),
    /// A later token.
    Refresh(String),
    /// Follow a room.
    Subscribe(RoomId, Option<Position>),
    /// Follow it no more.
    Unsubscribe(RoomId),
    /// Something of a call, taken in order.
    Call(CallCommand),
    /// Who is in a room's call.
    CallGet(RoomId),
    /// A room is read up to here.
    Mark(RoomId, Position),
    /// Something of notifications.
    Push(PushCommand),
    /// How many pushes the client has, in answer to a ping.
    Pong(u64),
    /// How many pushes the client has, and whether somebody looks.
    Ack(u64, bool),
}

/// Something to be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// A stretch of a room's log.
    Events(RoomId, Position, usize),
    /// A page of messages.
    History(RoomId, HistoryFrom, usize),
    /// One room.
    Room(RoomId),
    /// One's rooms.
    Rooms(Option<String>, usize),
    /// Public rooms.
    Browse(Option<String>, usize),
    /// A room's members.
    Members(RoomId, Option<String>, usize),
}

/// Checks a command.
///
/// # Errors
/// A [`Refusal`] that names the field.
#[expect(clippy::too_many_lines, reason = "a table with a row for each command")]
pub fn parse(command: Command, limits: &Limits) -> Result<Request, Refusal> {
    let page = |limit: u32| match limit {
        0 => limits.page as usize,
        limit => limit.min(limits.page) as usize,
    };
    Ok(match command {
        Command::Connect(_) => {
            return Err(Refusal::new(
                ErrorCode::AlreadyConnected,
                "connect comes once, and first",
            ));
        }
        Command::Refresh(c) => Request::Refresh(c.token),
        Command::Pong(c) => Request::Pong(c.count),
        Command::Ack(c) => Request::Ack(c.count, c.is_visible),
        Command::Mark(c) => {
            let to = Position {
                epoch: Epoch(c.epoch),
                seq: Seq(c.seq),
            };
            Request::Mark(room(&c.room)?, to)
        }
        Command::Subscribe(c) => {
            let (room, after) = position(&c.after.unwrap_or_default())?;
            Request::Subscribe(room, after)
        }
        Command::Unsubscribe(c) => Request::Unsubscribe(room(&c.room)?),
        Command::Events(c) => {
            let after = Position {
                epoch: Epoch(c.epoch),
                seq: Seq(c.after),
            };
            Request::Read(Read::Events(room(&c.room)?, after, page(c.limit)))
        }
        Command::History(c) => {
            let from = match c.from {
                Some(wire::read_history::From::Before(seq)) => HistoryFrom::Before(Seq(seq)),
                Some(wire::read_history::From::After(seq)) => HistoryFrom::After(Seq(seq)),
                None => HistoryFrom::Newest,
            };
            Request::Read(Read::History(room(&c.room)?, from, page(c.limit)))
        }
        Command::RoomGet(c) => Request::Read(Read::Room(room(&c.room)?)),
        Command::RoomList(c) => Request::Read(Read::Rooms(cursor(c.cursor)?, page(c.limit))),
        Command::RoomBrowse(c) => Request::Read(Read::Browse(cursor(c.cursor)?, page(c.limit))),
        Command::RoomMembers(c) => Request::Read(Read::Members(
            room(&c.room)?,
            cursor(c.cursor)?,
            page(c.limit),
        )),
        Command::Send(_)
        | Command::Edit(_)
        | Command::Delete(_)
        | Command::RoomCreate(_)
        | Command::RoomJoin(_)
        | Command::RoomLeave(_)
        | Command::RoomInvite(_)
        | Command::RoomRemove(_)
        | Command::RoomSetRole(_) => Request::Write(write(command, limits)?),
        Command::CallJoin(_)
        | Command::CallLeave(_)
        | Command::CallOffer(_)
        | Command::CallCandidate(_)
        | Command::CallPrefer(_)
        | Command::CallMute(_)
        | Command::CallRemove(_)
        | Command::CallRing(_)
        | Command::CallDecline(_)
        | Command::CallGet(_) => call::parse(command)?,
        Command::PushGet(_)
        | Command::DeviceRegister(_)
        | Command::DeviceSet(_)
        | Command::DeviceList(_)
        | Command::DeviceRemove(_)
        | Command::NotifyGet(_)
        | Command::NotifySet(_)
        | Command::NotifySetRoom(_)
        | Command::NotifyExplain(_) => push::parse(command)?,
    })
}

#[expect(clippy::too_many_lines, reason = "a table with a row for each command")]
fn write(command: Command, limits: &Limits) -> Result<Write, Refusal> {
    Ok(match command {
        Command::Send(c) => Write::Send {
            room: room(&c.room)?,
            cid: cid(&c.cid)?,
            text: text(c.text, limits)?,
            reply_to: (c.reply_to != 0).then_some(Seq(c.reply_to)),
            mentions: mentions(&c.mentions, c.mention_all)?,
        },
        Command::Edit(c) => Write::Edit {
            room: room(&c.room)?,
            cid: cid(&c.cid)?,
            target: Seq(c.target),
            text: text(c.text, limits)?,
            mentions: mentions(&c.mentions, c.mention_all)?,
        },
        Command::Delete(c) => Write::Delete {
            room: room(&c.room)?,
            cid: cid(&c.cid)?,
            target: Seq(c.target),
        },
        Command::RoomCreate(c) => create(c)?,
        Command::RoomJoin(c) => Write::Join {
            room: room(&c.room)?,
        },
        Command::RoomLeave(c) => Write::Leave {
            room: room(&c.room)?,
        },
        Command::RoomInvite(c) => Write::Invite {
            room: room(&c.room)?,
            user: user(&c.user)?,
        },
        Command::RoomRemove(c) => Write::Remove {
            room: room(&c.room)?,
            user: user(&c.user)?,
        },
        Command::RoomSetRole(c) => Write::SetRole {
            room: room(&c.room)?,
            user: user(&c.user)?,
            role: role(c.role())?,
        },
        Command::Connect(_)
        | Command::Refresh(_)
        | Command::Pong(_)
        | Command::Ack(_)
        | Command::Mark(_)
        | Command::Subscribe(_)
        | Command::Unsubscribe(_)
        | Command::Events(_)
        | Command::History(_)
        | Command::RoomGet(_)
        | Command::RoomList(_)
        | Command::RoomBrowse(_)
        | Command::RoomMembers(_)
        | Command::CallJoin(_)
        | Command::CallLeave(_)
        | Command::CallOffer(_)
        | Command::CallCandidate(_)
        | Command::CallPrefer(_)
        | Command::CallMute(_)
        | Command::CallRemove(_)
        | Command::CallRing(_)
        | Command::CallDecline(_)
        | Command::CallGet(_)
        | Command::PushGet(_)
        | Command::DeviceRegister(_)
        | Command::DeviceSet(_)
        | Command::DeviceList(_)
        | Command::DeviceRemove(_)
        | Command::NotifyGet(_)
        | Command::NotifySet(_)
        | Command::NotifySetRoom(_)
        | Command::NotifyExplain(_) => unreachable!("`parse` sends only writes here"),
    })
}

fn mentions(users: &[String], all: bool) -> Result<Mentions, Refusal> {
    if users.len() > MENTIONS {
        return Err(invalid("mentions", "too many").with("limit", MENTIONS));
    }
    let users = users.iter().map(|user| id("mentions", UserId::parse(user)));
    let mut users = users.collect::<Result<Vec<_>, _>>()?;
    users.sort();
    users.dedup();
    Ok(Mentions { users, all })
}

fn create(c: wire::RoomCreate) -> Result<Write, Refusal> {
    let visibility = match c.visibility() {
        wire::Visibility::Public => Visibility::Public,
        wire::Visibility::Private | wire::Visibility::Unspecified => Visibility::Private,
    };
    let kind = match c.kind() {
        wire::RoomKind::Direct => {
            return match c.members.as_slice() {
                [peer] if c.title.is_empty() => Ok(Write::OpenDirect { peer: user(peer)? }),
                [_] => Err(invalid("title", "a direct room has none")),
                _ => Err(invalid(
                    "members",
                    "a direct room names exactly the other person",
                )),
            };
        }
        wire::RoomKind::Group => RoomKind::Group,
        wire::RoomKind::Broadcast => RoomKind::Broadcast,
        wire::RoomKind::Unspecified => return Err(invalid("kind", "direct, group or broadcast")),
    };
    if c.members.len() > CREATE_MEMBERS {
        return Err(invalid("members", "too many: invite the others afterwards")
            .with("limit", CREATE_MEMBERS));
    }
    let invite = c
        .members
        .iter()
        .map(|m| user(m))
        .collect::<Result<_, _>>()?;
    Ok(Write::Create(NewRoom {
        cid: cid(&c.cid)?,
        kind,
        title: c.title,
        visibility,
        invite,
    }))
}

/// A room and where one stands in it; epoch 0 says that one knows nothing of it.
///
/// # Errors
/// A [`Refusal`] when the room is no room id.
pub fn position(at: &wire::RoomPosition) -> Result<(RoomId, Option<Position>), Refusal> {
    let known = Position {
        epoch: Epoch(at.epoch),
        seq: Seq(at.seq),
    };
    Ok((room(&at.room)?, (at.epoch != 0).then_some(known)))
}

fn role(role: wire::Role) -> Result<Role, Refusal> {
    match role {
        wire::Role::Guest => Ok(Role::Guest),
        wire::Role::Member => Ok(Role::Member),
        wire::Role::Moderator => Ok(Role::Moderator),
        wire::Role::Owner => Ok(Role::Owner),
        wire::Role::Unspecified => Err(invalid("role", "guest, member, moderator or owner")),
    }
}

fn invalid(field: &'static str, rule: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidArgument, format!("{field}: {rule}")).with("field", field)
}

fn id<T>(field: &'static str, parsed: Result<T, InvalidId>) -> Result<T, Refusal> {
    parsed.map_err(|error| invalid(field, error.rule))
}

fn room(text: &str) -> Result<RoomId, Refusal> {
    id("room", RoomId::parse(text))
}

fn user(text: &str) -> Result<UserId, Refusal> {
    id("user", UserId::parse(text))
}

fn cid(text: &str) -> Result<Cid, Refusal> {
    id("cid", Cid::parse(text))
}

fn cursor(text: String) -> Result<Option<String>, Refusal> {
    match text.len() {
        0 => Ok(None),
        1..=256 => Ok(Some(text)),
        _ => Err(invalid("cursor", "give back what `next` said")),
    }
}

fn text(text: String, limits: &Limits) -> Result<Redacted<String>, Refusal> {
    if text.len() > limits.text_bytes as usize {
        let refusal = Refusal::new(ErrorCode::TooLarge, "the text is too long: split it");
        return Err(refusal.with("limit", limits.text_bytes));
    }
    Ok(Redacted(text))
}

/// A refusal as the wire has it.
#[must_use]
pub fn error(refusal: &Refusal) -> wire::Error {
    wire::Error {
        code: refusal.code.number(),
        reason: refusal.code.reason().to_owned(),
        message: refusal.message.clone().into_owned(),
        temporary: refusal.code.is_temporary(),
        retry_ms: u32::try_from(refusal.retry_after.as_millis()).unwrap_or(u32::MAX),
        details: refusal
            .details
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect(),
    }
}

/// A reply as a frame.
#[must_use]
pub fn reply(codec: Codec, id: u32, result: ReplyResult) -> Frame {
    let reply = wire::Reply {
        id,
        result: Some(result),
    };
    codec.encode(&[wire::ServerMessage {
        message: Some(wire::server_message::Message::Reply(reply)),
    }])
}

/// A goodbye as a frame.
#[must_use]
pub fn bye(codec: Codec, code: CloseCode, retry_ms: (u32, u32)) -> Frame {
    push(
        codec,
        wire::push::Push::Bye(wire::Bye {
            code: u32::from(code.number()),
            reason: code.reason().to_owned(),
            message: String::new(),
            retry_min_ms: retry_ms.0,
            retry_max_ms: retry_ms.1,
        }),
    )
}

/// A push as a frame.
#[must_use]
pub fn push(codec: Codec, push: wire::push::Push) -> Frame {
    let push = wire::Push { push: Some(push) };
    codec.encode(&[wire::ServerMessage {
        message: Some(wire::server_message::Message::Push(push)),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";

    fn field(command: Command) -> String {
        let refusal = parse(command, &Limits::default()).expect_err("a refusal");
        refusal
            .details
            .into_iter()
            .find(|(k, _)| *k == "field")
            .map_or(String::new(), |(_, v)| v)
    }

    #[test]
    fn wrong_values_name_their_field() {
        let send = |room: &str, cid: &str| {
            Command::Send(wire::Send {
                room: room.into(),
                cid: cid.into(),
                ..Default::default()
            })
        };
        assert_eq!(field(send("", CID)), "room");
        assert_eq!(field(send("r_1", "")), "cid");
        assert_eq!(
            field(Command::RoomCreate(wire::RoomCreate::default())),
            "kind"
        );
        assert_eq!(
            field(Command::RoomSetRole(wire::RoomSetRole {
                room: "r_1".into(),
                user: "a".into(),
                role: 99,
            })),
            "role"
        );
        let list = wire::RoomList {
            cursor: "x".repeat(300),
            limit: 0,
        };
        assert_eq!(field(Command::RoomList(list)), "cursor");
    }

    #[test]
    fn a_direct_room_names_one_person_and_no_title() {
        let create = |title: &str, members: &[&str]| {
            let mut room = wire::RoomCreate {
                title: title.into(),
                members: members.iter().map(|&m| m.into()).collect(),
                ..Default::default()
            };
            room.set_kind(wire::RoomKind::Direct);
            Command::RoomCreate(room)
        };
        let peer = UserId::parse("bob").expect("an id");
        assert_eq!(
            parse(create("", &["bob"]), &Limits::default()),
            Ok(Request::Write(Write::OpenDirect { peer }))
        );
        assert_eq!(field(create("", &["bob", "eve"])), "members");
        assert_eq!(field(create("us", &["bob"])), "title");
    }

    #[test]
    fn a_page_is_never_larger_than_the_bound() {
        let limits = Limits::default();
        for (asked, given) in [(0, limits.page), (7, 7), (u32::MAX, limits.page)] {
            let list = Command::RoomList(wire::RoomList {
                cursor: String::new(),
                limit: asked,
            });
            let expected = Request::Read(Read::Rooms(None, given as usize));
            assert_eq!(parse(list, &limits), Ok(expected));
        }
    }
}
