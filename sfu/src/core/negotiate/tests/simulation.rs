//! A client that adds, stops, pauses and replaces m-lines as it likes, seeded.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const SEEDS: u64 = 200;
const ROUNDS: usize = 25;

#[derive(Debug, Clone)]
struct Part {
    mid: String,
    kind: MediaKind,
    direction: Direction,
    is_stopped: bool,
    /// The server knows that it is stopped.
    is_free: bool,
    ssrc: u32,
}

/// The client's side, written independently of what is tested.
struct Client {
    random: u64,
    parts: Vec<Part>,
    mids: usize,
    generation: usize,
    version: u64,
}

impl Client {
    fn new(seed: u64) -> Self {
        let mut client = Self {
            random: seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1,
            parts: Vec::new(),
            mids: 0,
            generation: 0,
            version: 0,
        };
        client.add();
        client
    }

    /// Xorshift.
    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).expect("31 bits") % bound
    }

    fn part(&mut self) -> Part {
        let kind = [MediaKind::Audio, MediaKind::Video][self.below(2)];
        let direction = [Direction::SendOnly, Direction::RecvOnly][self.below(2)];
        self.mids += 1;
        Part {
            mid: format!("m{}", self.mids),
            kind,
            direction,
            is_stopped: false,
            is_free: false,
            ssrc: 1_000 + 2 * u32::try_from(self.mids).expect("few"),
        }
    }

    /// A stopped m-line's place is taken first, once the server has answered that.
    fn add(&mut self) {
        let part = self.part();
        match self.parts.iter().position(|part| part.is_free) {
            Some(at) => self.parts[at] = part,
            None if self.parts.len() < 20 => self.parts.push(part),
            None => {}
        }
    }

    fn change(&mut self) {
        let at = self.below(self.parts.len());
        let live = self.parts.iter().filter(|part| !part.is_stopped).count();
        match self.below(8) {
            0..=2 => self.add(),
            3 if live > 1 => self.parts[at].is_stopped = true,
            4 => self.parts[at].direction = Direction::Inactive,
            5 => self.parts[at].direction = Direction::SendOnly,
            6 => self.parts[at].direction = Direction::RecvOnly,
            7 => self.generation += 1,
            _ => {}
        }
    }

    fn handle_answer(&mut self) {
        for part in &mut self.parts {
            part.is_free = part.is_stopped;
        }
    }

    fn offer(&self) -> String {
        let live = self.parts.iter().filter(|part| !part.is_stopped);
        let mids: Vec<&str> = live.map(|part| part.mid.as_str()).collect();
        let mut text = format!(
            "v=0\no=- 9 {} IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE {}\na=setup:actpass\n\
             a=ice-ufrag:cli{}\na=ice-pwd:clientclientclientclient{}\na=fingerprint:sha-256 {}\n",
            self.version,
            mids.join(" "),
            self.generation,
            self.generation,
            ["07"; 32].join(":"),
        );
        self.parts.iter().for_each(|part| text += &part.text());
        text
    }

    fn tracks(&self) -> Vec<Track> {
        let live = self.parts.iter().filter(|part| !part.is_stopped);
        let track = |part: &Part| Track {
            mid: mid(&part.mid),
            source: match part.kind {
                MediaKind::Audio => Source::Microphone,
                MediaKind::Video => Source::Camera,
            },
            is_muted: false,
        };
        live.map(track).collect()
    }
}

impl Part {
    fn text(&self) -> String {
        let port = if self.is_stopped { 0 } else { 9 };
        let direction = match self.direction {
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive | Direction::SendRecv => "inactive",
        };
        let (kind, pts, codec) = match self.kind {
            MediaKind::Audio => ("audio", "111", "a=rtpmap:111 opus/48000/2"),
            MediaKind::Video => (
                "video",
                "96 97",
                "a=rtpmap:96 VP8/90000\na=rtpmap:97 rtx/90000\na=fmtp:97 apt=96",
            ),
        };
        let ssrc = self.ssrc;
        let mut text = format!(
            "m={kind} {port} UDP/TLS/RTP/SAVPF {pts}\na=mid:{}\n",
            self.mid
        );
        text += &format!("a={direction}\na=rtcp-mux\n{codec}\n");
        if self.direction == Direction::SendOnly {
            text += &format!("a=ssrc:{ssrc} cname:c\n");
        }
        text
    }
}

/// What somebody knows who only listens to changes.
#[derive(Default)]
struct Listener(BTreeMap<usize, MLine>);

impl Listener {
    fn handle(&mut self, negotiated: &Negotiated) {
        for change in &negotiated.changes {
            match change {
                Change::Ended(mline) => {
                    assert_eq!(self.0.remove(&mline.index).as_ref(), Some(mline));
                }
                Change::Began(index) => {
                    let was = self.0.insert(*index, negotiated.lines[*index].clone());
                    assert_eq!(was, None, "what was there has ended");
                }
                Change::Changed(index) => {
                    let was = self.0.insert(*index, negotiated.lines[*index].clone());
                    assert!(was.is_some_and(|was| was.mid == negotiated.lines[*index].mid));
                }
            }
        }
        let in_use = negotiated
            .lines
            .iter()
            .filter(|mline| mline.line.is_in_use());
        assert!(self.0.values().eq(in_use));
    }
}

fn check_answer(client: &Client, negotiated: &Negotiated) {
    let answer = offer(&negotiated.answer);
    assert_eq!(answer.media.len(), client.parts.len());
    let mut bundled = BTreeSet::new();
    for (part, media) in client.parts.iter().zip(&answer.media) {
        assert_eq!(media.mid, Some(mid(&part.mid)));
        assert_eq!(media.is_stopped(), part.is_stopped);
        if !part.is_stopped {
            assert_eq!(media.direction, part.direction.reversed());
            assert!(media.has_rtcp_mux);
            bundled.insert(mid(&part.mid));
        }
    }
    let group: BTreeSet<Mid> = answer.bundles[0].iter().copied().collect();
    assert_eq!(group, bundled);
}

/// Slots keep their sources, and no two have one in common.
fn check_slots(slots: &mut BTreeMap<Mid, SlotSources>, client: &Client, lines: &[MLine]) {
    let live = client.parts.iter().filter(|part| !part.is_stopped);
    let live: BTreeSet<Mid> = live.map(|part| mid(&part.mid)).collect();
    slots.retain(|mid, _| live.contains(mid));
    for mline in lines {
        if let Line::Sending(sending) = &mline.line {
            let known = slots.entry(mline.mid.unwrap()).or_insert(sending.sources);
            assert_eq!(*known, sending.sources);
        }
    }
    let all = slots.values();
    let ssrcs: Vec<_> = all
        .flat_map(|one| [Some(one.primary), one.rtx])
        .flatten()
        .collect();
    let distinct: BTreeSet<_> = ssrcs.iter().collect();
    assert_eq!(distinct.len(), ssrcs.len());
}

#[test]
fn whatever_a_client_does_its_session_holds_together() {
    for seed in 0..SEEDS {
        let mut client = Client::new(seed);
        let mut negotiator = Negotiator::new(Config {
            seed,
            ..negotiator().config
        });
        let mut listener = Listener::default();
        let mut slots = BTreeMap::new();
        let mut generation = None;
        let mut credentials = None;
        for round in 0..ROUNDS {
            client.version += 1;
            let text = client.offer();
            let outcome =
                negotiator.handle_offer(&offer(&text), &local(round), &client.tracks(), ALL);
            let negotiated = outcome.unwrap_or_else(|error| panic!("{seed}: {error} in\n{text}"));
            let expected = match generation {
                None => TransportChange::New,
                Some(old) if old == client.generation => TransportChange::Kept,
                Some(_) => TransportChange::Restarted,
            };
            assert_eq!(negotiated.transport, expected);
            if expected == TransportChange::Kept {
                assert_eq!(credentials, Some(negotiated.local.clone()));
            } else {
                assert_eq!(negotiated.local, local(round).fresh);
            }
            client.handle_answer();
            listener.handle(&negotiated);
            check_answer(&client, &negotiated);
            check_slots(&mut slots, &client, &negotiated.lines);
            generation = Some(client.generation);
            credentials = Some(negotiated.local);
            for _ in 0..=client.below(3) {
                client.change();
            }
        }
    }
}
