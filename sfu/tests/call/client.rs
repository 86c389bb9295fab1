//! A small WebRTC client over a real socket: ICE, DTLS and SRTP by the crate's own parts in the other role.

use kaiwa_sfu::control::{Answer, Offer, ParticipantId, SfuControl, Source, Track};
use kaiwa_sfu::dtls::{Dtls, DtlsEvent, Identity, RtcDtls};
use kaiwa_sfu::engine::Engine;
use kaiwa_sfu::srtp::{Opener, Profile, Sealer};
use kaiwa_sfu::unit::{ExtSeqNo, Mid, PayloadType, RtpTime, SeqNo, Ssrc};
use kaiwa_sfu::wire::demux::Kind;
use kaiwa_sfu::wire::rtp::{
    Carried, ExtensionIds, Extensions, Fields, Header, HeaderWriter, Values,
};
use kaiwa_sfu::wire::sdp::{Description, Fingerprint, Hash};
use kaiwa_sfu::wire::stun::{self, BindingRequest, IntegrityKey, Role, TransactionId};
use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Header extensions of all offers.
pub const IDS: ExtensionIds = ExtensionIds {
    mid: Some(1),
    rid: Some(2),
    repaired_rid: Some(3),
    audio_level: Some(4),
    abs_send_time: None,
    transport_cc: Some(5),
};

pub const VP8: PayloadType = PayloadType(96);
pub const RTX: PayloadType = PayloadType(97);
pub const OPUS: PayloadType = PayloadType(111);

/// An RTP packet that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub ssrc: Ssrc,
    pub pt: PayloadType,
    pub seq: SeqNo,
    pub time: RtpTime,
    pub marker: bool,
    pub mid: Option<Mid>,
    pub transport_seq: Option<u16>,
    pub payload: Vec<u8>,
}

/// An m-line to offer.
#[derive(Debug, Clone)]
pub struct Line {
    pub kind: &'static str,
    pub direction: &'static str,
    pub source: Option<(Source, Ssrc)>,
    pub rids: Vec<&'static str>,
}

impl Line {
    pub fn send(source: Source, ssrc: u32) -> Self {
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

    pub fn simulcast(source: Source, rids: &[&'static str]) -> Self {
        Self {
            rids: rids.to_vec(),
            ..Self::send(source, 0)
        }
    }

    pub fn receive(kind: &'static str) -> Self {
        Self {
            kind,
            direction: "recvonly",
            source: None,
            rids: vec![],
        }
    }
}

pub struct Client {
    pub participant: ParticipantId,
    pub socket: UdpSocket,
    server: SocketAddr,
    identity: Identity,
    ufrag: String,
    lines: Vec<Line>,
    remote: Option<(String, String)>,
    dtls: Option<RtcDtls>,
    pub profile: Option<Profile>,
    profiles: Vec<Profile>,
    sealer: Option<Sealer>,
    opener: Option<Opener>,
    checks: u8,
    pub received: Vec<Received>,
    /// RTCP in the clear.
    pub reports: Vec<Vec<u8>>,
    pub answer: Option<Answer>,
    wrong_certificate: bool,
}

pub fn mid(no: usize) -> Mid {
    Mid::parse(no.to_string().as_bytes()).unwrap()
}

impl Client {
    pub fn new(participant: u64, lines: Vec<Line>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(2)))
            .unwrap();
        Self {
            participant: ParticipantId(participant),
            socket,
            server: "127.0.0.1:1".parse().unwrap(),
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
        }
    }

    pub fn only(mut self, profile: Profile) -> Self {
        self.profiles = vec![profile];
        self
    }

    /// Offers a fingerprint that is not its certificate's.
    pub fn lying(mut self) -> Self {
        self.wrong_certificate = true;
        self
    }

    pub fn sdp(&self) -> String {
        let mids: Vec<String> = (0..self.lines.len()).map(|no| no.to_string()).collect();
        let own = self.identity.fingerprint();
        let fingerprint = if self.wrong_certificate {
            Fingerprint::new(Hash::Sha256, &[9; 32]).unwrap()
        } else {
            own.clone()
        };
        let hex: Vec<String> = fingerprint
            .digest()
            .iter()
            .map(|b| format!("{b:02X}"))
            .collect();
        let mut sdp = format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=msid-semantic: WMS\r\n",
            mids.join(" ")
        );
        for (no, line) in self.lines.iter().enumerate() {
            let pts = if line.kind == "audio" { "111" } else { "96 97" };
            write!(
                sdp,
                "m={} 9 UDP/TLS/RTP/SAVPF {pts}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
                 a=fingerprint:sha-256 {}\r\na=setup:actpass\r\na=mid:{no}\r\na={}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
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
        sdp
    }

    pub fn tracks(&self) -> Vec<Track> {
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
    pub fn negotiate(&mut self, engine: &Engine) {
        let offer = Offer {
            participant: self.participant,
            sdp: self.sdp(),
            tracks: self.tracks(),
        };
        let answer = super::block_on(engine.offer(offer)).expect("an answer");
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
        let port_at = answer
            .sdp
            .lines()
            .find(|l| l.starts_with("a=candidate:"))
            .unwrap();
        let words: Vec<&str> = port_at.split(' ').collect();
        self.server = format!("{}:{}", words[4], words[5]).parse().unwrap();
        if self.dtls.is_none() {
            let fingerprints = if transport.fingerprints.is_empty() {
                described.transport.fingerprints.clone()
            } else {
                transport.fingerprints.clone()
            };
            let dtls =
                RtcDtls::client(&self.identity, fingerprints, &self.profiles, Instant::now());
            self.dtls = Some(dtls.unwrap());
        }
        self.remote = Some(server);
        self.answer = Some(answer);
        self.check(true);
    }

    /// Joins with more m-lines.
    pub fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// A binding request.
    pub fn check(&mut self, nominate: bool) {
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
        self.socket.send_to(&out, self.server).unwrap();
    }

    /// Another address from now on.
    pub fn move_away(&mut self) {
        self.socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        self.socket
            .set_read_timeout(Some(Duration::from_millis(2)))
            .unwrap();
    }

    pub fn is_connected(&self) -> bool {
        self.sealer.is_some()
    }

    /// Takes what waits at the socket, for 2 ms at least.
    pub fn pump(&mut self) {
        let now = Instant::now();
        let mut buffer = [0; 2_048];
        while let Ok((len, _)) = self.socket.recv_from(&mut buffer) {
            self.take(now, &mut buffer[..len]);
        }
        let Some(dtls) = &mut self.dtls else { return };
        if dtls.poll_timeout().is_some_and(|due| due <= now) {
            dtls.handle_timeout(now);
        }
        self.follow_dtls();
    }

    fn follow_dtls(&mut self) {
        let Some(dtls) = &mut self.dtls else { return };
        while let Some(datagram) = dtls.poll_transmit() {
            self.socket.send_to(&datagram, self.server).unwrap();
        }
        if let Some(DtlsEvent::Connected { profile, keys }) = dtls.poll_event() {
            self.profile = Some(profile);
            self.sealer = Some(Sealer::new(&keys.client));
            self.opener = Some(Opener::new(&keys.server));
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
    pub fn sealed(
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

    pub fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.server).unwrap();
    }

    pub fn send_rtcp(&mut self, mut packet: Vec<u8>) {
        self.sealer
            .as_mut()
            .unwrap()
            .seal_rtcp(&mut packet)
            .unwrap();
        self.socket.send_to(&packet, self.server).unwrap();
    }

    /// Received packets of media, whichever slot they came in.
    pub fn payloads(&self) -> Vec<Vec<u8>> {
        let media = self
            .received
            .iter()
            .filter(|r| r.pt != RTX && !r.payload.is_empty());
        media.map(|r| r.payload.clone()).collect()
    }
}

/// A VP8 payload of one packet: a whole picture.
pub fn picture(id: u16, is_key: bool, bytes: usize) -> Vec<u8> {
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
