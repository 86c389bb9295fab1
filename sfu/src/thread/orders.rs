//! The queue of commands to one shard. It is bounded for all but those that end something: a leave that
//! did not fit would be lost, and whoever was removed would go on to hear and be heard.

use super::Order;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// Orders that wait for one shard. At the bound commands are refused
/// ([`SfuError::Unavailable`](crate::control::SfuError)); a shard takes thousands in a millisecond, so
/// then it hangs. Leaves go beyond it, by as many as there are participants: each leaves once.
const ORDERS: usize = 4_096;

/// TCP connections go no further than this: anybody can open one, and commands are to find room all the same.
const CONNECTIONS: usize = ORDERS / 4;

/// Why an order was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too many wait.
    Full,
    /// The thread has ended.
    Ended,
}

/// Where orders are given.
#[derive(Clone)]
pub(crate) struct Orders {
    sender: Sender<Order>,
    waiting: Arc<AtomicUsize>,
}

/// Where the thread takes them, in the order in which they were given.
pub(crate) struct OrderQueue {
    receiver: Receiver<Order>,
    waiting: Arc<AtomicUsize>,
}

/// A queue's two ends.
pub(crate) fn queue() -> (Orders, OrderQueue) {
    let (sender, receiver) = channel();
    let waiting = Arc::<AtomicUsize>::default();
    let orders = Orders {
        sender,
        waiting: Arc::clone(&waiting),
    };
    (orders, OrderQueue { receiver, waiting })
}

impl Orders {
    /// Gives an order.
    pub(crate) fn put(&self, order: Order) -> Result<(), Refused> {
        let always_fits = matches!(order, Order::Leave(..) | Order::Stop);
        // Nothing else hangs on the count, which may be off by those who give orders just now.
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let bound = if matches!(order, Order::Connection(_)) {
            CONNECTIONS
        } else {
            ORDERS
        };
        let sent = if waiting < bound || always_fits {
            self.sender.send(order).map_err(|_| Refused::Ended)
        } else {
            Err(Refused::Full)
        };
        if sent.is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        sent
    }
}

impl OrderQueue {
    /// The next order.
    pub(super) fn take(&self) -> Result<Order, TryRecvError> {
        let order = self.receiver.try_recv()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Mute, ParticipantId, PublicationId};
    use tokio::sync::oneshot;

    fn mute() -> Order {
        let mute = Mute {
            participant: ParticipantId(1),
            publication: PublicationId(1),
            is_muted: true,
        };
        Order::Mute(mute, oneshot::channel().0)
    }

    fn leave() -> Order {
        Order::Leave(ParticipantId(1), oneshot::channel().0)
    }

    #[test]
    fn a_full_queue_takes_leaves_alone_and_keeps_the_order() {
        let (orders, queue) = queue();
        for _ in 0..ORDERS {
            assert_eq!(orders.put(mute()), Ok(()));
        }
        assert_eq!(orders.put(mute()), Err(Refused::Full));
        assert_eq!(orders.put(leave()), Ok(()));
        assert_eq!(orders.put(Order::Stop), Ok(()));
        for _ in 0..ORDERS {
            assert!(matches!(queue.take(), Ok(Order::Mute(..))));
        }
        assert!(matches!(queue.take(), Ok(Order::Leave(..))));
        assert!(matches!(queue.take(), Ok(Order::Stop)));
        assert_eq!(orders.put(mute()), Ok(()), "there is room again");
    }

    #[test]
    fn an_ended_thread_takes_nothing() {
        let (orders, queue) = queue();
        drop(queue);
        assert_eq!(orders.put(mute()), Err(Refused::Ended));
        assert_eq!(orders.put(leave()), Err(Refused::Ended));
    }
}
