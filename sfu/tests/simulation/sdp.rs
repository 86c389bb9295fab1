//! Offers of simulated clients.

use kaiwa_sfu::control::Source;
use kaiwa_sfu::unit::{MediaKind, PayloadType, Ssrc};
use kaiwa_sfu::wire::rtp::ExtensionIds;
use kaiwa_sfu::wire::sdp::Fingerprint;
use std::fmt::Write as _;

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
pub(crate) const RED: PayloadType = PayloadType(63);
pub(crate) const RIDS: [&str; 3] = ["q", "h", "f"];

/// What an m-line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Sends a track in so many encodings.
    Send(Source, Ssrc, u8),
    Receive(MediaKind),
    /// Of this kind, and stopped.
    Inactive(MediaKind),
}

impl Use {
    pub(crate) fn kind(self) -> MediaKind {
        match self {
            Self::Send(source, ..) => source.kind(),
            Self::Receive(kind) | Self::Inactive(kind) => kind,
        }
    }
}

/// Who offers.
pub(crate) struct Who<'a> {
    pub(crate) ufrag: &'a str,
    pub(crate) password: &'a str,
    pub(crate) fingerprint: &'a Fingerprint,
    pub(crate) has_red: bool,
    pub(crate) version: u32,
}

pub(crate) fn offer(who: &Who<'_>, lines: &[Use]) -> String {
    let mids: Vec<String> = (0..lines.len()).map(|no| no.to_string()).collect();
    let mut sdp = format!(
        "v=0\r\no=- 1 {} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=msid-semantic: WMS\r\n",
        who.version,
        mids.join(" ")
    );
    for (no, line) in lines.iter().enumerate() {
        put_line(&mut sdp, who, no, *line);
    }
    sdp
}

fn put_line(sdp: &mut String, who: &Who<'_>, no: usize, line: Use) {
    let (name, pts) = match (line.kind(), who.has_red) {
        (MediaKind::Audio, true) => ("audio", "111 63"),
        (MediaKind::Audio, false) => ("audio", "111"),
        (MediaKind::Video, _) => ("video", "96 97"),
    };
    let direction = match line {
        Use::Send(..) => "sendonly",
        Use::Receive(_) => "recvonly",
        Use::Inactive(_) => "inactive",
    };
    let hex: Vec<String> = who
        .fingerprint
        .digest()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    write!(
        sdp,
        "m={name} 9 UDP/TLS/RTP/SAVPF {pts}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
         a=fingerprint:sha-256 {}\r\na=setup:actpass\r\na=mid:{no}\r\na={direction}\r\na=rtcp-mux\r\n\
         a=rtcp-rsize\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
         a=extmap:5 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n",
        who.ufrag,
        who.password,
        hex.join(":"),
    )
    .unwrap();
    match line.kind() {
        MediaKind::Audio => {
            *sdp += "a=extmap:4 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n";
            if who.has_red {
                *sdp += "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n";
            }
        }
        MediaKind::Video => {
            *sdp += "a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\na=extmap:3 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 transport-cc\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
        }
    }
    match line {
        Use::Send(_, _, layers) if layers > 1 => {
            for rid in RIDS {
                write!(sdp, "a=rid:{rid} send\r\n").unwrap();
            }
            write!(sdp, "a=simulcast:send {}\r\n", RIDS.join(";")).unwrap();
        }
        Use::Send(_, ssrc, _) => write!(sdp, "a=ssrc:{} cname:c\r\n", ssrc.0).unwrap(),
        Use::Receive(_) | Use::Inactive(_) => {}
    }
}
