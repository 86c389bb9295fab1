use super::*;
use crate::net::frames::{MEDIA_BYTES, MEDIA_WAIT, STALL};
use std::net::TcpListener;
use std::time::Duration;

const RTP: u8 = 0x80;
const DTLS: u8 = 20;
const FRAME: usize = 1_200;

struct Stand {
    streams: Streams,
    now: Instant,
    /// What is asked of the poller, last.
    asked: Option<bool>,
}

impl Stand {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            streams: Streams::new(now),
            now,
            asked: None,
        }
    }

    fn connect(&mut self) -> (StreamKey, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        (self.streams.insert(near).unwrap(), far)
    }

    fn put(&mut self, key: StreamKey, first: u8, number: u32) -> bool {
        let write = |place: &mut [u8]| {
            place.fill(first);
            // The second byte tells reports from media.
            place[1] = 0;
            place[2..6].copy_from_slice(&number.to_be_bytes());
            Some(place.len())
        };
        self.streams.put(key, FRAME, write).is_some()
    }

    fn flush(&mut self) {
        let asked = &mut self.asked;
        self.streams.flush(|_, _, waits| *asked = Some(waits));
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.streams.begin(self.now);
    }

    /// Closes a connection once everything was taken.
    fn send_all(&mut self, key: StreamKey) {
        loop {
            self.streams.handle_writable(key);
            self.flush();
            if find(&mut self.streams.rows, key).is_none_or(|stream| stream.queue.is_empty()) {
                break;
            }
        }
        self.streams.close(key);
        self.flush();
    }

    /// Sends media until the kernel takes no more.
    fn fill(&mut self, key: StreamKey) -> u32 {
        for number in 0.. {
            assert!(self.put(key, RTP, number));
            self.flush();
            if self.asked == Some(true) {
                return number;
            }
        }
        unreachable!("it is full some time");
    }
}

/// The frames that arrive until the connection ends.
fn all(mut far: TcpStream) -> (Vec<(u8, u32)>, usize) {
    let mut deframer = Deframer::default();
    let mut frames = Vec::new();
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let len = far.read(&mut bytes).unwrap();
        if len == 0 {
            return (frames, deframer.held());
        }
        let taken = deframer.take(&mut bytes[..len], |frame| {
            assert_eq!(frame.len(), FRAME);
            let number = u32::from_be_bytes(frame[2..6].try_into().unwrap());
            frames.push((frame[0], number));
        });
        taken.unwrap();
    }
}

#[test]
fn frames_of_many_connections_arrive_each_at_its_own_and_in_order() {
    let mut stand = Stand::new();
    let far: Vec<_> = (0..3).map(|_| stand.connect()).collect();
    for number in 0..200 {
        for (at, (key, _)) in (0..).zip(&far) {
            assert!(stand.put(*key, RTP + at, number));
        }
        if number % 30 == 0 {
            stand.flush();
        }
    }
    stand.flush();
    for (at, (key, far)) in (0..).zip(far) {
        let reader = std::thread::spawn(|| all(far));
        stand.send_all(key);
        let (frames, held) = reader.join().unwrap();
        assert_eq!(held, 0);
        let wanted: Vec<_> = (0..200).map(|number| (RTP + at, number)).collect();
        assert_eq!(frames, wanted);
    }
}

#[test]
fn a_slow_reader_loses_old_media_whole_and_nothing_else() {
    let mut stand = Stand::new();
    let (key, far) = stand.connect();
    let full = stand.fill(key);
    for number in 0..20 {
        assert!(stand.put(key, DTLS, number));
    }
    for number in full + 1..full + 1_001 {
        assert!(stand.put(key, RTP, number));
        if number % 50 == 0 {
            stand.flush();
        }
    }
    stand.flush();
    let lost = stand.streams.counters().dropped;
    let kept = u64::try_from(MEDIA_BYTES / (FRAME + 2)).unwrap();
    assert!(lost >= 1_000 - kept && lost <= 1_001 - kept, "{lost}");
    stand.wait(MEDIA_WAIT);
    assert!(stand.put(key, RTP, 1_000_000));
    let reader = std::thread::spawn(|| all(far));
    stand.send_all(key);
    let (frames, held) = reader.join().unwrap();
    assert_eq!(held, 0, "no half frame");
    let of = |first| frames.iter().filter(move |frame| frame.0 == first);
    assert!(of(DTLS).map(|frame| frame.1).eq(0..20));
    let media: Vec<u32> = of(RTP).map(|frame| frame.1).collect();
    assert!(media.is_sorted());
    assert_eq!(media.last(), Some(&1_000_000));
    let sent = u64::from(full) + 1_002;
    let dropped = stand.streams.counters().dropped;
    assert_eq!(media.len() as u64 + dropped, sent);
    assert!(
        dropped >= 1_000 - 1,
        "what had waited too long went as well"
    );
}

#[test]
fn who_takes_nothing_is_given_up_and_told_of_once() {
    let mut stand = Stand::new();
    let (key, _far) = stand.connect();
    stand.fill(key);
    let path = stand.streams.path(key).unwrap();
    stand.wait(STALL - Duration::from_millis(1));
    stand.flush();
    assert_eq!(stand.streams.take_ended(), None);
    stand.wait(Duration::from_millis(1));
    stand.flush();
    assert_eq!(stand.streams.take_ended(), Some(path));
    assert_eq!(stand.streams.take_ended(), None);
    assert_eq!(stand.streams.counters().stalled, 1);
    assert_eq!((stand.streams.len(), stand.put(key, RTP, 0)), (0, false));
}

#[test]
fn the_end_of_a_connection_is_told_of_and_its_key_is_nobodys_after() {
    let mut stand = Stand::new();
    let (key, far) = stand.connect();
    let path = stand.streams.path(key).unwrap();
    drop(far);
    while stand.streams.path(key).is_some() {
        assert!(stand.streams.read(key).is_none());
    }
    assert_eq!(stand.streams.take_ended(), Some(path));
    let (next, _far) = stand.connect();
    assert_eq!(next.index, key.index, "its place is used again");
    assert!(!stand.put(key, RTP, 0) && stand.streams.path(key).is_none());
    stand.streams.close(key);
    stand.flush();
    assert!(stand.put(next, RTP, 0));
}

#[test]
fn there_are_so_many_and_no_more() {
    let mut stand = Stand::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let near = listener.accept().unwrap().0;
    // Clones of one socket: so many descriptors are there on any machine.
    let mut keys = Vec::new();
    for _ in 0..500 {
        keys.push(stand.streams.insert(near.try_clone().unwrap()).unwrap());
    }
    stand.streams.open += STREAMS_MAX - 500;
    assert!(stand.streams.insert(near.try_clone().unwrap()).is_none());
    stand.streams.open -= STREAMS_MAX - 500;
    for key in keys {
        stand.streams.close(key);
    }
    stand.flush();
    assert_eq!(stand.streams.len(), 0);
    drop(far);
}

#[test]
fn where_all_that_may_waits_nobody_gets_more_and_reports_still_wait() {
    let mut stand = Stand::new();
    let (key, _far) = stand.connect();
    let full = stand.fill(key);
    let held = stand.streams.held;
    assert!(held > 0);
    stand.streams.held += HELD_MAX;
    for number in full + 1..full + 100 {
        assert!(stand.put(key, RTP, number) && stand.put(key, DTLS, number));
        stand.flush();
        let control = usize::try_from(number - full).unwrap() * (FRAME + 2);
        if control > 40 * (FRAME + 2) {
            break;
        }
        assert!(stand.streams.held <= HELD_MAX + held + control + FRAME + 2);
    }
    stand.streams.held -= HELD_MAX;
    stand.streams.close(key);
    stand.flush();
    assert_eq!((stand.streams.held, stand.streams.len()), (0, 0));
}
