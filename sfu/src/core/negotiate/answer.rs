//! Writes the answer (RFC 9429, section 5.3).

use super::lines::Decided;
use super::{Config, DtlsRole, Encoding, IceCredentials, Line, LocalParameters, Sending, codecs};
use crate::unit::PayloadType;
use crate::wire::sdp::{
    Description, Direction, Format, Media, Protocol, RidLine, Simulcast, SimulcastStream, Source,
    SourceGroup, TransportAttributes,
};

/// The port of an m-line whose candidates say where it is (RFC 9429, section 5.2.1).
const DISCARD: u16 = 9;

pub(super) struct Answer<'a> {
    pub(super) config: Config,
    pub(super) version: u64,
    pub(super) offer: &'a Description,
    pub(super) decided: &'a [Decided],
    /// The m-line that stands for the transport.
    pub(super) tag: usize,
    pub(super) local: &'a LocalParameters,
    /// Those in force.
    pub(super) credentials: &'a IceCredentials,
    pub(super) role: DtlsRole,
}

/// See [`super::Negotiator::cname`].
pub(super) fn cname(config: Config) -> String {
    format!("{:016x}", config.session_id)
}

impl Answer<'_> {
    pub(super) fn describe(&self) -> Description {
        let accepted = |one: &&Decided| !one.mline.line.is_rejected();
        // The m-line that stands for the transport comes first.
        let mut mids: Vec<_> = self.decided.iter().filter(accepted).collect();
        mids.sort_by_key(|one| one.mline.index != self.tag);
        Description {
            session_id: self.config.session_id,
            version: self.version,
            is_ice_lite: true,
            bundles: vec![mids.iter().filter_map(|one| one.mline.mid).collect()],
            allows_mixed_extensions: self.offer.allows_mixed_extensions,
            // For all m-lines, beside the one that stands for them: Firefox ESR 153 crashes on a bundled
            // m-line that has no fingerprint from either, and takes credentials that only one m-line has
            // for a restart of that one.
            transport: self.transport(),
            media: self.decided.iter().map(|one| self.media(one)).collect(),
        }
    }

    fn transport(&self) -> TransportAttributes {
        TransportAttributes {
            ufrag: Some(self.credentials.ufrag.clone()),
            password: Some(self.credentials.password.clone()),
            fingerprints: vec![self.local.fingerprint],
            setup: Some(self.role.setup()),
        }
    }

    fn media(&self, one: &Decided) -> Media {
        let offered = &self.offer.media[one.mline.index];
        let mut media = Media::new(offered.kind.clone(), 0, offered.protocol.clone());
        media.mid = one.mline.mid;
        media.direction = Direction::Inactive;
        if one.mline.line.is_rejected() {
            media.other_formats.clone_from(&offered.other_formats);
            // At least one has to be there, and means nothing (RFC 3264, section 6).
            if media.protocol == Protocol::Savpf {
                let first = offered.formats.first().map_or(PayloadType(0), |f| f.pt);
                media.formats.push(Format::new(first));
            }
            return media;
        }
        media.port = DISCARD;
        media.formats = codecs::answer(&one.payloads);
        media.extensions.clone_from(&one.extensions);
        media.allows_mixed_extensions =
            offered.allows_mixed_extensions && !self.offer.allows_mixed_extensions;
        media.has_rtcp_mux = true;
        media.has_rtcp_rsize = offered.has_rtcp_rsize;
        // Candidates and transport are the bundle's, and stand where it does (RFC 9429, section 5.3.1);
        // webrtc-rs 0.21 reads who begins DTLS there alone.
        if one.mline.index == self.tag {
            media.transport = self.transport();
            media.candidates.clone_from(&self.local.candidates);
            media.has_end_of_candidates = true;
        }
        put_encodings(&mut media, &one.encodings, offered);
        match &one.mline.line {
            Line::Receiving(_) => media.direction = Direction::RecvOnly,
            Line::Sending(sending) => put_sending(&mut media, sending, &cname(self.config)),
            Line::Inactive | Line::Refused(_) | Line::Rejected(_) => {}
        }
        media
    }
}

fn put_encodings(media: &mut Media, encodings: &[Encoding], offered: &Media) {
    if encodings.is_empty() {
        return;
    }
    let is_answered = |pt: &PayloadType| media.formats.iter().any(|format| format.pt == *pt);
    let line = |rid| {
        let line = offered.rids.iter().find(|line| line.rid == rid)?;
        Some(RidLine {
            rid,
            is_sent: false,
            formats: line.formats.iter().copied().filter(is_answered).collect(),
            restrictions: line.restrictions.clone(),
        })
    };
    media.rids = encodings.iter().filter_map(|one| line(one.rid)).collect();
    media.rids.sort_by_key(|line| line.rid);
    // Chromium starts a paused one that the answer does not pause.
    let stream = |one: &Encoding| {
        vec![SimulcastStream {
            rid: one.rid,
            is_paused: one.is_paused,
        }]
    };
    media.simulcast = Some(Simulcast {
        send: Vec::new(),
        recv: encodings.iter().map(stream).collect(),
    });
}

fn put_sending(media: &mut Media, sending: &Sending, cname: &str) {
    media.direction = Direction::SendOnly;
    media.msids = vec![sending.msid.clone()];
    let primary = sending.sources.primary;
    let all = [Some(primary), sending.sources.rtx].into_iter().flatten();
    media.sources = all
        .map(|ssrc| Source {
            ssrc,
            cname: Some(cname.to_owned()),
        })
        .collect();
    let group = |rtx| SourceGroup::Fid { primary, rtx };
    media.source_groups = sending.sources.rtx.map(group).into_iter().collect();
}
