//! The opening handshake (RFC 6455, section 4.2), on an HTTP request that somebody else parsed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};

/// Appended to the client's key before hashing (RFC 6455, section 1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request is no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Not an upgrade to WebSocket at all.
    #[error("this address speaks WebSocket: connect with an upgrade request (RFC 6455)")]
    NotAnUpgrade,
    /// Another version of the protocol.
    #[error("only version 13 of the WebSocket protocol is spoken here")]
    Version,
    /// `Sec-WebSocket-Key` is missing or not 16 bytes in base64.
    #[error("Sec-WebSocket-Key is missing or wrong")]
    Key,
    /// None of the subprotocols offered is known.
    #[error("offer one of these subprotocols: {0}")]
    Subprotocol(&'static str),
}

impl HandshakeError {
    /// The HTTP status that answers it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NotAnUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Key | Self::Subprotocol(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Checks the request and gives what `Sec-WebSocket-Accept` has to be.
///
/// # Errors
/// [`HandshakeError`], for the answer to tell.
pub fn accept_key<B>(request: &Request<B>) -> Result<HeaderValue, HandshakeError> {
    let headers = request.headers();
    if request.method() != Method::GET
        || request.version() != Version::HTTP_11
        || !has_token(headers, &CONNECTION, "upgrade")
        || !has_token(headers, &UPGRADE, "websocket")
    {
        return Err(HandshakeError::NotAnUpgrade);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
        return Err(HandshakeError::Version);
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .ok_or(HandshakeError::Key)?
        .as_bytes();
    if BASE64
        .decode(key)
        .ok()
        .is_none_or(|bytes| bytes.len() != 16)
    {
        return Err(HandshakeError::Key);
    }
    // SHA-1 is no secret here: it only shows that the server read the request as WebSocket.
    let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(KEY_SUFFIX);
    let accept = BASE64.encode(hash.finish());
    Ok(HeaderValue::try_from(accept).expect("base64 is a header value"))
}

/// The subprotocols that the client offers, in its order of preference.
pub fn offered_subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    tokens(headers, &SEC_WEBSOCKET_PROTOCOL)
}

/// The answer that switches protocols.
///
/// # Panics
/// Never: a status and constant headers.
#[must_use]
pub fn response<B: Default>(accept: HeaderValue, subprotocol: Option<&'static str>) -> Response<B> {
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, accept)
        .body(B::default())
        .expect("a valid response");
    if let Some(subprotocol) = subprotocol {
        let value = HeaderValue::from_static(subprotocol);
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    response
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|v| v.to_str().ok());
    values
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request<()> {
        Request::builder()
            .uri("/ws")
            .header(CONNECTION, "keep-alive, Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .header(SEC_WEBSOCKET_PROTOCOL, "chat, kaiwa.v1+json")
            .body(())
            .expect("valid")
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let accept = accept_key(&request()).expect("a handshake");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let offered = request();
        let offered: Vec<_> = offered_subprotocols(offered.headers()).collect();
        assert_eq!(offered, ["chat", "kaiwa.v1+json"]);
    }

    #[test]
    fn what_is_missing_is_told() {
        for (name, error) in [
            (CONNECTION, HandshakeError::NotAnUpgrade),
            (UPGRADE, HandshakeError::NotAnUpgrade),
            (SEC_WEBSOCKET_VERSION, HandshakeError::Version),
            (SEC_WEBSOCKET_KEY, HandshakeError::Key),
        ] {
            let mut request = request();
            request.headers_mut().remove(&name);
            assert_eq!(accept_key(&request), Err(error), "{name}");
        }
        let mut short_key = request();
        short_key
            .headers_mut()
            .insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("c2hvcnQ="));
        assert_eq!(accept_key(&short_key), Err(HandshakeError::Key));
    }
}
