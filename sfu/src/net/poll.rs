//! Waiting for sockets, and being woken by other threads.

use super::sys::events::{self, Event};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Sockets of one poller: their readiness is a bit each of a word. One for each local address of a
/// shard; more are refused.
pub const SOCKETS_MAX: u8 = 63;

/// Things that one call can tell: all sockets and the waker, and many streams. Others that are ready come with the next
/// call.
const EVENTS_MAX: usize = 512;
const WAKER_KEY: u64 = 63;
/// The keys of streams begin here.
const STREAM_KEYS: u64 = 64;
const READ: u32 = libc::EPOLLIN.cast_unsigned();
const WRITE: u32 = libc::EPOLLOUT.cast_unsigned();
/// An error or the end of a socket shows when it is read from or written to.
const BROKEN: u32 = (libc::EPOLLERR | libc::EPOLLHUP).cast_unsigned();

/// A socket's number, given by the caller: less than [`SOCKETS_MAX`]. It may stand for several
/// sockets, which are then ready when one of them is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketKey(pub u8);

/// A TCP socket's number, given by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamToken(pub u64);

/// A TCP socket that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyStream {
    /// Which.
    pub token: StreamToken,
    /// Something waits, or it has ended.
    pub is_readable: bool,
    /// It takes bytes again, which is told when it is [asked for](Poller::await_stream).
    pub is_writable: bool,
}

/// What a wait ended with; nothing at all after a timeout or a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready {
    readable: u64,
    writable: u64,
    /// A [`Waker`] was used since the last wait: look at what other threads left.
    pub is_woken: bool,
}

impl Ready {
    /// Sockets at which something waits.
    pub fn readable(self) -> impl Iterator<Item = SocketKey> {
        keys(self.readable)
    }

    /// Sockets, of those asked for with [`Poller::await_writable`], that take datagrams again.
    pub fn writable(self) -> impl Iterator<Item = SocketKey> {
        keys(self.writable)
    }
}

fn keys(bits: u64) -> impl Iterator<Item = SocketKey> {
    (0..SOCKETS_MAX)
        .filter(move |key| bits & (1 << key) != 0)
        .map(SocketKey)
}

/// Ends a [`Poller`]'s wait from any thread. Clones wake the same poller.
#[derive(Debug, Clone)]
pub struct Waker {
    signal: Arc<Signal>,
}

#[derive(Debug)]
struct Signal {
    /// It was written to and the poller has not looked yet: another write would tell nothing more.
    is_raised: AtomicBool,
    counter: File,
}

impl Waker {
    /// Ends the wait that goes on or the next one. What this thread left before is seen by the
    /// thread that waits. Costs a system call only when the poller is not woken already.
    pub fn wake(&self) {
        if !self.signal.is_raised.swap(true, Ordering::AcqRel) {
            // The counter is full after 2^64 of them, which no machine lives to see.
            let _ = (&self.signal.counter).write(&1_u64.to_ne_bytes());
        }
    }
}

/// Waits for sockets. Owned by one thread; others reach it with a [`Waker`].
pub struct Poller {
    epoll: OwnedFd,
    signal: Arc<Signal>,
    events: Box<[Event]>,
    /// How many of them the last wait filled.
    came: usize,
    precision: Precision,
}

/// How finely the kernel counts time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    /// Linux 5.11 and later.
    Nanoseconds,
    /// Rounded up, so that a timer is never too early.
    Milliseconds,
}

impl Poller {
    /// A poller that waits for its wakers alone.
    ///
    /// # Errors
    /// The process or the machine has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let epoll = events::epoll()?;
        let counter = File::from(events::eventfd()?);
        // Edge-triggered: each write is told once, and nothing must be read back.
        let event = Event {
            events: READ | libc::EPOLLET.cast_unsigned(),
            u64: WAKER_KEY,
        };
        events::control(epoll.as_fd(), libc::EPOLL_CTL_ADD, counter.as_fd(), event)?;
        let signal = Arc::new(Signal {
            is_raised: AtomicBool::new(false),
            counter,
        });
        Ok(Self {
            epoll,
            signal,
            events: vec![Event { events: 0, u64: 0 }; EVENTS_MAX].into_boxed_slice(),
            came: 0,
            precision: Precision::Nanoseconds,
        })
    }

    /// Something that ends waits of this poller.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker {
            signal: Arc::clone(&self.signal),
        }
    }

    /// Waits for something to read at this socket too, as long as anything waits there.
    ///
    /// # Errors
    /// The key is [`SOCKETS_MAX`] or more, the socket is here already, or the kernel has no memory.
    pub fn add(&mut self, key: SocketKey, socket: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, key, socket, READ)
    }

    /// Waits also until the socket takes datagrams again; told in every wait until
    /// [`Self::ignore_writable`].
    ///
    /// # Errors
    /// The socket is not here.
    pub fn await_writable(&mut self, key: SocketKey, socket: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, key, socket, READ | WRITE)
    }

    /// Waits no more for the socket to take datagrams.
    ///
    /// # Errors
    /// The socket is not here.
    pub fn ignore_writable(&mut self, key: SocketKey, socket: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, key, socket, READ)
    }

    /// Waits for the socket no more. Closing it does the same.
    ///
    /// # Errors
    /// The socket is not here.
    pub fn remove(&mut self, key: SocketKey, socket: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, key, socket, 0)
    }

    /// Waits for something to read at a TCP socket too, until it is closed.
    ///
    /// # Errors
    /// The socket is here already, or the kernel has no memory.
    pub fn add_stream(&mut self, token: StreamToken, socket: &impl AsFd) -> io::Result<()> {
        self.control_stream(libc::EPOLL_CTL_ADD, token, socket, READ)
    }

    /// Waits also until it takes bytes again, or waits for that no more.
    ///
    /// # Errors
    /// The socket is not here.
    pub fn await_stream(
        &mut self,
        token: StreamToken,
        socket: &impl AsFd,
        is_full: bool,
    ) -> io::Result<()> {
        let write = if is_full { WRITE } else { 0 };
        self.control_stream(libc::EPOLL_CTL_MOD, token, socket, READ | write)
    }

    /// Waits for it no more, since another poller will. Closing it does the same.
    ///
    /// # Errors
    /// The socket is not here.
    pub fn remove_stream(&mut self, socket: &impl AsFd) -> io::Result<()> {
        self.control_stream(libc::EPOLL_CTL_DEL, StreamToken(0), socket, 0)
    }

    /// TCP sockets that were ready when the last wait ended.
    pub fn streams(&self) -> impl Iterator<Item = ReadyStream> {
        self.events.iter().take(self.came).filter_map(|event| {
            let (events, key) = (event.events, event.u64);
            let token = key.checked_sub(STREAM_KEYS)?;
            Some(ReadyStream {
                token: StreamToken(token),
                is_readable: events & (READ | BROKEN) != 0,
                is_writable: events & WRITE != 0,
            })
        })
    }

    fn control_stream(
        &mut self,
        operation: libc::c_int,
        token: StreamToken,
        socket: &impl AsFd,
        events: u32,
    ) -> io::Result<()> {
        let event = Event {
            events,
            u64: STREAM_KEYS.saturating_add(token.0),
        };
        events::control(self.epoll.as_fd(), operation, socket.as_fd(), event)
    }

    fn control(
        &mut self,
        operation: libc::c_int,
        key: SocketKey,
        socket: &impl AsFd,
        events: u32,
    ) -> io::Result<()> {
        if key.0 >= SOCKETS_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let event = Event {
            events,
            u64: key.0.into(),
        };
        events::control(self.epoll.as_fd(), operation, socket.as_fd(), event)
    }

    /// Waits until something is ready, a waker is used or the time is over; `None` is for ever.
    /// May end early with nothing, never before its time with a timeout alone. Precise to the
    /// kernel's timer slack (50 µs) from Linux 5.11, before that to the millisecond, rounded up.
    ///
    /// # Errors
    /// The poller is broken.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Ready> {
        let count = match self.wait_for_events(timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            outcome => outcome?,
        };
        self.came = count;
        let mut ready = Ready::default();
        for event in self.events.iter().take(count) {
            let (events, key) = (event.events, event.u64);
            if key == WAKER_KEY {
                ready.is_woken = true;
                continue;
            }
            if key >= STREAM_KEYS {
                continue;
            }
            ready.readable |= u64::from(events & (READ | BROKEN) != 0) << key;
            ready.writable |= u64::from(events & (WRITE | BROKEN) != 0) << key;
        }
        if ready.is_woken {
            // Before the caller looks at what was left: whoever leaves something after that look
            // finds the flag down and writes again; whoever found it up had left theirs before.
            self.signal.is_raised.swap(false, Ordering::AcqRel);
        }
        Ok(ready)
    }

    fn wait_for_events(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let epoll = self.epoll.as_fd();
        if self.precision == Precision::Nanoseconds {
            match events::wait(epoll, &mut self.events, timeout) {
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.precision = Precision::Milliseconds;
                }
                outcome => return outcome,
            }
        }
        events::wait_ms(epoll, &mut self.events, timeout.map_or(-1, whole_ms))
    }
}

fn whole_ms(timeout: Duration) -> libc::c_int {
    let ms = timeout.as_nanos().div_ceil(1_000_000);
    libc::c_int::try_from(ms).unwrap_or(libc::c_int::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::sync::mpsc;

    /// Long enough that only what never comes runs into it.
    const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

    fn both_precisions() -> [Poller; 2] {
        let fine = Poller::new().unwrap();
        let mut coarse = Poller::new().unwrap();
        coarse.precision = Precision::Milliseconds;
        [fine, coarse]
    }

    #[test]
    fn a_socket_is_readable_until_it_was_read() {
        for mut poller in both_precisions() {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            poller.add(SocketKey(5), &socket).unwrap();
            let nothing = poller.wait(Some(Duration::from_micros(10))).unwrap();
            assert_eq!(nothing, Ready::default());
            socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
            for _ in 0..2 {
                let ready = poller.wait(PATIENCE).unwrap();
                assert_eq!(ready.readable().collect::<Vec<_>>(), [SocketKey(5)]);
                assert_eq!(ready.writable().count(), 0);
            }
            socket.recv(&mut [0; 8]).unwrap();
            assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), Ready::default());
            poller.remove(SocketKey(5), &socket).unwrap();
            socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
            assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), Ready::default());
        }
    }

    #[test]
    fn writability_is_told_while_it_is_asked_for() {
        let mut poller = Poller::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        poller.add(SocketKey(62), &socket).unwrap();
        poller.await_writable(SocketKey(62), &socket).unwrap();
        let ready = poller.wait(PATIENCE).unwrap();
        assert_eq!(ready.writable().collect::<Vec<_>>(), [SocketKey(62)]);
        assert_eq!(ready.readable().count(), 0);
        poller.ignore_writable(SocketKey(62), &socket).unwrap();
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), Ready::default());
    }

    #[test]
    fn streams_are_told_by_their_tokens_and_their_end_as_something_to_read() {
        use std::io::Read as _;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut near, _) = listener.accept().unwrap();
        let mut poller = Poller::new().unwrap();
        let token = StreamToken(70_000);
        poller.add_stream(token, &near).unwrap();
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poller.streams().count(), 0);
        far.write_all(b"x").unwrap();
        let readable = ReadyStream {
            token,
            is_readable: true,
            is_writable: false,
        };
        assert_eq!(poller.wait(PATIENCE).unwrap(), Ready::default());
        assert_eq!(poller.streams().collect::<Vec<_>>(), [readable]);
        near.read_exact(&mut [0]).unwrap();
        poller.await_stream(token, &near, true).unwrap();
        poller.wait(PATIENCE).unwrap();
        let told = poller.streams().next().unwrap();
        assert!(told.is_writable && !told.is_readable);
        poller.await_stream(token, &near, false).unwrap();
        drop(far);
        poller.wait(PATIENCE).unwrap();
        assert_eq!(poller.streams().collect::<Vec<_>>(), [readable]);
        drop(near);
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poller.streams().count(), 0);
    }

    #[test]
    fn a_key_that_has_no_bit_is_refused() {
        let mut poller = Poller::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(poller.add(SocketKey(63), &socket).is_err());
        assert!(poller.await_writable(SocketKey(1), &socket).is_err());
    }

    #[test]
    fn many_wakes_before_a_wait_are_one() {
        let mut poller = Poller::new().unwrap();
        let (one, other) = (poller.waker(), poller.waker());
        for _ in 0..1_000 {
            one.wake();
            other.wake();
        }
        assert!(poller.wait(PATIENCE).unwrap().is_woken);
        assert!(!poller.wait(Some(Duration::ZERO)).unwrap().is_woken);
        one.wake();
        assert!(poller.wait(PATIENCE).unwrap().is_woken);
    }

    #[test]
    fn no_wake_is_lost_between_threads() {
        const THREADS: usize = 4;
        const EACH: usize = 5_000;
        for mut poller in both_precisions() {
            let (to, left) = mpsc::channel();
            let mut answers = Vec::new();
            for thread in 0..THREADS {
                let (waker, to) = (poller.waker(), to.clone());
                let (answer, answered) = mpsc::channel();
                answers.push(answer);
                std::thread::spawn(move || {
                    for number in 0..EACH {
                        to.send(thread).unwrap();
                        waker.wake();
                        // Often nothing is left, so that the poller falls asleep and races with us.
                        if number % 4 == 3 && answered.iter().take(4).count() < 4 {
                            return;
                        }
                    }
                });
            }
            for seen in 0..THREADS * EACH {
                let thread = left.try_recv().unwrap_or_else(|_| {
                    loop {
                        let ready = poller.wait(PATIENCE).unwrap();
                        assert!(ready.is_woken, "lost after {seen}");
                        if let Ok(thread) = left.try_recv() {
                            break thread;
                        }
                    }
                });
                answers[thread].send(()).unwrap_or_default();
            }
        }
    }

    #[test]
    fn milliseconds_are_rounded_up() {
        assert_eq!(whole_ms(Duration::ZERO), 0);
        assert_eq!(whole_ms(Duration::from_nanos(1)), 1);
        assert_eq!(whole_ms(Duration::from_millis(5)), 5);
        assert_eq!(whole_ms(Duration::from_nanos(5_000_001)), 6);
        assert_eq!(whole_ms(Duration::MAX), libc::c_int::MAX);
    }
}
