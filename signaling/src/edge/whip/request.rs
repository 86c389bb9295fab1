//! What requests carry.

use super::answer::Problem;
use crate::call::wire::participant;
use crate::edge::Edge;
use crate::session::dispatch::token_refusal;
use crate::whip::core::Precondition;
use crate::whip::core::viewer::Pick;
use crate::whip::service::Purpose;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use http_body_util::LengthLimitError;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::token::{Identity, TokenError};
use kaiwa_sfu::control::Source;
use kaiwa_sfu::exchange::Way;
use std::error::Error as _;

/// Entity tags in one If-Match. More are refused.
const TAGS: usize = 16;

/// The token that a request carries. The scheme's case does not count (RFC 9110, section 11.1).
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whose token a request carries.
pub(super) fn bearer(edge: &Edge, room: &RoomId, headers: &HeaderMap) -> Result<Identity, Problem> {
    let token = token(headers).ok_or(Problem::Unauthorized(None))?;
    let verified = edge.context.tokens.verify_for_call(token, room, edge.now());
    verified.map_err(|error: TokenError| Problem::Unauthorized(Some(token_refusal(&error))))
}

/// Whether the body is of this type, whatever its parameters.
pub(super) fn content_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case(wanted) {
        Ok(())
    } else {
        Err(Problem::WrongType(wanted))
    }
}

/// The whole body as text.
pub(super) async fn body(request: Request, limit: usize) -> Result<String, Problem> {
    let bytes = to_bytes(request.into_body(), limit)
        .await
        .map_err(|error| {
            let is_too_long = error
                .source()
                .is_some_and(|source| source.is::<LengthLimitError>());
            if is_too_long {
                Problem::TooLarge(limit)
            } else {
                Problem::malformed(&"the body could not be read")
            }
        })?;
    String::from_utf8(bytes.into()).map_err(|_| Problem::malformed(&"the body is no UTF-8"))
}

/// If-Match. Weak tags never match (RFC 9110, section 13.1.1), and are left out.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Option<Precondition>, Problem> {
    let malformed = || Problem::malformed(&"If-Match: entity tags, or *");
    let mut tags = Vec::new();
    let mut is_there = false;
    for value in headers.get_all(header::IF_MATCH) {
        is_there = true;
        let value = value.to_str().map_err(|_| malformed())?;
        for tag in value.split(',').map(str::trim) {
            // As the examples of RFC 9725 have it, in quotation marks, too.
            if tag == "*" || tag == "\"*\"" {
                return Ok(Some(Precondition::Any));
            }
            let strong = tag.strip_prefix("W/").is_none();
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            let is_tag = opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"');
            if !is_tag || tags.len() == TAGS {
                return Err(malformed());
            }
            if strong {
                tags.push(opaque.to_owned());
            }
        }
    }
    Ok(is_there.then_some(Precondition::Tags(tags)))
}

/// What the URL's query says the session is for.
pub(super) fn purpose(way: Way, query: Option<&str>) -> Result<Purpose, Problem> {
    let pairs = query
        .unwrap_or("")
        .split('&')
        .filter(|pair| !pair.is_empty());
    let mut pick = Pick::Anybody;
    let mut must_be_live = false;
    let (mut audio, mut video) = (Source::Microphone, Source::Camera);
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (way, name, value) {
            (Way::In, "source", "camera") => {}
            (Way::In, "source", "screen") => (audio, video) = (Source::ScreenAudio, Source::Screen),
            (Way::Out, "live", "required") => must_be_live = true,
            (Way::Out, "participant", id) => {
                let id = participant(id).ok_or_else(|| Problem::invalid("participant", "`p_…`"))?;
                pick = Pick::Participant(id);
            }
            (Way::Out, "user", id) => {
                let id = decoded(id).and_then(|id| UserId::parse(&id).ok());
                pick = Pick::User(id.ok_or_else(|| Problem::invalid("user", "a user id"))?);
            }
            (Way::In, _, _) => return Err(Problem::invalid("source", "camera or screen")),
            (Way::Out, _, _) => {
                let rule = "participant=p_…, user=…, live=required";
                return Err(Problem::invalid("query", rule));
            }
        }
    }
    Ok(match way {
        Way::In => Purpose::Publish { audio, video },
        Way::Out => Purpose::Watch { pick, must_be_live },
    })
}

/// Of a query (RFC 3986, section 2.1): user ids may have `@`, `:` and `|`, which are written otherwise there.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("a value"));
        headers
    }

    #[test]
    fn if_match_is_read_as_http_has_it() {
        let read = |value: &str| precondition(&headers(header::IF_MATCH, value)).ok();
        let tags = |tags: &[&str]| {
            let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            Some(Some(Precondition::Tags(tags)))
        };
        assert_eq!(read("*"), Some(Some(Precondition::Any)));
        assert_eq!(read("\"*\""), Some(Some(Precondition::Any)));
        assert_eq!(read("\"a\""), tags(&["\"a\""]));
        assert_eq!(read("\"a\", \"b\""), tags(&["\"a\"", "\"b\""]));
        assert_eq!(read("W/\"a\""), tags(&[]), "a weak one matches nothing");
        assert_eq!(precondition(&HeaderMap::new()).ok(), Some(None));
        let many = vec!["\"a\""; TAGS + 1].join(",");
        for wrong in ["a", "", "\"", "\"a", "\"a\" \"b\",", &many] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_type_counts_without_its_parameters_and_its_case() {
        let is_sdp = |value: &str| {
            content_type(&headers(header::CONTENT_TYPE, value), "application/sdp").is_ok()
        };
        assert!(is_sdp("application/sdp") && is_sdp("Application/SDP; charset=utf-8"));
        assert!(!is_sdp("application/sdpx") && !is_sdp("text/plain") && !is_sdp(""));
    }

    #[test]
    fn the_query_says_what_a_session_is_for() {
        let read = |way, query: &str| purpose(way, Some(query)).ok();
        let screen = Purpose::Publish {
            audio: Source::ScreenAudio,
            video: Source::Screen,
        };
        assert_eq!(read(Way::In, "source=screen"), Some(screen));
        let watch = |pick, must_be_live| Some(Purpose::Watch { pick, must_be_live });
        assert_eq!(read(Way::Out, ""), watch(Pick::Anybody, false));
        assert_eq!(read(Way::Out, "live=required"), watch(Pick::Anybody, true));
        let user = UserId::parse("a@b").expect("an id");
        assert_eq!(read(Way::Out, "user=a%40b"), watch(Pick::User(user), false));
        for (way, wrong) in [
            (Way::In, "source=window"),
            (Way::In, "user=a"),
            (Way::Out, "source=screen"),
            (Way::Out, "participant=alice"),
            (Way::Out, "user=%zz"),
            (Way::Out, "user=%4"),
            (Way::Out, "live=maybe"),
        ] {
            assert_eq!(read(way, wrong), None, "{wrong}");
        }
    }
}
