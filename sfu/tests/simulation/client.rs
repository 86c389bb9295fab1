//! A simulated participant: ICE, DTLS and SRTP in the client's role, on virtual time.

use crate::media::{Outgoing, Source_};
use crate::network::{Link, Weather};
use crate::random::Random;
use crate::sdp::{self, IDS, Use, Who};
use kaiwa_sfu::control::{Answer, Offer, ParticipantId, Rights, Track};
use kaiwa_sfu::dtls::{Dtls, DtlsEvent, Identity, RtcDtls};
use kaiwa_sfu::srtp::{Opener, Profile, Sealer};
use kaiwa_sfu::unit::{ExtSeqNo, MediaKind, Mid, RtpTime, SeqNo, Ssrc};
use kaiwa_sfu::wire::rtcp::{
    Arrival, Packet, Packets, Pli, ReportBlock, write_nack, write_pli, write_receiver_report,
    write_sender_report, write_transport_feedback,
};
use kaiwa_sfu::wire::rtp::{AudioLevel, Carried, Fields, HeaderWriter, Values};
use kaiwa_sfu::wire::sdp::Description;
use kaiwa_sfu::wire::stun::{self, BindingRequest, IntegrityKey, Role, TransactionId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Instant;

/// One for all: making one takes longer than a call.
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::generate().unwrap());

const CHECK_MS: u64 = 1_000;
const FIRST_CHECKS_MS: u64 = 150;
const FEEDBACK_MS: u64 = 60;
const REPORT_MS: u64 = 500;
const NACK_MS: u64 = 80;
const NACK_TRIES: u8 = 5;

/// Our SSRC in RTCP.
const OURS: Ssrc = Ssrc(5);

/// A packet of media as it came.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) ssrc: Ssrc,
    pub(crate) is_rtx: bool,
    pub(crate) seq: SeqNo,
    pub(crate) transport_seq: u16,
    pub(crate) osn: Option<SeqNo>,
    /// Of what publication's tag, when it is media.
    pub(crate) tag: Option<u8>,
}

/// One source that is received.
#[derive(Default)]
struct Receiving {
    highest: Option<ExtSeqNo>,
    missing: BTreeMap<u64, (u64, u8)>,
    last_sr: u32,
    sr_ms: u64,
}

pub(crate) struct Client {
    pub(crate) id: ParticipantId,
    pub(crate) rights: Rights,
    pub(crate) address: SocketAddr,
    pub(crate) up: Link,
    pub(crate) down: Link,
    pub(crate) lines: Vec<Use>,
    pub(crate) sources: Vec<Source_>,
    pub(crate) has_red: bool,
    pub(crate) is_fed_back: bool,
    pub(crate) has_rtx: bool,
    /// Agrees on feedback and gives none.
    pub(crate) is_mute: bool,
    /// Of packets, as it reports them, in 256ths.
    pub(crate) fraction_lost: u8,
    /// Of arrivals, as it reports them, in ticks.
    pub(crate) jitter: u32,
    /// Sends no key frame that somebody asks for.
    pub(crate) is_stubborn: bool,
    ufrag: String,
    password: String,
    version: u32,
    remote: Option<(String, String)>,
    dtls: Option<RtcDtls>,
    /// Waits for the server to open DTLS.
    is_passive: bool,
    pub(crate) sealer: Option<Sealer>,
    pub(crate) opener: Option<Opener>,
    pub(crate) connected_ms: Option<u64>,
    /// The server has keys as well.
    pub(crate) is_awaited: bool,
    pub(crate) silent_until_ms: u64,
    checks: u64,
    check_ms: u64,
    transport_seq: u16,
    receiving: BTreeMap<Ssrc, Receiving>,
    arrivals: BTreeMap<u64, u64>,
    newest_transport: u64,
    told_transport: Option<u64>,
    fed_back_ms: u64,
    feedbacks: u8,
    reported_ms: u64,
    /// When the first of its packets came, as the server says, in 250 µs of its own clock.
    pub(crate) first_arrival: Option<i64>,
    /// Last time that something of a tag came.
    pub(crate) heard_ms: BTreeMap<u8, u64>,
    pub(crate) wants_pli: bool,
    pub(crate) out: Vec<Vec<u8>>,
}

pub(crate) fn mid(no: usize) -> Mid {
    Mid::parse(no.to_string().as_bytes()).unwrap()
}

impl Client {
    pub(crate) fn new(id: u64, rights: Rights, weather: Weather, random: &mut Random) -> Self {
        Self {
            id: ParticipantId(id),
            rights,
            address: SocketAddr::from(([10, 0, 0, u8::try_from(id).unwrap()], 1_000)),
            up: Link::new(weather),
            down: Link::new(weather),
            lines: Vec::new(),
            sources: Vec::new(),
            has_red: random.permille(500),
            is_fed_back: !random.permille(100),
            has_rtx: true,
            is_mute: false,
            fraction_lost: 0,
            jitter: 0,
            is_stubborn: false,
            ufrag: format!("cl{id:04}a"),
            password: "p".repeat(24),
            version: 1,
            remote: None,
            dtls: None,
            is_passive: id % 4 == 3,
            sealer: None,
            opener: None,
            connected_ms: None,
            is_awaited: false,
            silent_until_ms: 0,
            checks: 0,
            check_ms: 0,
            transport_seq: random.short(),
            receiving: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            newest_transport: 1 << 16,
            told_transport: None,
            fed_back_ms: 0,
            feedbacks: 0,
            reported_ms: 0,
            first_arrival: None,
            heard_ms: BTreeMap::new(),
            wants_pli: false,
            out: Vec::new(),
        }
    }

    pub(crate) fn is_silent(&self, ms: u64) -> bool {
        ms < self.silent_until_ms
    }

    pub(crate) fn slots(&self, kind: MediaKind) -> usize {
        let is_it = |line: &&Use| **line == Use::Receive(kind);
        self.lines.iter().filter(is_it).count()
    }

    pub(crate) fn offer(&mut self) -> Offer {
        self.version += 1;
        let fingerprint = IDENTITY.fingerprint();
        let who = Who {
            ufrag: &self.ufrag,
            password: &self.password,
            fingerprint: &fingerprint,
            has_red: self.has_red,
            version: self.version,
        };
        let mut sdp = sdp::offer(&who, &self.lines);
        if self.is_passive {
            sdp = sdp.replace("a=setup:actpass", "a=setup:passive");
        }
        if !self.is_fed_back {
            let lines = sdp.split_inclusive("\r\n");
            sdp = lines.filter(|line| !line.contains("transport")).collect();
        }
        if !self.has_rtx {
            let is_rtx = |line: &&str| line.contains("rtx/") || line.contains("apt=");
            let lines = sdp.split_inclusive("\r\n").filter(|line| !is_rtx(line));
            sdp = lines.collect::<String>().replace("SAVPF 96 97", "SAVPF 96");
        }
        let lines = self.lines.iter().enumerate();
        let tracks = lines.filter_map(|(no, line)| match line {
            Use::Send(source, ..) => Some(Track {
                mid: mid(no),
                source: *source,
                is_muted: false,
            }),
            Use::Receive(_) | Use::Inactive(_) => None,
        });
        Offer {
            participant: self.id,
            tracks: tracks.collect(),
            sdp,
        }
    }

    pub(crate) fn take_answer(&mut self, now: Instant, ms: u64, answer: &Answer) {
        let described = Description::parse(&answer.sdp).expect("a description");
        let transport = &described.media[0].transport;
        let session = &described.transport;
        let ufrag = transport.ufrag.as_ref().or(session.ufrag.as_ref()).unwrap();
        let password = transport
            .password
            .as_ref()
            .or(session.password.as_ref())
            .unwrap();
        self.remote = Some((ufrag.as_str().to_owned(), password.as_str().to_owned()));
        if self.dtls.is_none() {
            let fingerprints = if transport.fingerprints.is_empty() {
                session.fingerprints.clone()
            } else {
                transport.fingerprints.clone()
            };
            let profiles = [Profile::AeadAes128Gcm];
            self.dtls = Some(if self.is_passive {
                RtcDtls::server(&IDENTITY, fingerprints, now)
            } else {
                RtcDtls::client(&IDENTITY, fingerprints, &profiles, now).unwrap()
            });
        }
        self.check_ms = ms;
    }

    pub(crate) fn restart_ice(&mut self) {
        let next = self.version;
        self.ufrag = format!("r{next:04}x{}", self.id.0);
        self.password = format!("{next:024}");
    }

    fn check(&mut self) {
        let Some((ufrag, password)) = &self.remote else {
            return;
        };
        self.checks += 1;
        let username = format!("{ufrag}:{}", self.ufrag);
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&u32::try_from(self.checks).unwrap().to_be_bytes());
        transaction[4..].copy_from_slice(&self.id.0.to_be_bytes());
        let request = BindingRequest {
            transaction: TransactionId(transaction),
            username: &username,
            priority: 1,
            role: Role::Controlling(7),
            use_candidate: true,
        };
        let mut out = Vec::new();
        stun::write_request(&mut out, &request, &IntegrityKey::new(password));
        self.out.push(out);
    }

    /// Another address from now on.
    pub(crate) fn move_away(&mut self, ms: u64) {
        self.address.set_port(self.address.port() + 1);
        self.check_ms = ms;
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant, ms: u64, random: &mut Random) {
        if let Some(dtls) = &mut self.dtls
            && dtls.poll_timeout().is_some_and(|due| due <= now)
        {
            dtls.handle_timeout(now);
        }
        self.follow_dtls(ms);
        if ms >= self.check_ms && self.remote.is_some() {
            let pause = if self.connected_ms.is_some() {
                CHECK_MS
            } else {
                FIRST_CHECKS_MS
            };
            self.check_ms = ms + pause;
            self.check();
        }
        if self.connected_ms.is_none() {
            return;
        }
        let has_red = self.has_red;
        let mut packets = Vec::new();
        for source in &mut self.sources {
            if source.publication.is_some() && self.is_awaited {
                packets.extend(source.capture(ms, has_red, random));
            }
        }
        for packet in &packets {
            self.send_media(packet);
        }
        self.feed_back(ms);
        self.ask(ms);
        self.report(ms);
    }

    pub(crate) fn send_media(&mut self, packet: &Outgoing) {
        let carried = Carried {
            mid: Some(mid(packet.line)),
            rid: packet.rid,
            rrid: packet.rrid,
            transport_seq: self.is_fed_back,
            audio_level: packet.level.is_some(),
            ..Carried::default()
        };
        let writer = HeaderWriter::new(packet.ssrc, &IDS, &carried);
        self.transport_seq = self.transport_seq.wrapping_add(1);
        let fields = Fields {
            payload_type: packet.pt,
            marker: packet.marker,
            seq: ExtSeqNo(packet.index).wire(),
            time: RtpTime(packet.time),
        };
        let values = Values {
            transport_seq: self.transport_seq,
            audio_level: packet.level.map(|level| AudioLevel { level, voice: true }),
            ..Values::default()
        };
        let mut bytes = vec![0; 1_500];
        let header_len = writer.write(&mut bytes, &fields, &values).unwrap();
        let end = header_len + packet.payload.len();
        bytes[header_len..end].copy_from_slice(&packet.payload);
        let sealer = self.sealer.as_ref().unwrap();
        let index = ExtSeqNo(packet.index);
        let len = sealer.seal_rtp(&mut bytes, header_len, end, index, packet.ssrc);
        bytes.truncate(len);
        self.out.push(bytes);
    }

    fn send_rtcp(&mut self, mut packet: Vec<u8>) {
        if let Some(sealer) = &mut self.sealer {
            sealer.seal_rtcp(&mut packet).unwrap();
            self.out.push(packet);
        }
    }

    pub(crate) fn take_dtls(&mut self, now: Instant, ms: u64, datagram: &[u8]) {
        if let Some(dtls) = &mut self.dtls {
            let _ = dtls.handle_datagram(now, datagram);
        }
        self.follow_dtls(ms);
    }

    fn follow_dtls(&mut self, ms: u64) {
        let Some(dtls) = &mut self.dtls else { return };
        while let Some(datagram) = dtls.poll_transmit() {
            self.out.push(datagram);
        }
        if let Some(DtlsEvent::Connected { keys, .. }) = dtls.poll_event() {
            let (own, servers) = if self.is_passive {
                (&keys.server, &keys.client)
            } else {
                (&keys.client, &keys.server)
            };
            self.sealer = Some(Sealer::new(own));
            self.opener = Some(Opener::new(servers));
            self.connected_ms = Some(ms);
        }
    }

    /// A packet of media that came.
    pub(crate) fn take_media(&mut self, us: u64, came: &Came) {
        self.note_arrival(us, came.transport_seq);
        let ms = us / 1_000;
        if let Some(tag) = came.tag {
            self.heard_ms.insert(tag, ms);
        }
        if came.is_rtx {
            let Some(osn) = came.osn else { return };
            for receiving in self.receiving.values_mut() {
                receiving
                    .missing
                    .retain(|seq, _| ExtSeqNo(*seq).wire() != osn);
            }
            return;
        }
        let receiving = self.receiving.entry(came.ssrc).or_default();
        let Some(highest) = receiving.highest else {
            receiving.highest = Some(ExtSeqNo((1 << 16) + u64::from(came.seq.0)));
            return;
        };
        let seq = highest.nearest(came.seq);
        receiving.missing.remove(&seq.0);
        if seq > highest {
            receiving.highest = Some(seq);
            let from = (highest.0 + 1).max(seq.0.saturating_sub(100));
            receiving
                .missing
                .extend((from..seq.0).map(|no| (no, (ms + 20, 0))));
        }
    }

    fn note_arrival(&mut self, us: u64, transport_seq: u16) {
        if !self.is_fed_back || self.is_mute {
            return;
        }
        let newest = ExtSeqNo(self.newest_transport);
        let at = newest.nearest(SeqNo(transport_seq)).0;
        self.newest_transport = self.newest_transport.max(at);
        if self.told_transport.is_none_or(|told| at > told) {
            self.arrivals.entry(at).or_insert(us);
        }
    }

    fn feed_back(&mut self, ms: u64) {
        if self.arrivals.is_empty() || ms < self.fed_back_ms + FEEDBACK_MS {
            return;
        }
        self.fed_back_ms = ms;
        let arrival = |at: u64, at_us| Arrival {
            transport_seq: ExtSeqNo(at).wire().0,
            at_us,
        };
        let first = *self.arrivals.keys().next().unwrap();
        let mut told: Vec<Arrival> = Vec::new();
        if let Some(before) = self.told_transport
            && before + 1 != first
        {
            told.push(arrival(before + 1, None));
        }
        let arrivals = std::mem::take(&mut self.arrivals);
        self.told_transport = arrivals.keys().next_back().copied();
        told.extend(arrivals.into_iter().map(|(at, us)| arrival(at, Some(us))));
        let mut rest = told.as_slice();
        while !rest.is_empty() {
            let mut out = Vec::new();
            write_receiver_report(&mut out, OURS, &[]);
            let told = write_transport_feedback(&mut out, OURS, Ssrc(6), self.feedbacks, rest);
            self.feedbacks = self.feedbacks.wrapping_add(1);
            self.send_rtcp(out);
            rest = &rest[told.max(1)..];
        }
    }

    /// Asks for what is missing, and sometimes for a key frame.
    fn ask(&mut self, ms: u64) {
        let mut out = Vec::new();
        write_receiver_report(&mut out, OURS, &[]);
        let empty = out.len();
        for (ssrc, receiving) in &mut self.receiving {
            let mut due = Vec::new();
            receiving.missing.retain(|seq, (at, tries)| {
                if *at <= ms {
                    due.push(ExtSeqNo(*seq).wire());
                    *at = ms + NACK_MS;
                    *tries += 1;
                }
                *tries < NACK_TRIES
            });
            let mut rest = due.as_slice();
            while !rest.is_empty() {
                let told = write_nack(&mut out, OURS, *ssrc, rest).max(1);
                rest = &rest[told.min(rest.len())..];
            }
        }
        if std::mem::take(&mut self.wants_pli) {
            for media in self.receiving.keys() {
                write_pli(
                    &mut out,
                    Pli {
                        sender: OURS,
                        media: *media,
                    },
                );
            }
        }
        if out.len() > empty {
            self.send_rtcp(out);
        }
    }

    fn report(&mut self, ms: u64) {
        if ms < self.reported_ms + REPORT_MS {
            return;
        }
        self.reported_ms = ms;
        let mut out = Vec::new();
        let blocks: Vec<ReportBlock> = self
            .receiving
            .iter()
            .filter_map(|(ssrc, receiving)| {
                Some(ReportBlock {
                    ssrc: *ssrc,
                    fraction_lost: self.fraction_lost,
                    cumulative_lost: 0,
                    highest_seq: u32::try_from(receiving.highest?.0).unwrap(),
                    jitter: self.jitter,
                    last_sr: receiving.last_sr,
                    delay_since_last_sr: if receiving.last_sr == 0 {
                        0
                    } else {
                        u32::try_from((ms - receiving.sr_ms) * 65_536 / 1_000).unwrap()
                    },
                })
            })
            .collect();
        write_receiver_report(&mut out, OURS, &blocks);
        for source in &self.sources {
            for (ssrc, info) in source.reports(ms) {
                write_sender_report(&mut out, ssrc, &info, &[]);
            }
        }
        self.send_rtcp(out);
    }

    /// RTCP in the clear.
    pub(crate) fn take_rtcp(&mut self, ms: u64, plain: &[u8]) {
        let mut repairs = Vec::new();
        for packet in Packets::new(plain) {
            match packet.expect("what the server sends is whole") {
                Packet::Nack(nack) => {
                    let numbers: Vec<SeqNo> = nack.numbers().collect();
                    let distinct: BTreeSet<u16> = numbers.iter().map(|number| number.0).collect();
                    assert_eq!(distinct.len(), numbers.len(), "each is asked for once");
                    for source in &mut self.sources {
                        repairs.extend(source.repair(nack.media, &numbers));
                    }
                }
                Packet::Pli(_) if self.is_stubborn => {}
                Packet::Pli(pli) => {
                    let layers = self
                        .sources
                        .iter_mut()
                        .flat_map(|source| &mut source.layers);
                    for layer in layers.filter(|layer| layer.ssrc == pli.media) {
                        layer.encoding.wants_key = true;
                    }
                }
                Packet::SenderReport(report) => {
                    let receiving = self.receiving.entry(report.ssrc).or_default();
                    receiving.last_sr = report.info.ntp.middle();
                    receiving.sr_ms = ms;
                }
                Packet::TransportFeedback(feedback) => {
                    let delta = feedback.statuses().find_map(|(_, delta)| delta);
                    let reference = i64::from(feedback.reference_time) * 256;
                    let arrival = delta.map(|delta| reference + i64::from(delta));
                    self.first_arrival = self.first_arrival.or(arrival);
                }
                Packet::ReceiverReport(_)
                | Packet::Fir(_)
                | Packet::Remb(_)
                | Packet::Bye(_)
                | Packet::Other { .. } => {}
            }
        }
        for packet in &repairs {
            self.send_media(packet);
        }
    }
}
