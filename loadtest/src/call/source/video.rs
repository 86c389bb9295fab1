//! A camera: frames of one to three layers, each with its own references and key frames.

use super::{Beat, Trace};
use crate::call::coding::HEAD_BYTES;
use crate::call::stamp::STAMP_BYTES;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Header bytes of an RTP packet with a transport-wide sequence number, which `bytes` counts in.
pub const HEADER_BYTES: usize = 20;

/// The most payload in a packet of a trace's frame: what libwebrtc leaves of 1,200 bytes.
const TRACE_PAYLOAD: usize = 1_100;

/// The least payload: everything that is in front of the filler.
const LEAST_PAYLOAD: usize = HEAD_BYTES + STAMP_BYTES;

/// A camera to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoPlan {
    /// Its layers, the smallest first; one without simulcast.
    pub layers: Vec<LayerPlan>,
    /// Frames a second.
    pub fps: u32,
    /// Temporal layers, 1 to 3.
    pub temporal: u8,
    /// Sizes and times from here, instead of `layers` and `fps`.
    pub trace: Option<Arc<Trace>>,
}

/// The frames of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerPlan {
    /// Packets of a frame.
    pub packets: u16,
    /// Bytes of an RTP packet, header and all, without SRTP's tag.
    pub bytes: usize,
}

impl VideoPlan {
    /// One layer of so many packets a second, in bursts.
    #[must_use]
    pub fn bursts(pps: u32, bytes: usize, burst: u16) -> Self {
        Self {
            layers: vec![LayerPlan {
                packets: burst,
                bytes,
            }],
            fps: pps / u32::from(burst).max(1),
            temporal: 1,
            trace: None,
        }
    }

    /// Three layers, as a browser sends 180p, 360p and 720p at 24 frames/s.
    #[must_use]
    pub fn simulcast() -> Self {
        let layer = |packets, bytes| LayerPlan { packets, bytes };
        Self {
            layers: vec![layer(1, 800), layer(2, 1_100), layer(6, 1_150)],
            fps: 24,
            temporal: 2,
            trace: None,
        }
    }

    /// As a trace has it.
    #[must_use]
    pub fn recorded(trace: Arc<Trace>) -> Self {
        let layer = LayerPlan {
            packets: 1,
            bytes: 0,
        };
        Self {
            layers: vec![layer; trace.layers()],
            fps: 30,
            temporal: 1,
            trace: Some(trace),
        }
    }
}

/// A frame of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The layer.
    pub layer: u8,
    /// Counts frames; layers share the number.
    pub number: u32,
    /// The frame that it needs; itself if it is a key frame.
    pub refers: u32,
    /// The temporal layer.
    pub temporal: u8,
    /// Refers to nothing but the lowest temporal layer.
    pub is_sync: bool,
    /// The picture id, of the layer.
    pub picture_id: u16,
    /// Counts frames of the lowest temporal layer, of the layer.
    pub tl0: u8,
    /// When it was taken.
    pub at: Instant,
    /// Payload bytes in all.
    bytes: usize,
    /// Packets.
    pub packets: u16,
}

impl Frame {
    /// Whether nothing is needed to show it.
    #[must_use]
    pub const fn is_key(&self) -> bool {
        self.refers == self.number
    }

    /// Payload bytes of a packet: all nearly the same, as libwebrtc divides a frame.
    #[must_use]
    pub fn payload_bytes(&self, index: u16) -> usize {
        let packets = usize::from(self.packets.max(1));
        let more = usize::from(usize::from(index) < self.bytes % packets);
        (self.bytes / packets + more).max(LEAST_PAYLOAD)
    }
}

/// A camera.
#[derive(Debug)]
pub struct Video {
    plan: VideoPlan,
    beat: Beat,
    start: Instant,
    frames: u32,
    layers: Vec<Layer>,
    /// The trace's next frame.
    place: usize,
}

#[derive(Debug, Clone, Copy)]
struct Layer {
    wants_key: bool,
    picture_id: u16,
    tl0: u8,
    /// The last frame of each temporal layer.
    last: [u32; 3],
}

impl Video {
    /// Begins at `start`, with key frames.
    #[must_use]
    pub fn new(plan: VideoPlan, start: Instant) -> Self {
        let layer = Layer {
            wants_key: true,
            picture_id: 0x1234,
            tl0: 0,
            last: [0; 3],
        };
        Self {
            beat: Beat::new(start, Duration::from_secs(1) / plan.fps.max(1)),
            layers: vec![layer; plan.layers.len()],
            plan,
            start,
            frames: 0,
            place: 0,
        }
    }

    /// The first frame is due then.
    pub fn begin(&mut self, first: Instant) {
        let interval = Duration::from_secs(1) / self.plan.fps.max(1);
        (self.beat, self.start) = (Beat::new(first, interval), first);
    }

    /// Somebody wants a key frame of a layer: the next one is.
    pub fn want_key(&mut self, layer: usize) {
        if let Some(layer) = self.layers.get_mut(layer) {
            layer.wants_key = true;
        }
    }

    /// When the next frame is due.
    #[must_use]
    pub fn next(&self) -> Instant {
        match &self.plan.trace {
            Some(trace) => self.start + trace.frame(self.place).at,
            None => self.beat.next(),
        }
    }

    /// Frames left out because the generator was late.
    #[must_use]
    pub const fn late(&self) -> u64 {
        self.beat.late()
    }

    /// Appends the frames that are due: one of each layer, or those of the trace.
    pub fn take(&mut self, now: Instant, out: &mut Vec<Frame>) {
        if let Some(trace) = self.plan.trace.clone() {
            return self.take_recorded(now, &trace, out);
        }
        let Some(at) = self.beat.take(now) else {
            return;
        };
        self.frames += 1;
        for (n, plan) in (0_u8..).zip(self.plan.layers.clone()) {
            let payload = plan.bytes.saturating_sub(HEADER_BYTES).max(LEAST_PAYLOAD);
            let bytes = payload * usize::from(plan.packets);
            out.extend(self.frame(n, at, bytes, plan.packets));
        }
    }

    fn take_recorded(&mut self, now: Instant, trace: &Trace, out: &mut Vec<Frame>) {
        loop {
            let recorded = trace.frame(self.place);
            let at = self.start + recorded.at;
            if at > now {
                return;
            }
            self.place += 1;
            if recorded.is_key {
                self.want_key(recorded.layer.into());
            }
            self.frames += 1;
            let packets = recorded.bytes.div_ceil(TRACE_PAYLOAD).max(1);
            let packets = u16::try_from(packets).unwrap_or(u16::MAX);
            out.extend(self.frame(recorded.layer, at, recorded.bytes, packets));
        }
    }

    fn frame(&mut self, number: u8, at: Instant, bytes: usize, packets: u16) -> Option<Frame> {
        let frames = self.frames;
        let layer = self.layers.get_mut(usize::from(number))?;
        let is_key = std::mem::take(&mut layer.wants_key);
        let temporal = if is_key {
            0
        } else {
            temporal(self.plan.temporal, frames)
        };
        let refers = match temporal {
            _ if is_key => frames,
            0 | 1 => layer.last[0],
            _ => layer.last[0].max(layer.last[1]),
        };
        if is_key {
            layer.last = [frames; 3];
        }
        if let Some(last) = layer.last.get_mut(usize::from(temporal)) {
            *last = frames;
        }
        layer.picture_id = (layer.picture_id + 1) & 0x7fff;
        if temporal == 0 {
            layer.tl0 = layer.tl0.wrapping_add(1);
        }
        Some(Frame {
            layer: number,
            number: frames,
            refers,
            temporal,
            is_sync: temporal > 0 && refers == layer.last[0],
            picture_id: layer.picture_id,
            tl0: layer.tl0,
            at,
            bytes,
            packets,
        })
    }
}

/// The pattern of a scalability mode: L1T1, L1T2 or L1T3 (W3C webrtc-svc).
fn temporal(layers: u8, frame: u32) -> u8 {
    match (layers, frame % 4) {
        (2, 1 | 3) => 1,
        (3.., 2) => 1,
        (3.., 1 | 3) => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(plan: VideoPlan, count: u32) -> Vec<Frame> {
        let start = Instant::now();
        let mut video = Video::new(plan, start);
        let mut out = Vec::new();
        for n in 0..count {
            video.take(
                start + Duration::from_secs(1) / video.plan.fps * n,
                &mut out,
            );
        }
        out
    }

    #[test]
    fn bursts_have_the_bytes_that_were_asked_for() {
        let frames = frames(VideoPlan::bursts(250, 1_100, 10), 3);
        assert_eq!(frames.len(), 3);
        for frame in frames {
            assert_eq!(frame.packets, 10);
            assert!((0..10).all(|n| frame.payload_bytes(n) == 1_100 - HEADER_BYTES));
        }
    }

    #[test]
    fn every_frame_refers_to_one_before_it_of_no_higher_layer() {
        for layers in 1..=3 {
            let plan = VideoPlan {
                temporal: layers,
                ..VideoPlan::simulcast()
            };
            let all = frames(plan, 40);
            for frame in all.iter().filter(|frame| frame.layer == 1) {
                let referred = all
                    .iter()
                    .find(|f| f.layer == 1 && f.number == frame.refers)
                    .unwrap();
                assert!(frame.is_key() || referred.number < frame.number);
                assert!(referred.temporal <= frame.temporal);
            }
            let highest = all.iter().map(|frame| frame.temporal).max();
            assert_eq!(highest, Some(layers - 1));
        }
    }

    #[test]
    fn a_wanted_key_frame_is_the_next_of_its_layer_alone() {
        let start = Instant::now();
        let mut video = Video::new(VideoPlan::simulcast(), start);
        let mut out = Vec::new();
        video.take(start, &mut out);
        assert!(out.iter().all(Frame::is_key));
        video.want_key(2);
        out.clear();
        video.take(start + Duration::from_millis(50), &mut out);
        let keys: Vec<bool> = out.iter().map(Frame::is_key).collect();
        assert_eq!(keys, [false, false, true]);
    }

    #[test]
    fn a_trace_gives_the_sizes() {
        let trace = Trace::parse("0 0 4000 key\n40 0 1100\n").unwrap();
        let start = Instant::now();
        let mut video = Video::new(VideoPlan::recorded(Arc::new(trace)), start);
        let mut out = Vec::new();
        video.take(start + Duration::from_millis(100), &mut out);
        let sizes: Vec<usize> = out
            .iter()
            .map(|frame| (0..frame.packets).map(|n| frame.payload_bytes(n)).sum())
            .collect();
        assert_eq!(sizes, [4_000, 1_100, 4_000]);
        assert_eq!(out[0].packets, 4);
    }
}
