//! What simulated clients send: pictures in three encodings with temporal layers, voices with redundancy.

use crate::publisher::{Encoding, FrameKey};
use crate::random::Random;
use crate::sdp::{OPUS, RED, RIDS, RTX, VP8};
use kaiwa_sfu::control::{PublicationId, Source};
use kaiwa_sfu::unit::{MediaKind, NtpTime, PayloadType, Rid, RtpTime, SeqNo, Ssrc};
use kaiwa_sfu::wire::red::{self, Block};
use kaiwa_sfu::wire::rtcp::SenderInfo;
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const FRAME_MS: u64 = 66;
const HEAVY_FRAME_MS: u64 = 5;
pub(crate) const VOICE_MS: u64 = 40;

/// Numbers begin by so many lower than the encoder's. A sender whose first packets up to a wrap are lost
/// can't be understood (RFC 3711, section 3.3.1), so there are some more of them.
const SHIFT: u16 = 128;

/// Of the three encodings.
const SIZES: [(u16, u16); 3] = [(160, 90), (320, 180), (640, 360)];

/// A packet that is to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) line: usize,
    pub(crate) ssrc: Ssrc,
    pub(crate) pt: PayloadType,
    pub(crate) rid: Option<Rid>,
    pub(crate) rrid: Option<Rid>,
    pub(crate) index: u64,
    pub(crate) time: u32,
    pub(crate) marker: bool,
    pub(crate) level: Option<u8>,
    pub(crate) payload: Vec<u8>,
}

/// What a frame is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameInfo {
    pub(crate) is_key: bool,
}

/// One encoding, its numbers unwrapped.
pub(crate) struct Layer {
    pub(crate) encoding: Encoding,
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx: Ssrc,
    rid: Option<Rid>,
    highest: Option<u64>,
    rtx_index: u64,
    packets: u32,
    octets: u32,
}

/// Something that is published.
pub(crate) struct Source_ {
    pub(crate) line: usize,
    pub(crate) source: Source,
    /// In the payloads.
    pub(crate) tag: u8,
    pub(crate) publication: Option<PublicationId>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) frames: BTreeMap<FrameKey, FrameInfo>,
    pub(crate) payloads: BTreeMap<(FrameKey, u8), Vec<u8>>,
    voice: Voice,
    /// Its pictures come every 5 ms and are large: some 2 Mbit/s, and half of it for each layer below.
    pub(crate) is_heavy: bool,
    pub(crate) next_ms: u64,
    clock: u64,
}

struct Voice {
    ssrc: Ssrc,
    index: u64,
    time: u32,
    level: u8,
    recent: Vec<(u32, Vec<u8>)>,
}

impl Source_ {
    pub(crate) fn new(
        line: usize,
        (source, ssrc, layers): (Source, Ssrc, u8),
        tag: u8,
        now_ms: u64,
        random: &mut Random,
    ) -> Self {
        let layer = |at: u8| Layer {
            encoding: Encoding::new(tag, at, random),
            ssrc: Ssrc(ssrc.0 + u32::from(at)),
            rtx: Ssrc(ssrc.0 + 100 + u32::from(at)),
            rid: (layers > 1).then(|| Rid::parse(RIDS[usize::from(at)].as_bytes()).unwrap()),
            highest: None,
            rtx_index: 1_000,
            packets: 0,
            octets: 0,
        };
        let layers = match source.kind() {
            MediaKind::Video => (0..layers).map(layer).collect(),
            MediaKind::Audio => Vec::new(),
        };
        Self {
            line,
            source,
            tag,
            publication: None,
            layers,
            frames: BTreeMap::new(),
            payloads: BTreeMap::new(),
            voice: Voice {
                ssrc,
                index: 65_500,
                time: random.short().into(),
                level: random.small(40) + 15,
                recent: Vec::new(),
            },
            is_heavy: false,
            next_ms: now_ms,
            clock: random.below(1 << 30),
        }
    }

    /// What is captured now.
    pub(crate) fn capture(
        &mut self,
        now_ms: u64,
        has_red: bool,
        random: &mut Random,
    ) -> Vec<Outgoing> {
        if now_ms < self.next_ms {
            return Vec::new();
        }
        match self.source.kind() {
            MediaKind::Audio => {
                self.next_ms = self.next_ms.max(now_ms.saturating_sub(VOICE_MS)) + VOICE_MS;
                vec![self.speak(has_red)]
            }
            MediaKind::Video => {
                let frame_ms = if self.is_heavy {
                    HEAVY_FRAME_MS
                } else {
                    FRAME_MS
                };
                self.next_ms = self.next_ms.max(now_ms.saturating_sub(frame_ms)) + frame_ms;
                self.picture(now_ms, random)
            }
        }
    }

    fn picture(&mut self, now_ms: u64, random: &mut Random) -> Vec<Outgoing> {
        let mut out = Vec::new();
        let above = (0..self.layers.len()).rev();
        let layers = self.layers.iter_mut().zip(SIZES);
        for ((layer, (width, height)), above) in layers.zip(above) {
            if !layer.encoding.is_alive {
                continue;
            }
            let (key, frame, packets) = layer.encoding.encode(now_ms, random);
            self.frames.insert(
                key,
                FrameInfo {
                    is_key: frame.is_key,
                },
            );
            for (no, mut packet) in (0_u8..).zip(packets) {
                if frame.is_key && !packet.payload.is_empty() {
                    packet.payload[12..14].copy_from_slice(&width.to_le_bytes());
                    packet.payload[14..16].copy_from_slice(&height.to_le_bytes());
                }
                if !packet.payload.is_empty() {
                    let len = packet.payload.len();
                    let heavy = 900 >> above;
                    let len = if self.is_heavy { heavy } else { len.min(500) };
                    packet.payload.resize(len, 0);
                    self.payloads.insert((key, no), packet.payload.clone());
                }
                layer.encoding.sent.insert(packet.seq, packet.clone());
                let index = layer.unwrap(packet.seq.wrapping_sub(SHIFT));
                layer.packets += 1;
                layer.octets += u32::try_from(packet.payload.len()).unwrap();
                out.push(Outgoing {
                    line: self.line,
                    ssrc: layer.ssrc,
                    pt: VP8,
                    rid: layer.rid,
                    rrid: None,
                    index,
                    time: packet.time,
                    marker: packet.marker,
                    level: None,
                    payload: packet.payload,
                });
            }
        }
        out
    }

    fn speak(&mut self, has_red: bool) -> Outgoing {
        let voice = &mut self.voice;
        voice.index += 1;
        voice.time = voice
            .time
            .wrapping_add(48 * u32::try_from(VOICE_MS).unwrap());
        let mut primary = vec![0xa0, self.tag];
        primary.extend(u32::try_from(voice.index).unwrap().to_be_bytes());
        primary.resize(40, self.tag);
        let mut payload = primary.clone();
        if has_red {
            let block =
                |(time, bytes): &'_ (u32, Vec<u8>)| (voice.time.wrapping_sub(*time), bytes.clone());
            let older: Vec<_> = voice.recent.iter().map(block).collect();
            let blocks: Vec<Block<'_>> = older
                .iter()
                .map(|(offset, bytes)| Block {
                    payload_type: OPUS,
                    offset: u16::try_from(*offset).unwrap(),
                    bytes,
                })
                .collect();
            let newest = Block {
                payload_type: OPUS,
                offset: 0,
                bytes: &primary,
            };
            let mut written = vec![0; 500];
            let len = red::write(&mut written, &newest, &blocks).unwrap();
            written.truncate(len);
            payload = written;
        }
        voice.recent.push((voice.time, primary));
        if voice.recent.len() > 2 {
            voice.recent.remove(0);
        }
        Outgoing {
            line: self.line,
            ssrc: voice.ssrc,
            pt: if has_red { RED } else { OPUS },
            rid: None,
            rrid: None,
            index: voice.index,
            time: voice.time,
            marker: false,
            level: Some(voice.level),
            payload,
        }
    }

    /// What was asked for again.
    pub(crate) fn repair(&mut self, media: Ssrc, numbers: &[SeqNo]) -> Vec<Outgoing> {
        let line = self.line;
        let Some(layer) = self.layers.iter_mut().find(|layer| layer.ssrc == media) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for number in numbers {
            let Some(packet) = layer.encoding.sent.get(&number.0.wrapping_add(SHIFT)) else {
                continue;
            };
            layer.rtx_index += 1;
            let mut payload = number.0.to_be_bytes().to_vec();
            payload.extend(&packet.payload);
            out.push(Outgoing {
                line,
                ssrc: layer.rtx,
                pt: RTX,
                rid: None,
                rrid: layer.rid,
                index: layer.rtx_index,
                time: packet.time,
                marker: packet.marker,
                level: None,
                payload,
            });
        }
        out
    }

    /// What reports say of its pictures.
    pub(crate) fn reports(&self, now_ms: u64) -> Vec<(Ssrc, SenderInfo)> {
        let ntp = NtpTime(self.clock << 32).plus(Duration::from_millis(now_ms));
        let of = |layer: &Layer| {
            let info = SenderInfo {
                ntp,
                time: RtpTime(layer.encoding.timestamp(now_ms)),
                packets: layer.packets,
                octets: layer.octets,
            };
            (layer.ssrc, info)
        };
        let sent = self.layers.iter().filter(|layer| layer.packets > 0);
        sent.map(of).collect()
    }
}

impl Layer {
    fn unwrap(&mut self, seq: u16) -> u64 {
        let index = match self.highest {
            None => u64::from(seq),
            Some(highest) => highest + 1,
        };
        self.highest = Some(index);
        index
    }
}
