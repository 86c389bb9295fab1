//! Why a call came to nothing.

use super::guard::Forbidden;

/// Which part of a call took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A connection: waiting for one, names, TCP, TLS.
    Connect,
    /// The head of the answer.
    Headers,
    /// The rest of the answer.
    Body,
}

/// Why a call came to nothing. It names neither URL nor host: they may be personal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The guard forbids it; it will always.
    #[error("the address may not be called")]
    Forbidden(#[from] Forbidden),
    /// The host has no address, or the question failed.
    #[error("the host's name has no address")]
    Unresolved,
    /// No address of it took the connection.
    #[error("no connection")]
    Connect,
    /// Its certificate is not good, or TLS failed otherwise.
    #[error("TLS failed")]
    Tls,
    /// The connection ended before an answer; the request may have been acted on.
    #[error("the connection was lost")]
    Lost,
    /// It took too long.
    #[error("time-out")]
    TimedOut(Phase),
    /// The answer is not HTTP, or longer than allowed.
    #[error("the answer can't be read")]
    Answer,
    /// Too many other hosts are being called.
    #[error("too many hosts at once")]
    Busy,
}

impl OutboundError {
    /// A short name for records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Forbidden(_) => "forbidden_address",
            Self::Unresolved => "unresolved",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Lost => "connection_lost",
            Self::TimedOut(Phase::Connect) => "timeout_connect",
            Self::TimedOut(Phase::Headers) => "timeout_headers",
            Self::TimedOut(Phase::Body) => "timeout_body",
            Self::Answer => "unreadable_answer",
            Self::Busy => "busy",
        }
    }
}
