//! Why a connection ends, as numbers whose range says what the client should do.

/// What a client does after a close: the advice of the code's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// 4000–4099: connect again and resume.
    Resume,
    /// 4100–4199: connect again with a fresh token or state.
    Refresh,
    /// 4200–4299: connect again after a long pause.
    Pause,
    /// 4300–4399: stop, and tell the person.
    Stop,
}

macro_rules! close_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $reason:literal;)*) => {
        /// Why the server closes a connection. `docs/protocol.md`, section 8, is this table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum CloseCode {
            $($(#[$doc])* $name,)*
        }

        impl CloseCode {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The number on the wire (a WebSocket close code, RFC 6455, section 7.4.2).
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $number,)* }
            }

            /// The stable name.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)* }
            }
        }
    };
}

close_codes! {
    /// The server stops.
    Drain = 4000, "drain";
    /// Too much waits for this client, or nothing could be written for too long.
    SlowConsumer = 4002, "slow_consumer";
    /// Nothing heard from the client.
    NoPong = 4003, "no_pong";
    /// A bug or a failing part on our side.
    ServerError = 4004, "server_error";
    /// No `Connect` in time, or a frame that was begun and not ended.
    ConnectTimeout = 4005, "connect_timeout";
    /// The token's time ended.
    TokenExpired = 4100, "token_expired";
    /// What the client knows is void.
    StateInvalidated = 4101, "state_invalidated";
    /// Kept sending after being told to slow down.
    RateLimited = 4200, "rate_limited";
    /// No room for another connection.
    Overloaded = 4201, "overloaded";
    /// The token is refused.
    Unauthorized = 4300, "unauthorized";
    /// The peer does not speak the protocol.
    ProtocolError = 4302, "protocol_error";
    /// A frame over the bound.
    TooLarge = 4304, "too_large";
    /// The session goes on over another connection.
    Replaced = 4305, "replaced";
}

impl CloseCode {
    /// What the client should do.
    #[must_use]
    pub const fn advice(self) -> Advice {
        match self.number() {
            4000..=4099 => Advice::Resume,
            4100..=4199 => Advice::Refresh,
            4200..=4299 => Advice::Pause,
            _ => Advice::Stop,
        }
    }

    /// How long a client waits before it connects again, as (least, most) in ms: at once where
    /// nobody else is concerned, spread where many are sent away together.
    #[must_use]
    pub const fn retry_ms(self) -> (u32, u32) {
        match self.advice() {
            Advice::Resume => (100, 2_000),
            Advice::Refresh => (0, 500),
            Advice::Pause => (30_000, 60_000),
            Advice::Stop => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_stay_in_the_private_range() {
        assert!(
            CloseCode::ALL
                .windows(2)
                .all(|w| w[0].number() < w[1].number())
        );
        assert!(
            CloseCode::ALL
                .iter()
                .all(|c| (4000..4400).contains(&c.number()))
        );
    }

    #[test]
    fn only_codes_that_tell_to_come_back_give_a_time() {
        for code in CloseCode::ALL {
            let (least, most) = code.retry_ms();
            assert!(least <= most, "{code:?}");
            assert_eq!(most == 0, code.advice() == Advice::Stop, "{code:?}");
        }
    }
}
