//! The table of `docs/protocol.md`, section 6, as data, and every cell of it tried.

use super::*;
use crate::model::RoomKind::{Broadcast, Direct, Group};
use crate::model::Visibility::{Private, Public};

/// Who stands before the room, in the columns' order.
const WHO: [&str; 8] = [
    "owner",
    "moderator",
    "member",
    "guest",
    "invited",
    "outsider",
    "admin-member",
    "viewer-owner",
];

fn viewer(who: &str) -> Viewer {
    let joined = |role| {
        Some(Part {
            membership: Membership::Joined,
            role,
        })
    };
    let (server, part) = match who {
        "owner" => (ServerRole::Creator, joined(Role::Owner)),
        "moderator" => (ServerRole::Creator, joined(Role::Moderator)),
        "member" => (ServerRole::Creator, joined(Role::Member)),
        "guest" => (ServerRole::Creator, joined(Role::Guest)),
        "invited" => {
            let invited = Part {
                membership: Membership::Invited,
                role: Role::Member,
            };
            (ServerRole::Creator, Some(invited))
        }
        "outsider" => (ServerRole::Creator, None),
        "admin-member" => (ServerRole::Admin, joined(Role::Member)),
        "viewer-owner" => (ServerRole::Viewer, joined(Role::Owner)),
        other => panic!("{other}"),
    };
    Viewer { server, part }
}

/// One letter for each outcome: yes, forbidden, not a member, room not found, wrong kind.
fn letter(result: Result<(), ChatError>) -> char {
    match result {
        Ok(()) => 'y',
        Err(ChatError::Forbidden { .. }) => 'f',
        Err(ChatError::NotAMember) => 'n',
        Err(ChatError::RoomNotFound) => '-',
        Err(ChatError::WrongRoomKind) => 'w',
        Err(other) => panic!("{other:?}"),
    }
}

type Rule = fn(Viewer, Door) -> Result<(), ChatError>;

/// The rows: for a private group, a private broadcast room, a direct room, a public group. The
/// letters: for each of [`WHO`].
#[rustfmt::skip]
const TABLE: [(&str, Rule, [&str; 4]); 13] = [
    ("read",             |v, d| may_read(v, d.visibility).map(drop), ["yyyyn-yy", "yyyyn-yy", "yyyyn-yy", "yyyynnyy"]),
    ("send",             may_send,                                   ["yyyfn-yf", "yyffn-yf", "yyyyn-yf", "yyyfnnyf"]),
    ("edit own",         |v, d| may_edit(v, d, true),                ["yyyfn-yf", "yyffn-yf", "yyyyn-yf", "yyyfnnyf"]),
    ("edit other's",     |v, d| may_edit(v, d, false),               ["ffffn-ff", "ffffn-ff", "ffffn-ff", "ffffnnff"]),
    ("delete own",       |v, d| may_delete(v, d, true),              ["yyyyn-yf", "yyyyn-yf", "yyyyn-yf", "yyyynnyf"]),
    ("delete other's",   |v, d| may_delete(v, d, false),             ["yyffn-yf", "yyffn-yf", "yyffn-yf", "yyffnnyf"]),
    ("join",             may_join,                                   ["yyyyy-yy", "yyyyy-yy", "yyyyy-yy", "yyyyyyyy"]),
    ("invite",           may_invite,                                 ["yyyfn-yf", "yyffn-yf", "wwwwn-wf", "yyyfnnyf"]),
    ("remove guest",     |v, d| may_remove(v, d, Role::Guest),       ["yyffn-yf", "yyffn-yf", "wwwwn-wf", "yyffnnyf"]),
    ("remove member",    |v, d| may_remove(v, d, Role::Member),      ["yyffn-yf", "yyffn-yf", "wwwwn-wf", "yyffnnyf"]),
    ("remove moderator", |v, d| may_remove(v, d, Role::Moderator),   ["yfffn-ff", "yfffn-ff", "wwwwn-wf", "yfffnnff"]),
    ("remove owner",     |v, d| may_remove(v, d, Role::Owner),       ["yfffn-ff", "yfffn-ff", "wwwwn-wf", "yfffnnff"]),
    ("set role",         may_set_role,                               ["yfffn-ff", "yfffn-ff", "wwwwn-wf", "yfffnnff"]),
];

#[test]
fn the_table_of_who_may_do_what_holds_in_every_cell() {
    let rooms = [
        (Group, Private),
        (Broadcast, Private),
        (Direct, Private),
        (Group, Public),
    ];
    for (what, rule, rows) in TABLE {
        for ((kind, visibility), row) in rooms.into_iter().zip(rows) {
            let door = Door { kind, visibility };
            let found: String = WHO
                .iter()
                .map(|who| letter(rule(viewer(who), door)))
                .collect();
            assert_eq!(
                found, row,
                "{what} in a {visibility:?} {kind:?}, of {WHO:?}"
            );
        }
    }
}

#[test]
fn an_admin_outside_sees_every_room_and_joins_all_but_the_rooms_of_pairs() {
    let admin = Viewer {
        server: ServerRole::Admin,
        part: None,
    };
    let door = |kind| Door {
        kind,
        visibility: Private,
    };
    assert_eq!(may_see(admin, Private), Ok(()));
    assert_eq!(may_read(admin, Private), Err(ChatError::NotAMember));
    assert_eq!(may_join(admin, door(Group)), Ok(()));
    assert_eq!(may_join(admin, door(Direct)), Err(ChatError::WrongRoomKind));
    assert_eq!(may_send(admin, door(Group)), Err(ChatError::NotAMember));
}

#[test]
fn a_viewer_creates_nothing() {
    assert!(may_create(ServerRole::Viewer).is_err());
    assert!(may_create(ServerRole::Creator).is_ok() && may_create(ServerRole::Admin).is_ok());
}
