//! The thread where TCP connections wait until it is known whose they are, so that strangers cost those who are in
//! calls nothing: the shards' threads see a connection with its first check, and keep it if that is authentic.

use super::{Order, Orders};
use crate::core::lobby::{Lobby, Ticket};
use crate::metrics::{Arrivals, Refused};
use crate::net::poll::{Poller, StreamToken, Waker};
use crate::net::tcp;
use crate::shard::shard_of;
use crate::wire::framing::LENGTH_BYTES;
use crate::wire::stun::{Class, Message, Method};
use kaiwa_common::address::subscriber;
use kaiwa_common::limits::{MEDIA_TCP_FIRST_BYTES, MEDIA_TCP_INBOX};
use std::io::{self, Read as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Connections that one listener gives in one turn.
const ACCEPTS: usize = 64;

/// Numbers of listeners for the poller; those of connections come after them.
const LISTENERS: u64 = 256;

/// After an accept that failed for want of descriptors: time for some to return.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A binding request without its length: type, and the magic cookie behind another length (RFC 8489, section 5).
const REQUEST: [u8; 2] = [0x00, 0x01];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const COOKIE_AT: usize = LENGTH_BYTES + 4;

/// A STUN message's shortest length.
const HEADER_BYTES: usize = 20;

/// A connection that said whose it is, with all that came on it.
pub(crate) struct Arrival {
    pub(crate) socket: TcpStream,
    pub(crate) bytes: Vec<u8>,
}

/// Where other threads leave connections that begin as media does.
pub(crate) struct Door {
    inbox: SyncSender<TcpStream>,
    waker: Waker,
    is_closed: Arc<AtomicBool>,
    arrivals: Arrivals,
}

impl Door {
    /// Takes a connection of which nothing was read yet. One for which there is no room is closed.
    pub(crate) fn take(&self, socket: TcpStream) {
        if self.inbox.try_send(socket).is_err() {
            self.arrivals.refused(Refused::Busy);
        }
        self.waker.wake();
    }

    /// Ends the thread, and with it the connections that wait.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// What the thread takes with it.
pub(crate) struct LobbySetup {
    listeners: Vec<TcpListener>,
    poller: Poller,
    inbox: Receiver<TcpStream>,
    is_closed: Arc<AtomicBool>,
    arrivals: Arrivals,
}

/// What the kernel said of a connection's bytes, and what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Not all yet.
    Partly,
    /// It is for this shard.
    For(usize),
    /// It can't be used.
    Nothing(Refused),
}

struct Guest {
    socket: TcpStream,
    bytes: Vec<u8>,
}

impl LobbySetup {
    /// With these listeners, and a way in for connections from elsewhere.
    pub(crate) fn open(
        listeners: Vec<TcpListener>,
        arrivals: Arrivals,
    ) -> io::Result<(Self, Door)> {
        let mut poller = Poller::new()?;
        for (token, listener) in (0..LISTENERS).map(StreamToken).zip(&listeners) {
            poller.add_stream(token, listener)?;
        }
        let (sender, inbox) = sync_channel(MEDIA_TCP_INBOX);
        let is_closed = Arc::<AtomicBool>::default();
        let door = Door {
            inbox: sender,
            waker: poller.waker(),
            is_closed: Arc::clone(&is_closed),
            arrivals: arrivals.clone(),
        };
        let setup = Self {
            listeners,
            poller,
            inbox,
            is_closed,
            arrivals,
        };
        Ok((setup, door))
    }

    /// Lets connections through to the shards until it is closed.
    pub(crate) fn run(self, shards: Vec<(Orders, Waker)>) {
        let mut thread = Thread {
            setup: self,
            shards,
            lobby: Lobby::default(),
        };
        while !thread.setup.is_closed.load(Ordering::Acquire) {
            if let Err(error) = thread.turn() {
                tracing::error!(%error, "TCP connections for media can't be waited for; there are no new ones");
                return;
            }
        }
    }
}

struct Thread {
    setup: LobbySetup,
    shards: Vec<(Orders, Waker)>,
    lobby: Lobby<IpAddr, Guest>,
}

impl Thread {
    fn turn(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let due = self.lobby.next_due();
        let sleep = due.map(|due| due.saturating_duration_since(now));
        self.setup.poller.wait(sleep)?;
        let now = Instant::now();
        let ready: Vec<_> = self.setup.poller.streams().collect();
        for stream in ready {
            match stream.token.0.checked_sub(LISTENERS) {
                Some(number) => self.hear(Ticket(number)),
                None => self.accept(now, stream.token),
            }
        }
        while let Ok(socket) = self.setup.inbox.try_recv() {
            self.welcome(now, socket);
        }
        while self.lobby.poll_expired(now).is_some() {
            self.setup.arrivals.refused(Refused::Silent);
        }
        Ok(())
    }

    fn accept(&mut self, now: Instant, token: StreamToken) {
        for _ in 0..ACCEPTS {
            let listener = usize::try_from(token.0).ok();
            let Some(listener) = listener.and_then(|at| self.setup.listeners.get(at)) else {
                return;
            };
            match listener.accept() {
                Ok((socket, _)) => self.welcome(now, socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::debug!(%error, "no media connection can be accepted now");
                    std::thread::sleep(ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, now: Instant, socket: TcpStream) {
        self.setup.arrivals.accepted();
        let remote = tcp::prepare(&socket).and_then(|()| tcp::remote(&socket));
        let Ok(remote) = remote else {
            return self.setup.arrivals.refused(Refused::Ended);
        };
        let guest = Guest {
            socket,
            bytes: Vec::new(),
        };
        let Ok((ticket, gone)) = self.lobby.enter(now, subscriber(remote.ip()), guest) else {
            return self.setup.arrivals.refused(Refused::Busy);
        };
        if gone.is_some() {
            self.setup.arrivals.refused(Refused::Busy);
        }
        let Some(guest) = self.lobby.get_mut(ticket) else {
            return;
        };
        let token = StreamToken(LISTENERS + ticket.0);
        if self.setup.poller.add_stream(token, &guest.socket).is_err() {
            self.lobby.leave(ticket);
            return self.setup.arrivals.refused(Refused::Busy);
        }
        self.hear(ticket);
    }

    /// Reads what a connection says.
    fn hear(&mut self, ticket: Ticket) {
        let shards = self.shards.len();
        let Some(guest) = self.lobby.get_mut(ticket) else {
            return;
        };
        let said = match guest.read() {
            Ok(0) => Said::Nothing(Refused::Ended),
            Ok(_) => whose(&guest.bytes, shards),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Said::Partly,
            Err(_) => Said::Nothing(Refused::Ended),
        };
        match said {
            Said::Partly => {}
            Said::Nothing(refused) => {
                self.lobby.leave(ticket);
                self.setup.arrivals.refused(refused);
            }
            Said::For(shard) => self.pass(ticket, shard),
        }
    }

    fn pass(&mut self, ticket: Ticket, shard: usize) {
        let (Some(guest), Some((orders, waker))) =
            (self.lobby.leave(ticket), self.shards.get(shard))
        else {
            return;
        };
        if self.setup.poller.remove_stream(&guest.socket).is_err() {
            return;
        }
        let Guest { socket, bytes } = guest;
        let arrival = Order::Connection(Arrival { socket, bytes });
        if orders.put(arrival).is_err() {
            self.setup.arrivals.refused(Refused::Busy);
        }
        waker.wake();
    }
}

impl Guest {
    fn read(&mut self) -> io::Result<usize> {
        let held = self.bytes.len();
        self.bytes.resize(MEDIA_TCP_FIRST_BYTES, 0);
        let place = self.bytes.get_mut(held..).unwrap_or_default();
        let came = self.socket.read(place);
        let len = came.as_ref().copied().unwrap_or_default();
        self.bytes.truncate(held + len);
        came
    }
}

/// Which shard's a connection is that begins so: its first frame has to be a check, whose user fragment says it.
fn whose(bytes: &[u8], shards: usize) -> Said {
    let malformed = Said::Nothing(Refused::Malformed);
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Said::Partly;
    };
    let length = usize::from(u16::from_be_bytes(*length));
    let fits = (HEADER_BYTES..=MEDIA_TCP_FIRST_BYTES - LENGTH_BYTES).contains(&length);
    let begins = |at: usize, wanted: &[u8]| {
        let there = bytes.get(at..).unwrap_or_default();
        there.iter().zip(wanted).all(|(is, wanted)| is == wanted)
    };
    if !fits || !begins(LENGTH_BYTES, &REQUEST) || !begins(COOKIE_AT, &COOKIE) {
        return malformed;
    }
    let Some(frame) = rest.get(..length) else {
        return Said::Partly;
    };
    let Ok(message) = Message::parse(frame) else {
        return malformed;
    };
    let is_check = message.method == Method::BINDING && message.class == Class::Request;
    match message.username_parts().filter(|_| is_check) {
        Some((ours, _)) => Said::For(shard_of(ours, shards)),
        None => malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::framing::length_of;
    use crate::wire::stun::{BindingRequest, IntegrityKey, Role, TransactionId, write_request};

    fn first(username: &str) -> Vec<u8> {
        let mut request = Vec::new();
        let check = BindingRequest {
            transaction: TransactionId([7; 12]),
            username,
            priority: 1,
            role: Role::Controlling(7),
            use_candidate: true,
        };
        write_request(&mut request, &check, &IntegrityKey::new("password"));
        let mut bytes = length_of(request.len()).to_vec();
        bytes.extend(request);
        bytes
    }

    #[test]
    fn a_check_says_whose_it_is_once_it_is_whole() {
        let bytes = first("BBBBBBBB:them");
        for len in 0..bytes.len() {
            assert_eq!(whose(&bytes[..len], 3), Said::Partly, "{len} bytes");
        }
        let shard = usize::from(b'B') % 3;
        assert_eq!(whose(&bytes, 3), Said::For(shard));
        let more = [&bytes[..], &[0, 9, 1]].concat();
        assert_eq!(whose(&more, 3), Said::For(shard));
    }

    #[test]
    fn what_can_never_become_a_check_is_refused_at_once() {
        let good = first("BBBBBBBB:them");
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes.truncate(at + 1);
            bytes
        };
        for bytes in [
            b"GET / HTTP/1.1".to_vec(),
            vec![0, 0],
            vec![0, 19],
            vec![4, 0],
            with(2, 0x16),
            with(3, 0x11),
            with(6, 0x20),
            with(9, 0),
            first("nobody"),
        ] {
            let said = whose(&bytes, 2);
            assert_eq!(said, Said::Nothing(Refused::Malformed), "{bytes:?}");
        }
    }
}
