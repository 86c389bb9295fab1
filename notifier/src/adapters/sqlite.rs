//! Everything in the one SQLite database: the notifier's tables beside those of others.

mod columns;
mod db;
mod decisions;
mod devices;
mod ledger;
mod preferences;
mod readable;
mod schema;

pub use schema::SCHEMA;

use crate::core::settings::{Device, DeviceSettings, PersonChange, PersonSettings, RoomSettings};
use crate::model::{DeviceId, EventId};
use crate::ports::{
    Answer, Ask, Claim, Claimed, Decisions, Devices, Due, Explained, Ledger, Preferences, Profile,
    Record, Registered, Registration, Settled,
};
use db::Db;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::time::UnixMs;
use kaiwa_platform::sqlite::{OpenError, Sqlite};
use rusqlite::Connection;
use std::sync::{Arc, Mutex};

/// About what a row adds to the database, for the writer's groups.
const ROW_BYTES: usize = 256;

/// The notifier's store in a SQLite database. Cheap to clone.
#[derive(Clone)]
pub struct SqliteStore {
    db: Db,
}

impl SqliteStore {
    /// In a database that others may use as well; brings the notifier's tables up to date.
    ///
    /// # Errors
    /// [`OpenError`]: a newer version wrote them, or the database takes no writes.
    pub async fn open(sqlite: Sqlite) -> Result<Self, OpenError> {
        sqlite.migrate(SCHEMA).await?;
        Ok(Self {
            db: Db::Shared(sqlite),
        })
    }

    /// On a connection of its own, whose statements run on the caller's thread.
    #[doc(hidden)]
    #[must_use]
    pub fn inline(connection: Connection) -> Self {
        Self {
            db: Db::Own(Arc::new(Mutex::new(connection))),
        }
    }
}

impl Devices for SqliteStore {
    fn register(&self, registration: Registration) -> Answer<'_, Registered> {
        self.db.write(ROW_BYTES, move |connection| {
            devices::register(connection, &registration)
        })
    }

    fn in_flight(&self, device: DeviceId, now: UnixMs) -> Answer<'_, Option<UnixMs>> {
        self.db
            .read(move |connection| devices::in_flight(connection, device, now))
    }

    fn devices(&self, user: &UserId) -> Answer<'_, Vec<Device>> {
        let user = user.clone();
        self.db
            .read(move |connection| devices::of_user(connection, &user))
    }

    fn remove(&self, user: &UserId, device: DeviceId) -> Answer<'_, bool> {
        let user = user.clone();
        self.db.write(ROW_BYTES, move |connection| {
            devices::remove(connection, &user, device)
        })
    }

    fn set_device(
        &self,
        user: &UserId,
        device: DeviceId,
        settings: DeviceSettings,
    ) -> Answer<'_, bool> {
        let user = user.clone();
        self.db.write(ROW_BYTES, move |connection| {
            devices::set(connection, &user, device, &settings)
        })
    }
}

impl Preferences for SqliteStore {
    fn person(&self, user: &UserId) -> Answer<'_, PersonSettings> {
        let user = user.clone();
        self.db
            .read(move |connection| preferences::person(connection, &user))
    }

    fn set_person(&self, user: &UserId, settings: PersonSettings) -> Answer<'_, ()> {
        let user = user.clone();
        self.db.write(ROW_BYTES, move |connection| {
            preferences::set_person(connection, &user, settings)
        })
    }

    fn change_person(&self, user: &UserId, change: PersonChange) -> Answer<'_, ()> {
        let user = user.clone();
        self.db.write(ROW_BYTES, move |connection| {
            // The one writer: nothing comes between the two.
            let before = preferences::person(connection, &user)?;
            preferences::set_person(connection, &user, change.of(before))
        })
    }

    fn rooms(&self, user: &UserId) -> Answer<'_, Vec<(RoomId, RoomSettings)>> {
        let user = user.clone();
        self.db
            .read(move |connection| preferences::rooms(connection, &user))
    }

    fn set_room(
        &self,
        user: &UserId,
        room: &RoomId,
        settings: Option<RoomSettings>,
    ) -> Answer<'_, bool> {
        let (user, room) = (user.clone(), room.clone());
        self.db.write(ROW_BYTES, move |connection| {
            preferences::set_room(connection, &user, &room, settings)
        })
    }

    fn settings_version(&self, user: &UserId) -> Answer<'_, u64> {
        let user = user.clone();
        self.db
            .read(move |connection| preferences::version(connection, &user))
    }

    fn opted_in(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Answer<'_, Vec<UserId>> {
        let (room, after) = (room.clone(), after.cloned());
        self.db
            .read(move |connection| preferences::opted_in(connection, &room, after.as_ref(), limit))
    }
}

impl Decisions for SqliteStore {
    fn profiles(&self, ask: Ask) -> Answer<'_, Vec<Profile>> {
        self.db
            .read(move |connection| decisions::profiles(connection, &ask))
    }

    fn call_over(&self, users: Vec<UserId>, key: String, now: UnixMs) -> Answer<'_, ()> {
        self.db.write(ROW_BYTES * users.len(), move |connection| {
            decisions::call_over(connection, &users, &key, now)
        })
    }

    fn record(&self, records: Vec<Record>, released: Vec<Due>) -> Answer<'_, ()> {
        self.db
            .write(2 * ROW_BYTES * records.len(), move |connection| {
                decisions::record(connection, &records, &released)
            })
    }

    fn due(&self, now: UnixMs, limit: usize) -> Answer<'_, Vec<Due>> {
        let db = self.db.clone();
        Box::pin(async move {
            let look = db.read(move |connection| decisions::due(connection, now, limit));
            let (due, unreadable) = look.await?;
            if !unreadable.is_empty() {
                // Otherwise they would be the first of each look, and in time all of it.
                let bytes = ROW_BYTES * unreadable.len();
                db.write(bytes, move |connection| {
                    decisions::give_up(connection, &unreadable)
                })
                .await?;
            }
            Ok(due)
        })
    }

    fn explain(&self, event: EventId, user: &UserId) -> Answer<'_, Option<Explained>> {
        let user = user.clone();
        self.db
            .read(move |connection| decisions::explain(connection, event, &user))
    }

    fn decided(&self, event: EventId, limit: usize) -> Answer<'_, Vec<(UserId, Explained)>> {
        self.db
            .read(move |connection| decisions::decided(connection, event, limit))
    }

    fn recent(&self, user: &UserId, limit: usize) -> Answer<'_, Vec<Explained>> {
        let user = user.clone();
        self.db
            .read(move |connection| decisions::recent_of(connection, &user, limit))
    }

    fn trim(&self, now: UnixMs) -> Answer<'_, usize> {
        self.db.write(ROW_BYTES, move |connection| {
            decisions::trim(connection, now)
        })
    }
}

impl Ledger for SqliteStore {
    fn claim(&self, claim: Claim) -> Answer<'_, Vec<Claimed>> {
        self.db
            .write(2 * ROW_BYTES * claim.devices.len(), move |connection| {
                ledger::claim(connection, &claim)
            })
    }

    fn settle(&self, settled: Vec<Settled>) -> Answer<'_, ()> {
        self.db.write(ROW_BYTES * settled.len(), move |connection| {
            ledger::settle(connection, &settled)
        })
    }
}
