//! Writes offers, and answers to servers that offer.

use super::{EXTENSION_URIS, Extensions, Kind, Media, PayloadTypes};
use crate::call::coding::Coding;
use crate::call::ice::Credentials;
use std::fmt::Write as _;

/// An m-line of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub mid: String,
    /// What it is for.
    pub kind: Kind,
    /// What is sent in it; `None` where we only receive.
    pub sends: Option<Simulcast>,
}

/// What an m-line sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulcast {
    /// RIDs of its encodings, the smallest first; empty for one encoding, which is then announced by its
    /// sources.
    pub rids: Vec<String>,
    /// The encodings' sources: of media, and of retransmissions.
    pub sources: Vec<(u32, Option<u32>)>,
}

/// All that a description says beside its m-lines.
#[derive(Debug, Clone, Copy)]
pub struct Local<'a> {
    /// Of `o=`; below 2^63.
    pub session_id: u64,
    /// Grows with every description.
    pub version: u64,
    /// Our ICE credentials.
    pub credentials: &'a Credentials,
    /// Of our certificate: SHA-256.
    pub fingerprint: &'a str,
    /// RED is offered beside Opus.
    pub has_red: bool,
    /// Transport-wide feedback is offered.
    pub has_feedback: bool,
    /// The codec of pictures that is offered.
    pub coding: Coding,
}

impl Local<'_> {
    /// An offer with these m-lines.
    #[must_use]
    pub fn offer(&self, sections: &[Section]) -> String {
        let mids: Vec<&str> = sections
            .iter()
            .map(|section| section.mid.as_str())
            .collect();
        let mut text = self.head(&mids);
        for section in sections {
            let mut types = PayloadTypes {
                coding: self.coding,
                ..PayloadTypes::default()
            };
            types.red = types.red.filter(|_| self.has_red);
            let formats = match section.kind {
                Kind::Audio if self.has_red => format!("{} 63", types.opus),
                Kind::Audio => types.opus.to_string(),
                Kind::Video => format!("{} 97", types.video),
            };
            self.put_transport(&mut text, section.kind, &formats, "actpass");
            put(&mut text, format_args!("a=mid:{}", section.mid));
            for (place, (id, uri)) in EXTENSION_URIS.iter().enumerate() {
                let is_wanted = self.has_feedback || !uri.contains(TRANSPORT_CC);
                if is_wanted && Extensions::is_for(place, section.kind) {
                    put(&mut text, format_args!("a=extmap:{id} {uri}"));
                }
            }
            put_media(&mut text, section, self.session_id);
            put_codecs(&mut text, section.kind, types, self.has_feedback);
            put_encodings(&mut text, section);
        }
        text
    }

    /// An answer to a server's offer, which takes all of its m-lines and sends nothing.
    #[must_use]
    pub fn answer(&self, offered: &[Media]) -> String {
        let mids: Vec<&str> = offered.iter().map(|media| media.mid.as_str()).collect();
        let mut text = self.head(&mids);
        for media in offered {
            let (types, kind) = (media.payload_types, media.kind);
            let formats = match (kind, types.rtx) {
                (Kind::Audio, _) => types.opus.to_string(),
                (Kind::Video, Some(rtx)) => format!("{} {rtx}", types.video),
                (Kind::Video, None) => types.video.to_string(),
            };
            self.put_transport(&mut text, kind, &formats, "active");
            put(&mut text, format_args!("a=mid:{}", media.mid));
            for (id, uri) in &media.extension_lines {
                let is_wanted = self.has_feedback || !uri.contains(TRANSPORT_CC);
                if is_wanted && EXTENSION_URIS.iter().any(|(_, known)| known == uri) {
                    put(&mut text, format_args!("a=extmap:{id} {uri}"));
                }
            }
            put(
                &mut text,
                format_args!("a=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize"),
            );
            let red = None;
            put_codecs(
                &mut text,
                kind,
                PayloadTypes { red, ..types },
                self.has_feedback,
            );
        }
        text
    }

    fn head(&self, mids: &[&str]) -> String {
        let mut text = String::new();
        let (session, version) = (self.session_id, self.version);
        put(
            &mut text,
            format_args!("v=0\r\no=- {session} {version} IN IP4 127.0.0.1"),
        );
        put(&mut text, format_args!("s=-\r\nt=0 0"));
        put(&mut text, format_args!("a=group:BUNDLE {}", mids.join(" ")));
        put(
            &mut text,
            format_args!("a=extmap-allow-mixed\r\na=msid-semantic: WMS"),
        );
        text
    }

    fn put_transport(&self, text: &mut String, kind: Kind, formats: &str, setup: &str) {
        put(
            text,
            format_args!("m={} 9 UDP/TLS/RTP/SAVPF {formats}", kind.name()),
        );
        put(
            text,
            format_args!("c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0"),
        );
        put(text, format_args!("a=ice-ufrag:{}", self.credentials.ufrag));
        put(
            text,
            format_args!("a=ice-pwd:{}", self.credentials.password),
        );
        put(text, format_args!("a=ice-options:trickle"));
        put(
            text,
            format_args!("a=fingerprint:sha-256 {}", self.fingerprint),
        );
        put(text, format_args!("a=setup:{setup}"));
    }
}

/// What the extension's URI of transport-wide feedback has in it, and no other.
const TRANSPORT_CC: &str = "transport-wide-cc";

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = write!(text, "{line}\r\n");
}

fn put_media(text: &mut String, section: &Section, session: u64) {
    let direction = if section.sends.is_some() {
        put(
            text,
            format_args!("a=sendonly\r\na=msid:s{session} t{}", section.mid),
        );
        return put(text, format_args!("a=rtcp-mux\r\na=rtcp-rsize"));
    } else {
        "recvonly"
    };
    put(
        text,
        format_args!("a={direction}\r\na=rtcp-mux\r\na=rtcp-rsize"),
    );
}

fn put_codecs(text: &mut String, kind: Kind, types: PayloadTypes, has_feedback: bool) {
    let transport_cc = has_feedback.then_some("transport-cc");
    match kind {
        Kind::Audio => {
            let opus = types.opus;
            put(text, format_args!("a=rtpmap:{opus} opus/48000/2"));
            if let Some(feedback) = transport_cc {
                put(text, format_args!("a=rtcp-fb:{opus} {feedback}"));
            }
            put(
                text,
                format_args!("a=fmtp:{opus} minptime=10;useinbandfec=1"),
            );
            if let Some(red) = types.red {
                put(
                    text,
                    format_args!("a=rtpmap:{red} red/48000/2\r\na=fmtp:{red} {opus}/{opus}"),
                );
            }
        }
        Kind::Video => {
            let (video, coding) = (types.video, types.coding);
            put(
                text,
                format_args!("a=rtpmap:{video} {}/90000", coding.name()),
            );
            if let Some(parameters) = coding.parameters() {
                put(text, format_args!("a=fmtp:{video} {parameters}"));
            }
            let others = ["ccm fir", "nack", "nack pli"];
            for feedback in transport_cc.into_iter().chain(others) {
                put(text, format_args!("a=rtcp-fb:{video} {feedback}"));
            }
            if let Some(rtx) = types.rtx {
                put(
                    text,
                    format_args!("a=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={video}"),
                );
            }
        }
    }
}

fn put_encodings(text: &mut String, section: &Section) {
    let Some(sends) = &section.sends else {
        return;
    };
    if !sends.rids.is_empty() {
        for rid in &sends.rids {
            put(text, format_args!("a=rid:{rid} send"));
        }
        return put(
            text,
            format_args!("a=simulcast:send {}", sends.rids.join(";")),
        );
    }
    for &(primary, rtx) in &sends.sources {
        if let Some(rtx) = rtx {
            put(text, format_args!("a=ssrc-group:FID {primary} {rtx}"));
        }
        for ssrc in [Some(primary), rtx].into_iter().flatten() {
            put(text, format_args!("a=ssrc:{ssrc} cname:load"));
        }
    }
}
