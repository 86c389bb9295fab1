use super::outgoing::{Kernel, Outgoing};
use super::*;
use crate::net::socket::{LocalIndex, SOCKET_BUFFER_BYTES};
use crate::net::sys;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

const MODES: [SendMode; 3] = [SendMode::Gso, SendMode::Mmsg, SendMode::Single];

fn socket(ip: &str) -> UdpSocket {
    UdpSocket::bind(SocketAddr::new(ip.parse().unwrap(), 0), LocalIndex(0)).unwrap()
}

/// An ordinary receiver, without UDP_GRO, that gives up on what never comes.
struct Receiver {
    socket: std::net::UdpSocket,
    destination: Destination,
}

impl Receiver {
    fn new(ip: &str) -> Self {
        let socket = std::net::UdpSocket::bind((ip, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let bytes = i32::try_from(SOCKET_BUFFER_BYTES).unwrap();
        sys::options::set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, bytes).unwrap();
        let destination = socket.local_addr().unwrap().into();
        Self {
            socket,
            destination,
        }
    }

    fn take(&self, count: usize) -> Vec<Vec<u8>> {
        let take_one = |_| {
            let mut bytes = vec![0; 65_536];
            let len = self.socket.recv(&mut bytes).unwrap();
            bytes.truncate(len);
            bytes
        };
        (0..count).map(take_one).collect()
    }

    fn is_empty(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let is_empty = self.socket.recv(&mut [0]).is_err();
        self.socket.set_nonblocking(false).unwrap();
        is_empty
    }
}

#[derive(Debug, Clone)]
enum Step {
    Commit { to: usize, len: usize },
    Abandon,
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![4 => Just(1_116), 2 => Just(90), 1 => 1..1_400_usize];
    prop_oneof![
        // Destinations in a row are frequent, so that runs come about.
        30 => (prop_oneof![6 => Just(0), 1 => 1..4_usize], len)
            .prop_map(|(to, len)| Step::Commit { to, len }),
        1 => Just(Step::Abandon),
        1 => Just(Step::Flush),
    ]
}

fn content(number: usize, len: usize) -> Vec<u8> {
    let words = (0_u32..).flat_map(|word| {
        let number = u32::try_from(number).unwrap();
        (number ^ word.wrapping_mul(0x9e37_79b9)).to_le_bytes()
    });
    words.take(len).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn each_destination_gets_its_datagrams_as_they_were_committed(
        steps in prop::collection::vec(step(), 1..150),
        ip in prop_oneof![Just("127.0.0.1"), Just("::1")],
    ) {
        for mode in MODES {
            let socket = socket(ip);
            let mut arena = SendArena::new(mode);
            let receivers: Vec<_> = (0..4).map(|_| Receiver::new(ip)).collect();
            let mut sent = vec![Vec::new(); 4];
            for (number, step) in steps.iter().enumerate() {
                match *step {
                    Step::Commit { to, len } => {
                        let bytes = content(number, len);
                        let place = arena.reserve_or_flush(&socket, len + 16).unwrap();
                        place[..len].copy_from_slice(&bytes);
                        arena.commit(len, &receivers[to].destination);
                        sent[to].push(bytes);
                    }
                    Step::Abandon => {
                        arena.reserve(1_000).unwrap().fill(0xee);
                        arena.commit(0, &receivers[0].destination);
                    }
                    Step::Flush => prop_assert_eq!(arena.flush(&socket), Flushed::All),
                }
            }
            prop_assert_eq!(arena.flush(&socket), Flushed::All);
            for (receiver, sent) in receivers.iter().zip(&sent) {
                prop_assert_eq!(&receiver.take(sent.len()), sent);
                prop_assert!(receiver.is_empty());
            }
            let counters = arena.counters();
            let all: usize = sent.iter().map(Vec::len).sum();
            prop_assert_eq!(counters.datagrams, all as u64);
            prop_assert_eq!(counters.bytes, sent.iter().flatten().map(Vec::len).sum::<usize>() as u64);
            prop_assert_eq!((counters.errors, counters.dropped), (0, 0));
            prop_assert_eq!(arena.mode(), mode);
        }
    }
}

#[test]
fn a_frame_to_each_of_many_is_one_message_each() {
    let socket = socket("127.0.0.1");
    let receivers: Vec<_> = (0..40).map(|_| Receiver::new("127.0.0.1")).collect();
    let mut arena = SendArena::new(SendMode::Gso);
    for receiver in &receivers {
        for number in 0..10 {
            assert!(arena.append(&socket, &content(number, 1_116), &receiver.destination));
        }
    }
    assert_eq!(arena.waiting(), 400);
    assert_eq!(arena.flush(&socket), Flushed::All);
    let counters = arena.counters();
    assert_eq!(
        (counters.datagrams, counters.runs, counters.calls),
        (400, 40, 1)
    );
    for receiver in &receivers {
        receiver.take(10);
    }
}

#[test]
fn a_run_has_as_many_datagrams_and_bytes_as_the_kernel_takes() {
    let socket = socket("127.0.0.1");
    let receiver = Receiver::new("127.0.0.1");
    // 50 + 50 + 29 by bytes, 64 + 64 and one alone by number, 31 + 9 by bytes.
    for (len, count, runs) in [(1_300, 129, 3), (50, 129, 2), (2_048, 40, 2)] {
        let mut arena = SendArena::new(SendMode::Gso);
        let sent: Vec<_> = (0..count).map(|number| content(number, len)).collect();
        for bytes in &sent {
            assert!(arena.append(&socket, bytes, &receiver.destination));
        }
        assert_eq!(arena.flush(&socket), Flushed::All);
        assert_eq!(
            (arena.counters().runs, arena.counters().refused_runs),
            (runs, 0),
            "{len}"
        );
        assert_eq!(receiver.take(count), sent);
    }
}

#[test]
fn there_is_room_again_after_a_flush() {
    let socket = socket("127.0.0.1");
    let receiver = Receiver::new("127.0.0.1");
    let mut arena = SendArena::new(SendMode::Gso);
    let mut count = 0;
    while arena.reserve(2_000).is_some() {
        arena.commit(2_000, &receiver.destination);
        count += 1;
    }
    assert_eq!(count, ARENA_BYTES / 2_000);
    assert_eq!(arena.flush(&socket), Flushed::All);
    assert!(arena.reserve(DATAGRAM_BYTES_MAX).is_some());
    assert!(arena.reserve(DATAGRAM_BYTES_MAX + 1).is_none());
}

#[test]
#[should_panic(expected = "more was committed than reserved")]
fn what_was_not_reserved_is_not_committed() {
    let mut arena = SendArena::new(SendMode::Gso);
    let destination = Receiver::new("127.0.0.1").destination;
    assert!(arena.reserve(100).is_some());
    arena.commit(10, &destination);
    arena.commit(10, &destination);
}

#[test]
fn a_socket_that_takes_no_runs_is_sent_datagrams() {
    // The kernel refuses runs on sockets without checksums, with EINVAL.
    let (v4, v6) = (
        (libc::SOL_SOCKET, libc::SO_NO_CHECK),
        (libc::IPPROTO_UDP, 101),
    );
    for (ip, (level, no_checksums)) in [("127.0.0.1", v4), ("::1", v6)] {
        let socket = socket(ip);
        sys::options::set(socket.as_fd(), level, no_checksums, 1).unwrap();
        let receiver = Receiver::new(ip);
        if ip == "::1" {
            // UDP_NO_CHECK6_RX: without it the receiver drops what has no checksum.
            sys::options::set(receiver.socket.as_fd(), level, 102, 1).unwrap();
        }
        let mut arena = SendArena::new(SendMode::Gso);
        let sent: Vec<_> = (0..20).map(|number| content(number, 500)).collect();
        for bytes in &sent {
            assert!(arena.append(&socket, bytes, &receiver.destination));
        }
        assert_eq!(arena.flush(&socket), Flushed::All);
        assert_eq!(receiver.take(20), sent);
        assert_eq!(arena.mode(), SendMode::Mmsg);
        assert_eq!(arena.counters().refused_runs, 1);
        assert_eq!((arena.counters().calls, arena.counters().errors), (2, 0));
    }
}

#[test]
fn a_full_socket_keeps_what_it_did_not_take() {
    let name = format!("kaiwa-net-{}", std::process::id());
    let address = {
        use std::os::linux::net::SocketAddrExt;
        std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap()
    };
    let receiver = UnixDatagram::bind_addr(&address).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let socket = UdpSocket::from_fd(sender.into());
    let destination = Destination::of_unix_name(name.as_bytes());
    let mut arena = SendArena::new(SendMode::Mmsg);
    let sent: Vec<_> = (0..800).map(|number| content(number, 20)).collect();
    for bytes in &sent {
        let place = arena.reserve(20).unwrap();
        place.copy_from_slice(bytes);
        arena.commit(20, &destination);
    }
    let mut got = Vec::new();
    let mut blocked = 0;
    while arena.flush(&socket) == Flushed::Blocked {
        blocked += 1;
        let mut bytes = [0; 64];
        while let Ok(len) = receiver.recv(&mut bytes) {
            got.push(bytes[..len].to_vec());
        }
        assert_eq!(arena.waiting() + got.len(), 800);
    }
    let mut bytes = [0; 64];
    while let Ok(len) = receiver.recv(&mut bytes) {
        got.push(bytes[..len].to_vec());
    }
    assert!(blocked > 0);
    assert_eq!(arena.counters().blocked, blocked);
    assert_eq!(got, sent);
}

/// A kernel that says what it is told to, once each, and then takes everything.
#[derive(Default)]
struct Script {
    says: VecDeque<Result<usize, i32>>,
    took: Vec<(usize, Option<u16>)>,
    singles: usize,
}

impl Script {
    fn new(says: impl IntoIterator<Item = Result<usize, i32>>) -> Self {
        Self {
            says: says.into_iter().collect(),
            ..Self::default()
        }
    }

    fn lengths(&self) -> Vec<usize> {
        self.took.iter().map(|&(len, _)| len).collect()
    }
}

impl Kernel for Script {
    fn send_many(&mut self, _: &[u8], messages: &[Message]) -> io::Result<usize> {
        let says = self.says.pop_front().unwrap_or(Ok(messages.len()));
        let sent = says.map_err(io::Error::from_raw_os_error)?;
        self.took.extend(
            messages
                .iter()
                .take(sent)
                .map(|message| (message.len, message.segment)),
        );
        Ok(sent)
    }

    fn send_one(&mut self, arena: &[u8], message: &Message) -> io::Result<()> {
        self.singles += 1;
        self.send_many(arena, std::slice::from_ref(message))
            .map(|_| ())
    }
}

fn outgoing(mode: SendMode, lens: &[(u16, usize)]) -> Outgoing {
    let mut outgoing = Outgoing::new(mode);
    commit_all(&mut outgoing, lens);
    outgoing
}

fn commit_all(outgoing: &mut Outgoing, lens: &[(u16, usize)]) {
    for &(port, len) in lens {
        outgoing.reserve(len).unwrap();
        outgoing.commit(len, &SocketAddr::from(([10, 0, 0, 1], port)).into());
    }
}

const TWO_RUNS: [(u16, usize); 6] = [(1, 100), (1, 100), (1, 40), (1, 70), (1, 70), (2, 70)];

#[test]
fn runs_end_with_a_shorter_or_longer_datagram_or_another_destination() {
    let mut kernel = Script::default();
    assert_eq!(
        outgoing(SendMode::Gso, &TWO_RUNS).flush(&mut kernel),
        Flushed::All
    );
    assert_eq!(kernel.took, [(240, Some(100)), (140, Some(70)), (70, None)]);
}

#[test]
fn without_the_call_there_is_an_older_one() {
    let mut kernel = Script::new([Err(libc::ENOSYS), Err(libc::ENOSYS)]);
    let mut outgoing = outgoing(SendMode::Gso, &TWO_RUNS);
    assert_eq!(outgoing.flush(&mut kernel), Flushed::All);
    assert_eq!(outgoing.mode(), SendMode::Single);
    assert_eq!(kernel.lengths(), [100, 100, 40, 70, 70, 70]);
    assert_eq!((kernel.singles, outgoing.counters().errors), (6, 0));
}

#[test]
fn a_device_without_runs_is_noticed_with_the_first() {
    for error in [libc::EIO, libc::EINVAL] {
        let mut kernel = Script::new([Err(error)]);
        let mut outgoing = outgoing(SendMode::Gso, &TWO_RUNS);
        assert_eq!(outgoing.flush(&mut kernel), Flushed::All);
        assert_eq!(outgoing.mode(), SendMode::Mmsg);
        assert_eq!(kernel.lengths(), [100, 100, 40, 70, 70, 70]);
    }
}

#[test]
fn a_path_that_refuses_a_run_does_not_end_all_runs() {
    for error in [libc::EMSGSIZE, libc::EIO] {
        let mut kernel = Script::new([Ok(1), Err(error)]);
        let mut outgoing = outgoing(SendMode::Gso, &TWO_RUNS);
        assert_eq!(outgoing.flush(&mut kernel), Flushed::All);
        assert_eq!(outgoing.mode(), SendMode::Gso);
        assert_eq!(
            kernel.took,
            [(240, Some(100)), (70, None), (70, None), (70, None)]
        );
        assert_eq!(outgoing.counters().refused_runs, 1);
    }
}

#[test]
fn a_path_shorter_than_the_first_run_does_not_end_all_runs() {
    let mut kernel = Script::new([Err(libc::EMSGSIZE)]);
    let mut outgoing = outgoing(SendMode::Gso, &TWO_RUNS);
    assert_eq!(outgoing.flush(&mut kernel), Flushed::All);
    assert_eq!(outgoing.mode(), SendMode::Gso);
    assert_eq!(kernel.lengths(), [100, 100, 40, 140, 70]);
}

#[test]
fn runs_that_are_refused_again_and_again_end_all_runs() {
    let mut outgoing = outgoing(SendMode::Gso, &TWO_RUNS);
    assert_eq!(outgoing.flush(&mut Script::default()), Flushed::All);
    for _ in 0..REFUSED_RUNS_MAX {
        commit_all(&mut outgoing, &[(1, 100), (1, 100)]);
        assert_eq!(
            outgoing.flush(&mut Script::new([Err(libc::EIO)])),
            Flushed::All
        );
        assert_eq!(outgoing.mode(), SendMode::Gso);
    }
    commit_all(&mut outgoing, &[(1, 100), (1, 100)]);
    assert_eq!(
        outgoing.flush(&mut Script::new([Err(libc::EIO)])),
        Flushed::All
    );
    assert_eq!(outgoing.mode(), SendMode::Mmsg);
    assert_eq!(outgoing.counters().errors, 0);
}

#[test]
fn a_destination_that_can_not_be_reached_costs_its_own_datagrams() {
    let mut kernel = Script::new([Err(libc::EHOSTUNREACH), Ok(1), Err(libc::EPERM)]);
    let mut outgoing = outgoing(SendMode::Gso, &TWO_RUNS);
    assert_eq!(outgoing.flush(&mut kernel), Flushed::All);
    assert_eq!(kernel.lengths(), [140]);
    assert_eq!(
        (outgoing.counters().errors, outgoing.counters().datagrams),
        (4, 2)
    );
}

#[test]
fn a_single_datagram_that_is_refused_as_a_run_would_be_is_skipped() {
    for error in [libc::EINVAL, libc::EMSGSIZE] {
        let mut kernel = Script::new([Err(error)]);
        let mut outgoing = outgoing(SendMode::Gso, &[(1, 100), (2, 100), (2, 100)]);
        assert_eq!(outgoing.flush(&mut kernel), Flushed::All);
        assert_eq!(kernel.took, [(200, Some(100))]);
        assert_eq!(
            (outgoing.mode(), outgoing.counters().errors),
            (SendMode::Gso, 1)
        );
    }
}

#[test]
fn an_error_of_an_earlier_datagram_costs_nothing_once() {
    let mut outgoing = outgoing(SendMode::Gso, &TWO_RUNS);
    let mut kernel = Script::new([Err(libc::ECONNREFUSED)]);
    assert_eq!(outgoing.flush(&mut kernel), Flushed::All);
    assert_eq!(kernel.lengths(), [240, 140, 70]);
    commit_all(&mut outgoing, &TWO_RUNS);
    let mut kernel = Script::new([Err(libc::ECONNREFUSED), Err(libc::ECONNREFUSED)]);
    assert_eq!(outgoing.flush(&mut kernel), Flushed::All);
    assert_eq!(kernel.lengths(), [140, 70]);
    assert_eq!(outgoing.counters().errors, 3);
}

#[test]
fn what_waits_for_a_full_socket_is_not_joined_by_half() {
    let mut outgoing = outgoing(SendMode::Mmsg, &[(1, 100), (1, 100), (1, 100)]);
    let mut kernel = Script::new([Ok(2), Err(libc::EAGAIN)]);
    assert_eq!(outgoing.flush(&mut kernel), Flushed::Blocked);
    assert_eq!(outgoing.waiting(), 1);
    commit_all(&mut outgoing, &[(1, 100), (1, 90)]);
    assert_eq!(outgoing.waiting(), 3);
    assert_eq!(outgoing.flush(&mut kernel), Flushed::All);
    assert_eq!(kernel.lengths(), [100, 100, 100, 100, 90]);
}

#[test]
fn what_waits_too_long_is_dropped() {
    let mut outgoing = outgoing(SendMode::Gso, &TWO_RUNS);
    let blocked = || Script::new([Err(libc::EAGAIN)]);
    for _ in 1..BLOCKED_FLUSHES_MAX {
        assert_eq!(outgoing.flush(&mut blocked()), Flushed::Blocked);
    }
    assert_eq!(outgoing.flush(&mut blocked()), Flushed::All);
    assert_eq!((outgoing.counters().dropped, outgoing.waiting()), (6, 0));
    commit_all(&mut outgoing, &TWO_RUNS);
    assert_eq!(outgoing.flush(&mut blocked()), Flushed::Blocked);
    assert_eq!(outgoing.flush(&mut Script::default()), Flushed::All);
    assert_eq!(outgoing.counters().datagrams, 6);
}
