//! Single attributes' values. `None` is a wrong form.

use super::{
    Direction, Extension, Feedback, Msid, RidLine, RtpMap, Setup, Simulcast, SimulcastStream,
    SourceGroup,
};
use crate::unit::{Mid, PayloadType, Rid, Ssrc};

/// RFC 8839, section 5.1.
pub(super) fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// RFC 8866, section 9: `token`.
pub(super) fn is_token(text: &str) -> bool {
    let is_token_char = |byte: u8| {
        byte.is_ascii_graphic()
            && !matches!(
                byte,
                b'"' | b'(' | b')' | b',' | b'/' | b':'..=b'@' | b'['..=b']'
            )
    };
    !text.is_empty() && text.bytes().all(is_token_char)
}

/// Printable, in ASCII.
pub(super) fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// A number as SDP writes it: digits alone, no sign.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

pub(super) fn payload_type(text: &str) -> Option<PayloadType> {
    number(text).filter(|&pt| pt <= 127).map(PayloadType)
}

fn ssrc(text: &str) -> Option<Ssrc> {
    number(text).map(Ssrc)
}

/// RFC 9143: a token, and short enough for a header extension.
pub(super) fn mid(text: &str) -> Option<Mid> {
    is_token(text).then(|| Mid::parse(text.as_bytes()))?
}

/// RFC 8851, section 10.
fn rid(text: &str) -> Option<Rid> {
    let is_rid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let rid = Rid::parse(text.as_bytes())?;
    text.bytes().all(is_rid).then_some(rid)
}

pub(super) fn direction(name: &str) -> Option<Direction> {
    match name {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    }
}

pub(super) fn setup(value: &str) -> Option<Setup> {
    match value {
        "actpass" => Some(Setup::Actpass),
        "active" => Some(Setup::Active),
        "passive" => Some(Setup::Passive),
        "holdconn" => Some(Setup::Holdconn),
        _ => None,
    }
}

/// `<pt> <value>`, the value printable and not empty.
pub(super) fn of_format(value: &str) -> Option<(PayloadType, &str)> {
    let (pt, rest) = value.split_once(' ')?;
    let rest = rest.trim_matches(' ');
    let pt = payload_type(pt)?;
    (!rest.is_empty() && is_printable(rest)).then_some((pt, rest))
}

/// `<encoding>/<clock>[/<channels>]`
pub(super) fn rtp_map(value: &str) -> Option<RtpMap> {
    let mut parts = value.split('/');
    let encoding = parts.next().filter(|name| is_token(name))?;
    let clock_rate = number(parts.next()?).filter(|&rate| rate > 0)?;
    let channels = match parts.next() {
        Some(channels) => number(channels).filter(|&count| count > 0)?,
        None => 1,
    };
    parts.next().is_none().then(|| RtpMap {
        encoding: encoding.to_owned(),
        clock_rate,
        channels,
    })
}

/// Which payload type, `None` being all; and what, `None` being a kind that is not known here.
pub(super) fn feedback(value: &str) -> Option<(Option<PayloadType>, Option<Feedback>)> {
    let (pt, what) = value.split_once(' ')?;
    let pt = match pt {
        "*" => None,
        pt => Some(payload_type(pt)?),
    };
    let what = what.trim_matches(' ');
    let known = Feedback::ALL.into_iter().find(|f| f.as_str() == what);
    (!what.is_empty()).then_some((pt, known))
}

/// `<id>[/<direction>] <uri> [<attributes>]`; `Some(None)` for an id that only stands in for one
/// (RFC 8285, section 7).
pub(super) fn extension(value: &str) -> Option<Option<Extension>> {
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    let id = words.next()?;
    let (id, direction) = match id.split_once('/') {
        Some((id, way)) => (id, Some(self::direction(way)?)),
        None => (id, None),
    };
    let uri = words.next().filter(|uri| is_printable(uri))?;
    let id = match number::<u16>(id)? {
        4096..=4351 => return Some(None),
        0 | 15 => return None,
        id => u8::try_from(id).ok()?,
    };
    Some(Some(Extension {
        id,
        direction,
        uri: uri.to_owned(),
    }))
}

/// `<stream> [<track>]`
pub(super) fn msid(value: &str) -> Option<Msid> {
    let is_id = |id: &str| is_token(id) && id.len() <= 64;
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    let stream = words.next().filter(|id| is_id(id))?.to_owned();
    let track = match words.next() {
        Some(id) => Some(is_id(id).then(|| id.to_owned())?),
        None => None,
    };
    words.next().is_none().then_some(Msid { stream, track })
}

/// `<ssrc> <attribute>[:<value>]`, as the CNAME if it is one.
pub(super) fn source(value: &str) -> Option<(Ssrc, Option<&str>)> {
    let (id, attribute) = value.split_once(' ')?;
    let id = ssrc(id)?;
    match attribute.strip_prefix("cname:") {
        Some(cname) => {
            let is_cname = !cname.is_empty() && is_printable(cname);
            is_cname.then_some((id, Some(cname)))
        }
        None => (!attribute.is_empty()).then_some((id, None)),
    }
}

/// `<semantics> <ssrc> …`; `Some(None)` for semantics that are not known here.
pub(super) fn source_group(value: &str) -> Option<Option<SourceGroup>> {
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    let semantics = words.next()?;
    let of: Vec<_> = words.map(ssrc).collect::<Option<_>>()?;
    match (semantics, of.as_slice()) {
        ("FID", &[primary, rtx]) if primary != rtx => Some(Some(SourceGroup::Fid { primary, rtx })),
        ("FEC-FR", &[primary, repair]) if primary != repair => {
            Some(Some(SourceGroup::FecFr { primary, repair }))
        }
        ("SIM", [_, ..]) => Some(Some(SourceGroup::Sim(of))),
        ("FID" | "FEC-FR" | "SIM", _) => None,
        _ => Some(None),
    }
}

/// `<rid> send|recv [pt=<pt>,…;<name>=<value>;…]` (RFC 8851, section 10)
pub(super) fn rid_line(value: &str) -> Option<RidLine> {
    let mut words = value.splitn(3, ' ');
    let rid = rid(words.next()?)?;
    let is_sent = match words.next()? {
        "send" => true,
        "recv" => false,
        _ => return None,
    };
    let mut formats = Vec::new();
    let mut restrictions = words.next().unwrap_or_default().trim_matches(' ');
    if let Some(rest) = restrictions.strip_prefix("pt=") {
        let (pts, rest) = rest.split_once(';').unwrap_or((rest, ""));
        formats = pts.split(',').map(payload_type).collect::<Option<_>>()?;
        restrictions = rest.trim_matches(' ');
    }
    // Payload types come first where there are any.
    let fits = is_printable(restrictions) && !restrictions.starts_with("pt=");
    fits.then(|| RidLine {
        rid,
        is_sent,
        formats,
        restrictions: restrictions.to_owned(),
    })
}

/// `send|recv <streams> [recv|send <streams>]` (RFC 8853, section 5.1)
pub(super) fn simulcast(value: &str) -> Option<Simulcast> {
    let mut simulcast = Simulcast::default();
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    while let Some(way) = words.next() {
        let list = words.next()?;
        let streams = match way {
            "send" => &mut simulcast.send,
            "recv" => &mut simulcast.recv,
            _ => return None,
        };
        if !streams.is_empty() {
            return None;
        }
        *streams = list
            .split(';')
            .map(|choice| choice.split(',').map(simulcast_stream).collect())
            .collect::<Option<_>>()?;
        let all: Vec<Rid> = streams.iter().flatten().map(|stream| stream.rid).collect();
        if (1..all.len()).any(|at| all[..at].contains(&all[at])) {
            return None;
        }
    }
    (simulcast != Simulcast::default()).then_some(simulcast)
}

fn simulcast_stream(text: &str) -> Option<SimulcastStream> {
    let name = text.strip_prefix('~');
    Some(SimulcastStream {
        rid: rid(name.unwrap_or(text))?,
        is_paused: name.is_some(),
    })
}
