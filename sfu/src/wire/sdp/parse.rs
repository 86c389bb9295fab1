//! Reads a description line by line.

use super::attribute;
use super::{
    Candidate, Description, Direction, FeedbackSet, Fingerprint, Format, MAX_ATTRIBUTES,
    MAX_LINE_BYTES, MAX_MEDIA, MAX_TEXT_BYTES, Media, Password, Protocol, Rule, SdpError,
    SectionKind, Source, TransportAttributes, Ufrag,
};
use crate::unit::Mid;

impl Description {
    /// Reads a text. Lines may end with CR LF or LF.
    ///
    /// # Errors
    /// [`SdpError`] for the first line that breaks a rule.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Rule::TextTooLong.at(0));
        }
        let mut reader = Reader::default();
        let mut last = 0;
        for (at, line) in text.split('\n').enumerate() {
            let line = line.strip_suffix('\r').unwrap_or(line);
            last = at;
            reader.handle_line(line).map_err(|rule| rule.at(at))?;
        }
        reader.finish().map_err(|rule| rule.at(last))
    }
}

impl Rule {
    /// In the line with this index.
    pub(super) fn at(self, index: usize) -> SdpError {
        SdpError {
            line: index + 1,
            rule: self,
        }
    }
}

#[derive(Default)]
struct Reader {
    description: Description,
    /// The m-line whose attributes are being read.
    section: Option<Section>,
    direction: Option<Direction>,
    has_version: bool,
    has_origin: bool,
    attributes: usize,
}

/// An m-line in the making.
struct Section {
    media: Media,
    direction: Option<Direction>,
    /// Feedback of all payload types.
    feedback: FeedbackSet,
}

type Read = Result<(), Rule>;

impl Reader {
    fn handle_line(&mut self, line: &str) -> Read {
        if line.len() > MAX_LINE_BYTES {
            return Err(Rule::LineTooLong);
        }
        if line.is_empty() && self.has_version {
            return Ok(());
        }
        if !self.has_version {
            self.has_version = line == "v=0";
            return self.has_version.then_some(()).ok_or(Rule::Version);
        }
        if line.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(Rule::NotALine);
        }
        match line.split_once('=') {
            Some(("m", value)) => self.handle_media(value),
            Some(("a", value)) => self.handle_attribute(value),
            Some(("o", value)) => self.handle_origin(value),
            Some((name, _)) if name.len() == 1 && name.as_bytes()[0].is_ascii_lowercase() => Ok(()),
            _ => Err(Rule::NotALine),
        }
    }

    fn handle_origin(&mut self, value: &str) -> Read {
        if self.has_origin {
            return Err(Rule::Twice("o="));
        }
        let words: Vec<&str> = value.split(' ').collect();
        let &[_, session_id, version, "IN", "IP4" | "IP6", _] = words.as_slice() else {
            return Err(Rule::Malformed("o="));
        };
        let numbers = attribute::number(session_id).zip(attribute::number(version));
        let (session_id, version) = numbers.ok_or(Rule::Malformed("o="))?;
        self.description.session_id = session_id;
        self.description.version = version;
        self.has_origin = true;
        Ok(())
    }

    fn handle_media(&mut self, value: &str) -> Read {
        if !self.has_origin {
            return Err(Rule::NoOrigin);
        }
        self.finish_section()?;
        if self.description.media.len() >= MAX_MEDIA {
            return Err(Rule::TooManyMedia);
        }
        self.attributes = 0;
        self.section = Some(Section {
            media: media(value).ok_or(Rule::Malformed("m="))?,
            direction: None,
            feedback: FeedbackSet::default(),
        });
        Ok(())
    }

    fn handle_attribute(&mut self, text: &str) -> Read {
        self.attributes += 1;
        if self.attributes > MAX_ATTRIBUTES {
            return Err(Rule::TooManyAttributes);
        }
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        match &mut self.section {
            Some(section) => section.handle_attribute(name, value),
            None => self.handle_session_attribute(name, value),
        }
    }

    fn handle_session_attribute(&mut self, name: &str, value: &str) -> Read {
        if let Some(direction) = attribute::direction(name) {
            return set("direction", &mut self.direction, Some(direction));
        }
        match name {
            "ice-lite" => self.description.is_ice_lite = true,
            "extmap-allow-mixed" => self.description.allows_mixed_extensions = true,
            "group" => {
                if let Some(mids) = value.strip_prefix("BUNDLE") {
                    let mids = bundle(mids).ok_or(Rule::Malformed("group:BUNDLE"))?;
                    self.description.bundles.push(mids);
                }
            }
            _ => return self.description.transport.handle_attribute(name, value),
        }
        Ok(())
    }

    fn finish_section(&mut self) -> Read {
        let Some(Section {
            mut media,
            direction,
            feedback,
        }) = self.section.take()
        else {
            return Ok(());
        };
        media.direction = direction.or(self.direction).unwrap_or(Direction::SendRecv);
        media.extensions.sort_by_key(|extension| extension.id);
        media.rids.sort_by_key(|line| line.rid);
        for format in &mut media.formats {
            format.feedback = format.feedback.union(feedback);
        }
        if let Some(mid) = media.mid
            && self.description.by_mid(mid).is_some()
        {
            return Err(Rule::MidTwice);
        }
        self.description.media.push(media);
        Ok(())
    }

    fn finish(mut self) -> Result<Description, Rule> {
        if !self.has_version {
            return Err(Rule::Version);
        }
        if !self.has_origin {
            return Err(Rule::NoOrigin);
        }
        self.finish_section()?;
        Ok(self.description)
    }
}

/// `<media> <port> <proto> <fmt> …`
pub(super) fn media(value: &str) -> Option<Media> {
    let mut words = value.splitn(4, ' ');
    let kind = match words.next()? {
        "audio" => SectionKind::Audio,
        "video" => SectionKind::Video,
        "application" => SectionKind::Application,
        other => SectionKind::Other(attribute::is_token(other).then(|| other.to_owned())?),
    };
    let port = attribute::number(words.next()?)?;
    let protocol = match words.next()? {
        "UDP/TLS/RTP/SAVPF" => Protocol::Savpf,
        other => {
            let fits = other.len() <= 64 && other.split('/').all(attribute::is_token);
            Protocol::Other(fits.then(|| other.to_owned())?)
        }
    };
    let list = words.next()?.trim_matches(' ');
    let mut media = Media::new(kind, port, protocol);
    if media.protocol == Protocol::Savpf {
        for word in list.split(' ') {
            let pt = attribute::payload_type(word)?;
            if media.formats.iter().any(|format| format.pt == pt) {
                return None;
            }
            media.formats.push(Format::new(pt));
        }
    } else {
        let fits = !list.is_empty() && attribute::is_printable(list);
        media.other_formats = fits.then(|| list.to_owned())?;
    }
    Some(media)
}

/// The mids of a group, each once.
pub(super) fn bundle(value: &str) -> Option<Vec<Mid>> {
    let mut mids = Vec::new();
    if !value.is_empty() && !value.starts_with(' ') {
        return None;
    }
    for word in value.split(' ').filter(|word| !word.is_empty()) {
        let mid = attribute::mid(word)?;
        if mids.len() == MAX_MEDIA || mids.contains(&mid) {
            return None;
        }
        mids.push(mid);
    }
    Some(mids)
}

impl TransportAttributes {
    pub(super) fn handle_attribute(&mut self, name: &str, value: &str) -> Read {
        match name {
            "ice-ufrag" => set("ice-ufrag", &mut self.ufrag, Ufrag::parse(value)),
            "ice-pwd" => set("ice-pwd", &mut self.password, Password::parse(value)),
            "setup" => set("setup", &mut self.setup, attribute::setup(value)),
            "fingerprint" => {
                let read = Fingerprint::parse(value).ok_or(Rule::Malformed("fingerprint"))?;
                self.fingerprints.extend(read);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Section {
    fn handle_attribute(&mut self, name: &str, value: &str) -> Read {
        if let Some(direction) = attribute::direction(name) {
            return set("direction", &mut self.direction, Some(direction));
        }
        let media = &mut self.media;
        match name {
            "mid" => set("mid", &mut media.mid, attribute::mid(value))?,
            "rtcp-mux" => media.has_rtcp_mux = true,
            "rtcp-rsize" => media.has_rtcp_rsize = true,
            "bundle-only" => media.is_bundle_only = true,
            "extmap-allow-mixed" => media.allows_mixed_extensions = true,
            "end-of-candidates" => media.has_end_of_candidates = true,
            "rtpmap" | "fmtp" => self.handle_format(name, value)?,
            "rtcp-fb" => self.handle_feedback(value)?,
            "extmap" => self.handle_extension(value)?,
            "msid" => {
                let msid = attribute::msid(value).ok_or(Rule::Malformed("msid"))?;
                media.msids.push(msid);
            }
            "ssrc" => self.handle_source(value)?,
            "ssrc-group" => {
                let group = attribute::source_group(value);
                let group = group.ok_or(Rule::Malformed("ssrc-group"))?;
                media.source_groups.extend(group);
            }
            "rid" => self.handle_rid(value)?,
            "simulcast" => {
                let simulcast = attribute::simulcast(value);
                set("simulcast", &mut media.simulcast, simulcast)?;
            }
            "candidate" => {
                let candidate = Candidate::read(value).ok_or(Rule::Malformed("candidate"))?;
                media.candidates.extend(candidate);
            }
            _ => media.transport.handle_attribute(name, value)?,
        }
        Ok(())
    }

    /// Of payload types that are not in the m-line nothing is kept.
    fn handle_format(&mut self, name: &str, value: &str) -> Read {
        let is_map = name == "rtpmap";
        let name = if is_map { "rtpmap" } else { "fmtp" };
        // Other protocols name their formats otherwise.
        if self.media.protocol != Protocol::Savpf {
            return Ok(());
        }
        let (pt, value) = attribute::of_format(value).ok_or(Rule::Malformed(name))?;
        let map = is_map.then(|| attribute::rtp_map(value));
        let mut formats = self.media.formats.iter_mut();
        match (formats.find(|format| format.pt == pt), map) {
            (Some(format), Some(map)) => set(name, &mut format.map, map),
            (Some(format), None) => set(name, &mut format.fmtp, Some(value.to_owned())),
            (None, Some(None)) => Err(Rule::Malformed(name)),
            (None, _) => Ok(()),
        }
    }

    fn handle_feedback(&mut self, value: &str) -> Read {
        if self.media.protocol != Protocol::Savpf {
            return Ok(());
        }
        let (pt, what) = attribute::feedback(value).ok_or(Rule::Malformed("rtcp-fb"))?;
        let Some(what) = what else { return Ok(()) };
        match pt {
            None => self.feedback.insert(what),
            Some(pt) => {
                let mut formats = self.media.formats.iter_mut();
                if let Some(format) = formats.find(|format| format.pt == pt) {
                    format.feedback.insert(what);
                }
            }
        }
        Ok(())
    }

    fn handle_extension(&mut self, value: &str) -> Read {
        let read = attribute::extension(value).ok_or(Rule::Malformed("extmap"))?;
        let Some(extension) = read else { return Ok(()) };
        let known = &mut self.media.extensions;
        if known.iter().any(|other| other.id == extension.id) {
            return Err(Rule::Twice("extmap id"));
        }
        known.push(extension);
        Ok(())
    }

    fn handle_source(&mut self, value: &str) -> Read {
        let (ssrc, cname) = attribute::source(value).ok_or(Rule::Malformed("ssrc"))?;
        let sources = &mut self.media.sources;
        let at = match sources.iter().position(|source| source.ssrc == ssrc) {
            Some(at) => at,
            None => {
                sources.push(Source { ssrc, cname: None });
                sources.len() - 1
            }
        };
        match cname {
            Some(cname) => set("cname", &mut sources[at].cname, Some(cname.to_owned())),
            None => Ok(()),
        }
    }

    fn handle_rid(&mut self, value: &str) -> Read {
        let line = attribute::rid_line(value).ok_or(Rule::Malformed("rid"))?;
        if self.media.rids.iter().any(|other| other.rid == line.rid) {
            return Err(Rule::Twice("rid"));
        }
        self.media.rids.push(line);
        Ok(())
    }
}

/// Sets what can be said once.
pub(super) fn set<T>(name: &'static str, field: &mut Option<T>, value: Option<T>) -> Read {
    let value = value.ok_or(Rule::Malformed(name))?;
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Rule::Twice(name)),
    }
}
