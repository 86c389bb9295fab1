//! What people read.

use super::columns::{damaged, part};
use super::facts::{ROOM_COLUMNS, RoomRow, clip_now, named, part_in, standing};
use super::marks;
use super::schema::{key_up_to, seq_of};
use crate::core::page::{PageBytes, Take};
use crate::model::{
    Event, EventBody, HistoryFrom, HistoryPage, Member, Membership, Mentions, Message, Page, Role,
    RoomInfo, RoomKind, Unread, User,
};
use crate::ports::{LogRange, LogSlice, PageOf, Part, RoomList, Standing};
use crate::wire::stored;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

pub(super) fn read_logs(
    connection: &Connection,
    user: &UserId,
    ranges: &[LogRange],
) -> rusqlite::Result<Vec<LogSlice>> {
    let mut bytes = PageBytes::default();
    let mut slices = Vec::with_capacity(ranges.len());
    for range in ranges {
        let Some((no, standing)) = standing(connection, user, &range.room)? else {
            slices.push(LogSlice {
                standing: None,
                events: Vec::new(),
            });
            continue;
        };
        let events = if range.after >= standing.head.seq {
            Vec::new()
        } else {
            read_log(connection, no, standing.head.epoch, range, &mut bytes)?
        };
        slices.push(LogSlice {
            standing: Some(standing),
            events,
        });
    }
    Ok(slices)
}

fn read_log(
    connection: &Connection,
    no: i64,
    epoch: Epoch,
    range: &LogRange,
    bytes: &mut PageBytes,
) -> rusqlite::Result<Vec<Event>> {
    let mut select = connection.prepare_cached(
        "SELECT e.key, l.event
         FROM (SELECT key, pos FROM messages WHERE key > ?1 AND key <= ?2
               UNION ALL SELECT key, pos FROM changes WHERE key > ?1 AND key <= ?2
               ORDER BY key LIMIT ?3) e
         JOIN log l ON l.pos = e.pos ORDER BY e.key",
    )?;
    let bounds = [
        key_up_to(no, range.after),
        key_up_to(no, Seq(u64::MAX)),
        sql_limit(range.limit),
    ];
    let mut rows = select.query(bounds)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let blob = row.get_ref(1)?.as_blob()?;
        if bytes.take(blob.len()) == Take::Enough {
            break;
        }
        let position = Position {
            epoch,
            seq: seq_of(row.get(0)?),
        };
        events.push(stored::decode(&range.room, position, blob).map_err(damaged)?);
    }
    Ok(events)
}

/// The columns that [`message`] reads.
const MESSAGE_COLUMNS: &str = "m.key, l.event, e.event, m.edited_seq, m.edited_ms, m.deleted_seq, \
     m.deleted_ms, c.event";

/// Where they come from: a message, its event, that of its last edit, and that of its clip's last change.
const MESSAGES: &str = "messages m JOIN log l ON l.pos = m.pos LEFT JOIN log e ON e.pos = m.edited_pos \
     LEFT JOIN log c ON c.pos = m.clip_pos";

fn message(
    connection: &Connection,
    room: &RoomId,
    epoch: Epoch,
    row: &Row<'_>,
) -> rusqlite::Result<Message> {
    let position = Position {
        epoch,
        seq: seq_of(row.get(0)?),
    };
    let event = stored::decode(room, position, row.get_ref(1)?.as_blob()?).map_err(damaged)?;
    let EventBody::Posted {
        text: posted,
        reply_to,
        mentions,
        clip,
    } = event.body
    else {
        return Err(rusqlite::Error::InvalidQuery);
    };
    let edited = at(row, 3)?;
    let deleted = at(row, 5)?;
    let (text, mentions) = match (deleted, edited) {
        (Some(_), _) => (None, Mentions::default()),
        (None, Some((seq, _))) => {
            let position = Position { epoch, seq };
            let edit = stored::decode(room, position, row.get_ref(2)?.as_blob()?);
            match edit.map_err(damaged)?.body {
                EventBody::Edited { text, mentions, .. } => (text, mentions),
                EventBody::Posted { .. }
                | EventBody::ClipChanged { .. }
                | EventBody::Deleted { .. }
                | EventBody::Member { .. }
                | EventBody::Created { .. } => return Err(rusqlite::Error::InvalidQuery),
            }
        }
        (None, None) => (posted, mentions),
    };
    let clip = match deleted {
        Some(_) => None,
        None => clip_now(room, position, clip, row.get_ref(7)?)?,
    };
    let name = name_of(connection, &event.sender)?;
    let sender = User {
        id: event.sender,
        name,
    };
    Ok(Message {
        seq: position.seq,
        sender,
        cid: event.cid,
        time: event.time,
        text,
        reply_to,
        edited,
        deleted,
        mentions,
        clip,
    })
}

/// Two columns with a seq and a time, or two NULLs.
fn at(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<(Seq, UnixMs)>> {
    let seq: Option<i64> = row.get(index)?;
    let time: Option<i64> = row.get(index + 1)?;
    let seq = seq.and_then(|seq| u64::try_from(seq).ok()).map(Seq);
    Ok(seq.zip(time.map(UnixMs)))
}

pub(super) fn name_of(
    connection: &Connection,
    user: &UserId,
) -> rusqlite::Result<Redacted<String>> {
    let name: Option<String> = connection
        .prepare_cached("SELECT name FROM users WHERE id = ?1")?
        .query_row([user.as_str()], |row| row.get(0))
        .optional()?;
    Ok(Redacted(name.unwrap_or_default()))
}

/// The newest message of a room.
pub(super) fn newest(
    connection: &Connection,
    room: &RoomId,
    no: i64,
    epoch: Epoch,
) -> rusqlite::Result<Option<Message>> {
    connection
        .prepare_cached(&format!(
            "SELECT {MESSAGE_COLUMNS} FROM {MESSAGES}
             WHERE m.key > ?1 AND m.key <= ?2 ORDER BY m.key DESC LIMIT 1"
        ))?
        .query_row(
            [key_up_to(no, Seq::ZERO), key_up_to(no, Seq(u64::MAX))],
            |row| message(connection, room, epoch, row),
        )
        .optional()
}

pub(super) fn history(
    connection: &Connection,
    user: &UserId,
    room: &RoomId,
    from: HistoryFrom,
    limit: usize,
) -> rusqlite::Result<Option<(Standing, HistoryPage)>> {
    let Some((no, standing)) = standing(connection, user, room)? else {
        return Ok(None);
    };
    // Keys of this room's messages between these two, both excluded.
    let (after, before, order) = match from {
        HistoryFrom::Newest => (Seq::ZERO, Seq(u64::MAX), "DESC"),
        HistoryFrom::Before(seq) => (Seq::ZERO, seq, "DESC"),
        HistoryFrom::After(seq) => (seq, Seq(u64::MAX), "ASC"),
    };
    let mut select = connection.prepare_cached(&format!(
        "SELECT {MESSAGE_COLUMNS} FROM {MESSAGES}
         WHERE m.key > ?1 AND m.key < ?2 ORDER BY m.key {order} LIMIT ?3"
    ))?;
    let bounds = [
        key_up_to(no, after),
        key_up_to(no, before),
        sql_limit(limit + 1),
    ];
    let mut rows = select.query(bounds)?;
    let mut bytes = PageBytes::default();
    let mut messages = Vec::new();
    let mut more = false;
    while let Some(row) = rows.next()? {
        let message = message(connection, room, standing.head.epoch, row)?;
        let size = message.text.as_ref().map_or(0, |text| text.0.len());
        if messages.len() == limit || bytes.take(size) == Take::Enough {
            more = true;
            break;
        }
        messages.push(message);
    }
    if order == "DESC" {
        messages.reverse();
    }
    let Position { epoch, seq: as_of } = standing.head;
    Ok(Some((
        standing,
        HistoryPage {
            epoch,
            messages,
            as_of,
            more,
        },
    )))
}

pub(super) fn view(
    connection: &Connection,
    user: &UserId,
    room: &RoomId,
) -> rusqlite::Result<Option<RoomInfo>> {
    let Some(row) = RoomRow::of(connection, room)? else {
        return Ok(None);
    };
    let part = part_in(connection, row.no, user)?;
    info(connection, user, room, row, part).map(Some)
}

/// A room as somebody with this part in it sees it.
fn info(
    connection: &Connection,
    user: &UserId,
    room: &RoomId,
    RoomRow { no, record }: RoomRow,
    part: Option<Part>,
) -> rusqlite::Result<RoomInfo> {
    let membership = part.map_or(Membership::Left, |part| part.membership);
    let last = match membership {
        Membership::Joined => newest(connection, room, no, record.head.epoch)?,
        Membership::Invited | Membership::Left => None,
    };
    let unread = match membership {
        Membership::Joined => marks::unread(connection, no, user)?,
        Membership::Invited | Membership::Left => Unread::default(),
    };
    let peer = match record.kind {
        RoomKind::Direct => peer(connection, no, user)?,
        RoomKind::Group | RoomKind::Broadcast => None,
    };
    Ok(RoomInfo {
        room: room.clone(),
        kind: record.kind,
        title: record.title,
        visibility: record.visibility,
        created: record.created,
        head: record.head,
        members: record.counts.joined,
        membership,
        role: part.map_or(Role::Guest, |part| part.role),
        peer,
        last,
        unread,
    })
}

fn peer(connection: &Connection, no: i64, user: &UserId) -> rusqlite::Result<Option<User>> {
    connection
        .prepare_cached(
            "SELECT m.user, u.name FROM members m LEFT JOIN users u ON u.id = m.user
             WHERE m.room = ?1 AND m.user <> ?2 ORDER BY m.user LIMIT 1",
        )?
        .query_row(params![no, user.as_str()], |row| named(row, 0))
        .optional()
}

pub(super) fn rooms(
    connection: &Connection,
    user: &UserId,
    list: RoomList,
    page: &PageOf,
) -> rusqlite::Result<Page<RoomInfo>> {
    // The cursor is the number of the last room shown; newer rooms have greater ones.
    let before = match &page.after {
        None => i64::MAX,
        Some(cursor) => cursor.parse().map_err(damaged)?,
    };
    let from = match list {
        RoomList::Own => {
            "members m CROSS JOIN rooms r ON r.no = m.room WHERE m.user = ?1 AND m.room < ?2
             ORDER BY m.room DESC"
        }
        RoomList::Public => {
            "rooms r LEFT JOIN members m ON m.room = r.no AND m.user = ?1
             WHERE r.visibility = 2 AND r.no < ?2 ORDER BY r.no DESC"
        }
    };
    let mut select = connection.prepare_cached(&format!(
        "SELECT {ROOM_COLUMNS}, m.membership, m.role FROM {from} LIMIT ?3"
    ))?;
    let mut rows = select.query(params![user.as_str(), before, sql_limit(page.limit + 1)])?;
    let mut bytes = PageBytes::default();
    let mut shown = Page {
        items: Vec::new(),
        next: None,
    };
    let mut last_no = 0;
    while let Some(row) = rows.next()? {
        let id = RoomId::parse(row.get_ref(1)?.as_str()?).map_err(damaged)?;
        let own = part(row, RoomRow::WIDTH)?;
        let room = RoomRow::read(row)?;
        let no = room.no;
        let info = info(connection, user, &id, room, own)?;
        let text = info.last.as_ref().and_then(|last| last.text.as_ref());
        if shown.items.len() == page.limit
            || bytes.take(text.map_or(0, |text| text.0.len())) == Take::Enough
        {
            shown.next = Some(last_no.to_string());
            break;
        }
        shown.items.push(info);
        last_no = no;
    }
    Ok(shown)
}

pub(super) fn members(
    connection: &Connection,
    user: &UserId,
    room: &RoomId,
    page: &PageOf,
) -> rusqlite::Result<Option<(Standing, Page<Member>)>> {
    let Some((no, standing)) = standing(connection, user, room)? else {
        return Ok(None);
    };
    let mut select = connection.prepare_cached(
        "SELECT m.user, u.name, m.membership, m.role
         FROM members m LEFT JOIN users u ON u.id = m.user
         WHERE m.room = ?1 AND m.user > ?2 ORDER BY m.user LIMIT ?3",
    )?;
    let after = page.after.as_deref().unwrap_or_default();
    let mut rows = select.query(params![no, after, sql_limit(page.limit + 1)])?;
    let mut shown: Page<Member> = Page {
        items: Vec::new(),
        next: None,
    };
    while let Some(row) = rows.next()? {
        if shown.items.len() == page.limit {
            shown.next = shown.items.last().map(|member| member.user.id.to_string());
            break;
        }
        let Some(Part { membership, role }) = part(row, 2)? else {
            continue;
        };
        shown.items.push(Member {
            user: named(row, 0)?,
            membership,
            role,
        });
    }
    Ok(Some((standing, shown)))
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
