//! Reads what a server describes: its transport, and the sources of each m-line.

use super::{Extensions, Kind, PayloadTypes};
use crate::call::coding::Coding;
use crate::call::ice::Credentials;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A description that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Longer than anything a server writes.
    #[error("longer than {MAX_BYTES} bytes")]
    TooLong,
    /// A line that every participant needs is not there.
    #[error("no {0}")]
    Missing(&'static str),
    /// A line that can't be read.
    #[error("can't be read: {0}")]
    Malformed(String),
}

/// The longest description that is read.
pub const MAX_BYTES: usize = 256 * 1024;

/// A server's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its ICE credentials.
    pub credentials: Credentials,
    /// Its certificate's fingerprint: SHA-256.
    pub fingerprint: String,
    /// It begins the DTLS handshake itself.
    pub is_active: bool,
    /// Where it can be reached, the most wanted first.
    pub candidates: Vec<SocketAddr>,
    /// The same by TCP, which we open.
    pub tcp_candidates: Vec<SocketAddr>,
    /// Its m-lines, those with port 0 too.
    pub media: Vec<Media>,
}

/// An m-line of a server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Its name.
    pub mid: String,
    /// What it is for.
    pub kind: Kind,
    /// It is not in use.
    pub is_rejected: bool,
    /// The server sends in it.
    pub sends: bool,
    /// The server receives in it.
    pub receives: bool,
    /// The payload types.
    pub payload_types: PayloadTypes,
    /// Whether RED comes before Opus.
    pub prefers_red: bool,
    /// The extensions' ids.
    pub extensions: Extensions,
    /// The same, as they stand there.
    pub extension_lines: Vec<(u8, String)>,
    /// Sources: of media, and of retransmissions.
    pub sources: Vec<(u32, Option<u32>)>,
    /// RIDs that it wants to receive.
    pub rids: Vec<String>,
}

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    /// [`SdpError`].
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_BYTES {
            return Err(SdpError::TooLong);
        }
        let mut transport = Transport::default();
        let mut media: Vec<Builder> = Vec::new();
        for line in text.lines().map(str::trim_end) {
            if let Some(value) = line.strip_prefix("m=") {
                media.push(Builder::new(value).ok_or_else(|| malformed(line))?);
            } else if let Some(attribute) = line.strip_prefix("a=") {
                let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
                transport.note(name, value);
                if let Some(media) = media.last_mut() {
                    media.note(name, value).ok_or_else(|| malformed(line))?;
                }
            }
        }
        let preferred = |over: &str| {
            let mut found = transport.candidates.clone();
            found.retain(|candidate| candidate.over == over);
            found.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
            found
                .into_iter()
                .map(|candidate| candidate.address)
                .collect()
        };
        let (candidates, tcp_candidates) = (preferred("udp"), preferred("tcp"));
        Ok(Self {
            credentials: Credentials {
                ufrag: transport.ufrag.ok_or(SdpError::Missing("ice-ufrag"))?,
                password: transport.password.ok_or(SdpError::Missing("ice-pwd"))?,
            },
            fingerprint: transport
                .fingerprint
                .ok_or(SdpError::Missing("fingerprint"))?,
            is_active: transport.setup.as_deref() == Some("active"),
            candidates,
            tcp_candidates,
            media: media.into_iter().map(Builder::finish).collect(),
        })
    }

    /// The m-line of this name.
    #[must_use]
    pub fn by_mid(&self, mid: &str) -> Option<&Media> {
        self.media.iter().find(|media| media.mid == mid)
    }
}

fn malformed(line: &str) -> SdpError {
    SdpError::Malformed(line.chars().take(120).collect())
}

/// All m-lines share one: the first to say something is believed.
#[derive(Debug, Default)]
struct Transport {
    ufrag: Option<String>,
    password: Option<String>,
    fingerprint: Option<String>,
    setup: Option<String>,
    candidates: Vec<Candidate>,
}

/// A candidate of component 1, over UDP or passive TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    /// `udp` or `tcp`.
    over: &'static str,
    priority: u32,
    address: SocketAddr,
}

impl Transport {
    fn note(&mut self, name: &str, value: &str) {
        let first = |field: &mut Option<String>, value: &str| {
            field.get_or_insert_with(|| value.to_owned());
        };
        match name {
            "ice-ufrag" => first(&mut self.ufrag, value),
            "setup" => first(&mut self.setup, value),
            "ice-pwd" => first(&mut self.password, value),
            "fingerprint" => {
                if let Some((hash, value)) = value.split_once(' ')
                    && hash.eq_ignore_ascii_case("sha-256")
                {
                    first(&mut self.fingerprint, value.trim());
                }
            }
            "candidate" => {
                // Those for RTCP alone, or with a name instead of an address are of no use.
                if let Some(found) = candidate(value)
                    && !self.candidates.contains(&found)
                {
                    self.candidates.push(found);
                }
            }
            _ => {}
        }
    }
}

/// Reads one (RFC 8839, section 5.1; RFC 6544, section 4.5).
fn candidate(value: &str) -> Option<Candidate> {
    let mut fields = value.split_whitespace().skip(1);
    let (component, transport) = (fields.next()?, fields.next()?);
    let priority = fields.next()?.parse().ok()?;
    let address: IpAddr = fields.next()?.parse().ok()?;
    let port = fields.next()?.parse().ok()?;
    let over = if transport.eq_ignore_ascii_case("udp") {
        "udp"
    } else if transport.eq_ignore_ascii_case("tcp") && value.contains(" tcptype passive") {
        "tcp"
    } else {
        return None;
    };
    (component == "1").then_some(Candidate {
        over,
        priority,
        address: SocketAddr::new(address, port),
    })
}

/// An m-line that is being read.
#[derive(Debug)]
struct Builder {
    media: Media,
    /// Payload types in their order.
    formats: Vec<u8>,
    codecs: BTreeMap<u8, String>,
    /// Of a payload type of retransmissions: of what.
    apt: BTreeMap<u8, u8>,
    ssrcs: Vec<u32>,
    groups: Vec<(u32, u32)>,
}

impl Builder {
    fn new(value: &str) -> Option<Self> {
        let mut fields = value.split_whitespace();
        let kind = match fields.next()? {
            "audio" => Kind::Audio,
            "video" => Kind::Video,
            _ => return None,
        };
        let port = fields.next()?;
        let formats = fields
            .skip(1)
            .filter_map(|format| format.parse().ok())
            .collect();
        Some(Self {
            media: Media {
                mid: String::new(),
                kind,
                is_rejected: port == "0",
                sends: true,
                receives: true,
                payload_types: PayloadTypes::default(),
                prefers_red: false,
                extensions: Extensions::default(),
                extension_lines: Vec::new(),
                sources: Vec::new(),
                rids: Vec::new(),
            },
            formats,
            codecs: BTreeMap::new(),
            apt: BTreeMap::new(),
            ssrcs: Vec::new(),
            groups: Vec::new(),
        })
    }

    /// `None` if the attribute can't be read.
    fn note(&mut self, name: &str, value: &str) -> Option<()> {
        let media = &mut self.media;
        match name {
            "mid" => value.clone_into(&mut media.mid),
            "sendonly" | "recvonly" | "inactive" => {
                media.sends = name == "sendonly";
                media.receives = name == "recvonly";
            }
            "rtpmap" => {
                let (pt, codec) = value.split_once(' ')?;
                self.codecs
                    .insert(pt.parse().ok()?, codec.to_ascii_lowercase());
            }
            "fmtp" => {
                let (pt, parameters) = value.split_once(' ')?;
                if let Some(apt) = parameters.strip_prefix("apt=") {
                    self.apt.insert(pt.parse().ok()?, apt.trim().parse().ok()?);
                }
            }
            "extmap" => {
                let (id, rest) = value.split_once(' ')?;
                let id = id.split('/').next()?.parse().ok()?;
                let uri = rest.split_whitespace().next()?;
                media.extensions.note(id, uri);
                media.extension_lines.push((id, uri.to_owned()));
            }
            "ssrc" => {
                let ssrc = value.split(' ').next()?.parse().ok()?;
                if !self.ssrcs.contains(&ssrc) {
                    self.ssrcs.push(ssrc);
                }
            }
            "ssrc-group" => {
                let mut fields = value.split_whitespace();
                if fields.next()? == "FID" {
                    let primary = fields.next()?.parse().ok()?;
                    self.groups.push((primary, fields.next()?.parse().ok()?));
                }
            }
            "rid" => media.rids.push(value.split(' ').next()?.to_owned()),
            _ => {}
        }
        Some(())
    }

    fn finish(mut self) -> Media {
        let find = |name: &str| {
            let is_it = |pt: &&u8| {
                self.codecs
                    .get(pt)
                    .is_some_and(|codec| codec.starts_with(name))
            };
            self.formats.iter().find(is_it).copied()
        };
        let default = PayloadTypes::default();
        let codings = [Coding::Vp8, Coding::H264, Coding::Vp9];
        let (coding, video) = codings
            .into_iter()
            .find_map(|coding| {
                let name = format!("{}/", coding.name().to_lowercase());
                Some((coding, find(&name)?))
            })
            .unwrap_or((default.coding, default.video));
        let rtx = self
            .apt
            .iter()
            .find(|(_, apt)| **apt == video)
            .map(|(pt, _)| *pt);
        self.media.payload_types = PayloadTypes {
            opus: find("opus/").unwrap_or(default.opus),
            red: find("red/"),
            video,
            coding,
            rtx,
        };
        self.media.prefers_red =
            self.formats.first().copied() == find("red/") && find("red/").is_some();
        let is_repair = |ssrc: &u32| self.groups.iter().any(|(_, rtx)| rtx == ssrc);
        let source = |ssrc: &u32| {
            let group = self.groups.iter().find(|(primary, _)| primary == ssrc);
            (*ssrc, group.map(|(_, rtx)| *rtx))
        };
        self.media.sources = self
            .ssrcs
            .iter()
            .filter(|ssrc| !is_repair(ssrc))
            .map(source)
            .collect();
        self.media
    }
}
