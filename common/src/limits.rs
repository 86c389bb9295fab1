//! Every bound of the system: its unit, its reason, and what happens at it.
//!
//! Values here are the defaults; those in [`Limits`] can be configured (`[limits]`, `KAIWA_LIMITS__…`).

use std::time::Duration;

/// The bounds that an operator may change.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// One frame from a client, in bytes. A larger one closes the connection (4304). Twice the largest
    /// session description ([`CALL_SDP_BYTES`]), so that one that is somewhat too long is refused and ends
    /// nothing; doubling it doubles what 20,000 half-sent frames may hold.
    pub frame_bytes: u32,
    /// A message's text, in bytes of UTF-8. Longer is refused (`too_large`).
    pub text_bytes: u32,
    /// Rooms that one session follows. Another is refused (`limit_reached`).
    pub subscriptions: u32,
    /// Commands of one session that wait for replies. At the bound its connection is not read.
    pub in_flight: u32,
    /// Entries in one page. A request for more gets this many.
    pub page: u32,
    /// Commands per second that one person may send for long, over all devices. Faster ones are
    /// refused (`rate_limited`).
    pub commands_per_s: u32,
    /// Commands that one person may send at once before the rate counts.
    pub command_burst: u32,
    /// Rate-limited commands of one connection after which it is closed (4200); it shrinks by one
    /// for each command that is accepted.
    pub refused_burst: u32,
    /// Upgrades and sign-ins per second from one address. Others get 429.
    pub requests_per_s: u32,
    /// Upgrades and sign-ins at once from one address before the rate counts.
    pub request_burst: u32,
    /// Connections of one process; another is answered 503. Under the usual 20,000 open files.
    pub connections: u32,
    /// TCP connections from one address; behind a reverse proxy all have the proxy's, so raise it there.
    /// Others get 429. A large office behind one address fits.
    pub connections_per_address: u32,
    /// Sessions of one person, over all devices; at the bound the oldest one ends (4305).
    pub sessions_per_user: u32,
    /// Reliable bytes waiting for one session, above which a room's queued events are replaced by
    /// one `gap`.
    pub outbox_soft_bytes: u32,
    /// Bytes waiting for one session, above which its connection is closed (4002).
    pub outbox_hard_bytes: u32,
    /// Frames that are kept for a resume after they were sent, at most.
    pub resume_frames: u32,
    /// Bytes of frames that are kept for a resume after they were sent, at most.
    pub resume_bytes: u32,
    /// Members of one group or broadcast room, invitations included (`room_full`).
    pub room_members: u32,
    /// Rooms that one person is in, invitations included (`limit_reached`).
    pub rooms_per_user: u32,
    /// Participants of one call (`call_full`). A change of one of them is told to all the others: twice
    /// as many are four times the pushes.
    pub call_participants: u32,
    /// Seconds for which a participant whose session or media is away stays. Then they leave (`timed_out`).
    /// It is the time in which a phone changes networks, and in which others bear a frozen picture.
    pub call_away_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 128 * 1024,
            text_bytes: 16 * 1024,
            subscriptions: 1_000,
            in_flight: 64,
            page: 100,
            commands_per_s: 50,
            command_burst: 300,
            refused_burst: 200,
            requests_per_s: 50,
            request_burst: 500,
            connections: 19_000,
            connections_per_address: 2_000,
            sessions_per_user: 32,
            outbox_soft_bytes: 64 * 1024,
            outbox_hard_bytes: 1024 * 1024,
            resume_frames: 256,
            resume_bytes: 64 * 1024,
            room_members: 10_000,
            rooms_per_user: 1_000,
            call_participants: 1_000,
            call_away_s: 30,
        }
    }
}

/// From accepting a TCP connection to the end of its TLS handshake. Then it is dropped.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// From when an HTTP request's head is awaited to its end; an idle connection's too. Then it is closed.
pub const HTTP_HEADER: Duration = Duration::from_secs(10);

/// From the upgrade to the `Connect` command. Then close 4005.
pub const CONNECT: Duration = Duration::from_secs(10);

/// From a frame's first byte to its message's last. Then close 4005: a peer that trickles bytes
/// would hold a buffer for ever.
pub const FRAME: Duration = Duration::from_secs(30);

/// Between two pings of the server. 25 s is below the 30 s after which the strictest home routers
/// and mobile carriers drop an idle TCP mapping.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);

/// How much longer than [`PING_INTERVAL`] a peer may be silent. Then close 4003.
pub const PONG_GRACE: Duration = Duration::from_secs(10);

/// Without a byte written while some wait. Then close 4002.
pub const WRITE_STALL: Duration = Duration::from_secs(30);

/// How long a session without a connection can be resumed. Two minutes bridge a lift or a tunnel;
/// after that the room logs serve, at a higher price.
pub const RESUME: Duration = Duration::from_secs(120);

/// From our close frame to the end of the TCP connection. Then it is dropped.
pub const CLOSE: Duration = Duration::from_secs(5);

/// Malformed messages of one connection before it is closed (4302).
pub const MALFORMED: u32 = 16;

/// How long a `cid` gives its first result again.
pub const CID_WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);

/// How far ahead of the server a `cid`'s time may be: a day covers wrong time zones.
pub const CID_AHEAD: Duration = Duration::from_secs(24 * 3600);

/// Clock difference between a token's issuer and this server that is tolerated for `nbf` and `iat`.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(30);

/// A token's text, in bytes: four times what identity providers make. Longer is refused.
pub const TOKEN_BYTES: usize = 16 * 1024;

/// A room's title, in characters: two lines of a phone's list in any script. Longer is refused.
pub const TITLE_CHARS: usize = 128;

/// A person's name to show, in bytes of UTF-8 (64 characters of any script).
pub const NAME_BYTES: usize = 256;

/// People invited by one `room_create`.
pub const CREATE_MEMBERS: usize = 100;

/// People whom one message names. More are refused (`invalid_argument`): each is looked up, and each may
/// be told.
pub const MENTIONS: usize = 50;

/// Joined members above which a room is large: there only moderators and owners name everybody, and a
/// message is told to those alone whom it names and who want to hear of all. Above it a notification
/// for each message would be noise, and fan-out of one message to thousands of devices.
pub const LARGE_ROOM: u32 = 100;

/// Unread messages of one room, and of a badge: beyond it nobody counts (99+ is what icons show), and
/// counting costs.
pub const UNREAD: u32 = 999;

/// Rows that are looked at to count what is unread in one room, the newest first: deleted and one's own
/// are among them. 2,000 are about a tenth of a millisecond; beyond them nothing is counted.
pub const UNREAD_SCAN: u32 = 2_000;

/// Recipients of one event in the notification queues; more make another event of the same id. With ids of 64
/// bytes and a text it is 18 KB in base64, and ten of them fit SNS's 256 KB for a batch.
pub const NOTIFY_RECIPIENTS: usize = 200;

/// A message's text in a notification, in bytes; the rest is cut off. Web Push carries 4 KB in all, and no screen
/// shows more.
pub const NOTIFY_TEXT: usize = 512;

/// From a message to telling those who are away. Within it whoever is here has acknowledged, read or deleted it.
pub const NOTIFY_GRACE: Duration = Duration::from_secs(2);

/// How long somebody whose connection broke while they looked is waited for. Then they are told: a lift or a
/// tunnel is over sooner, or takes long enough for a notification to be welcome.
pub const NOTIFY_RETURN: Duration = Duration::from_secs(60);

/// After this nobody wants to hear of a message: what providers keep for a device that is off.
pub const NOTIFY_MESSAGE_TTL: Duration = Duration::from_secs(28 * 24 * 3600);

/// How long it is of use to take a notification away from a device.
pub const NOTIFY_READ_TTL: Duration = Duration::from_secs(24 * 3600);

/// Recipients for whose return is waited, in all. Past it nobody is waited for: they are told at once.
pub const NOTIFY_HELD: usize = 10_000;

/// Announcements (rings, reads) that wait for the topic. At the bound another one is dropped and counted: a
/// ring that comes late is of no use.
pub const NOTIFY_ANNOUNCEMENTS: usize = 4_096;

/// Rooms in one `Connect`: as many as can be followed by default.
pub const CONNECT_ROOMS: usize = 1_000;

/// Events in all that one `Connected` brings, over all rooms; rooms beyond it get an empty page
/// with `more`.
pub const CONNECT_EVENTS: usize = 500;

/// Events that a client is given to catch up with; further behind it is told to reset and to read
/// history, which is cheaper than replaying.
pub const CATCH_UP: u64 = 10_000;

/// Heads named in one ping; the others come with the next.
pub const PING_HEADS: usize = 64;

/// Text in one page of events or messages, and in all pages that one `Connected` brings, in bytes:
/// a page ends (with `more`) before it is exceeded, but has one entry at least. Four pages being
/// read at once by one session stay within the hard bound of its outbox.
pub const PAGE_BYTES: usize = 256 * 1024;

/// Pages being read for one session at once; at the bound its connection is not read.
pub const READS_IN_FLIGHT: usize = 4;

/// Messages in one frame from a client. More are a protocol error (4302): a frame of empty messages
/// would otherwise unfold to two hundred times its size.
pub const FRAME_MESSAGES: usize = 256;

/// Bytes handed to a transport ahead of what the operating system took. What waits beyond it waits in
/// the session's outbox, where lanes and gaps can still act on it.
pub const WRITE_AHEAD: usize = 32 * 1024;

/// Events framed together, in bytes: a batch is cut into frames of about this size.
pub const EVENT_FRAME_BYTES: usize = 32 * 1024;

/// From a request's head to its answer, its body included. Then 408: a body that never ends would hold
/// its connection for ever.
pub const HTTP_REQUEST: Duration = Duration::from_secs(10);

/// The life of an HTTP connection that does not become a WebSocket. Browsers open another; a peer that
/// does not read its answers is left.
pub const HTTP_CONNECTION: Duration = Duration::from_secs(120);

/// Batches that wait for one fan-out worker. At the bound a batch is dropped: its followers are told
/// the room's head with the next ping, and read the log. A batch has half a megabyte of text at most.
pub const FANOUT_QUEUE: usize = 512;

/// Signals that wait for one session, one of each kind. A later one takes its place; past the bound the
/// oldest is dropped.
pub const SIGNALS: usize = 4;

/// Calls of one node. Another is refused (`call_full`): some kilobytes each, and a few packets a second.
pub const CALLS: usize = 5_000;

/// Participants of one call who publish something. Another's tracks are refused (`call_full`): nobody
/// can see more, and each of them is a name in everybody's roster.
pub const CALL_PUBLISHERS: usize = 100;

/// A session description, in bytes: twelve m-lines of a browser that offers every codec it has, or forty
/// that name VP8 and Opus alone. Longer is refused (`too_large`).
pub const CALL_SDP_BYTES: usize = 64 * 1024;

/// Tracks named in one offer, four of each source. More are refused.
pub const CALL_TRACKS: usize = 16;

/// Publications named in one `call_prefer`: more tiles than a screen shows. More are refused.
pub const CALL_PREFERENCES: usize = 64;

/// A candidate's text, in bytes: four times the longest that browsers make. Longer is refused.
pub const CALL_CANDIDATE_BYTES: usize = 512;

/// Receiving m-lines for sound that a client's first offer should have: three people who speak at once,
/// and one to whom it changes.
pub const CALL_AUDIO_SLOTS: u32 = 4;

/// Receiving m-lines for pictures that a client's first offer should have; the SFU asks for more when
/// they are wished for.
pub const CALL_VIDEO_SLOTS: u32 = 8;

/// Offers per second that one participant may make for long; each costs the SFU a negotiation. Faster
/// ones are refused (`rate_limited`).
pub const CALL_OFFERS_PER_S: u32 = 2;

/// Offers at once before the rate counts.
pub const CALL_OFFER_BURST: u32 = 20;

/// Changes of preferences per second that one participant may make for long; each costs an allocation.
pub const CALL_PREFERS_PER_S: u32 = 10;

/// Changes of preferences at once before the rate counts.
pub const CALL_PREFER_BURST: u32 = 40;

/// Mutes and unmutes per second that one participant may order for long; each changes the roster of
/// everybody in the call. Faster ones are refused (`rate_limited`).
pub const CALL_MUTES_PER_S: u32 = 5;

/// Mutes at once before the rate counts: a moderator who silences a whole room does so one by one.
pub const CALL_MUTE_BURST: u32 = 20;

/// How long somebody whom a moderator removed can't join again (`rate_limited`): long enough for the
/// moderator to remove them from the room as well.
pub const CALL_REMOVED: Duration = Duration::from_secs(10);

/// People whom one `call_ring` names. More are refused.
pub const CALL_RING_USERS: usize = 32;

/// How long a ring lasts; telephones ring for about as long.
pub const CALL_RING: Duration = Duration::from_secs(45);

/// After a ring that was declined or not answered, the same person is not rung again in the same room for
/// this long (`rate_limited`).
pub const CALL_RING_AGAIN: Duration = Duration::from_secs(10);

/// People per second whom one person may ring for long. More are refused (`rate_limited`).
pub const CALL_RINGS_PER_S: u32 = 1;

/// People rung at once before the rate counts.
pub const CALL_RING_BURST: u32 = 64;

/// Rings of one node. Another is refused (`calls_unavailable`).
pub const CALL_RINGS: usize = 20_000;

/// Between two pushes of one call's roster: what changes meanwhile goes together. A thousand people
/// who join a call within ten seconds cost 50,000 pushes and not a million.
pub const CALL_ROSTER_INTERVAL: Duration = Duration::from_millis(200);

/// Between two notices of a call to those who follow its room.
pub const CALL_NOTICE_INTERVAL: Duration = Duration::from_secs(1);

/// Between two signals of a call's qualities.
pub const CALL_QUALITY_INTERVAL: Duration = Duration::from_secs(1);

/// How long a participant whose quality is good again is still named, for those who missed the signal.
pub const CALL_QUALITY_NAMED: Duration = Duration::from_secs(10);

/// Participants named in one signal of qualities, the worst first: what people look at.
pub const CALL_QUALITIES: usize = 64;

/// Events of the SFU that wait for the session layer. At the bound they are dropped and counted, signals
/// (who speaks, qualities) at three quarters of it already; rosters are then sent whole.
pub const CALL_EVENTS: usize = 16 * 1024;

/// From a command to the SFU to its answer. Then it counts as unavailable.
pub const CALL_SFU_ANSWER: Duration = Duration::from_secs(10);
