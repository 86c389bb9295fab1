//! What the notifier asks of chat and sessions, and the relay of people's settings.

use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::ports::{
    Among, Answer as ChatAnswer, Attendance, Attention, Marks, OptIns, Outbox, Question,
    StoreError as ChatStoreError,
};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_notifier::adapters::sqlite::SqliteStore as NotifyStore;
use kaiwa_notifier::core::router::Seen;
use kaiwa_notifier::event::Place;
use kaiwa_notifier::model::Badge;
use kaiwa_notifier::ports::{Answer, Preferences as _, ReadState, Standee, Standing, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Chat's store and the sessions.
pub(super) struct Standings {
    store: SqliteStore,
    attendance: Arc<dyn Attendance>,
}

impl Standings {
    pub(super) fn new(store: SqliteStore, attendance: Arc<dyn Attendance>) -> Self {
        Self { store, attendance }
    }

    /// How far each is with the message.
    async fn seen(&self, place: &Place, users: &[UserId]) -> Result<Vec<Seen>, StoreError> {
        let mut among = users.to_vec();
        among.sort_unstable();
        among.dedup();
        let question = Question {
            room: place.room.clone(),
            seq: Seq(place.seq),
            message: Seq(place.message),
            // The writer has been left out before.
            sender: None,
            limit: among.len(),
            among: Among::These(among),
        };
        let answers = self.store.candidates(vec![question]).await;
        let unread: BTreeSet<UserId> = answers
            .map_err(unavailable)?
            .into_iter()
            .flatten()
            .collect();
        let epoch = u32::try_from(place.epoch);
        let at = Position {
            epoch: Epoch(epoch.map_err(|_| StoreError::Broken("an epoch".to_owned()))?),
            seq: Seq(place.seq),
        };
        let attention = self.attendance.attention(&place.room, at, users.to_vec());
        let attention = attention.await.map_err(unavailable)?;
        let seen = users.iter().zip(attention).map(|(user, attention)| {
            if !unread.contains(user) {
                return Seen::Read;
            }
            match attention {
                Attention::Looking => Seen::Delivered,
                Attention::Away | Attention::Received | Attention::Returning(_) => Seen::No,
            }
        });
        Ok(seen.collect())
    }
}

impl ReadState for Standings {
    fn standings<'a>(
        &'a self,
        place: Option<&'a Place>,
        people: &'a [Standee],
    ) -> Answer<'a, Vec<Standing>> {
        Box::pin(async move {
            let users: Vec<UserId> = people.iter().map(|standee| standee.user.clone()).collect();
            let seen = match place {
                Some(place) => self.seen(place, &users).await?,
                None => vec![Seen::No; people.len()],
            };
            let each = people.iter();
            let each = each.map(|standee| (standee.user.clone(), standee.uncounted.clone()));
            let totals = self.store.unread_of_each(each.collect());
            let totals = totals.await.map_err(unavailable)?;
            let standings = seen.into_iter().zip(totals).map(|(seen, total)| Standing {
                seen,
                badge: Some(Badge {
                    count: total.count,
                    version: total.version,
                }),
            });
            Ok(standings.collect())
        })
    }
}

fn unavailable(error: ChatStoreError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// Who wants to hear of every message of a large room, by their settings.
pub(super) struct Opted {
    store: NotifyStore,
}

impl Opted {
    pub(super) fn new(store: NotifyStore) -> Self {
        Self { store }
    }
}

impl OptIns for Opted {
    fn opted_in(
        &self,
        room: &RoomId,
        after: Option<UserId>,
        limit: usize,
    ) -> ChatAnswer<Vec<UserId>> {
        let (store, room) = (self.store.clone(), room.clone());
        Box::pin(async move {
            let found = store.opted_in(&room, after.as_ref(), limit).await;
            found.map_err(|_| ChatStoreError::Failed)
        })
    }
}
