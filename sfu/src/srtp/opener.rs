//! Checks and decrypts what a peer sends.

use super::kdf::Stream;
use super::protection::Protection;
use super::replay::{RtcpWindow, RtpWindow, Window};
use super::{MasterKey, Profile};
use crate::unit::{ExtSeqNo, SeqNo, Ssrc};
use thiserror::Error;

/// The most sources of one peer whose windows are kept, separately for RTP and RTCP. A publisher with
/// camera and screen in three layers, RTX and sound has 14. At the bound the source that was silent
/// longest retires. Twice as many are 18 KiB more a peer, at worst.
pub const MAX_SOURCES: usize = 64;
/// The most sources that retire: of these only the highest number is kept (16 bytes), so that nothing
/// of theirs can be replayed, and they may go on from there. At the bound new sources are refused: 80
/// times a camera's layers and their RTX on new SSRCs.
pub const MAX_RETIRED_SOURCES: usize = 512;
/// Packet indices have 48 bits (RFC 3711, section 3.3.1).
const INDEX_END: u64 = 1 << 48;

/// Why a packet was not opened. The caller drops it and counts it; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum OpenError {
    /// It has no room for header and tag.
    #[error("shorter than its header and tag")]
    TooShort,
    /// It was received before.
    #[error("received before")]
    Replayed,
    /// It is too far behind the newest to know whether it was received before.
    #[error("older than the replay window")]
    TooOld,
    /// It is not from the peer, was changed on its way, or is RTCP that is not encrypted (which
    /// no WebRTC profile has).
    #[error("not authentic")]
    NotAuthentic,
    /// A source that is one too many.
    #[error("too many sources")]
    TooManySources,
}

/// One direction's keys for receiving, and what was received from each source.
pub struct Opener {
    rtp: Protection,
    rtcp: Protection,
    rtp_sources: Sources<{ super::replay::RTP_WINDOW / 64 }>,
    rtcp_sources: Sources<{ super::replay::RTCP_WINDOW / 64 }>,
}

impl Opener {
    /// Derives the session keys.
    #[must_use]
    pub fn new(master: &MasterKey) -> Self {
        Self {
            rtp: Protection::new(master, Stream::Rtp),
            rtcp: Protection::new(master, Stream::Rtcp),
            rtp_sources: Sources::new(),
            rtcp_sources: Sources::new(),
        }
    }

    /// The profile of its keys.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.rtp.profile()
    }

    /// Opens an RTP packet in place, and gives its extended sequence number and its length without the
    /// tag. `header_len` (with CSRCs and header extensions), `ssrc` and `seq` are read from its
    /// header. State is made and moved only by packets that are authentic.
    ///
    /// A source's first packet is taken to have rolled over zero times; the following ones are nearest
    /// to the highest that was received (RFC 3711, section 3.3.1 and appendix A).
    ///
    /// # Errors
    /// [`OpenError`]. The bytes behind the header are then worth nothing.
    pub fn open_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        seq: SeqNo,
    ) -> Result<(ExtSeqNo, usize), OpenError> {
        let source = self.rtp_sources.find(ssrc)?;
        let index = match source.highest(&self.rtp_sources) {
            Some(highest) => ExtSeqNo(highest).nearest(seq),
            None => ExtSeqNo(u64::from(seq.0)),
        };
        if index.0 >= INDEX_END {
            return Err(OpenError::NotAuthentic);
        }
        self.rtp_sources.check(source, index.0)?;
        let plain_len = self.rtp.open_rtp(packet, header_len, index, ssrc)?;
        self.rtp_sources.accept(source, ssrc, index.0);
        Ok((index, plain_len))
    }

    /// Opens an RTCP packet in place, and gives its length without index and tag.
    ///
    /// # Errors
    /// [`OpenError`]. The bytes behind the first eight are then worth nothing.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        let (ssrc, index) = self.rtcp.rtcp_source(packet)?;
        let source = self.rtcp_sources.find(ssrc)?;
        self.rtcp_sources.check(source, u64::from(index.get()))?;
        let plain_len = self.rtcp.open_rtcp(packet, ssrc, index)?;
        self.rtcp_sources
            .accept(source, ssrc, u64::from(index.get()));
        Ok(plain_len)
    }
}

/// Where a source stands in [`Sources`], or how it would come in.
#[derive(Debug, Clone, Copy)]
enum Place {
    Known(usize),
    Retired(usize),
    New,
}

impl Place {
    fn highest<const WORDS: usize>(self, sources: &Sources<WORDS>) -> Option<u64> {
        match self {
            Self::Known(at) => Some(sources.known[at].window.highest()),
            Self::Retired(at) => Some(sources.retired[at].1),
            Self::New => None,
        }
    }
}

struct Source<const WORDS: usize> {
    window: Window<WORDS>,
    /// The number of its last packet, of all of them.
    heard: u64,
}

/// A peer's sources. Their SSRCs stand apart, so that finding one reads a few cache lines.
struct Sources<const WORDS: usize> {
    ssrcs: Vec<Ssrc>,
    known: Vec<Source<WORDS>>,
    retired: Vec<(Ssrc, u64)>,
    packets: u64,
}

impl<const WORDS: usize> Sources<WORDS> {
    fn new() -> Self {
        Self {
            ssrcs: Vec::new(),
            known: Vec::new(),
            retired: Vec::new(),
            packets: 0,
        }
    }

    fn find(&self, ssrc: Ssrc) -> Result<Place, OpenError> {
        if let Some(at) = self.ssrcs.iter().position(|known| *known == ssrc) {
            return Ok(Place::Known(at));
        }
        if let Some(at) = self.retired.iter().position(|(old, _)| *old == ssrc) {
            return Ok(Place::Retired(at));
        }
        let full = self.known.len() == MAX_SOURCES && self.retired.len() == MAX_RETIRED_SOURCES;
        if full {
            Err(OpenError::TooManySources)
        } else {
            Ok(Place::New)
        }
    }

    fn check(&self, place: Place, index: u64) -> Result<(), OpenError> {
        match place {
            Place::Known(at) => self.known[at].window.check(index),
            Place::Retired(at) => Window::<WORDS>::closed(self.retired[at].1).check(index),
            Place::New => Ok(()),
        }
    }

    /// Notes an authentic packet of the source that [`Self::find`] has found.
    fn accept(&mut self, place: Place, ssrc: Ssrc, index: u64) {
        self.packets += 1;
        let heard = self.packets;
        let window = match place {
            Place::Known(at) => {
                let source = &mut self.known[at];
                source.window.accept(index);
                source.heard = heard;
                return;
            }
            Place::Retired(at) => {
                let (_, highest) = self.retired.swap_remove(at);
                let mut window = Window::closed(highest);
                window.accept(index);
                window
            }
            Place::New => Window::new(index),
        };
        let source = Source { window, heard };
        if self.known.len() < MAX_SOURCES {
            self.ssrcs.push(ssrc);
            self.known.push(source);
        } else if let Some(at) = self.silent_longest() {
            let old_ssrc = std::mem::replace(&mut self.ssrcs[at], ssrc);
            let old = std::mem::replace(&mut self.known[at], source);
            self.retired.push((old_ssrc, old.window.highest()));
        }
    }

    fn silent_longest(&self) -> Option<usize> {
        let sources = self.known.iter().enumerate();
        let silent = sources.min_by_key(|(_, source)| source.heard);
        silent.map(|(at, _)| at)
    }
}

const _: () = {
    assert!(size_of::<RtpWindow>() == super::replay::RTP_WINDOW / 8 + 8);
    assert!(size_of::<RtcpWindow>() == super::replay::RTCP_WINDOW / 8 + 8);
};
