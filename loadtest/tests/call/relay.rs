//! A server small enough to be read at once: ICE-lite, DTLS, SRTP and forwarding without any policy, from
//! the participants' own parts. It holds the participants to the protocols, not itself to speed.

use kaiwa_loadtest::call::dtls::{Association, Identity, Role};
use kaiwa_loadtest::call::ice::{Agent, Credentials};
use kaiwa_loadtest::call::nack::Missing;
use kaiwa_loadtest::call::outlet::Outlet;
use kaiwa_loadtest::call::rtp::{self, Fields, Header, extend, wire};
use kaiwa_loadtest::call::sdp::{Description, Kind, Media};
use kaiwa_loadtest::call::srtp::{Direction, Profile};
use kaiwa_loadtest::call::vp8;
use kaiwa_loadtest::rng::Rng;
use rtc_rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc_rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc_rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What the relay was asked for and told.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) nacked: usize,
    pub(crate) resent: usize,
    pub(crate) keys_wanted: usize,
    pub(crate) feedback: usize,
    /// Packets that feedback said had arrived.
    pub(crate) acknowledged: usize,
    pub(crate) uplink_rtx: usize,
    pub(crate) undecryptable: usize,
}

pub(crate) struct Relay {
    identity: Identity,
    profile: Profile,
    address: SocketAddr,
    rng: Rng,
    clients: Vec<Client>,
    by_address: BTreeMap<SocketAddr, usize>,
    /// The layer of a simulcast that is forwarded.
    pub(crate) layer: usize,
    /// Every so many packets to a subscriber are left out, their numbers too.
    pub(crate) thinning: Option<u64>,
    pub(crate) seen: Seen,
}

struct Client {
    agent: Agent,
    dtls: Association,
    keys: Option<(Direction, Direction)>,
    remote: Option<SocketAddr>,
    offer: Vec<Media>,
    sources: BTreeMap<u32, Source>,
    slots: Vec<Slot>,
    transport_number: u16,
}

/// An SSRC of a publisher's.
struct Source {
    mid: String,
    layer: usize,
    /// It carries retransmissions of this one.
    repairs: Option<u32>,
    highest: u64,
    missing: Missing,
}

/// An m-line in which a client receives.
struct Slot {
    mid: String,
    kind: Kind,
    ssrc: u32,
    rtx: u32,
    from: Option<(usize, String)>,
    layer: Option<usize>,
    /// Of the current layer: added to its numbers.
    offset: i64,
    highest: u64,
    rtx_seq: u64,
    /// What was left out.
    left_out: u64,
    taken: u64,
    history: VecDeque<(u64, Fields, Vec<u8>)>,
}

impl Relay {
    pub(crate) fn new(address: SocketAddr, profile: Profile, seed: u64) -> Self {
        Self {
            identity: Identity::generate().unwrap(),
            profile,
            address,
            rng: Rng::new(seed),
            clients: Vec::new(),
            by_address: BTreeMap::new(),
            layer: 0,
            thinning: None,
            seen: Seen::default(),
        }
    }

    /// Answers a new client; `wants` says whose m-lines its slots carry, by client and mid.
    pub(crate) fn answer(&mut self, now: Instant, offer: &str, wants: &[(usize, &str)]) -> String {
        let offer = Description::parse(offer).unwrap();
        let credentials = Credentials::new(&mut self.rng);
        let slots = self.slots(&offer, wants);
        let answer = self.describe(&credentials, &offer, &slots);
        let (local, theirs) = (credentials, offer.credentials.clone());
        self.clients.push(Client {
            agent: Agent::new(local, theirs, Vec::new(), now, self.rng.fork()).unwrap(),
            dtls: Association::new(
                &self.identity,
                Role::Server,
                &offer.fingerprint,
                self.profile,
                now,
            )
            .unwrap(),
            keys: None,
            remote: None,
            offer: offer.media,
            sources: BTreeMap::new(),
            slots,
            transport_number: 0,
        });
        answer
    }

    fn slots(&mut self, offer: &Description, wants: &[(usize, &str)]) -> Vec<Slot> {
        let mut wants: Vec<(usize, &str)> = wants.to_vec();
        let mut slots = Vec::new();
        for media in offer.media.iter().filter(|media| media.receives) {
            let is_it = |(client, mid): &(usize, &str)| {
                let offered = &self.clients[*client].offer;
                offered
                    .iter()
                    .any(|m| m.mid == *mid && m.kind == media.kind)
            };
            let want = wants.iter().position(is_it).map(|at| wants.remove(at));
            let number = u32::try_from(self.clients.len() * 100 + slots.len()).unwrap();
            slots.push(Slot {
                mid: media.mid.clone(),
                kind: media.kind,
                ssrc: 50_000 + number,
                rtx: 90_000 + number,
                from: want.map(|(client, mid)| (client, mid.to_owned())),
                layer: None,
                offset: 0,
                highest: self.rng.between(65_000, 65_500),
                rtx_seq: 0,
                left_out: 0,
                taken: 0,
                history: VecDeque::new(),
            });
        }
        slots
    }

    fn describe(&self, credentials: &Credentials, offer: &Description, slots: &[Slot]) -> String {
        let mids: Vec<&str> = offer.media.iter().map(|media| media.mid.as_str()).collect();
        let mut text = format!(
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=group:BUNDLE {}\r\n\
             a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {}\r\na=setup:passive\r\n",
            mids.join(" "),
            credentials.ufrag,
            credentials.password,
            self.identity.fingerprint,
        );
        for media in &offer.media {
            let codecs = match (media.kind, media.payload_types.red) {
                (Kind::Audio, Some(_)) => {
                    "63 111\r\na=rtpmap:63 red/48000/2\r\na=rtpmap:111 opus/48000/2"
                }
                (Kind::Audio, None) => "111\r\na=rtpmap:111 opus/48000/2",
                (Kind::Video, _) => {
                    "96 97\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96"
                }
            };
            let direction = if media.sends { "recvonly" } else { "sendonly" };
            let (kind, mid) = (media.kind.name(), &media.mid);
            write!(
                text,
                "m={kind} 9 UDP/TLS/RTP/SAVPF {codecs}\r\na=mid:{mid}\r\na={direction}\r\n"
            )
            .unwrap();
            let (ip, port) = (self.address.ip(), self.address.port());
            write!(
                text,
                "a=candidate:1 1 udp 2130706431 {ip} {port} typ host\r\n"
            )
            .unwrap();
            for (id, uri) in &media.extension_lines {
                write!(text, "a=extmap:{id} {uri}\r\n").unwrap();
            }
            if let Some(slot) = slots.iter().find(|slot| slot.mid == media.mid) {
                let Slot { ssrc, rtx, .. } = slot;
                if slot.kind == Kind::Video {
                    write!(
                        text,
                        "a=ssrc-group:FID {ssrc} {rtx}\r\na=ssrc:{rtx} cname:r\r\n"
                    )
                    .unwrap();
                }
                write!(text, "a=ssrc:{ssrc} cname:r\r\n").unwrap();
            }
        }
        text
    }

    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &mut [u8],
        outlet: &mut Outlet,
    ) {
        if bytes[0] < 4 {
            let at = self.clients.iter_mut().position(|client| {
                client
                    .agent
                    .handle_datagram(now, from, bytes, |to, bytes| outlet.send(to, bytes))
            });
            if let Some(at) = at {
                self.by_address.insert(from, at);
                self.clients[at].remote = Some(from);
            }
            return;
        }
        let Some(&at) = self.by_address.get(&from) else {
            return;
        };
        let client = &mut self.clients[at];
        if bytes[0] < 64 {
            let keys = client
                .dtls
                .handle_datagram(now, bytes, |bytes| outlet.send(from, bytes));
            if let Ok(Some(keys)) = keys {
                let direction = |master| Direction::new(self.profile, master);
                client.keys = Some((direction(keys.send), direction(keys.receive)));
            }
        } else if (192..224).contains(&bytes[1]) {
            let Some((_, receive)) = &client.keys else {
                return;
            };
            match receive.open_rtcp(bytes) {
                Ok(len) => self.handle_rtcp(at, &bytes[..len], outlet),
                Err(_) => self.seen.undecryptable += 1,
            }
        } else {
            self.handle_rtp(now, at, bytes, outlet);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, outlet: &mut Outlet) {
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            if let Some(remote) = client.remote {
                let _ = client
                    .dtls
                    .handle_timeout(now, |bytes| outlet.send(remote, bytes));
            }
            let mut asks: Vec<Box<dyn rtc_rtcp::Packet>> = Vec::new();
            for (&ssrc, source) in &mut client.sources {
                let mut numbers = Vec::new();
                source.missing.due(now, &mut numbers);
                if !numbers.is_empty() {
                    asks.push(Box::new(TransportLayerNack {
                        sender_ssrc: 1,
                        media_ssrc: ssrc,
                        nacks: nack_pairs_from_sequence_numbers(&numbers),
                    }));
                }
            }
            self.send_rtcp(at, &asks, outlet);
        }
    }

    fn send_rtcp(&mut self, at: usize, packets: &[Box<dyn rtc_rtcp::Packet>], outlet: &mut Outlet) {
        let client = &mut self.clients[at];
        if let (Some((send, _)), Some(remote), false) =
            (&mut client.keys, client.remote, packets.is_empty())
        {
            let mut compound = rtc_rtcp::packet::marshal(packets).unwrap().to_vec();
            send.seal_rtcp(&mut compound);
            outlet.send(remote, &compound);
        }
    }

    fn handle_rtcp(&mut self, at: usize, compound: &[u8], outlet: &mut Outlet) {
        let mut bytes = bytes::Bytes::copy_from_slice(compound);
        for packet in rtc_rtcp::packet::unmarshal(&mut bytes).unwrap() {
            let packet = packet.as_any();
            if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                for number in nack.nacks.iter().flat_map(|pair| pair.packet_list()) {
                    self.seen.nacked += 1;
                    self.resend(at, nack.media_ssrc, number, outlet);
                }
            } else if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
                self.seen.keys_wanted += 1;
                let slots = &self.clients[at].slots;
                let slot = slots
                    .iter()
                    .find(|slot| slot.ssrc == pli.media_ssrc)
                    .unwrap();
                if let Some((client, mid)) = slot.from.clone() {
                    self.want_key(client, &mid, outlet);
                }
            } else if let Some(feedback) = packet.downcast_ref::<TransportLayerCc>() {
                self.seen.feedback += 1;
                self.seen.acknowledged += feedback.recv_deltas.len();
            }
        }
    }

    /// Asks a publisher for a key frame of the layer that is forwarded.
    pub(crate) fn want_key(&mut self, client: usize, mid: &str, outlet: &mut Outlet) {
        let wanted = self.layer;
        let is_it = |source: &Source| {
            source.mid == mid && source.layer == wanted && source.repairs.is_none()
        };
        let found = self.clients[client]
            .sources
            .iter()
            .find(|(_, source)| is_it(source));
        if let Some((&media_ssrc, _)) = found {
            let pli = PictureLossIndication {
                sender_ssrc: 1,
                media_ssrc,
            };
            self.send_rtcp(client, &[Box::new(pli)], outlet);
        }
    }

    fn handle_rtp(&mut self, now: Instant, at: usize, bytes: &mut [u8], outlet: &mut Outlet) {
        let client = &mut self.clients[at];
        let header = Header::read(bytes).unwrap();
        learn(client, &header, bytes);
        let Some(source) = client.sources.get_mut(&header.ssrc) else {
            return;
        };
        let index = extend(header.seq, source.highest);
        let Some((_, receive)) = &client.keys else {
            return;
        };
        let Ok(len) = receive.open_rtp(bytes, header.len, index) else {
            self.seen.undecryptable += 1;
            return;
        };
        source.highest = source.highest.max(index);
        let mut payload = header.payload(&bytes[..len]).unwrap();
        let (mut ssrc, mut index, mut pt) = (header.ssrc, index, header.pt);
        if let Some(repaired) = source.repairs {
            self.seen.uplink_rtx += 1;
            let original = u16::from_be_bytes([payload[0], payload[1]]);
            (ssrc, payload, pt) = (repaired, &payload[2..], 96);
            let Some(source) = client.sources.get(&ssrc) else {
                return;
            };
            index = extend(original, source.highest);
        }
        let source = client.sources.get_mut(&ssrc).unwrap();
        source.missing.handle(now, index);
        let (mid, layer) = (source.mid.clone(), source.layer);
        let fields = Fields {
            marker: header.marker,
            pt,
            seq: 0,
            timestamp: header.timestamp,
            ssrc: 0,
        };
        let payload = payload.to_vec();
        for to in 0..self.clients.len() {
            self.forward(to, (at, &mid, layer), (index, fields), &payload, outlet);
        }
    }

    fn forward(
        &mut self,
        to: usize,
        (from, mid, layer): (usize, &str, usize),
        (index, fields): (u64, Fields),
        payload: &[u8],
        outlet: &mut Outlet,
    ) {
        let (wanted, thinning) = (self.layer, self.thinning);
        let client = &mut self.clients[to];
        let is_it = |slot: &&mut Slot| {
            slot.from
                .as_ref()
                .is_some_and(|(c, m)| *c == from && m == mid)
        };
        let Some(slot) = client.slots.iter_mut().find(is_it) else {
            return;
        };
        if client.keys.is_none() {
            return;
        }
        let is_start = slot.kind == Kind::Audio || starts_key_frame(payload);
        if slot.layer != Some(layer) {
            if layer != wanted || !is_start {
                return;
            }
            slot.layer = Some(layer);
            slot.offset = (slot.highest + 1).cast_signed() - index.cast_signed();
        }
        slot.taken += 1;
        if thinning.is_some_and(|n| slot.taken.is_multiple_of(n)) && slot.kind == Kind::Audio {
            // Only as long as nothing comes late; good enough here.
            slot.offset -= 1;
            slot.left_out += 1;
            return;
        }
        let number = index.saturating_add_signed(slot.offset);
        slot.highest = slot.highest.max(number);
        let fields = Fields {
            seq: wire(number),
            ssrc: slot.ssrc,
            ..fields
        };
        if slot.history.len() == 512 {
            slot.history.pop_front();
        }
        slot.history.push_back((number, fields, payload.to_vec()));
        put(client, fields, number, payload, outlet);
    }

    fn resend(&mut self, to: usize, ssrc: u32, number: u16, outlet: &mut Outlet) {
        let client = &mut self.clients[to];
        let slot = client
            .slots
            .iter_mut()
            .find(|slot| slot.ssrc == ssrc)
            .unwrap();
        let found = slot.history.iter().find(|(n, ..)| wire(*n) == number);
        let Some((_, fields, payload)) = found else {
            return;
        };
        slot.rtx_seq += 1;
        let fields = Fields {
            pt: 97,
            seq: wire(slot.rtx_seq),
            ssrc: slot.rtx,
            ..*fields
        };
        let mut again = number.to_be_bytes().to_vec();
        again.extend(payload);
        let index = slot.rtx_seq;
        self.seen.resent += 1;
        put(client, fields, index, &again, outlet);
    }

    /// Packets left out on purpose.
    pub(crate) fn left_out(&self) -> u64 {
        self.clients
            .iter()
            .flat_map(|client| &client.slots)
            .map(|slot| slot.left_out)
            .sum()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.clients.iter().all(|client| client.keys.is_some())
    }
}

fn starts_key_frame(payload: &[u8]) -> bool {
    vp8::read(payload)
        .is_some_and(|(descriptor, frame)| descriptor.is_start && vp8::is_key_frame(frame))
}

/// Finds out what an SSRC is: from the offer, or from its MID and RID.
fn learn(client: &mut Client, header: &Header, packet: &[u8]) {
    if client.sources.contains_key(&header.ssrc) {
        return;
    }
    let announced = |media: &&Media| {
        let of = |(primary, rtx): &(u32, Option<u32>)| {
            [Some(*primary), *rtx].contains(&Some(header.ssrc))
        };
        media.sources.iter().any(of)
    };
    let source = if let Some(media) = client.offer.iter().find(announced) {
        let (primary, _) = media.sources[0];
        let repairs = (primary != header.ssrc).then_some(primary);
        Some((media.mid.clone(), 0, repairs))
    } else {
        let media = &client.offer[0].extensions;
        let text = |id| {
            header
                .element(packet, id)
                .map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let mid = text(media.mid.unwrap()).unwrap();
        let rids = &client
            .offer
            .iter()
            .find(|media| media.mid == mid)
            .unwrap()
            .rids;
        let layer = |rid: String| rids.iter().position(|other| *other == rid).unwrap();
        match (text(10), text(11)) {
            (Some(rid), _) => Some((mid, layer(rid), None)),
            (None, Some(repaired)) => {
                let layer = layer(repaired);
                let of = |(_, source): &(&u32, &Source)| source.layer == layer && source.mid == mid;
                client
                    .sources
                    .iter()
                    .find(of)
                    .map(|(ssrc, _)| *ssrc)
                    .map(|ssrc| (mid.clone(), layer, Some(ssrc)))
            }
            (None, None) => None,
        }
    };
    if let Some((mid, layer, repairs)) = source {
        let source = Source {
            mid,
            layer,
            repairs,
            highest: u64::from(header.seq),
            missing: Missing::default(),
        };
        client.sources.insert(header.ssrc, source);
    }
}

fn put(client: &mut Client, fields: Fields, index: u64, payload: &[u8], outlet: &mut Outlet) {
    let (Some((send, _)), Some(remote)) = (&client.keys, client.remote) else {
        return;
    };
    client.transport_number = client.transport_number.wrapping_add(1);
    let mut packet = Vec::new();
    let header = rtp::write(
        fields,
        &[(3, &client.transport_number.to_be_bytes())],
        &mut packet,
    );
    packet.extend(payload);
    send.seal_rtp(&mut packet, header, index);
    outlet.send(remote, &packet);
}

/// How often the relay looks at its timers.
pub(crate) const TICK: Duration = Duration::from_millis(10);
