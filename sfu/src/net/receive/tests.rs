use super::*;
use crate::net::address::Destination;
use crate::net::send::{Flushed, SendArena, SendMode};

fn socket(ip: &str) -> UdpSocket {
    UdpSocket::bind(SocketAddr::new(ip.parse().unwrap(), 0), LocalIndex(3)).unwrap()
}

fn all(batch: &mut ReceiveBatch, socket: &UdpSocket) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut got = Vec::new();
    while batch.receive(socket).unwrap() > 0 {
        got.extend(batch.datagrams().map(|datagram| {
            assert_eq!(datagram.local, LocalIndex(3));
            (datagram.from, datagram.bytes.to_vec())
        }));
    }
    got
}

/// Datagrams of lengths that form runs, end runs and stand alone.
fn plan() -> Vec<Vec<u8>> {
    let lens = [
        1_100, 1_100, 1_100, 700, 1_100, 1_200, 1_200, 1, 1, 1, 50, 1_100,
    ];
    let numbered = lens.iter().zip(0_u8..);
    numbered.map(|(&len, number)| vec![number; len]).collect()
}

fn send_plan(from: &UdpSocket, to: &UdpSocket) {
    let mut arena = SendArena::new(SendMode::Gso);
    let destination = Destination::from(to.address());
    for bytes in plan() {
        assert!(arena.append(from, &bytes, &destination));
    }
    assert_eq!(arena.flush(from), Flushed::All);
}

#[test]
fn runs_come_apart_into_what_single_datagrams_are() {
    for ip in ["127.0.0.1", "::1"] {
        let from = socket(ip);
        let (plain, mut joined) = (socket(ip), socket(ip));
        assert!(joined.enable_gro());
        send_plan(&from, &plain);
        send_plan(&from, &joined);
        let (mut single, mut runs) = (ReceiveBatch::new(), ReceiveBatch::for_runs());
        let one_by_one = all(&mut single, &plain);
        let taken_apart = all(&mut runs, &joined);
        let planned: Vec<_> = plan()
            .into_iter()
            .map(|bytes| (from.address(), bytes))
            .collect();
        assert_eq!(one_by_one, planned);
        assert_eq!(taken_apart, planned);
        assert_eq!(single.counters().runs, 0);
        assert!(runs.counters().runs > 0, "{:?}", runs.counters());
        assert_eq!(single.counters().datagrams, runs.counters().datagrams);
        assert_eq!(single.counters().bytes, runs.counters().bytes);
    }
}

#[test]
fn a_datagram_that_is_too_long_is_dropped_and_counted() {
    let (from, to) = (socket("127.0.0.1"), socket("127.0.0.1"));
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    drop(from);
    for len in [10, DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MAX + 1, 60_000, 11] {
        sender.send_to(&vec![7; len], to.address()).unwrap();
    }
    let mut batch = ReceiveBatch::new();
    let lens: Vec<_> = all(&mut batch, &to)
        .iter()
        .map(|(_, bytes)| bytes.len())
        .collect();
    assert_eq!(lens, [10, DATAGRAM_BYTES_MAX, 11]);
    assert_eq!(batch.counters().truncated, 2);
    assert_eq!(batch.counters().datagrams, 3);
}

#[test]
#[should_panic(expected = "is read with `for_runs`")]
fn runs_are_not_cut_off_by_mistake() {
    let mut joined = socket("127.0.0.1");
    assert!(joined.enable_gro());
    let _ = ReceiveBatch::new().receive(&joined);
}

#[test]
fn an_empty_datagram_is_nothing() {
    let to = socket("127.0.0.1");
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(&[], to.address()).unwrap();
    sender.send_to(b"x", to.address()).unwrap();
    let mut batch = ReceiveBatch::new();
    assert_eq!(all(&mut batch, &to).len(), 1);
    assert_eq!(batch.counters().datagrams, 1);
}

#[test]
fn more_than_a_batch_takes_more_calls() {
    let to = socket("127.0.0.1");
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..150_u8 {
        sender.send_to(&[number], to.address()).unwrap();
    }
    let mut batch = ReceiveBatch::new();
    assert_eq!(batch.receive(&to).unwrap(), 64);
    let first: Vec<_> = batch
        .datagrams()
        .map(|datagram| datagram.bytes[0])
        .collect();
    assert_eq!(first, (0..64).collect::<Vec<u8>>());
    assert_eq!(all(&mut batch, &to).len(), 86);
    assert_eq!(batch.receive(&to).unwrap(), 0);
    assert_eq!(batch.datagrams().count(), 0);
}

#[test]
fn an_earlier_datagram_that_nobody_took_does_not_end_the_socket() {
    // Only a connected socket is told so.
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let connected = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    connected.connect(gone.local_addr().unwrap()).unwrap();
    connected.set_nonblocking(true).unwrap();
    drop(gone);
    connected.send(b"x").unwrap();
    let socket = UdpSocket::from_fd(connected.into());
    let mut batch = ReceiveBatch::new();
    assert_eq!(batch.receive(&socket).unwrap(), 0);
    assert_eq!(batch.counters().errors, 1);
}

#[test]
fn the_kernel_says_when_a_datagram_came_if_it_is_asked_also_of_runs() {
    let from = socket("127.0.0.1");
    let (plain, mut stamped) = (socket("127.0.0.1"), socket("127.0.0.1"));
    let mut both = socket("127.0.0.1");
    assert!(stamped.enable_stamps() && both.enable_stamps() && both.enable_gro());
    for (to, is_stamped) in [(&plain, false), (&stamped, true), (&both, true)] {
        send_plan(&from, to);
        let mut batch = ReceiveBatch::for_runs();
        let mut came = 0;
        while batch.receive(to).unwrap() > 0 {
            for datagram in batch.datagrams() {
                assert_eq!(datagram.arrived.is_some(), is_stamped);
                assert!(datagram.arrived <= Some(Instant::now()));
                came += 1;
            }
        }
        assert_eq!(came, plan().len());
        assert_eq!(batch.counters().runs > 0, to.has_gro());
    }
}

#[test]
fn a_stamp_that_a_clock_was_set_after_is_none() {
    let steady = Instant::now() + Duration::from_secs(100);
    let wall = Duration::from_secs(1_000_000);
    let clocks = Clocks { steady, wall };
    let ms = Duration::from_millis;
    assert_eq!(clocks.arrival(wall - ms(3)), Some(steady - ms(3)));
    assert_eq!(clocks.arrival(wall), Some(steady));
    assert_eq!(clocks.arrival(wall + ms(1)), None, "in the future");
    assert_eq!(
        clocks.arrival(wall - ms(1_001)),
        None,
        "an hour ago, perhaps"
    );
}
