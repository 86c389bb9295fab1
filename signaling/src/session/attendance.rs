//! Who is here, for whoever tells those who are not.

use super::Session;
use super::core::attention::Presence;
use super::registry::Sessions;
use kaiwa_chat::ports::{Answer, Attendance, Attention};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::position::Position;
use kaiwa_common::time::UnixMs;
use std::sync::Arc;
use std::time::Instant;

/// The people whose sessions are on this node.
pub struct Present {
    sessions: Arc<Sessions>,
    clock: fn() -> UnixMs,
}

impl Present {
    /// Those of these sessions, by this wall clock.
    #[must_use]
    pub fn new(sessions: Arc<Sessions>, clock: fn() -> UnixMs) -> Self {
        Self { sessions, clock }
    }

    fn of(&self, user: &UserId, room: &RoomId, at: Position) -> Attention {
        let now = tokio::time::Instant::now().into_std();
        let wall = (self.clock)();
        let sessions = self.sessions.of(user);
        let stands = sessions
            .iter()
            .map(|s| attention(s, (room, at), (now, wall)));
        stands.max_by_key(rank).unwrap_or(Attention::Away)
    }
}

impl Attendance for Present {
    fn attention(&self, room: &RoomId, at: Position, users: Vec<UserId>) -> Answer<Vec<Attention>> {
        let attention = users.iter().map(|user| self.of(user, room, at)).collect();
        Box::pin(std::future::ready(Ok(attention)))
    }
}

/// How one session stands to an event.
fn attention(
    session: &Session,
    (room, at): (&RoomId, Position),
    (now, wall): (Instant, UnixMs),
) -> Attention {
    let (has, was_pushed) = {
        let follows = session.follows();
        let Ok(index) = follows.binary_search_by(|(r, _)| r.cmp(room)) else {
            return Attention::Away;
        };
        let follow = &follows[index].1;
        (follow.has_acknowledged(at), follow.has_pushed(at))
    };
    let core = session.core();
    match core.presence(now) {
        Presence::Here {
            is_looking,
            is_trusted,
        } => {
            let has = has || (is_trusted && was_pushed && core.is_handed_over());
            match (has, is_looking) {
                (true, true) => Attention::Looking,
                (true, false) => Attention::Received,
                (false, _) => Attention::Away,
            }
        }
        // Acknowledged, and then the connection broke: it was seen.
        Presence::Returning(_) if has => Attention::Looking,
        Presence::Returning(until) => Attention::Returning(wall.plus(until - now)),
        Presence::Gone => Attention::Away,
    }
}

/// Which of a person's sessions counts.
fn rank(attention: &Attention) -> u8 {
    match attention {
        Attention::Away => 0,
        Attention::Received => 1,
        Attention::Returning(_) => 2,
        Attention::Looking => 3,
    }
}
