//! Writes descriptions: lines end with CR LF, attributes come in a fixed order.

use super::{
    Description, Direction, Format, Media, Protocol, RidLine, SectionKind, Setup, Simulcast,
    SimulcastStream, SourceGroup, TransportAttributes,
};
use std::fmt::{Display, Formatter, Result};

impl Display for Description {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "v=0\r\n")?;
        write!(
            f,
            "o=- {} {} IN IP4 127.0.0.1\r\n",
            self.session_id, self.version
        )?;
        write!(f, "s=-\r\nt=0 0\r\n")?;
        if self.is_ice_lite {
            write!(f, "a=ice-lite\r\n")?;
        }
        for mids in &self.bundles {
            write!(f, "a=group:BUNDLE")?;
            mids.iter().try_for_each(|mid| write!(f, " {mid}"))?;
            write!(f, "\r\n")?;
        }
        flag(f, self.allows_mixed_extensions, "extmap-allow-mixed")?;
        write!(f, "a=msid-semantic: WMS *\r\n{}", self.transport)?;
        self.media.iter().try_for_each(|media| media.fmt(f))
    }
}

impl Display for TransportAttributes {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if let Some(ufrag) = &self.ufrag {
            write!(f, "a=ice-ufrag:{}\r\n", ufrag.as_str())?;
        }
        if let Some(password) = &self.password {
            write!(f, "a=ice-pwd:{}\r\n", password.as_str())?;
        }
        for fingerprint in &self.fingerprints {
            write!(f, "a=fingerprint:{fingerprint}\r\n")?;
        }
        match self.setup {
            Some(setup) => write!(f, "a=setup:{}\r\n", setup.as_str()),
            None => Ok(()),
        }
    }
}

impl Media {
    /// `m=…`, the line alone.
    pub(super) fn write_line(&self, f: &mut Formatter<'_>) -> Result {
        let kind = self.kind.as_str();
        write!(f, "m={kind} {} {}", self.port, self.protocol.as_str())?;
        match self.protocol {
            Protocol::Savpf => self
                .formats
                .iter()
                .try_for_each(|format| write!(f, " {}", format.pt.0))?,
            Protocol::Other(_) => write!(f, " {}", self.other_formats)?,
        }
        write!(f, "\r\n")
    }
}

impl Display for Media {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.write_line(f)?;
        write!(f, "c=IN IP4 0.0.0.0\r\n")?;
        if self.protocol == Protocol::Savpf && !self.is_stopped() {
            write!(f, "a=rtcp:9 IN IP4 0.0.0.0\r\n")?;
        }
        for candidate in &self.candidates {
            write!(f, "a=candidate:{candidate}\r\n")?;
        }
        flag(f, self.has_end_of_candidates, "end-of-candidates")?;
        self.transport.fmt(f)?;
        if let Some(mid) = self.mid {
            write!(f, "a=mid:{mid}\r\n")?;
        }
        flag(f, self.is_bundle_only, "bundle-only")?;
        flag(f, self.allows_mixed_extensions, "extmap-allow-mixed")?;
        for extension in &self.extensions {
            write!(f, "a=extmap:{}", extension.id)?;
            if let Some(direction) = extension.direction {
                write!(f, "/{}", direction.as_str())?;
            }
            write!(f, " {}\r\n", extension.uri)?;
        }
        write!(f, "a={}\r\n", self.direction.as_str())?;
        flag(f, self.has_rtcp_mux, "rtcp-mux")?;
        flag(f, self.has_rtcp_rsize, "rtcp-rsize")?;
        self.formats.iter().try_for_each(|format| format.fmt(f))?;
        write_sources(self, f)?;
        self.rids.iter().try_for_each(|rid| rid.fmt(f))?;
        match &self.simulcast {
            Some(simulcast) => write!(f, "a=simulcast:{simulcast}\r\n"),
            None => Ok(()),
        }
    }
}

fn flag(f: &mut Formatter<'_>, is_set: bool, name: &str) -> Result {
    if is_set {
        write!(f, "a={name}\r\n")?;
    }
    Ok(())
}

impl Display for Format {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let pt = self.pt.0;
        if let Some(map) = &self.map {
            write!(f, "a=rtpmap:{pt} {}/{}", map.encoding, map.clock_rate)?;
            if map.channels != 1 {
                write!(f, "/{}", map.channels)?;
            }
            write!(f, "\r\n")?;
        }
        for feedback in self.feedback.iter() {
            write!(f, "a=rtcp-fb:{pt} {}\r\n", feedback.as_str())?;
        }
        match &self.fmtp {
            Some(fmtp) => write!(f, "a=fmtp:{pt} {fmtp}\r\n"),
            None => Ok(()),
        }
    }
}

fn write_sources(media: &Media, f: &mut Formatter<'_>) -> Result {
    for msid in &media.msids {
        write!(f, "a=msid:{}", msid.stream)?;
        if let Some(track) = &msid.track {
            write!(f, " {track}")?;
        }
        write!(f, "\r\n")?;
    }
    for group in &media.source_groups {
        match group {
            SourceGroup::Fid { primary, rtx } => {
                write!(f, "a=ssrc-group:FID {} {}\r\n", primary.0, rtx.0)?;
            }
            SourceGroup::FecFr { primary, repair } => {
                write!(f, "a=ssrc-group:FEC-FR {} {}\r\n", primary.0, repair.0)?;
            }
            SourceGroup::Sim(layers) => {
                write!(f, "a=ssrc-group:SIM")?;
                layers
                    .iter()
                    .try_for_each(|ssrc| write!(f, " {}", ssrc.0))?;
                write!(f, "\r\n")?;
            }
        }
    }
    for source in &media.sources {
        // Without a CNAME, something has to follow: a stream that is none.
        match &source.cname {
            Some(cname) => write!(f, "a=ssrc:{} cname:{cname}\r\n", source.ssrc.0)?,
            None => write!(f, "a=ssrc:{} msid:-\r\n", source.ssrc.0)?,
        }
    }
    Ok(())
}

impl Display for RidLine {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let direction = if self.is_sent { "send" } else { "recv" };
        write!(f, "a=rid:{} {direction}", self.rid)?;
        let mut separator = ' ';
        for (at, pt) in self.formats.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { " pt=" } else { "," }, pt.0)?;
            separator = ';';
        }
        if !self.restrictions.is_empty() {
            write!(f, "{separator}{}", self.restrictions)?;
        }
        write!(f, "\r\n")
    }
}

impl Display for Simulcast {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut space = "";
        for (name, streams) in [("send", &self.send), ("recv", &self.recv)] {
            if !streams.is_empty() {
                write!(f, "{space}{name} ")?;
                write_streams(streams, f)?;
                space = " ";
            }
        }
        Ok(())
    }
}

fn write_streams(streams: &[Vec<SimulcastStream>], f: &mut Formatter<'_>) -> Result {
    for (at, alternatives) in streams.iter().enumerate() {
        for (choice, stream) in alternatives.iter().enumerate() {
            let separator = match (at, choice) {
                (0, 0) => "",
                (_, 0) => ";",
                _ => ",",
            };
            let pause = if stream.is_paused { "~" } else { "" };
            write!(f, "{separator}{pause}{}", stream.rid)?;
        }
    }
    Ok(())
}

impl SectionKind {
    fn as_str(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Application => "application",
            Self::Other(name) => name,
        }
    }
}

impl Protocol {
    fn as_str(&self) -> &str {
        match self {
            Self::Savpf => "UDP/TLS/RTP/SAVPF",
            Self::Other(name) => name,
        }
    }
}

impl Setup {
    fn as_str(self) -> &'static str {
        match self {
            Self::Actpass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
            Self::Holdconn => "holdconn",
        }
    }
}

impl Direction {
    fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}
