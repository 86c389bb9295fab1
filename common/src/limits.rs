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
    /// Seconds for which a ring lasts ([`CALL_RING`] at most, 1 at least). Then it is over (`timed_out`).
    pub call_ring_s: u32,
    /// The largest file of a clip, in bytes; 0 on a server without clips. It is set by the clips' settings, not
    /// here: clients are told it before they choose a file, and the clips' own service refuses larger ones.
    #[serde(skip)]
    pub clip_bytes: u64,
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
            call_ring_s: 45,
            clip_bytes: 0,
        }
    }
}

/// From accepting a TCP connection to the end of its TLS handshake. Then it is dropped.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// From when an HTTP request's head is awaited to its end; an idle connection's too. Then it is closed.
pub const HTTP_HEADER: Duration = Duration::from_secs(10);

/// The head of an HTTP request, in bytes: browsers' have 1 to 2 KiB, and a clip's signed URL 3. A longer one is
/// answered 431.
pub const HTTP_HEAD_BYTES: usize = 16 * 1024;

/// The largest piece in which a body is read, in bytes. A connection's buffer begins with 8 KiB and grows towards this
/// only while a body fills it, so that an idle one holds no more than before.
pub const HTTP_BODY_PIECE_BYTES: usize = 256 * 1024;

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

/// Recipients of one event in the notification queues; more make another event of the same id, and the notifier
/// puts a larger one to the dead letters. With ids of 64
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

/// After this nobody wants to hear that a clip is ready, or never will be: its message tells.
pub const NOTIFY_CLIP_TTL: Duration = Duration::from_secs(24 * 3600);

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

/// From a request's head to its answer, its body included. Then 408 while the body is awaited, which would hold
/// its connection for ever; 503 when the server itself is not done.
pub const HTTP_REQUEST: Duration = Duration::from_secs(10);

/// The life of an HTTP connection that does not become a WebSocket. Browsers open another; a peer that
/// does not read its answers is left.
pub const HTTP_CONNECTION: Duration = Duration::from_secs(120);

/// Batches that wait for one fan-out worker. At the bound a batch is dropped: its followers are told
/// the room's head with the next ping, and read the log. A batch has half a megabyte of text at most.
pub const FANOUT_QUEUE: usize = 512;

/// Signals that wait for one session: one of each kind, and one of each clip. A later one takes its place; past the
/// bound the oldest is dropped. Two are a call's, and more than a few clips at once nobody watches.
pub const SIGNALS: usize = 8;

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

/// Offers per second that one session may make for long; each costs the SFU a negotiation. Faster
/// ones are refused (`rate_limited`).
pub const CALL_OFFERS_PER_S: u32 = 2;

/// Offers at once before the rate counts.
pub const CALL_OFFER_BURST: u32 = 20;

/// Changes of preferences per second that one session may make for long; each costs an allocation.
pub const CALL_PREFERS_PER_S: u32 = 10;

/// Changes of preferences at once before the rate counts.
pub const CALL_PREFER_BURST: u32 = 40;

/// Mutes and unmutes per second that one session may order for long; each changes the roster of
/// everybody in the call. Faster ones are refused (`rate_limited`).
pub const CALL_MUTES_PER_S: u32 = 5;

/// Mutes at once before the rate counts: a moderator who silences a whole room does so one by one.
pub const CALL_MUTE_BURST: u32 = 20;

/// How long somebody whom a moderator removed can't join again (`rate_limited`): long enough for the
/// moderator to remove them from the room as well.
pub const CALL_REMOVED: Duration = Duration::from_secs(10);

/// Failed joins that are remembered of one room. At the bound the room's oldest is forgotten: more than these nobody
/// reads. Each is a kilobyte, and 24 with a client's report of [`CALL_REPORT_BYTES`].
pub const CALL_FAILURES_ROOM: usize = 50;

/// Failed joins that are remembered of the whole node: half a megabyte, 12 with as many of the largest reports. At the
/// bound the oldest is forgotten.
pub const CALL_FAILURES: usize = 500;

/// Those among them of nobody known, such as tokens of others' making, and as many of no room, so that neither push out
/// the rest.
pub const CALL_FAILURES_UNKNOWN: usize = 100;

/// Those among them of one person, whichever rooms they name, or of nobody known from one address: at the bound their own
/// oldest is forgotten. It takes fifty people to push out everybody else's.
pub const CALL_FAILURES_PERSON: usize = 10;

/// How long a failed join is remembered.
pub const CALL_FAILURE_KEPT: Duration = Duration::from_secs(3600);

/// How long after a failed join a report that names no participant is about it.
pub const CALL_FAILURE_REPORTED: Duration = Duration::from_secs(120);

/// A client's report of a failed join, in bytes: a browser with thirty pairs sends six thousand. More is answered 413.
pub const CALL_REPORT_BYTES: usize = 16 * 1024;

/// Pairs in one report: browsers keep a hundred at most and try few. More are refused.
pub const CALL_REPORT_PAIRS: usize = 32;

/// An address or a state in a report, in bytes: mDNS names have 42. Longer is refused.
pub const CALL_REPORT_WORD_BYTES: usize = 64;

/// Reports per second that one person may make for long. Faster ones are refused (`rate_limited`).
pub const CALL_REPORTS_PER_S: u32 = 1;

/// Reports at once before the rate counts.
pub const CALL_REPORT_BURST: u32 = 10;

/// Questions to the call inspector per second that one person who is no administrator may ask for long: the app asks once
/// a second, and in five pages of the largest call. Faster ones are refused (`rate_limited`).
pub const CALL_LOOKS_PER_S: u32 = 10;

/// Questions at once before the rate counts.
pub const CALL_LOOK_BURST: u32 = 50;

/// People whose reports, or whose questions, are counted at once. At the bound those who owe nothing are forgotten, and a new one is
/// refused when all owe.
pub const CALL_ASKERS: usize = 10_000;

/// What is kept of a client's own name (`User-Agent`), in bytes: enough for a browser's version.
pub const CALL_AGENT_BYTES: usize = 120;

/// People whom one `call_ring` names. More are refused.
pub const CALL_RING_USERS: usize = 32;

/// How long a ring lasts at most, and unless `call_ring_s` says otherwise; telephones ring for about as long.
pub const CALL_RING: Duration = Duration::from_secs(45);

/// After a ring that was declined or not answered, the same person is not rung again in the same room for
/// this long (`rate_limited`).
pub const CALL_RING_AGAIN: Duration = Duration::from_secs(10);

/// People per second whom one person may ring for long. More are refused (`rate_limited`).
pub const CALL_RINGS_PER_S: u32 = 1;

/// People rung at once before the rate counts.
pub const CALL_RING_BURST: u32 = 64;

/// TCP connections for media of which it is not known yet whose they are. At the bound the oldest is closed for a new
/// one: somebody in the call is known within a round trip. Each takes a descriptor and [`MEDIA_TCP_FIRST_BYTES`].
pub const MEDIA_TCP_UNKNOWN: usize = 1_024;

/// The same from one address. Another is closed. A browser opens one for each pair of addresses, up to eight, so that
/// sixteen people behind one address can come in the same moment.
pub const MEDIA_TCP_UNKNOWN_EACH: usize = 128;

/// From when a TCP connection for media opens to the end of its first check. Then it is closed. A browser checks at once,
/// and a lost packet on the way is repeated twice in this time.
pub const MEDIA_TCP_UNKNOWN_FOR: Duration = Duration::from_secs(5);

/// What is read of such a connection at most, in bytes. A check has 120 to 200; a longer first frame closes it.
pub const MEDIA_TCP_FIRST_BYTES: usize = 1_024;

/// Connections that the HTTP edge has handed over and that were not looked at yet. Another is closed.
pub const MEDIA_TCP_INBOX: usize = 256;

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

/// Participants in one report of the call inspector: with their 60 samples some 3 MB. Who asks goes on after the last.
pub const CALL_REPORTED: usize = 100;

/// An offer by WHIP or WHEP, in bytes: one m-line for sound and one for pictures with every codec that a browser has
/// are 8 KiB. Longer is answered 413. It is kept for ICE restarts as long as its session.
pub const WHIP_SDP_BYTES: usize = 32 * 1024;

/// Sessions by WHIP and WHEP of one node, with 40 KiB each at most. Another is answered 503.
pub const WHIP_SESSIONS: usize = 4_096;

/// Those of one person. Another is answered 429: encoders and players that were killed leave theirs for half a
/// minute, until nothing is heard of them.
pub const WHIP_SESSIONS_EACH: u32 = 16;

/// Those in one room's call. Another is answered 503. What is beyond it watches with a client, or over another room.
pub const WHIP_SESSIONS_ROOM: u32 = 500;

/// Sessions by WHIP and WHEP that one person begins per second for long. Faster is answered 429.
pub const WHIP_BEGINS_PER_S: u32 = 1;

/// Begins at once before the rate counts.
pub const WHIP_BEGIN_BURST: u32 = 20;

/// Requests per second to one session by WHIP or WHEP for long: trickled candidates and ICE restarts. Faster is
/// answered 429.
pub const WHIP_CHANGES_PER_S: u32 = 5;

/// Requests at once before the rate counts: browsers gather a dozen candidates.
pub const WHIP_CHANGE_BURST: u32 = 40;

/// People whose rate of beginning is remembered. Those who owe nothing are forgotten first; when all owe, another's
/// session is answered 503.
pub const WHIP_REMEMBERED: usize = 16_384;

/// When a player should ask again that wants somebody to be on the air (WHEP's `live=required`), in seconds.
pub const WHEP_RETRY_S: u64 = 5;

/// How long a queue keeps a message that nobody deletes; then it is gone. SQS's default, and longer than any
/// notification is worth.
pub const QUEUE_RETENTION: Duration = Duration::from_secs(4 * 24 * 3600);

/// How long a dead letter is kept; then it is gone. SQS's longest: an operator's holidays fit.
pub const DEAD_LETTER_RETENTION: Duration = Duration::from_secs(14 * 24 * 3600);

/// Receives after which a queue itself sends a message to its dead letters: the backstop for consumers that crash.
/// One that works buries poison at the first, and retries by visibility for some twenty minutes before the eighth.
pub const QUEUE_RECEIVES: u32 = 8;

/// Dead letters that one call looks at; its answer says whether there may be more. Some seconds over SQS, for which
/// those that stay are out of sight.
pub const DEAD_LETTERS_LOOKED_AT: usize = 1_000;

/// Devices and browsers of one person that pushes go to. At the bound a new one takes the place of the one
/// that was registered longest ago: a person's old browsers are not told of, the one in their hand is.
pub const NOTIFY_DEVICES: usize = 20;

/// Rooms for which one person has settings of their own. Another is refused until one is put back to
/// the default: all of them are read for each of the person's notifications.
pub const NOTIFY_ROOM_SETTINGS: usize = 1_000;

/// A device's name, in bytes. Longer is cut.
pub const NOTIFY_LABEL_BYTES: usize = 100;

/// Notifications that one consumer handles at once, for each queue, the urgent ones beside them included. At the bound it
/// does not poll.
pub const NOTIFY_IN_HAND: usize = 64;

/// Of them, those of one person over Web Push, whose hosts anybody can name: a quarter, so that an endpoint that
/// never answers does not hold up everybody else's. At the bound the rest of theirs waits for some seconds, but calls.
pub const NOTIFY_IN_HAND_PERSON: usize = 16;

/// Of them, sends over Web Push to hosts that have not answered last time they were asked, together: a quarter, so that
/// fresh hosts that never answer do not hold up the known ones. Counted for rings apart. At the bound the push waits for
/// some seconds.
pub const NOTIFY_IN_HAND_UNKNOWN: usize = 16;

/// How often a job is received before it goes to the dead letters as `exhausted`. The queue's own bound
/// (as many, at the next receive) stands behind, for a consumer that dies of a message.
pub const NOTIFY_RECEIVES: u32 = 8;

/// How long decisions can be explained. Older ones are erased.
pub const NOTIFY_DECISION_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Decisions kept, some 200 bytes each. At the bound the oldest are erased.
pub const NOTIFY_DECISIONS: u64 = 2_000_000;

/// How long it is known that a device was told of an event: longer than a queue keeps a message
/// (SQS: 4 days by default).
pub const NOTIFY_LEDGER_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Providers of one channel that are told apart, each with a breaker (for Web Push: hosts). At the bound
/// one that is not known to answer is forgotten, one that is well first, then the one that would be tried soonest.
pub const NOTIFY_PROVIDERS: usize = 512;

/// Keys of operator notices whose rate is limited. At the bound the one told longest ago is forgotten.
pub const NOTIFY_NOTICE_KEYS: usize = 1_000;

/// Bytes of a URL that the server itself calls (a push endpoint). Real ones have 150 to 700. A longer one
/// is refused where it is registered.
pub const OUTBOUND_URL_BYTES: usize = 2_048;

/// Bytes of an answer that the outbound client reads; push services answer with less than a kibibyte. Of a
/// longer one nothing is used, and the call has failed.
pub const OUTBOUND_BODY_BYTES: usize = 64 * 1024;

/// Bytes of an answer's headers that the outbound client reads. With more the call has failed.
pub const OUTBOUND_HEADER_BYTES: usize = 16 * 1024;

/// From a call's beginning to a connection that can carry it: waiting for one, names, TCP and TLS. Then the
/// call has failed and can be repeated.
pub const OUTBOUND_CONNECT: Duration = Duration::from_secs(10);

/// To one address of a host before the next one is tried: a host whose IPv6 goes nowhere is reached by IPv4
/// within [`OUTBOUND_CONNECT`].
pub const OUTBOUND_CONNECT_ADDRESS: Duration = Duration::from_secs(3);

/// From a request to the head of its answer. Then the call has failed and can be repeated.
pub const OUTBOUND_HEADERS: Duration = Duration::from_secs(20);

/// From the head of an answer to its end. Then the call has failed.
pub const OUTBOUND_BODY: Duration = Duration::from_secs(10);

/// Connections to one host. More calls share them (HTTP/2) or wait (HTTP/1.1).
pub const OUTBOUND_CONNECTIONS: usize = 4;

/// Calls at once on one HTTP/2 connection before another is opened, or the call waits. Push services allow
/// 100 (their recommended minimum, RFC 9113, section 6.5.2) to 1,000.
pub const OUTBOUND_STREAMS: usize = 100;

/// Hosts that connections are kept for. People name push endpoints, so that they could name any number of
/// hosts: at the bound the one that was idle longest gives way, and when none is idle the call has failed
/// and can be repeated.
pub const OUTBOUND_HOSTS: usize = 512;

/// A connection that was not used for this long is closed.
pub const OUTBOUND_IDLE: Duration = Duration::from_secs(90);

/// Between two pings of an HTTP/2 connection in use, so that one that died without a word is noticed.
pub const OUTBOUND_PING: Duration = Duration::from_secs(20);

/// Without an answer to a ping for this long the connection is given up.
pub const OUTBOUND_PING_ANSWER: Duration = Duration::from_secs(10);

/// Addresses of a host that are looked at; the rest is ignored.
pub const OUTBOUND_ADDRESSES: usize = 16;

/// Bytes of a Web Push message's plain text, padding aside. RFC 8291, section 4 ends at 3,993; services that
/// hand on to a phone's own push channel in base64 take less (4,096 × ¾ less headers). Longer content is
/// cut with an ellipsis.
pub const WEB_PUSH_TEXT_BYTES: usize = 2_815;

/// Web Push messages are filled up to a multiple of this, so that their length tells little of what they
/// say. Twice as much hides more and costs phones as much again.
pub const WEB_PUSH_PAD_BYTES: usize = 256;

/// How long a VAPID token is good for; RFC 8292, section 2 allows 24 hours. It is renewed at half of it.
pub const VAPID_TOKEN: Duration = Duration::from_secs(12 * 3600);

/// Push services whose VAPID token is kept. At the bound all are forgotten and signed anew.
pub const VAPID_ORIGINS: usize = 1_024;

/// Bytes of an APNs payload. Longer content is cut.
pub const APNS_BYTES: usize = 4_096;

/// Bytes of an APNs payload for a call (PushKit).
pub const APNS_VOIP_BYTES: usize = 5_120;

/// An APNs provider token is for one such span of the clock, so that every node and every start in it
/// issues the same: Apple refuses changes within 20 minutes and tokens older than 60.
pub const APNS_TOKEN: Duration = Duration::from_secs(30 * 60);

/// Streams on the one connection to APNs; more pushes wait. Apple allows about 1,000.
pub const APNS_STREAMS: usize = 900;

/// Device tokens whose environment was found to be the other one. At the bound all are forgotten and found
/// out anew.
pub const APNS_CORRECTED: usize = 10_000;

/// Bytes of the data of an FCM message. Longer content is cut.
pub const FCM_BYTES: usize = 4_096;

/// An FCM access token is renewed this long before it ends.
pub const FCM_TOKEN_EARLY: Duration = Duration::from_secs(300);

/// How long a connection to SNS may take to be open, for a push; then the push is tried again later.
pub const SNS_CONNECT: Duration = Duration::from_secs(5);

/// How long SNS may take for a push altogether, with the look-up of credentials; then it is tried again later.
pub const SNS_PUBLISH: Duration = Duration::from_secs(15);

/// Bytes of an SNS message for one platform. Longer content is cut.
pub const SNS_BYTES: usize = 4_096;

/// Characters of a text block in Slack. Longer content is cut.
pub const SLACK_TEXT_CHARS: usize = 3_000;

/// Bytes of an FCM registration token; today's have about 160. A longer one is refused where it is
/// registered.
pub const FCM_TOKEN_BYTES: usize = 1_024;

/// The longest wish of a provider that is heard ("Retry-After"). More counts as this.
pub const RETRY_AFTER: Duration = Duration::from_secs(3_600);
/// A device's name, in bytes of UTF-8: "Firefox on Linux" in any script. Longer is refused.
pub const PUSH_DEVICE_NAME_BYTES: usize = 100;

/// A push endpoint's URL, in bytes. Real ones have 150 to 700. Longer is refused (`too_large`).
pub const PUSH_ENDPOINT_BYTES: usize = 2_048;

/// A token of FCM or an ARN of SNS, in bytes: six times today's. Longer is refused (`too_large`).
pub const PUSH_TOKEN_BYTES: usize = 1_024;

/// An APNs device token, in hexadecimal digits: today's have 64, and Apple says that they may grow. Longer is
/// refused (`too_large`).
pub const PUSH_APNS_TOKEN_DIGITS: usize = 200;

/// An APNs topic, in bytes: a bundle id (155 at most) and what Apple appends to it. Longer is refused.
pub const PUSH_TOPIC_BYTES: usize = 200;

/// A time zone's name, in bytes: the IANA database's longest has 32. Longer is refused.
pub const PUSH_ZONE_BYTES: usize = 64;

/// Changes of devices and settings per second that one person may make for long, over all devices; each is
/// a write, and a registration may take an address from somebody else. Questions why count as well: one
/// reads some ten thousand rows. Faster ones are refused (`rate_limited`).
pub const PUSH_CHANGES_PER_S: u32 = 1;

/// Such changes at once before the rate counts: every switch of a settings page, twice.
pub const PUSH_CHANGE_BURST: u32 = 30;

/// Decisions that one `notify_explain` gives. A request for more gets this many.
pub const PUSH_DECISIONS: u32 = 50;

/// A body of the operators' calls, in bytes: a hundred ids. More is answered 413.
pub const ADMIN_BODY_BYTES: usize = 16 * 1024;

/// Ids named in one redrive or drop. More are refused (422).
pub const ADMIN_IDS: usize = 100;

/// An id of a dead letter, in bytes: SQS's have 36. Longer is refused (422).
pub const ADMIN_ID_BYTES: usize = 128;

/// Dead letters or decisions in one answer to an operator. A request for more gets this many.
pub const ADMIN_PAGE: usize = 200;

/// Dead letters that one call redrives or drops: they are done with within [`HTTP_REQUEST`] also on SQS, ten
/// at a time. The answer says that there are more.
pub const ADMIN_BATCH: usize = 500;

/// From asking the external permission hook to its answer. Then nobody may (503): the caller's own 10 s have to
/// hold several such questions.
pub const CLIP_HOOK: Duration = Duration::from_secs(2);

/// How long an answer of the permission hook counts: so long may somebody still who just lost the right there.
pub const CLIP_HOOK_CACHE: Duration = Duration::from_secs(10);

/// How often the permission hook is asked again about somebody who plays in a room: so long, and [`CLIP_HOOK`], may they
/// play on who lost the right there. Ten times as often is as many calls to another system for each who watches.
pub const CLIP_HOOK_PLAYING: Duration = Duration::from_secs(60);

/// How long who plays may play on while the hook gives no answer, since it last said yes: an outage there ends no film that
/// was begun, and no longer takes a right away. Then nobody may (503).
pub const CLIP_HOOK_SILENT: Duration = Duration::from_secs(10 * 60);

/// Answers of the permission hook that are kept. At the bound old ones go, then all: they are asked for again.
pub const CLIP_HOOK_ANSWERS: usize = 10_000;

/// Clips that are counted at once for the metric of what is under way.
pub const CLIP_COUNTED: usize = 2_000;

/// How long a call about clips may take that names no deadline.
pub const CLIP_CALL: Duration = Duration::from_secs(10);

/// The same for completing an upload: S3 joins 10,000 parts in this time.
pub const CLIP_COMPLETE: Duration = Duration::from_secs(30);

/// The longest that a caller may ask for. A longer deadline counts as this.
pub const CLIP_CALL_MAX: Duration = Duration::from_secs(120);

/// Less time than this is left to a call: it is refused before anything is done, since its answer would hardly
/// arrive.
pub const CLIP_CALL_MIN: Duration = Duration::from_millis(50);

/// Kept of a caller's deadline for the answer's way back; a tenth of it if that is less.
pub const CLIP_CALL_MARGIN: Duration = Duration::from_millis(200);

/// A request over gRPC or HTTP, in bytes: subtitles of 1 MiB with their frame. Larger is refused.
pub const CLIP_REQUEST_BYTES: usize = 1024 * 1024 + 64 * 1024;

/// An answer over gRPC, in bytes: a hundred clips of the largest kind.
pub const CLIP_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Subtitles, in bytes: ten hours of dense speech. Longer is refused.
pub const CLIP_CAPTIONS_BYTES: usize = 1024 * 1024;

/// Cues of subtitles: eleven hours with another one every two seconds. With more they are refused, since a browser makes
/// an object of each.
pub const CLIP_CUES: usize = 20_000;

/// The text of one cue, in bytes: more than fits on any screen. With more they are refused.
pub const CLIP_CUE_BYTES: usize = 4 * 1024;

/// Ids, signed parts or clips in one request or page. More are refused.
pub const CLIP_PAGE: usize = 100;

/// Entries of a page for which no size was asked.
pub const CLIP_PAGE_DEFAULT: usize = 50;

/// Parts of one upload (S3's own bound). More are refused.
pub const CLIP_PARTS: usize = 10_000;

/// From a clip's failure until operators need not hear of it any more, as of other notices.
pub const CLIP_NOTICE: Duration = Duration::from_secs(24 * 3600);

/// Connections of the gRPC port at once. More wait with the kernel until one ends.
pub const CLIP_GRPC_CONNECTIONS: usize = 1_000;

/// From a gRPC connection's begin (its TLS handshake's end) until HTTP/2's preface has come. Then it is dropped: the
/// places are few, and keepalive asks only who has greeted.
pub const CLIP_GRPC_GREETING: Duration = Duration::from_secs(10);

/// Watches of one caller at once: a page of clips watches its room once. More are refused (429).
pub const CLIP_WATCHES_PER_CALLER: usize = 16;

/// Watches of one process. More are refused (429).
pub const CLIP_WATCHES: usize = 4_000;

/// After so long without a change a watch says that it lives.
pub const CLIP_HEARTBEAT: Duration = Duration::from_secs(15);

/// After so long a watch ends, well; its client goes on with the last revision. Connections move to new servers
/// within this time.
pub const CLIP_WATCH: Duration = Duration::from_secs(3600);

/// How much longer than the clip a playback token is good for: pauses and a second look.
pub const CLIP_PLAYBACK_SLACK: Duration = Duration::from_secs(30 * 60);

/// The longest life of a playback token.
pub const CLIP_PLAYBACK: Duration = Duration::from_secs(6 * 3600);
/// An event about a clip's job or object, in bytes: SNS's bound, and a hundred times what EventBridge sends. A larger
/// one is buried, by the webhook answered 413.
pub const CLIP_HINT_BYTES: usize = 256 * 1024;

/// Objects named in one notification: S3 sends one. What names more is buried whole.
pub const CLIP_HINT_OBJECTS: usize = 100;

/// From an event's arrival to its being taken in; then it comes again. Less than [`CLIP_HINT_LEASE`], so that nobody
/// else has it meanwhile.
pub const CLIP_HINT_ANSWER: Duration = Duration::from_secs(30);

/// How long a received event is hidden from others. A crashed consumer's come back after this.
pub const CLIP_HINT_LEASE: Duration = Duration::from_secs(60);

/// How far a webhook's signed time may lie from ours, to either side. Others are answered 401.
pub const CLIP_WEBHOOK_WINDOW: Duration = Duration::from_secs(300);

/// Ids of events that the webhook remembers, to answer replays without work: a hundred bytes each. At the bound the
/// oldest is forgotten; whoever takes events in knows them by id too.
pub const CLIP_WEBHOOK_SEEN: usize = 20_000;

/// From a webhook's first byte to its last. Then it is answered 408.
pub const CLIP_WEBHOOK_READ: Duration = Duration::from_secs(10);

/// A media playlist that a transcoder wrote, in bytes: ten times that of the longest clip. A larger one fails the clip.
pub const CLIP_PLAYLIST_BYTES: usize = 1024 * 1024;

/// Files that one transcode may write: eight hours in four qualities at six seconds. More fail the clip.
pub const CLIP_OUTPUT_FILES: usize = 20_000;
/// From registering a clip until its upload is given up (`expired`): a slow line takes 2 GB in a day.
pub const CLIP_UPLOAD: Duration = Duration::from_secs(24 * 3600);

/// The first look for an object whose event is lost, after registering. Later ones come after half of the upload's
/// age, so that an abandoned upload costs some thirty looks.
pub const CLIP_LOOK: Duration = Duration::from_secs(2 * 60);

/// The longest time between two such looks.
pub const CLIP_LOOK_MAX: Duration = Duration::from_secs(3600);

/// How long whoever looks into, submits or verifies a clip has it for themselves. Then another does it again: longer
/// than a look at the largest source takes, and what a crash costs.
pub const CLIP_LEASE: Duration = Duration::from_secs(120);

/// Between two questions to the transcoder of this machine: what people see of the progress.
pub const CLIP_POLL_LOCAL: Duration = Duration::from_secs(2);

/// Between two questions to a transcoder that sends events, when it is silent.
pub const CLIP_POLL_REMOTE: Duration = Duration::from_secs(10 * 60);

/// A job may wait for so long; then its attempt is over (`TRANSCODER_QUEUE`).
pub const CLIP_QUEUED: Duration = Duration::from_secs(12 * 3600);

/// A job that is worked on may get no further for so long; then its attempt is over (`TRANSCODER_STUCK`).
pub const CLIP_SILENT: Duration = Duration::from_secs(3600);

/// How long the file of a failed clip is kept for another try; then it is deleted. With twice as much a day's failures weigh twice
/// as long on the disk.
pub const CLIP_KEEP_FAILED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Attempts that begin by themselves after a failure that may pass. Each may cost a whole transcoding.
pub const CLIP_AUTO_RETRIES: u32 = 2;

/// Failures in a row of what a clip waits for (a look, a submit), after which it ends as `failed`: with
/// [`CLIP_RETRY_CAP`] more than an hour of outage is borne.
pub const CLIP_TRIES: u32 = 30;

/// Failures in a row of a clip's errands (a message, a deletion), after which they are left undone and an error is
/// logged: about four hours. Objects are swept later all the same.
pub const CLIP_CHORE_TRIES: u32 = 100;

/// The longest back-off of a clip's work.
pub const CLIP_RETRY_CAP: Duration = Duration::from_secs(5 * 60);

/// Rooms besides its own in which a clip is shown. Another is refused (`CLIP_ROOMS`).
pub const CLIP_ROOMS: usize = 16;

/// Rooms besides its own in which a clip's message was deleted, so that it can be shown there anew. At the bound another room
/// is refused (`CLIP_ROOMS`); with those in which it is shown a row has some more.
pub const CLIP_ROOMS_LEFT: usize = 64;

/// Errands of one clip that wait. At the bound a sweep or a stop is left to the orphan sweep; there are never as
/// many unless an attempt is stopped and begun again over and over while the transcoder does not answer.
pub const CLIP_CHORES: usize = 64;

/// How long a mutation's answer is known to those who ask again with its key. Then the key is as new.
pub const CLIP_REQUEST_AGE: Duration = Duration::from_secs(24 * 3600);

/// How long an event's id is known: as long as a webhook's sender may try.
pub const CLIP_EVENT_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Old events and requests that one call forgets: one short commit.
pub const CLIP_TRIM: usize = 1_000;

/// Changes of clips that DynamoDB takes in one transaction. Twice as many would hold those that wait a little
/// longer; a transaction ends at 100 items, and a new clip is five.
pub const CLIP_DYNAMO_GROUP: usize = 16;

/// Items of one transaction (DynamoDB's own bound).
pub const CLIP_DYNAMO_ITEMS: usize = 100;

/// A transaction, in bytes; DynamoDB's own bound is 4 MB, names included.
pub const CLIP_DYNAMO_BYTES: usize = 3 * 1024 * 1024;

/// A clip's text in a row of DynamoDB, in bytes after compression; an item ends at 400 KB, with its names. Clips of
/// [`CLIP_OUTPUT_FILES`] stay below it; a larger one is an error of the store, and is not stored.
pub const CLIP_DYNAMO_BODY: usize = 380 * 1024;

/// A clip's text, in bytes: what is read of a row before it counts as broken. Four times that of
/// [`CLIP_OUTPUT_FILES`].
pub const CLIP_BODY_BYTES: u64 = 4 * 1024 * 1024;

/// Changes that wait for their transaction. Another is refused (`Unavailable`) and comes again: some seconds of
/// what DynamoDB takes.
pub const CLIP_DYNAMO_WAITING: usize = 1_024;

/// Times that a transaction is tried while others write the same; then its changes are refused (`Unavailable`). With
/// [`CLIP_DYNAMO_PAUSE`] some three seconds.
pub const CLIP_DYNAMO_TRIES: u32 = 16;

/// The longest pause between two of them.
pub const CLIP_DYNAMO_PAUSE: Duration = Duration::from_millis(400);

/// How long DynamoDB keeps which clip had which revision: longer than any watch.
pub const CLIP_LOG_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A clip's file, in bytes. A larger one is refused (`declared.size`): what one disk and one transcoding of an hour
/// can bear.
pub const CLIP_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// A file that comes by one form post, in bytes. A larger one comes in parts.
pub const CLIP_POST_BYTES: u64 = 100 * 1024 * 1024;

/// The least size of a part but the last, in bytes; S3's own bound is 5 MiB. Larger files have larger parts.
pub const CLIP_PART_BYTES: u64 = 8 * 1024 * 1024;

/// Parts signed by one call. More are refused.
pub const CLIP_PARTS_ASKED: usize = 100;

/// How long a way in is good after it was given out. Then another is asked for.
pub const CLIP_GRANT: Duration = Duration::from_secs(15 * 60);

/// Bytes that one person may register in a day, whatever becomes of them (`RESOURCE_EXHAUSTED`).
pub const CLIP_BYTES_PER_DAY: u64 = 20 * 1024 * 1024 * 1024;

/// How long what one person brings in a day may play, all together (`RESOURCE_EXHAUSTED`, `MEDIA_QUOTA`): two whole
/// working days, which cost this machine about as long to transcode.
pub const CLIP_MEDIA_PER_DAY: Duration = Duration::from_secs(16 * 3600);

/// Transcodings of one clip, those that begin by themselves among them. Then nobody can ask for another: each may cost
/// hours of a processor.
pub const CLIP_ATTEMPTS: u32 = 12;

/// Clips of one person that are registered or uploading at once (`RESOURCE_EXHAUSTED`).
pub const CLIP_OPEN: u32 = 10;

/// A clip's title, in characters.
pub const CLIP_TITLE_CHARS: usize = 200;

/// A file's name, in bytes.
pub const CLIP_NAME_BYTES: usize = 255;

/// A clip's labels; their keys and their values, in characters.
pub const CLIP_LABELS: (usize, usize, usize) = (16, 64, 256);

/// What a player calls subtitles, in characters: a menu's line.
pub const CLIP_LABEL_CHARS: usize = 100;

/// A job that waits for longer is told to operators: the transcoder is too slow, or away.
pub const CLIP_LATE: Duration = Duration::from_secs(15 * 60);

/// Between two notices of one kind to operators.
pub const CLIP_NOTICE_AGAIN: Duration = Duration::from_secs(3600);

/// Clips of which the failures are counted: as soon as half of so many that ended last have failed, operators are told.
pub const CLIP_ENDS_COUNTED: usize = 20;

/// Languages in which a clip has subtitles.
pub const CLIP_LANGUAGES: usize = 32;

/// Clips that are looked at at once: each is a process and reads a whole file.
pub const CLIP_INSPECTIONS: usize = 2;

/// Job events that wait for their job to be known. At the bound the oldest is forgotten: the transcoder is asked.
pub const CLIP_PARKED: usize = 1_024;

/// Changes that a watcher may go on from. Further back it is told to begin anew; a restart forgets them all.
pub const CLIP_WATCH_RING: usize = 4_096;

/// Changes that wait for one watcher. At the bound it is ended, and goes on from its revision.
pub const CLIP_WATCH_QUEUE: usize = 256;

/// Watchers of one process, and of one person. Another is refused.
pub const CLIP_WATCHERS: (usize, usize) = (10_000, 16);

/// A watch ends after this, to be gone on with: so that servers can be changed, and rights are asked anew.
pub const CLIP_WATCH_AGE: Duration = Duration::from_secs(3_600);

/// Objects of no clip are deleted when they are this old: longer than any upload lasts.
pub const CLIP_ORPHAN_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A call with less time left than this is not begun.
pub const CLIP_LEAST_DEADLINE: Duration = Duration::from_millis(50);
/// A key of an object, in bytes (S3's own bound). Longer is refused; ours have some 150.
pub const OBJECT_KEY_BYTES: usize = 1_024;

/// A token of a signed part or form, in bytes: the longest key, a content type and a checksum in base64. Longer is
/// refused (403).
pub const OBJECT_TOKEN_BYTES: usize = 2_400;

/// Parts of one upload (S3's own bound). Another is refused.
pub const OBJECT_PARTS: u32 = 10_000;

/// One part, in bytes. Larger is not signed. A part that breaks off is sent again whole, and 10,000 of 64 MiB are
/// far more than any clip.
pub const OBJECT_PART_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes between two parts' places in an upload's file: the parts of that size or less need no copy when the object
/// is made of them. An upload whose first part is larger gets wider places.
pub const OBJECT_STRIDE_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes of an upload that wait for the disk: with [`OBJECT_WRITES`] at most 128 MiB. Twice as many make nothing
/// faster.
pub const OBJECT_BUFFER_BYTES: usize = 1024 * 1024;

/// Parts and forms that arrive at once. Another is answered 503 and comes again.
pub const OBJECT_WRITES: usize = 64;

/// Of them, those of one person: a browser has six connections, and four of them do not leave everybody else without a
/// place. Another is answered 503 and comes again.
pub const OBJECT_WRITES_PERSON: usize = 16;

/// Silence of a client that sends a part. Then its request ends (408), and what came of it is thrown away.
pub const OBJECT_SILENCE: Duration = Duration::from_secs(30);

/// From the first to the last byte of one request: 64 MiB at 75 KB/s. Then it ends (408).
pub const OBJECT_REQUEST: Duration = Duration::from_secs(15 * 60);

/// Bytes of the file system that stay free: the database and the log need them more than a clip does. An upload
/// that would take of them is refused (507).
pub const OBJECT_RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// A piece of an object that is read, in bytes.
pub const OBJECT_READ_BYTES: usize = 256 * 1024;

/// Objects or uploads in one answer. Whoever wants more goes on after the last one.
pub const OBJECT_PAGE: u32 = 1_000;

/// How long a completed upload answers a repeated completion. Then it is as unknown.
pub const OBJECT_DONE_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Life of temporary credentials for an upload: the least that STS gives. Whoever uploads for longer asks again.
pub const OBJECT_CREDENTIALS: Duration = Duration::from_secs(900);

/// Characters of a session's name at STS (its own bound). The rest is cut.
pub const OBJECT_CREDENTIALS_NAME: usize = 64;

/// First bytes of a clip that say what it is. What they do not say is refused.
pub const CLIP_SNIFF_BYTES: u64 = 16 * 1024;

/// What a program that looks at a clip may say, in bytes: a hundred streams. More ends it (`UNREADABLE`).
pub const CLIP_PROBE_BYTES: u64 = 1024 * 1024;

/// CPU time of one program that looks at a clip; reading 500 MB takes a second. More is refused (`INSPECTION_TIMEOUT`).
pub const CLIP_PROBE: Duration = Duration::from_secs(20);

/// From the first look at a clip to the last, by the clock. A machine that is too busy for it tries again later: less than
/// [`CLIP_LEASE`], so that nobody else has begun meanwhile.
pub const CLIP_INSPECTION: Duration = Duration::from_secs(110);

/// Memory (address space) of a program that looks at a clip or transcodes it, in bytes: a 1080p ladder takes
/// 0.6 GB, and twice as much is mapped. At the bound it fails, and so does the clip.
pub const CLIP_MEMORY_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Jobs that wait for this machine's transcoder. Another is refused for now (`Unavailable`), and tried later.
pub const CLIP_JOBS_WAITING: usize = 64;

/// What a clip's pictures take by the clock, once it is their turn: a poster and a sprite have half of it each. A clip that
/// takes longer has none. With [`CLIP_PICTURES_TURN`] less than [`CLIP_LEASE`], so that nobody else has begun meanwhile.
pub const CLIP_PICTURES: Duration = Duration::from_secs(60);

/// How long a clip whose transcoder is elsewhere waits for its turn to have pictures made. Then it is tried again later.
pub const CLIP_PICTURES_TURN: Duration = Duration::from_secs(30);

/// Segments that are fetched for the pictures of one clip, in bytes on the disk: a hundred of 6 s at 800 kbit/s are 60 MB.
/// A clip that has more goes without.
pub const CLIP_PICTURES_BYTES: u64 = 256 * 1024 * 1024;

/// One of these pictures, in bytes, on the disk and in memory. FFmpeg fails at it, and the clip goes without.
pub const CLIP_PICTURE_BYTES: u64 = 16 * 1024 * 1024;

/// Segments of a playlist: ten hours in segments of 6 s. More are refused.
pub const CLIP_SEGMENTS: usize = 6_000;
