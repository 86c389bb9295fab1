//! Values to and from columns.

use crate::model::{Membership, Role, RoomKind, Visibility};
use crate::ports::{Part, WriteKind};
use crate::wire;
use kaiwa_common::id::{InvalidId, UserId};
use kaiwa_common::position::Seq;
use kaiwa_proto::client::v1 as proto;
use rusqlite::Row;
use rusqlite::types::Type;

pub(super) fn kind_number(kind: RoomKind) -> i32 {
    proto::RoomKind::from(kind).into()
}

pub(super) fn visibility_number(visibility: Visibility) -> i32 {
    proto::Visibility::from(visibility).into()
}

pub(super) fn membership_number(membership: Membership) -> i32 {
    proto::Membership::from(membership).into()
}

pub(super) fn role_number(role: Role) -> i32 {
    proto::Role::from(role).into()
}

pub(super) const fn write_number(kind: WriteKind) -> i32 {
    match kind {
        WriteKind::Send => 1,
        WriteKind::Edit => 2,
        WriteKind::Delete => 3,
        WriteKind::Create => 4,
        WriteKind::PostClip => 5,
    }
}

pub(super) fn write_kind(row: &Row<'_>, index: usize) -> rusqlite::Result<WriteKind> {
    match row.get(index)? {
        1 => Ok(WriteKind::Send),
        2 => Ok(WriteKind::Edit),
        3 => Ok(WriteKind::Delete),
        4 => Ok(WriteKind::Create),
        5 => Ok(WriteKind::PostClip),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(index, other)),
    }
}

/// A column with one of the wire's enumerations.
pub(super) fn number<T>(
    row: &Row<'_>,
    index: usize,
    from: impl Fn(i32) -> Option<T>,
) -> rusqlite::Result<T> {
    let number: i32 = row.get(index)?;
    from(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(
        index,
        number.into(),
    ))
}

/// Two columns with somebody's part, or two NULLs.
pub(super) fn part(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Part>> {
    if row.get_ref(index)?.data_type() == Type::Null {
        return Ok(None);
    }
    let membership = number(row, index, wire::membership)?;
    let role = number(row, index + 1, wire::role)?;
    Ok(Some(Part { membership, role }))
}

pub(super) fn user_id(text: &str) -> rusqlite::Result<UserId> {
    UserId::parse(text).map_err(invalid)
}

pub(super) fn invalid(error: InvalidId) -> rusqlite::Error {
    damaged(error)
}

/// What is stored is not what was ever written.
pub(super) fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error))
}

/// A seq for a column.
pub(super) fn seq_number(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

/// A seq from a column.
pub(super) fn seq(row: &Row<'_>, index: usize) -> rusqlite::Result<Seq> {
    let number: i64 = row.get(index)?;
    u64::try_from(number)
        .map(Seq)
        .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, number))
}
