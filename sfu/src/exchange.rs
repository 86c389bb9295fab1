//! One offer and one answer, for good: what WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) ask of
//! descriptions beyond JSEP. At most one sound and one picture go one way, all m-lines are answered or none
//! is, and of what was agreed on only ICE changes.
//!
//! The one who answers knows nothing of this: an ICE restart is the same offer with other credentials.

pub use crate::core::negotiate::IceCredentials;

use crate::unit::{MediaKind, Mid};
use crate::wire::sdp::{
    Description, Direction, Fragment, Media, Password, Protocol, SdpError, SectionKind, Ufrag,
};
use kaiwa_common::redact::Redacted;

/// The stream of all that a player is sent: WHEP has one, and players keep its sound and picture together.
const STREAM: &str = "kaiwa";

/// Which way media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// From an encoder to us (WHIP).
    In,
    /// From us to a player (WHEP).
    Out,
}

/// Why an offer is none of such an exchange.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// It can't be read.
    #[error("{0}")]
    Malformed(#[from] SdpError),
    /// Nothing is offered.
    #[error("the offer has no m-line")]
    Nothing,
    /// An m-line has no mid.
    #[error("the m-line at {0} has no mid")]
    NoMid(usize),
    /// An m-line that is neither sound nor pictures, or is stopped.
    #[error("m-line {0} is no sound or picture in use")]
    NotMedia(Mid),
    /// More than one m-line of a kind (RFC 9725, section 4.4.2).
    #[error("there is more than one {}", .0.as_str())]
    Several(MediaKind),
    /// An m-line goes the wrong way.
    #[error("m-line {mid} has to be {}", .way.directions())]
    Direction {
        /// Which.
        mid: Mid,
        /// The right one.
        way: Way,
    },
    /// More than one MediaStream (RFC 9725, section 4.4.2).
    #[error("all tracks have to be of one MediaStream")]
    Streams,
    /// No ICE credentials.
    #[error("the offer has no ice-ufrag and ice-pwd")]
    NoCredentials,
    /// The answer would leave an m-line out (RFC 9725, section 4.4.3).
    #[error(
        "m-line {0} can't be answered: it has no codec that is forwarded here, or lacks what a bundle needs"
    )]
    Left(Mid),
}

impl MediaKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "m-line of sound",
            Self::Video => "m-line of pictures",
        }
    }
}

impl Way {
    fn directions(self) -> &'static str {
        match self {
            Self::In => "sendonly or sendrecv",
            Self::Out => "recvonly or sendrecv",
        }
    }

    fn offered(self) -> Direction {
        match self {
            Self::In => Direction::SendOnly,
            Self::Out => Direction::RecvOnly,
        }
    }
}

/// An offer that such an exchange may begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    way: Way,
    sdp: Redacted<String>,
    media: Vec<(Mid, MediaKind)>,
    remote: IceCredentials,
}

/// What the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The whole answer.
    pub sdp: Redacted<String>,
    /// ICE's part of it alone, for a restart's.
    pub fragment: Redacted<String>,
}

impl Offered {
    /// Reads an offer.
    ///
    /// # Errors
    /// [`Unacceptable`].
    pub fn read(way: Way, text: &str) -> Result<Self, Unacceptable> {
        let mut offer = Description::parse(text)?;
        let mut media: Vec<(Mid, MediaKind)> = Vec::new();
        for (at, line) in offer.media.iter_mut().enumerate() {
            let mid = line.mid.ok_or(Unacceptable::NoMid(at))?;
            let kind = kind(line).ok_or(Unacceptable::NotMedia(mid))?;
            if media.iter().any(|(_, other)| *other == kind) {
                return Err(Unacceptable::Several(kind));
            }
            let goes = match way {
                Way::In => line.direction.sends(),
                Way::Out => line.direction.receives(),
            };
            if !goes {
                return Err(Unacceptable::Direction { mid, way });
            }
            line.direction = way.offered();
            media.push((mid, kind));
        }
        if media.is_empty() {
            return Err(Unacceptable::Nothing);
        }
        if way == Way::In && streams(&offer) > 1 {
            return Err(Unacceptable::Streams);
        }
        let remote = remote(&offer).ok_or(Unacceptable::NoCredentials)?;
        Ok(Self {
            way,
            sdp: Redacted(offer.to_string()),
            media,
            remote,
        })
    }

    /// The m-lines, at most one of a kind.
    #[must_use]
    pub fn media(&self) -> &[(Mid, MediaKind)] {
        &self.media
    }

    /// The text for whoever answers, without what is of no use here.
    #[must_use]
    pub fn sdp(&self) -> &str {
        &self.sdp.0
    }

    /// What the client proves its checks with.
    #[must_use]
    pub fn remote(&self) -> &IceCredentials {
        &self.remote
    }

    /// The same with other credentials: an ICE restart.
    ///
    /// # Errors
    /// [`Unacceptable::Malformed`]: written out, wildcards can take more room than there is.
    pub fn restarted(&self, credentials: IceCredentials) -> Result<Self, Unacceptable> {
        let mut offer = Description::parse(self.sdp())?;
        offer.version = offer.version.saturating_add(1);
        let of_media = offer.media.iter_mut().map(|media| &mut media.transport);
        for transport in std::iter::once(&mut offer.transport).chain(of_media) {
            if transport.ufrag.is_some() {
                transport.ufrag = Some(credentials.ufrag.clone());
                transport.password = Some(credentials.password.clone());
            }
        }
        Ok(Self {
            sdp: Redacted(offer.to_string()),
            remote: credentials,
            ..self.clone()
        })
    }

    /// What becomes of the answer to [`Self::sdp`].
    ///
    /// # Errors
    /// [`Unacceptable::Left`] when an m-line is not answered, and [`Unacceptable::Malformed`].
    pub fn answered(&self, answer: &str) -> Result<Answered, Unacceptable> {
        let mut answer = Description::parse(answer)?;
        let wanted = self.way.offered().reversed();
        for line in &mut answer.media {
            let mid = line.mid.ok_or(Unacceptable::Nothing)?;
            if line.is_stopped() || line.direction != wanted {
                return Err(Unacceptable::Left(mid));
            }
            for msid in &mut line.msids {
                STREAM.clone_into(&mut msid.stream);
            }
        }
        let fragment = Redacted(fragment(&answer).to_string());
        // Both sides have to (RFC 9725, section 4.4.1; RFC 8858, section 3).
        let mux_only = "a=rtcp-mux\r\na=rtcp-mux-only\r\n";
        let sdp = answer.to_string().replace("a=rtcp-mux\r\n", mux_only);
        Ok(Answered {
            sdp: Redacted(sdp),
            fragment,
        })
    }
}

fn kind(media: &Media) -> Option<MediaKind> {
    match media.kind {
        _ if media.is_stopped() || media.protocol != Protocol::Savpf => None,
        SectionKind::Audio => Some(MediaKind::Audio),
        SectionKind::Video => Some(MediaKind::Video),
        SectionKind::Application | SectionKind::Other(_) => None,
    }
}

/// MediaStreams that tracks are said to be of.
fn streams(offer: &Description) -> usize {
    let msids = offer.media.iter().flat_map(|media| &media.msids);
    let streams: std::collections::BTreeSet<&str> = msids.map(|one| one.stream.as_str()).collect();
    streams.len()
}

/// Those of the m-line that stands for the bundle, or of the session.
fn remote(offer: &Description) -> Option<IceCredentials> {
    let tagged = offer.bundles.first().and_then(|mids| mids.first());
    let tagged = tagged.and_then(|mid| offer.by_mid(*mid));
    let media = tagged.or(offer.media.first()).map(|media| &media.transport);
    let both = |ufrag: &Option<Ufrag>, password: &Option<Password>| {
        let (ufrag, password) = (ufrag.clone()?, password.clone()?);
        Some(IceCredentials { ufrag, password })
    };
    let own = media.and_then(|one| both(&one.ufrag, &one.password));
    own.or_else(|| both(&offer.transport.ufrag, &offer.transport.password))
}

/// The m-line that stands for the transport, and what it says of ICE.
fn fragment(answer: &Description) -> Fragment {
    let bundle = answer.bundles.first().cloned().unwrap_or_default();
    let tagged = bundle.first().and_then(|mid| answer.by_mid(*mid));
    let transport = &answer.transport;
    Fragment {
        is_ice_lite: answer.is_ice_lite,
        credentials: transport.ufrag.clone().zip(transport.password.clone()),
        media: tagged.map(Media::for_fragment).into_iter().collect(),
        bundle,
    }
}

/// Reads what a client trickles or restarts with; gives its credentials, where it names them. Its candidates are
/// checked, and have no effect: checks tell where it is.
///
/// # Errors
/// [`SdpError`].
pub fn read_fragment(text: &str) -> Result<Option<IceCredentials>, SdpError> {
    let credentials = Fragment::parse(text)?.credentials;
    Ok(credentials.map(|(ufrag, password)| IceCredentials { ufrag, password }))
}

/// For fuzzing: whatever text is offered is taken or refused, and what is taken can be restarted.
///
/// # Panics
/// When it can't, but for its size.
pub fn fuzz_exchange(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for way in [Way::In, Way::Out] {
        let Ok(offered) = Offered::read(way, text) else {
            continue;
        };
        let credentials = offered.remote().clone();
        if let Ok(again) = offered.restarted(credentials) {
            assert_eq!(again.media(), offered.media());
            assert_eq!(again.remote(), offered.remote());
        }
        // Not an answer, and no harm.
        let _ = offered.answered(text);
    }
}

#[cfg(test)]
mod tests;
