//! SDP fragments (RFC 8840, section 9): what ICE trickles and restarts with, without a description around it.

use super::{
    Candidate, Format, MAX_ATTRIBUTES, MAX_LINE_BYTES, MAX_MEDIA, Media, Password, Protocol, Rule,
    SdpError, TransportAttributes, Ufrag, attribute, parse,
};
use crate::unit::Mid;
use std::fmt;

/// The longest fragment, in bytes: sixty candidates. A longer one is refused.
pub const MAX_FRAGMENT_BYTES: usize = 8 * 1024;

/// The most candidates of a fragment: of eight interfaces with both address families, by UDP and TCP, with
/// those that servers saw. One with more is refused.
pub const MAX_CANDIDATES: usize = 64;

/// ICE's part of a description. Its lines that nothing here knows are skipped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fragment {
    /// The writer is ICE-lite.
    pub is_ice_lite: bool,
    /// The BUNDLE group's mids, the one that stands for it first; empty where it has none.
    pub bundle: Vec<Mid>,
    /// What the writer's checks are proven with; both or neither. All m-lines that say it say the same.
    pub credentials: Option<(Ufrag, Password)>,
    /// The m-lines, at most [`MAX_MEDIA`], each with its mid: kind, protocol and formats mean nothing
    /// (RFC 8840, section 9.1).
    pub media: Vec<Media>,
}

impl Fragment {
    /// Reads a text. Lines may end with CR LF or LF.
    ///
    /// # Errors
    /// [`SdpError`] for the first line that breaks a rule; also where it has only one of user fragment and
    /// password, where two m-lines have others, or where there is nothing of ICE in it.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_FRAGMENT_BYTES {
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

    /// All candidates that can be used here, of all m-lines.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.media.iter().flat_map(|media| &media.candidates)
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ice_lite {
            write!(f, "a=ice-lite\r\n")?;
        }
        if !self.bundle.is_empty() {
            write!(f, "a=group:BUNDLE")?;
            self.bundle.iter().try_for_each(|mid| write!(f, " {mid}"))?;
            write!(f, "\r\n")?;
        }
        let transport = |f: &mut fmt::Formatter<'_>| match &self.credentials {
            Some((ufrag, password)) => {
                let (ufrag, password) = (ufrag.as_str(), password.as_str());
                write!(f, "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n")
            }
            None => Ok(()),
        };
        if self.media.is_empty() {
            transport(f)?;
        }
        for (at, media) in self.media.iter().enumerate() {
            media.write_line(f)?;
            if let Some(mid) = media.mid {
                write!(f, "a=mid:{mid}\r\n")?;
            }
            if at == 0 {
                transport(f)?;
            }
            for candidate in &media.candidates {
                write!(f, "a=candidate:{candidate}\r\n")?;
            }
            if media.has_end_of_candidates {
                write!(f, "a=end-of-candidates\r\n")?;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Reader {
    fragment: Fragment,
    /// Of the part that is being read.
    transport: TransportAttributes,
    attributes: usize,
    candidates: usize,
}

impl Reader {
    fn handle_line(&mut self, line: &str) -> Result<(), Rule> {
        if line.len() > MAX_LINE_BYTES {
            return Err(Rule::LineTooLong);
        }
        if line.is_empty() {
            return Ok(());
        }
        if line.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(Rule::NotALine);
        }
        match line.split_once('=') {
            Some(("m", value)) => self.handle_media(value),
            Some(("a", value)) => self.handle_attribute(value),
            Some((name, _)) if name.len() == 1 && name.as_bytes()[0].is_ascii_lowercase() => Ok(()),
            _ => Err(Rule::NotALine),
        }
    }

    fn handle_media(&mut self, value: &str) -> Result<(), Rule> {
        self.finish_part()?;
        if self.fragment.media.len() >= MAX_MEDIA {
            return Err(Rule::TooManyMedia);
        }
        self.attributes = 0;
        let media = parse::media(value).ok_or(Rule::Malformed("m="))?;
        self.fragment.media.push(media);
        Ok(())
    }

    fn handle_attribute(&mut self, text: &str) -> Result<(), Rule> {
        self.attributes += 1;
        if self.attributes > MAX_ATTRIBUTES {
            return Err(Rule::TooManyAttributes);
        }
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        match (name, self.fragment.media.last_mut()) {
            ("ice-lite", None) => self.fragment.is_ice_lite = true,
            ("group", None) => {
                if let Some(mids) = value.strip_prefix("BUNDLE") {
                    if !self.fragment.bundle.is_empty() {
                        return Err(Rule::Twice("group:BUNDLE"));
                    }
                    let mids = parse::bundle(mids).ok_or(Rule::Malformed("group:BUNDLE"))?;
                    self.fragment.bundle = mids;
                }
            }
            ("mid", Some(media)) => parse::set("mid", &mut media.mid, attribute::mid(value))?,
            ("candidate", media) => {
                let read = Candidate::read(value).ok_or(Rule::Malformed("candidate"))?;
                self.candidates += 1;
                if self.candidates > MAX_CANDIDATES {
                    return Err(Rule::TooManyCandidates);
                }
                // Before the first m-line none is of any stream.
                if let Some(media) = media {
                    media.candidates.extend(read);
                }
            }
            ("end-of-candidates", Some(media)) => media.has_end_of_candidates = true,
            ("ice-ufrag" | "ice-pwd", _) => self.transport.handle_attribute(name, value)?,
            _ => {}
        }
        Ok(())
    }

    /// An m-line, or what is before the first one, is read.
    fn finish_part(&mut self) -> Result<(), Rule> {
        if let Some(media) = self.fragment.media.last()
            && media.mid.is_none()
        {
            return Err(Rule::Malformed("m= without a mid"));
        }
        if let Some((media, before)) = self.fragment.media.split_last()
            && before.iter().any(|other| other.mid == media.mid)
        {
            return Err(Rule::MidTwice);
        }
        let part = std::mem::take(&mut self.transport);
        match (part.ufrag, part.password, &self.fragment.credentials) {
            (None, None, _) => {}
            (Some(ufrag), Some(password), None) => {
                self.fragment.credentials = Some((ufrag, password));
            }
            (Some(ufrag), Some(password), Some(known))
                if *known == (ufrag.clone(), password.clone()) => {}
            (Some(_), Some(_), Some(_)) => return Err(Rule::Twice("ice-ufrag")),
            (Some(_), None, _) | (None, Some(_), _) => {
                return Err(Rule::Malformed(
                    "ice-ufrag without ice-pwd, or the other way round",
                ));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Fragment, Rule> {
        self.finish_part()?;
        let fragment = self.fragment;
        let says_something = fragment.credentials.is_some() || !fragment.media.is_empty();
        says_something
            .then_some(fragment)
            .ok_or(Rule::Malformed("fragment"))
    }
}

impl Media {
    /// Its kind alone, as it stands for a transport in a fragment.
    #[must_use]
    pub fn for_fragment(&self) -> Self {
        let mut media = Self::new(self.kind.clone(), 9, self.protocol.clone());
        media.other_formats.clone_from(&self.other_formats);
        if self.protocol == Protocol::Savpf {
            media.formats = self.formats.iter().map(|one| Format::new(one.pt)).collect();
        }
        media.mid = self.mid;
        media.candidates.clone_from(&self.candidates);
        media.has_end_of_candidates = self.has_end_of_candidates;
        media
    }
}

/// For fuzzing: a fragment that can be read is the same after it was written and read again.
///
/// # Panics
/// When it is not.
pub fn fuzz_fragment(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(fragment) = Fragment::parse(text) else {
        return;
    };
    let written = fragment.to_string();
    match Fragment::parse(&written) {
        Ok(again) => assert_eq!(again, fragment, "written as:\n{written}"),
        Err(error) => assert!(
            matches!(error.rule, Rule::TextTooLong | Rule::LineTooLong),
            "{error} in:\n{written}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As RFC 9725, section 4.3.2, has it.
    const TRICKLE: &str = "a=group:BUNDLE 0 1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
        a=mid:0\r\n\
        a=ice-ufrag:EsAw\r\n\
        a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
        a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag EsAw network-id 1\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn the_documents_example_is_read_and_written() {
        let fragment = Fragment::parse(TRICKLE).expect("a fragment");
        let (ufrag, _) = fragment.credentials.clone().expect("credentials");
        assert_eq!(ufrag.as_str(), "EsAw");
        assert_eq!(fragment.bundle.len(), 2);
        assert_eq!(fragment.candidates().count(), 2);
        assert!(fragment.media[0].has_end_of_candidates);
        assert_eq!(Fragment::parse(&fragment.to_string()), Ok(fragment));
    }

    #[test]
    fn candidates_that_cannot_be_used_are_left_out_and_malformed_ones_refused() {
        let with = |candidate: &str| {
            Fragment::parse(&format!(
                "m=audio 9 RTP/AVP 0\na=mid:0\na=candidate:{candidate}\n"
            ))
        };
        let usable = with("1 1 udp 1 abc-def.local 5000 typ host").expect("a name of mDNS");
        assert_eq!(usable.candidates().count(), 1);
        let other = with("1 1 dccp 1 192.0.2.1 5000 typ host").expect("another transport");
        assert_eq!(other.candidates().count(), 0);
        assert!(with("1 1 udp 1 192.0.2.1").is_err());
    }

    #[test]
    fn what_says_nothing_of_ice_or_only_half_is_no_fragment() {
        for wrong in [
            "",
            "a=ice-lite\r\n",
            "v=0",
            "hello",
            "a=ice-ufrag:EsAw\r\n",
            "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
            "m=audio 9 RTP/AVP 0\r\n",
            "m=audio 9 RTP/AVP 0\r\na=mid:0\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n",
            "a=ice-ufrag:EsAw\r\na=ice-pwd:short\r\n",
            "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
             a=ice-ufrag:Other\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
        ] {
            assert!(Fragment::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_fragment_is_bounded() {
        let candidate = "a=candidate:1 1 udp 1 192.0.2.1 5000 typ host\n";
        let of =
            |count: usize| format!("m=audio 9 RTP/AVP 0\na=mid:0\n{}", candidate.repeat(count));
        assert!(Fragment::parse(&of(MAX_CANDIDATES)).is_ok());
        let error = Fragment::parse(&of(MAX_CANDIDATES + 1)).expect_err("too many");
        assert_eq!(error.rule, Rule::TooManyCandidates);
        let long = format!("{TRICKLE}{}", "\r\n".repeat(MAX_FRAGMENT_BYTES / 2));
        assert_eq!(
            Fragment::parse(&long).map_err(|e| e.rule),
            Err(Rule::TextTooLong)
        );
        let line = format!("a=x:{}\n", "y".repeat(MAX_LINE_BYTES));
        assert_eq!(
            Fragment::parse(&line).map_err(|e| e.rule),
            Err(Rule::LineTooLong)
        );
    }
}
