//! The floor of this machine: what sealing, copying and sending cost without a forwarding unit.
//!
//! One thread on one core seals packets of 1,100 bytes with AES-128-GCM into the arena and sends
//! them to N ordinary sockets, which a second process drains on another core. Prints a JSON line for
//! each run. A server's CPU per forwarded packet is compared with it in the same run.
//!
//! ```text
//! cargo run --release -p kaiwa-sfu --example floor -- --subscribers 50,100,200 --mode all
//! ```
#![expect(
    clippy::print_stdout,
    reason = "its output is what it is for, one JSON object a line"
)]

#[path = "floor/drain.rs"]
mod drain;
#[path = "floor/options.rs"]
mod options;
#[path = "floor/usage.rs"]
mod usage;

use drain::Drain;
use kaiwa_sfu::net::address::Destination;
use kaiwa_sfu::net::affinity::pin_current_thread;
use kaiwa_sfu::net::send::{Flushed, SendArena, SendCounters, SendMode, probe};
use kaiwa_sfu::net::socket::{LocalIndex, UdpSocket};
use options::{Options, Pace};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use usage::Usage;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// An RTP header with the extension that carries a transport-wide sequence number.
const HEADER_BYTES: usize = 20;

/// How long a run goes before it is measured: memory is touched and the drain is awake.
const SETTLE: Duration = Duration::from_millis(500);

fn main() -> Outcome<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == drain::COMMAND)
    {
        return drain::run(&arguments.split_off(1));
    }
    let options = Options::parse(&arguments)?;
    if let Err(error) = pin_current_thread(options.core) {
        eprintln!("not pinned to core {}: {error}", options.core);
    }
    let best = probe();
    for _ in 0..options.repeats {
        for &subscribers in &options.subscribers {
            for &pace in &options.paces {
                for mode in options.modes.iter().copied().filter(|&mode| mode <= best) {
                    println!("{}", measure(&options, subscribers, pace, mode)?);
                }
            }
        }
    }
    Ok(())
}

/// One run: settles, measures, and asks the drain how much came.
fn measure(options: &Options, subscribers: usize, pace: Pace, mode: SendMode) -> Outcome<String> {
    let drain = Drain::start(subscribers, options.drain_core, options.has_gro)?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut sender = Sender::new(
        UdpSocket::bind(any, LocalIndex(0))?,
        mode,
        drain.ports(),
        options,
    )?;
    let interval = Duration::from_secs(1) * options.burst / options.pps;
    let mut schedule = Schedule::new(interval, pace);
    let settled = Instant::now() + SETTLE;
    while Instant::now() < settled {
        schedule.wait();
        sender.send_frame()?;
    }
    let (before, sent_before) = (Usage::now()?, sender.arena.counters());
    let measured = Instant::now();
    let end = measured + options.duration;
    while Instant::now() < end {
        schedule.wait();
        sender.send_frame()?;
    }
    let (elapsed, used) = (measured.elapsed(), Usage::now()?.since(before));
    let all = sender.arena.counters();
    let report = Report {
        subscribers,
        pace,
        mode: sender.arena.mode(),
        elapsed,
        used,
        sent: all.datagrams - sent_before.datagrams,
        calls: all.calls - sent_before.calls,
        all,
        received: drain.finish()?,
        late: schedule.late,
    };
    Ok(report.json(options))
}

/// When the next frame is due.
struct Schedule {
    interval: Duration,
    pace: Pace,
    next: Instant,
    late: u64,
}

impl Schedule {
    fn new(interval: Duration, pace: Pace) -> Self {
        Self {
            interval,
            pace,
            next: Instant::now(),
            late: 0,
        }
    }

    /// A frame that is late by a whole interval is not caught up with.
    fn wait(&mut self) {
        if self.pace == Pace::Flat {
            return;
        }
        self.next += self.interval;
        let now = Instant::now();
        match self.next.checked_duration_since(now) {
            Some(left) => std::thread::sleep(left),
            None if now - self.next > self.interval => {
                self.late += 1;
                self.next = now;
            }
            None => {}
        }
    }
}

/// The work of one forwarded packet, without what decides about it.
struct Sender {
    socket: UdpSocket,
    arena: SendArena,
    peers: Vec<Peer>,
    /// The packets of a frame, as a publisher's packets are after their decryption.
    frame: Vec<Vec<u8>>,
    flush_runs: usize,
    seals: bool,
}

struct Peer {
    destination: Destination,
    key: LessSafeKey,
    index: u64,
}

impl Sender {
    fn new(socket: UdpSocket, mode: SendMode, ports: &[u16], options: &Options) -> Outcome<Self> {
        let peer = |(&port, number): (&u16, u8)| {
            let key = UnboundKey::new(&AES_128_GCM, &[number; 16]).map_err(|_| "a key")?;
            Ok(Peer {
                destination: SocketAddr::from(([127, 0, 0, 1], port)).into(),
                key: LessSafeKey::new(key),
                index: 0,
            })
        };
        let peers: Outcome<Vec<Peer>> = ports.iter().zip((0..=u8::MAX).cycle()).map(peer).collect();
        let packet = |number: u32| vec![number.to_le_bytes()[0]; options.bytes];
        Ok(Self {
            socket,
            arena: SendArena::new(mode),
            peers: peers?,
            frame: (0..options.burst).map(packet).collect(),
            flush_runs: options.flush_runs,
            seals: options.seals,
        })
    }

    /// A frame to everybody.
    fn send_frame(&mut self) -> Outcome<()> {
        let mut runs = 0;
        for peer in &mut self.peers {
            for packet in &self.frame {
                let len = packet.len() + AES_128_GCM.tag_len();
                let place = self
                    .arena
                    .reserve_or_flush(&self.socket, len)
                    .ok_or("no room")?;
                write(peer, packet, place, self.seals)?;
                self.arena.commit(len, &peer.destination);
            }
            runs += 1;
            if runs == self.flush_runs {
                runs = 0;
                flush(&mut self.arena, &self.socket)?;
            }
        }
        flush(&mut self.arena, &self.socket)
    }
}

fn flush(arena: &mut SendArena, socket: &UdpSocket) -> Outcome<()> {
    match arena.flush(socket) {
        Flushed::All => Ok(()),
        Flushed::Blocked => Err("a loopback does not block".into()),
    }
}

/// Copies the packet, writes what differs for each subscriber and seals it in place.
fn write(peer: &mut Peer, packet: &[u8], place: &mut [u8], seals: bool) -> Outcome<()> {
    let (body, tag_place) = place.split_at_mut(packet.len());
    body.copy_from_slice(packet);
    peer.index += 1;
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&peer.index.to_be_bytes());
    let (header, payload) = body.split_at_mut(HEADER_BYTES);
    header[4..12].copy_from_slice(&peer.index.to_be_bytes());
    if seals {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = peer
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(&*header), payload);
        tag_place.copy_from_slice(sealed.map_err(|_| "sealing failed")?.as_ref());
    }
    Ok(())
}

/// What one run showed.
struct Report {
    subscribers: usize,
    pace: Pace,
    mode: SendMode,
    elapsed: Duration,
    used: Usage,
    sent: u64,
    calls: u64,
    all: SendCounters,
    received: u64,
    late: u64,
}

impl Report {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn json(&self, options: &Options) -> String {
        let per_packet = |time: Duration| time.as_secs_f64() * 1e6 / self.sent.max(1) as f64;
        let mode = match self.mode {
            SendMode::Gso => "gso",
            SendMode::Mmsg => "mmsg",
            SendMode::Single => "single",
        };
        let pace = match self.pace {
            Pace::Real => "real",
            Pace::Flat => "flat",
        };
        let seconds = self.elapsed.as_secs_f64();
        format!(
            "{{\"floor\":\"seal+copy+{mode}\",\"seals\":{},\"gro_receivers\":{},\"pace\":\"{pace}\",\
             \"subscribers\":{},\"bytes\":{},\"burst\":{},\"pps\":{},\"seconds\":{seconds:.2},\
             \"us_per_packet\":{:.3},\"us_per_packet_thread_clock\":{:.3},\"waited_us_per_packet\":{:.3},\
             \"packets\":{},\"packets_per_call\":{:.1},\"runs\":{},\"sent\":{},\"received\":{},\
             \"errors\":{},\"late_frames\":{}}}",
            options.seals,
            options.has_gro,
            self.subscribers,
            options.bytes,
            options.burst,
            options.pps,
            per_packet(self.used.running),
            per_packet(self.used.thread),
            per_packet(self.used.waiting),
            self.sent,
            self.sent as f64 / self.calls.max(1) as f64,
            self.all.runs,
            self.all.datagrams,
            self.received,
            self.all.errors + self.all.dropped,
            self.late,
        )
    }
}
