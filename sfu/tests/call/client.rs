//! A small WebRTC client over a real socket: ICE, DTLS and SRTP by the crate's own parts in the other role.

#[path = "link.rs"]
mod link;

pub(crate) use link::Link;

use kaiwa_sfu::control::{Answer, Offer, ParticipantId, SfuControl, Source, Track};
use kaiwa_sfu::dtls::{Dtls, DtlsEvent, Identity, RtcDtls};
use kaiwa_sfu::engine::Engine;
use kaiwa_sfu::srtp::{Opener, Profile, Sealer};
use kaiwa_sfu::unit::{ExtSeqNo, Mid, PayloadType, RtpTime, SeqNo, Ssrc};
use kaiwa_sfu::wire::demux::Kind;
use kaiwa_sfu::wire::rtcp::{Arrival, write_receiver_report, write_transport_feedback};
use kaiwa_sfu::wire::rtp::{
    Carried, ExtensionIds, Extensions, Fields, Header, HeaderWriter, Values,
};
use kaiwa_sfu::wire::sdp::{Description, Fingerprint, Hash};
use kaiwa_sfu::wire::stun::{self, BindingRequest, IntegrityKey, Role, TransactionId};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Header extensions of all offers.
pub(crate) const IDS: ExtensionIds = ExtensionIds {
    mid: Some(1),
    rid: Some(2),
    repaired_rid: Some(3),
    audio_level: Some(4),
    abs_send_time: None,
    transport_cc: Some(5),
    dependency_descriptor: None,
};

pub(crate) const VP8: PayloadType = PayloadType(96);
pub(crate) const RTX: PayloadType = PayloadType(97);
pub(crate) const OPUS: PayloadType = PayloadType(111);

/// An RTP packet that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) ssrc: Ssrc,
    pub(crate) pt: PayloadType,
    pub(crate) seq: SeqNo,
    pub(crate) time: RtpTime,
    pub(crate) marker: bool,
    pub(crate) mid: Option<Mid>,
    pub(crate) transport_seq: Option<u16>,
    pub(crate) payload: Vec<u8>,
}

/// An m-line to offer.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) kind: &'static str,
    pub(crate) direction: &'static str,
    pub(crate) source: Option<(Source, Ssrc)>,
    pub(crate) rids: Vec<&'static str>,
}

impl Line {
    pub(crate) fn send(source: Source, ssrc: u32) -> Self {
        let kind = match source {
            Source::Microphone | Source::ScreenAudio => "audio",
            Source::Camera | Source::Screen => "video",
        };
        Self {
            kind,
            direction: "sendonly",
            source: Some((source, Ssrc(ssrc))),
            rids: vec![],
        }
    }

    pub(crate) fn simulcast(source: Source, rids: &[&'static str]) -> Self {
        Self {
            rids: rids.to_vec(),
            ..Self::send(source, 0)
        }
    }

    pub(crate) fn receive(kind: &'static str) -> Self {
        Self {
            kind,
            direction: "recvonly",
            source: None,
            rids: vec![],
        }
    }
}

pub(crate) struct Client {
    pub(crate) participant: ParticipantId,
    link: Link,
    server: SocketAddr,
    /// Where the server said it is by TCP.
    server_tcp: Option<SocketAddr>,
    /// Connect by TCP.
    prefers_tcp: bool,
    identity: Identity,
    ufrag: String,
    lines: Vec<Line>,
    remote: Option<(String, String)>,
    dtls: Option<RtcDtls>,
    pub(crate) profile: Option<Profile>,
    profiles: Vec<Profile>,
    sealer: Option<Sealer>,
    opener: Option<Opener>,
    checks: u8,
    pub(crate) received: Vec<Received>,
    /// RTCP in the clear.
    pub(crate) reports: Vec<Vec<u8>>,
    pub(crate) answer: Option<Answer>,
    wrong_certificate: bool,
    /// Waits for the server to open DTLS.
    is_passive: bool,
    /// The server has said goodbye.
    pub(crate) is_closed: bool,
    is_blind: bool,
    /// Changes what is offered.
    rewrite: Option<fn(String) -> String>,
    arrivals: Vec<Arrival>,
    /// The last transport-wide number that feedback was given of.
    told: Option<u16>,
    fed_back: Instant,
    feedbacks: u8,
    epoch: Instant,
}

pub(crate) fn mid(no: usize) -> Mid {
    Mid::parse(no.to_string().as_bytes()).unwrap()
}

impl Client {
    pub(crate) fn new(participant: u64, lines: Vec<Line>) -> Self {
        Self {
            participant: ParticipantId(participant),
            link: Link::udp(),
            server: "127.0.0.1:1".parse().unwrap(),
            server_tcp: None,
            prefers_tcp: false,
            identity: Identity::generate().unwrap(),
            ufrag: format!("cl{participant:04}"),
            lines,
            remote: None,
            dtls: None,
            profile: None,
            profiles: vec![Profile::Aes128CmHmacSha1_80, Profile::AeadAes128Gcm],
            sealer: None,
            opener: None,
            checks: 0,
            received: Vec::new(),
            reports: Vec::new(),
            answer: None,
            wrong_certificate: false,
            is_passive: false,
            is_closed: false,
            is_blind: false,
            rewrite: None,
            arrivals: Vec::new(),
            told: None,
            fed_back: Instant::now(),
            feedbacks: 0,
            epoch: Instant::now(),
        }
    }

    pub(crate) fn only(mut self, profile: Profile) -> Self {
        self.profiles = vec![profile];
        self
    }

    /// Gives no transport-wide feedback.
    pub(crate) fn blind(mut self) -> Self {
        self.is_blind = true;
        self
    }

    /// Offers a fingerprint that is not its certificate's.
    pub(crate) fn lying(mut self) -> Self {
        self.wrong_certificate = true;
        self
    }

    /// Can't open DTLS, as FFmpeg by its WHIP muxer.
    pub(crate) fn passive(mut self) -> Self {
        self.is_passive = true;
        self
    }

    /// Offers something else than it would.
    pub(crate) fn rewriting(mut self, rewrite: fn(String) -> String) -> Self {
        self.rewrite = Some(rewrite);
        self
    }

    /// Where the server said it is.
    pub(crate) fn server(&self) -> SocketAddr {
        self.server
    }

    /// The server's user fragment and password.
    pub(crate) fn remote(&self) -> (&str, &str) {
        let (ufrag, password) = self.remote.as_ref().expect("answered");
        (ufrag, password)
    }

    pub(crate) fn sdp(&self) -> String {
        let sdp = self.plain_sdp();
        match self.rewrite {
            Some(rewrite) => rewrite(sdp),
            None => sdp,
        }
    }

    fn plain_sdp(&self) -> String {
        let mids: Vec<String> = (0..self.lines.len()).map(|no| no.to_string()).collect();
        let own = self.identity.fingerprint();
        let fingerprint = if self.wrong_certificate {
            Fingerprint::new(Hash::Sha256, &[9; 32]).unwrap()
        } else {
            own
        };
        let hex: Vec<String> = fingerprint
            .digest()
            .iter()
            .map(|b| format!("{b:02X}"))
            .collect();
        let setup = if self.is_passive {
            "passive"
        } else {
            "actpass"
        };
        let mut sdp = format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=msid-semantic: WMS\r\n",
            mids.join(" ")
        );
        for (no, line) in self.lines.iter().enumerate() {
            let pts = if line.kind == "audio" { "111" } else { "96 97" };
            write!(
                sdp,
                "m={} 9 UDP/TLS/RTP/SAVPF {pts}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
                 a=fingerprint:sha-256 {}\r\na=setup:{setup}\r\na=mid:{no}\r\na={}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
                 a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
                 a=extmap:5 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n",
                line.kind,
                self.ufrag,
                "p".repeat(24),
                hex.join(":"),
                line.direction,
            )
            .unwrap();
            if line.kind == "audio" {
                sdp += "a=extmap:4 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n";
            } else {
                sdp += "a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\na=extmap:3 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n";
                sdp += "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 transport-cc\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
            }
            for rid in &line.rids {
                write!(sdp, "a=rid:{rid} send\r\n").unwrap();
            }
            if !line.rids.is_empty() {
                write!(sdp, "a=simulcast:send {}\r\n", line.rids.join(";")).unwrap();
            } else if let Some((_, ssrc)) = line.source {
                write!(sdp, "a=ssrc:{} cname:c\r\n", ssrc.0).unwrap();
            }
        }
        if self.is_blind {
            let lines = sdp.split_inclusive("\r\n");
            sdp = lines.filter(|line| !line.contains("transport")).collect();
        }
        sdp
    }

    pub(crate) fn tracks(&self) -> Vec<Track> {
        let lines = self.lines.iter().enumerate();
        lines
            .filter_map(|(no, line)| {
                let (source, _) = line.source?;
                Some(Track {
                    mid: mid(no),
                    source,
                    is_muted: false,
                })
            })
            .collect()
    }

    /// Offers, and takes the answer.
    pub(crate) fn negotiate(&mut self, engine: &Engine) {
        let offer = Offer {
            participant: self.participant,
            sdp: self.sdp(),
            tracks: self.tracks(),
        };
        let answer = super::wait::block_on(engine.offer(offer)).expect("an answer");
        self.accept(answer);
    }

    /// Takes the server's answer, and begins to connect.
    pub(crate) fn accept(&mut self, answer: Answer) {
        let described = Description::parse(&answer.sdp).expect("a description");
        let media = &described.media[0];
        let transport = &media.transport;
        let ufrag = transport
            .ufrag
            .as_ref()
            .or(described.transport.ufrag.as_ref())
            .unwrap();
        let password = transport
            .password
            .as_ref()
            .or(described.transport.password.as_ref())
            .unwrap();
        let server = (ufrag.as_str().to_owned(), password.as_str().to_owned());
        let lines = answer.sdp.lines();
        let candidates = lines.filter_map(|l| l.strip_prefix("a=candidate:"));
        let at = |over: &str| {
            let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
            let found = candidates.clone().map(words).find(|words| words[2] == over);
            found.map(|words| format!("{}:{}", words[4], words[5]).parse().unwrap())
        };
        self.server = at("udp").unwrap();
        self.server_tcp = at("tcp");
        if self.prefers_tcp {
            self.link = Link::tcp(self.server_tcp.expect("a TCP candidate"));
        }
        if self.dtls.is_none() {
            let fingerprints = if transport.fingerprints.is_empty() {
                described.transport.fingerprints.clone()
            } else {
                transport.fingerprints.clone()
            };
            let (own, now) = (&self.identity, Instant::now());
            self.dtls = Some(if self.is_passive {
                RtcDtls::server(own, fingerprints, now)
            } else {
                RtcDtls::client(own, fingerprints, &self.profiles, now).unwrap()
            });
        }
        self.remote = Some(server);
        self.answer = Some(answer);
        self.check(true);
    }

    /// A binding request.
    pub(crate) fn check(&mut self, nominate: bool) {
        let Some((ufrag, password)) = &self.remote else {
            return;
        };
        self.checks += 1;
        let mut out = Vec::new();
        let username = format!("{ufrag}:{}", self.ufrag);
        let mut transaction = [0; 12];
        transaction[0] = self.checks;
        transaction[4..].copy_from_slice(&self.participant.0.to_be_bytes());
        let request = BindingRequest {
            transaction: TransactionId(transaction),
            username: &username,
            priority: 1,
            role: Role::Controlling(7),
            use_candidate: nominate,
        };
        stun::write_request(&mut out, &request, &IntegrityKey::new(password));
        self.link.send(&out, self.server);
    }

    /// ICE begins anew, with this user fragment of its own and these credentials of the server.
    pub(crate) fn restart(&mut self, ufrag: &str, remote: (String, String)) {
        ufrag.clone_into(&mut self.ufrag);
        self.remote = Some(remote);
        self.check(true);
    }

    /// Says good-bye.
    pub(crate) fn hang_up(&mut self) {
        if let Some(dtls) = &mut self.dtls {
            dtls.close();
        }
        self.follow_dtls();
    }

    /// Another address from now on.
    pub(crate) fn move_away(&mut self) {
        self.link = Link::udp();
    }

    /// By TCP from the beginning.
    pub(crate) fn by_tcp(mut self) -> Self {
        self.prefers_tcp = true;
        self
    }

    /// By a TCP connection from now on; what was used before is closed.
    pub(crate) fn move_to_tcp(&mut self) {
        self.link = Link::tcp(self.server_tcp.expect("a TCP candidate"));
    }

    /// How it reaches the server.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Where the server said it is by TCP.
    pub(crate) fn server_tcp(&self) -> Option<SocketAddr> {
        self.server_tcp
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.sealer.is_some()
    }

    /// Takes what waits at the socket, or waits a moment for it, and does what is due.
    pub(crate) fn pump(&mut self) {
        if !self.drain() {
            self.link.wait();
            self.drain();
        }
        let now = Instant::now();
        if let Some(dtls) = &mut self.dtls
            && dtls.poll_timeout().is_some_and(|due| due <= now)
        {
            dtls.handle_timeout(now);
        }
        self.follow_dtls();
    }

    /// Takes what waits at the socket; whether there was anything.
    pub(crate) fn drain(&mut self) -> bool {
        let now = Instant::now();
        let mut buffer = [0; 2_048];
        let mut came = false;
        while let Some(len) = self.link.receive(&mut buffer) {
            came = true;
            self.take(now, &mut buffer[..len]);
        }
        self.feed_back(now);
        came
    }

    /// Tells when packets arrived, every 50 ms.
    fn feed_back(&mut self, now: Instant) {
        if self.arrivals.is_empty() || now < self.fed_back + Duration::from_millis(50) {
            return;
        }
        self.fed_back = now;
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let newest = arrivals[arrivals.len() - 1].transport_seq;
        arrivals.sort_by_key(|a| u16::MAX - newest.wrapping_add(100).wrapping_sub(a.transport_seq));
        // What was lost since the last feedback comes before the first that arrived.
        if let (Some(told), Some(first)) = (self.told, arrivals.first()) {
            let missing = first.transport_seq.wrapping_sub(told).wrapping_sub(1);
            let lost = (1..=missing.min(500)).map(|no| Arrival {
                transport_seq: first.transport_seq.wrapping_sub(no),
                at_us: None,
            });
            let lost: Vec<Arrival> = if missing < 0x8000 {
                lost.collect()
            } else {
                vec![]
            };
            arrivals.splice(0..0, lost.into_iter().rev());
        }
        self.told = Some(newest);
        let mut rest = arrivals.as_slice();
        while !rest.is_empty() {
            let mut out = Vec::new();
            write_receiver_report(&mut out, Ssrc(5), &[]);
            let told = write_transport_feedback(&mut out, Ssrc(5), Ssrc(6), self.feedbacks, rest);
            self.feedbacks = self.feedbacks.wrapping_add(1);
            self.send_rtcp(out);
            rest = &rest[told.max(1)..];
        }
    }

    fn follow_dtls(&mut self) {
        let Some(dtls) = &mut self.dtls else { return };
        while let Some(datagram) = dtls.poll_transmit() {
            self.link.send(&datagram, self.server);
        }
        let event = dtls.poll_event();
        self.is_closed |= matches!(event, Some(DtlsEvent::Closed));
        if let Some(DtlsEvent::Connected { profile, keys }) = event {
            self.profile = Some(profile);
            let (own, servers) = if self.is_passive {
                (&keys.server, &keys.client)
            } else {
                (&keys.client, &keys.server)
            };
            self.sealer = Some(Sealer::new(own));
            self.opener = Some(Opener::new(servers));
        }
    }

    fn take(&mut self, now: Instant, datagram: &mut [u8]) {
        match Kind::of(datagram) {
            Some(Kind::Dtls) => {
                let _ = self.dtls.as_mut().unwrap().handle_datagram(now, datagram);
                self.follow_dtls();
            }
            Some(Kind::Rtp) => {
                let Some(opener) = &mut self.opener else {
                    return;
                };
                let header = Header::parse(datagram).unwrap();
                let opened = opener.open_rtp(datagram, header.header_len, header.ssrc, header.seq);
                let (_, len) = opened.expect("authentic media");
                let plain = &datagram[..len];
                let extensions = Extensions::read(&IDS, &header, plain);
                if let Some(transport_seq) = extensions.transport_seq {
                    let at_us = u64::try_from((now - self.epoch).as_micros()).unwrap();
                    let at_us = Some(at_us);
                    self.arrivals.push(Arrival {
                        transport_seq,
                        at_us,
                    });
                }
                self.received.push(Received {
                    ssrc: header.ssrc,
                    pt: header.payload_type,
                    seq: header.seq,
                    time: header.time,
                    marker: header.marker,
                    mid: extensions.mid,
                    transport_seq: extensions.transport_seq,
                    payload: header.payload(plain).unwrap().to_vec(),
                });
            }
            Some(Kind::Rtcp) => {
                let Some(opener) = &mut self.opener else {
                    return;
                };
                let len = opener.open_rtcp(datagram).expect("authentic reports");
                self.reports.push(datagram[..len].to_vec());
            }
            Some(Kind::Stun) | None => {}
        }
    }

    /// Seals an RTP packet of an m-line.
    #[expect(
        clippy::too_many_arguments,
        reason = "a packet's parts, each named where it is called"
    )]
    pub(crate) fn sealed(
        &self,
        no: usize,
        rid: Option<&str>,
        ssrc: Ssrc,
        seq: u64,
        time: u32,
        payload: &[u8],
    ) -> Vec<u8> {
        let carried = Carried {
            mid: Some(mid(no)),
            rid: rid.map(|rid| kaiwa_sfu::unit::Rid::parse(rid.as_bytes()).unwrap()),
            transport_seq: true,
            audio_level: self.lines[no].kind == "audio",
            ..Carried::default()
        };
        let writer = HeaderWriter::new(ssrc, &IDS, &carried);
        let mut packet = vec![0; 1_500];
        let index = ExtSeqNo(seq);
        let pt = if self.lines[no].kind == "audio" {
            OPUS
        } else {
            VP8
        };
        let fields = Fields {
            payload_type: pt,
            marker: true,
            seq: index.wire(),
            time: RtpTime(time),
        };
        let values = Values {
            transport_seq: index.wire().0,
            audio_level: Some(kaiwa_sfu::wire::rtp::AudioLevel {
                level: 20,
                voice: true,
            }),
            ..Values::default()
        };
        let header_len = writer.write(&mut packet, &fields, &values).unwrap();
        packet[header_len..header_len + payload.len()].copy_from_slice(payload);
        let sealer = self.sealer.as_ref().unwrap();
        let len = sealer.seal_rtp(
            &mut packet,
            header_len,
            header_len + payload.len(),
            index,
            ssrc,
        );
        packet.truncate(len);
        packet
    }

    /// Seals a packet whose header is there.
    pub(crate) fn seal(&self, header_and_payload: &[u8], header_len: usize, index: u64) -> Vec<u8> {
        let ssrc = u32::from_be_bytes(header_and_payload[8..12].try_into().unwrap());
        let mut packet = header_and_payload.to_vec();
        packet.resize(packet.len() + 16, 0);
        let sealer = self.sealer.as_ref().unwrap();
        let plain = header_and_payload.len();
        let len = sealer.seal_rtp(&mut packet, header_len, plain, ExtSeqNo(index), Ssrc(ssrc));
        packet.truncate(len);
        packet
    }

    /// Seals RTCP without sending it.
    pub(crate) fn sealed_rtcp(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        self.sealer
            .as_mut()
            .unwrap()
            .seal_rtcp(&mut packet)
            .unwrap();
        packet
    }

    pub(crate) fn send(&self, datagram: &[u8]) {
        self.link.send(datagram, self.server);
    }

    pub(crate) fn send_rtcp(&mut self, mut packet: Vec<u8>) {
        self.sealer
            .as_mut()
            .unwrap()
            .seal_rtcp(&mut packet)
            .unwrap();
        self.link.send(&packet, self.server);
    }

    /// Received packets of media, whichever slot they came in.
    pub(crate) fn payloads(&self) -> Vec<Vec<u8>> {
        let media = self
            .received
            .iter()
            .filter(|r| r.pt != RTX && !r.payload.is_empty());
        media.map(|r| r.payload.clone()).collect()
    }
}

/// A VP8 payload of one packet: a whole picture.
pub(crate) fn picture(id: u16, is_key: bool, bytes: usize) -> Vec<u8> {
    // X, S; I with a 15-bit id, L, T; TL0PICIDX; TID 0 (RFC 7741, section 4.2).
    let [high, low] = id.to_be_bytes();
    let mut payload = vec![
        0x90,
        0xe0,
        high | 0x80,
        low,
        u8::try_from(id & 0xff).unwrap(),
        0,
    ];
    if is_key {
        payload.extend_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
    } else {
        payload.push(0x11);
    }
    payload.resize(payload.len().max(bytes), u8::try_from(id & 0xff).unwrap());
    payload
}
