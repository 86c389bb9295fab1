//! What media threads tell, on its way to the session layer: a bounded queue that nobody waits for.

use crate::metrics::Metrics;
use kaiwa_common::limits::CALL_EVENTS;
use kaiwa_sfu::control::{Event, SfuEvents};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// Below so many free places signals are dropped, so that what lasts still finds one.
const RESERVED: usize = CALL_EVENTS / 4;

/// The media threads' end.
pub struct CallEvents {
    queue: mpsc::Sender<Event>,
    lost: Arc<AtomicBool>,
    metrics: Metrics,
}

/// The session layer's end; given to [`super::service::Calls::start`].
pub struct Inbox {
    pub(super) queue: mpsc::Receiver<Event>,
    lost: Arc<AtomicBool>,
}

/// Both ends of the queue between the SFU and calls.
#[must_use]
pub fn events(metrics: Metrics) -> (Arc<CallEvents>, Inbox) {
    let (sender, receiver) = mpsc::channel(CALL_EVENTS);
    let lost = Arc::new(AtomicBool::new(false));
    let events = CallEvents {
        queue: sender,
        lost: Arc::clone(&lost),
        metrics,
    };
    let inbox = Inbox {
        queue: receiver,
        lost,
    };
    (Arc::new(events), inbox)
}

impl Inbox {
    /// Whether events that last were lost since this was asked last.
    pub(super) fn take_lost(&self) -> bool {
        self.lost.swap(false, Ordering::AcqRel)
    }
}

impl SfuEvents for CallEvents {
    fn handle(&self, event: Event) {
        let is_signal = match event {
            Event::Speakers { .. } | Event::Quality { .. } => true,
            Event::Published { .. }
            | Event::Unpublished { .. }
            | Event::Slots { .. }
            | Event::Connectivity { .. }
            | Event::Gone { .. } => false,
        };
        if is_signal && self.queue.capacity() < RESERVED {
            self.metrics.call_events_lost.increment(1);
            return;
        }
        if self.queue.try_send(event).is_err() {
            self.metrics.call_events_lost.increment(1);
            if !is_signal {
                self.lost.store(true, Ordering::Release);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaiwa_common::id::RoomId;
    use kaiwa_sfu::control::{Connectivity, ParticipantId};

    #[test]
    fn signals_make_room_for_what_lasts_and_a_loss_of_that_is_noted() {
        let (events, mut inbox) = events(Metrics::new());
        let room = RoomId::parse("r").expect("an id");
        let signal = || Event::Speakers {
            room: room.clone(),
            speakers: Vec::new(),
            active: None,
        };
        let lasting = || Event::Connectivity {
            room: room.clone(),
            participant: ParticipantId(1),
            connectivity: Connectivity::Connected,
        };
        for _ in 0..2 * CALL_EVENTS {
            events.handle(signal());
        }
        assert_eq!(events.queue.capacity(), RESERVED - 1);
        assert!(!inbox.take_lost());
        for _ in 0..RESERVED {
            events.handle(lasting());
        }
        assert!(inbox.take_lost());
        assert!(!inbox.take_lost(), "it is said once");
        let mut count = 0;
        while inbox.queue.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, CALL_EVENTS);
    }
}
