//! One row that cannot be read stops no others.

use crate::metrics;
use rusqlite::Error;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Rows of which it is remembered that they were logged.
const LOGGED: usize = 1_024;

static SEEN: Mutex<BTreeSet<(&str, String)>> = Mutex::new(BTreeSet::new());

/// The row; `None`, counted and logged once, when it cannot be read. `key` names it without saying whose it is.
///
/// # Errors
/// Of the database itself: they are no row's.
pub(super) fn readable<T>(
    table: &'static str,
    key: impl FnOnce() -> String,
    row: rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    match row {
        Ok(row) => Ok(Some(row)),
        Err(error @ Error::SqliteFailure(_, _)) => Err(error),
        Err(error) => {
            metrics::unreadable(table);
            let key = key();
            let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.len() < LOGGED && seen.insert((table, key.clone())) {
                tracing::error!(table, key, %error, "a row can't be read: it is left out");
            }
            Ok(None)
        }
    }
}

/// The start of a hash, of what is not to be seen in logs.
pub(super) fn hashed(parts: &[&[u8]]) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, &parts.join(&b'\n'));
    let start = hash.as_ref().iter().take(8);
    start.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use crate::adapters::sqlite::{SCHEMA, SqliteStore};
    use crate::model::EventId;
    use crate::ports::{Ask, Decisions as _, Devices as _, Preferences as _};
    use kaiwa_common::id::{RoomId, UserId};
    use kaiwa_common::time::UnixMs;
    use rusqlite::Connection;
    use uuid::Uuid;

    fn store(rows: &str) -> SqliteStore {
        let connection = Connection::open_in_memory().expect("a database");
        for migration in SCHEMA.migrations {
            connection.execute_batch(migration).expect("tables");
        }
        connection.execute_batch(rows).expect("rows");
        SqliteStore::inline(connection)
    }

    fn user(name: &str) -> UserId {
        UserId::parse(name).expect("a user id")
    }

    #[tokio::test]
    async fn what_waits_behind_what_cannot_be_read_is_due() {
        let store = store(
            "INSERT INTO notify_held VALUES
                 ('', zeroblob(16), 'k', 1, 0, '', 1), ('bob', x'00', 'k', 2, 0, '', 1),
                 ('bob', zeroblob(16), 'j', 3, 0, '', -1), ('bob', zeroblob(16), 'k', 4, 0, '', 1);",
        );
        // The page is full of what cannot be read; the next one is not.
        assert_eq!(store.due(UnixMs(9), 3).await, Ok(Vec::new()));
        let due = store.due(UnixMs(9), 3).await.expect("an answer");
        let keys: Vec<_> = due.iter().map(|due| due.collapse.as_str()).collect();
        assert_eq!(keys, ["k"]);
    }

    #[tokio::test]
    async fn rows_of_a_person_that_cannot_be_read_leave_the_others() {
        let device = |id: &str, address_key: &str| {
            format!(
                "INSERT INTO notify_devices (id, user, channel, token, address, address_key,
                     address_more, label, registered_ms, enabled, wake_only, strikes, installation)
                 VALUES ({id}, 'bob', 1, {id}, 'https://a/', {address_key}, zeroblob(16), '', 0, 1, 0,
                     0, 'phone');"
            )
        };
        let store = store(&format!(
            "{}{}INSERT INTO notify_rooms VALUES ('bob', '', 0, 0), ('bob', 'r_a', 0, 0),
                 ('', 'r_a', 0, 0), ('a b', 'r_a', 0, 0), ('eve', 'r_a', 0, 0);
             INSERT INTO notify_recent VALUES ('carol', 'r_a', 0, -1);",
            device("x'00000000000000000000000000000001'", "zeroblob(65)"),
            device("x'00000000000000000000000000000002'", "x'00'"),
        ));
        let room = RoomId::parse("r_a").expect("a room id");
        let devices = store.devices(&user("bob")).await.expect("devices");
        assert_eq!(devices.len(), 1);
        let rooms = store.rooms(&user("bob")).await.expect("rooms");
        assert_eq!(rooms.len(), 1);
        // A page is full all the same: a short one would be the last.
        let opted_in = store.opted_in(&room, None, 2).await;
        assert_eq!(opted_in, Ok(vec![user("bob"), user("eve")]));
        let ask = Ask {
            event: EventId(Uuid::nil()),
            room: Some(room),
            takes_away: None,
            users: ["carol", "bob"].map(user).to_vec(),
            now: UnixMs(0),
        };
        let profiles = store.profiles(ask).await.expect("profiles");
        let found = profiles.iter().map(|profile| &profile.recipient);
        let found: Vec<_> = found
            .map(|one| (one.user.as_str(), one.devices.len()))
            .collect();
        assert_eq!(found, [("bob", 1)]);
    }
}
