//! An SFU without media that keeps the contract of [`SfuControl`]: commands of one participant in their
//! order, events of one room in theirs.

use kaiwa_common::id::RoomId;
use kaiwa_common::time::UnixMs;
use kaiwa_sfu::control::trace::JoinTrace;
use kaiwa_sfu::control::{
    Answer, Event, GoneReason, Join, Mute, Offer, ParticipantId, Pending, Prefer, Publication,
    PublicationId, Rights, SfuControl, SfuError, SfuEvents,
};
use kaiwa_sfu::inspect::{Inspect, RoomReport};
use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Somebody in a room.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    /// Which room.
    pub(crate) room: RoomId,
    /// What they may.
    pub(crate) rights: Rights,
    /// What they publish.
    pub(crate) publications: BTreeMap<PublicationId, Publication>,
    /// How many wishes they have.
    pub(crate) wishes: usize,
}

#[derive(Default)]
struct State {
    inside: BTreeMap<ParticipantId, Inside>,
    joins: u64,
    leaves: u64,
    next_publication: u64,
    is_stuck: bool,
}

/// The double.
pub(crate) struct SfuDouble {
    state: Mutex<State>,
    events: Arc<dyn SfuEvents>,
}

fn now<T: Send + 'static>(result: Result<T, SfuError>) -> Pending<T> {
    Box::pin(ready(result))
}

impl SfuDouble {
    /// Nobody is inside.
    pub(crate) fn new(events: Arc<dyn SfuEvents>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            events,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody inside.
    pub(crate) fn inside(&self) -> BTreeMap<ParticipantId, Inside> {
        self.state().inside.clone()
    }

    /// How often somebody joined, and left.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.joins, state.leaves)
    }

    /// From now on offers are not answered.
    pub(crate) fn stick(&self) {
        self.state().is_stuck = true;
    }

    /// Tells something that nobody asked for.
    pub(crate) fn tell(&self, event: Event) {
        self.events.handle(event);
    }

    /// Somebody's media is gone.
    pub(crate) fn lose(&self, participant: ParticipantId, reason: GoneReason) {
        let gone = self.state().inside.remove(&participant);
        if let Some(inside) = gone {
            self.gone(participant, inside, reason);
        }
    }

    fn gone(&self, participant: ParticipantId, inside: Inside, reason: GoneReason) {
        for publication in inside.publications.into_keys() {
            self.events.handle(Event::Unpublished {
                room: inside.room.clone(),
                publication,
                participant,
            });
        }
        self.events.handle(Event::Gone {
            room: inside.room,
            participant,
            reason,
            trace: None,
            media: None,
        });
    }

    fn answer(&self, offer: &Offer) -> Result<(Answer, Vec<Event>), SfuError> {
        let mut state = self.state();
        let mut next = state.next_publication;
        let inside = state.inside.get_mut(&offer.participant);
        let inside = inside.ok_or(SfuError::NoSuchParticipant)?;
        if !offer.sdp.starts_with("v=0") {
            return Err(SfuError::BadOffer("it begins with v=0".to_owned()));
        }
        let mut events = Vec::new();
        let mut tracks = Vec::new();
        for track in &offer.tracks {
            if !inside.rights.may_publish(track.source) {
                tracks.push((track.mid, Err(SfuError::Forbidden)));
                continue;
            }
            next += 1;
            let publication = Publication {
                id: PublicationId(next),
                participant: offer.participant,
                source: track.source,
                is_muted: track.is_muted,
                layers: 1,
            };
            inside.publications.insert(publication.id, publication);
            events.push(Event::Published {
                room: inside.room.clone(),
                publication,
            });
            tracks.push((track.mid, Ok(publication.id)));
        }
        state.next_publication = next;
        let sdp = "v=0\r\ns=answer\r\n".to_owned();
        let answer = Answer {
            sdp,
            tracks,
            without_codec: Vec::new(),
        };
        Ok((answer, events))
    }

    fn muted(&self, mute: Mute) -> Result<Event, SfuError> {
        let mut state = self.state();
        let inside = state.inside.get_mut(&mute.participant);
        let inside = inside.ok_or(SfuError::NoSuchParticipant)?;
        let publication = inside.publications.get_mut(&mute.publication);
        let publication = publication.ok_or(SfuError::NoSuchPublication)?;
        publication.is_muted = mute.is_muted;
        Ok(Event::Published {
            room: inside.room.clone(),
            publication: *publication,
        })
    }
}

impl SfuControl for SfuDouble {
    fn join(&self, join: Join) -> Pending<()> {
        let mut state = self.state();
        state.joins += 1;
        let inside = Inside {
            room: join.room,
            rights: join.rights,
            publications: BTreeMap::new(),
            wishes: 0,
        };
        let before = state.inside.insert(join.participant, inside);
        assert!(before.is_none(), "an id is used once");
        now(Ok(()))
    }

    fn set_rights(&self, participant: ParticipantId, rights: Rights) -> Pending<()> {
        let (room, ended) = {
            let mut state = self.state();
            let Some(inside) = state.inside.get_mut(&participant) else {
                return now(Err(SfuError::NoSuchParticipant));
            };
            inside.rights = rights;
            let may = |_: &PublicationId, p: &mut Publication| !rights.may_publish(p.source);
            let ended: Vec<_> = inside.publications.extract_if(.., may).collect();
            (inside.room.clone(), ended)
        };
        for (publication, _) in ended {
            self.events.handle(Event::Unpublished {
                room: room.clone(),
                publication,
                participant,
            });
        }
        now(Ok(()))
    }

    fn leave(&self, participant: ParticipantId) -> Pending<()> {
        let gone = {
            let mut state = self.state();
            state.leaves += 1;
            state.inside.remove(&participant)
        };
        if let Some(inside) = gone {
            self.gone(participant, inside, GoneReason::Left);
        }
        now(Ok(()))
    }

    fn offer(&self, offer: Offer) -> Pending<Answer> {
        if self.state().is_stuck {
            return Box::pin(pending());
        }
        let answered = self.answer(&offer).map(|(answer, events)| {
            events
                .into_iter()
                .for_each(|event| self.events.handle(event));
            answer
        });
        now(answered)
    }

    fn prefer(&self, prefer: Prefer) -> Pending<()> {
        let mut state = self.state();
        let inside = state.inside.get_mut(&prefer.participant);
        now(inside
            .map(|inside| inside.wishes = prefer.wishes.len())
            .ok_or(SfuError::NoSuchParticipant))
    }

    fn mute(&self, mute: Mute) -> Pending<()> {
        now(self.muted(mute).map(|event| self.events.handle(event)))
    }

    fn trace(&self, participant: ParticipantId) -> Pending<JoinTrace> {
        let state = self.state();
        let inside = state.inside.get(&participant);
        let trace = inside.map(|_| JoinTrace::default());
        now(trace.ok_or(SfuError::NoSuchParticipant))
    }

    fn inspect(&self, _: Inspect) -> Pending<RoomReport> {
        now(Ok(RoomReport {
            at: UnixMs(0),
            participants: Vec::new(),
        }))
    }
}
