//! The header extensions that are used, and their ids.

use super::NegotiateError;
use crate::unit::MediaKind;
use crate::wire::rtp::ExtensionIds;
use crate::wire::sdp::{Extension, Media};
use std::collections::BTreeMap;

/// The greatest id of a one-byte header (RFC 8285, section 4.2), the kind that is written here unless an element
/// is too long for it. An extension with a greater id is not answered.
const MAX_ID: u8 = 14;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Mid,
    Rid,
    RepairedRid,
    AudioLevel,
    TransportCc,
    AbsSendTime,
    DependencyDescriptor,
}

impl Known {
    const ALL: [Self; 7] = [
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::AudioLevel,
        Self::TransportCc,
        Self::AbsSendTime,
        Self::DependencyDescriptor,
    ];

    fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::TransportCc => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
        }
    }

    fn of(extension: &Extension) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.uri() == extension.uri)
    }

    fn field(self, ids: &mut ExtensionIds) -> &mut Option<u8> {
        match self {
            Self::Mid => &mut ids.mid,
            Self::Rid => &mut ids.rid,
            Self::RepairedRid => &mut ids.repaired_rid,
            Self::AudioLevel => &mut ids.audio_level,
            Self::TransportCc => &mut ids.transport_cc,
            Self::AbsSendTime => &mut ids.abs_send_time,
            Self::DependencyDescriptor => &mut ids.dependency_descriptor,
        }
    }

    fn is_for(self, kind: MediaKind) -> bool {
        match self {
            Self::Mid | Self::TransportCc | Self::AbsSendTime => true,
            Self::AudioLevel => kind == MediaKind::Audio,
            // In slots too, which send without: Chromium offers no simulcast in a later m-line once an
            // answer left them out.
            Self::Rid | Self::RepairedRid | Self::DependencyDescriptor => kind == MediaKind::Video,
        }
    }
}

/// Who sends in an m-line, seen by the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Receives,
    Sends,
    Neither,
}

/// Which of the offered extensions are used, and how they are answered. A dependency descriptor with a structure
/// is too long for a one-byte header, so that it takes a client that reads both kinds mixed.
pub(super) fn choose(
    kind: MediaKind,
    way: Way,
    media: &Media,
    allows_mixed: bool,
) -> (ExtensionIds, Vec<Extension>) {
    let mut ids = ExtensionIds::default();
    let mut answered = Vec::new();
    for offered in &media.extensions {
        let is_usable = match (offered.direction, way) {
            // Of an m-line that is not in use all stay, for when it is.
            (None, _) | (_, Way::Neither) => true,
            (Some(direction), Way::Receives) => direction.sends(),
            (Some(direction), Way::Sends) => direction.receives(),
        };
        let known = Known::of(offered).filter(|known| known.is_for(kind));
        let is_readable = known != Some(Known::DependencyDescriptor) || allows_mixed;
        let is_usable = is_usable && is_readable && offered.id <= MAX_ID;
        let Some(known) = known.filter(|_| is_usable) else {
            continue;
        };
        let id = known.field(&mut ids);
        if id.is_none() {
            *id = Some(offered.id);
            answered.push(Extension {
                id: offered.id,
                direction: offered.direction.map(|direction| direction.reversed()),
                uri: offered.uri.clone(),
            });
        }
    }
    (ids, answered)
}

/// What ids stand for: one thing each in the whole session (RFC 8285, section 7), and each thing has
/// one id, since a packet's m-line is only known once its extensions are read.
#[derive(Debug, Clone, Default)]
pub(super) struct Extensions(BTreeMap<u8, String>);

impl Extensions {
    /// Notes what is answered for one m-line.
    pub(super) fn agree(&mut self, answered: &[Extension]) -> Result<(), NegotiateError> {
        for extension in answered {
            let others = self.0.iter();
            let mut taken =
                others.filter(|&(&id, uri)| id != extension.id && *uri == extension.uri);
            if taken.next().is_some() {
                return Err(NegotiateError::ExtensionChanged(extension.id));
            }
            self.0
                .entry(extension.id)
                .or_insert_with(|| extension.uri.clone());
        }
        Ok(())
    }

    /// Whether the ids that are in use mean the same in this m-line.
    pub(super) fn check(&self, media: &Media) -> Result<(), NegotiateError> {
        let is_other = |offered: &&Extension| {
            let known = self.0.get(&offered.id);
            known.is_some_and(|uri| *uri != offered.uri)
        };
        match media.extensions.iter().find(is_other) {
            Some(offered) => Err(NegotiateError::ExtensionChanged(offered.id)),
            None => Ok(()),
        }
    }
}
