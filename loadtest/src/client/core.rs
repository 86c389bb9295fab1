//! The client's rules without I/O: which commands wait for what, how pushes are counted, what is done
//! after a loss.
//!
//! The shell feeds messages and time in (`handle_*`) and performs what [`Core::poll_effect`] gives out.
//!
//! ```text
//! Offline ── begin ──► Connecting{claim} ── Connected ──► Online
//!    ▲                      │                               │
//!    └────────────── lost ──┴───────────────────────────────┘
//! ```

use super::rooms::{Rooms, Step};
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::{
    Bye, ClientMessage, Connect, Connected, Error, Event, Ping, Pong, Push, ReadEvents, Reply,
    Resume, RoomPosition, RoomState, ServerMessage, Subscribe, Subscribed, push, reply,
    server_message, subscribed,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Something that the app should know.
#[derive(Debug)]
pub enum Notice {
    /// A connection is up.
    Connected {
        /// Which session it carries.
        session: String,
        /// The session goes on.
        resumed: bool,
        /// Why not, if it was asked for.
        refused: String,
        /// When its `Connected` was read.
        at: Instant,
    },
    /// An event came as a push, before any sorting out: for those who check the server.
    Pushed {
        /// Its room.
        room: String,
        /// Its place.
        seq: u64,
    },
    /// The server left events out.
    Gap {
        /// In this room.
        room: String,
        /// Up to here.
        head: u64,
    },
    /// The next event of its room, exactly once.
    Delivered(Box<Event>),
    /// A new state of one of the person's rooms.
    State(Box<RoomState>),
    /// Something about a call.
    Call(Box<push::Push>),
    /// What is known of this room is void.
    Restarted(String),
    /// The room can't be followed any longer.
    Ended(String),
    /// The connection is gone.
    Lost {
        /// The code of the `bye` before, if there was one.
        bye: Option<u32>,
        /// We cut it ourselves.
        cut: bool,
        /// When that was noticed.
        at: Instant,
    },
    /// The server broke the protocol.
    Fault(String),
    /// The server said stop, with this code.
    Stopped(Option<u16>),
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The reply's result; an `Error` is one. `None` when it was lost and isn't to be sent again.
    pub result: Option<reply::Result>,
    /// It was put off by a temporary error on the way, so it may have been overtaken.
    pub delayed: bool,
}

/// What the shell does.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would be an allocation for each reply"
)]
pub enum Effect {
    /// Send this.
    Send(ClientMessage),
    /// Tell the app.
    Notify(Notice),
    /// Give the outcome to whoever has this ticket.
    Answer(u64, Outcome),
    /// Drop the connection and connect again: something is missing.
    Reconnect,
}

/// Whether a command is sent again after a loss or a temporary error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Until it has a final answer. For writes with a `cid`, and everything that may happen twice.
    Always,
    /// Never.
    Never,
}

#[derive(Debug)]
struct Waiting {
    command: Command,
    purpose: Purpose,
    again: Again,
    /// Put off until then by a temporary error.
    not_before: Option<Instant>,
    delayed: bool,
}

#[derive(Debug)]
enum Purpose {
    App(u64),
    Read(String),
    Subscribe(String),
}

#[derive(Debug, PartialEq)]
enum Phase {
    Offline,
    Connecting {
        id: u32,
        claim: Option<(String, u64)>,
    },
    Online,
}

/// The rules of one client.
#[derive(Debug)]
pub struct Core {
    device: String,
    phase: Phase,
    session: Option<String>,
    count: u64,
    next_id: u32,
    waiting: BTreeMap<u32, Waiting>,
    rooms: Rooms,
    bye: Option<Bye>,
    heard_within: Duration,
    effects: VecDeque<Effect>,
}

/// How long the server may be silent before `Connected` says its interval.
const SILENCE: Duration = Duration::from_secs(35);

/// The specification's grace over the server's ping interval.
const GRACE_MS: u64 = 10_000;

impl Core {
    /// A client that has no session yet.
    #[must_use]
    pub fn new(device: &str) -> Self {
        Self {
            device: device.to_owned(),
            phase: Phase::Offline,
            session: None,
            count: 0,
            next_id: 1,
            waiting: BTreeMap::new(),
            rooms: Rooms::default(),
            bye: None,
            heard_within: SILENCE,
            effects: VecDeque::new(),
        }
    }

    /// What to do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call [`handle_time`](Self::handle_time).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.values().filter_map(|w| w.not_before).min()
    }

    /// How long the server may be silent.
    #[must_use]
    pub fn heard_within(&self) -> Duration {
        self.heard_within
    }

    /// Commands without a final answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The `bye` of the connection that just ended.
    pub fn take_bye(&mut self) -> Option<Bye> {
        self.bye.take()
    }

    /// A connection is open: says who we are.
    pub fn handle_open(&mut self, token: &str) {
        let id = self.take_id();
        let claim = self.session.clone().map(|session| (session, self.count));
        let connect = Connect {
            token: token.to_owned(),
            device: self.device.clone(),
            resume: claim
                .clone()
                .map(|(session, count)| Resume { session, count }),
            rooms: self.rooms.positions(),
            client: concat!("kaiwa-loadtest/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        self.phase = Phase::Connecting { id, claim };
        self.send(id, Command::Connect(connect));
    }

    /// The connection is gone.
    pub fn handle_lost(&mut self, cut: bool, at: Instant) {
        let bye = self.bye.as_ref().map(|bye| bye.code);
        if self.phase == Phase::Online {
            self.notify(Notice::Lost { bye, cut, at });
        }
        self.phase = Phase::Offline;
        self.rooms.handle_lost();
        let waiting = std::mem::take(&mut self.waiting);
        for (id, mut entry) in waiting {
            match (&entry.purpose, entry.again) {
                // `Connect` names our positions, and says what was missed.
                (Purpose::Read(_) | Purpose::Subscribe(_), _) => {}
                (Purpose::App(ticket), Again::Never) => {
                    let outcome = Outcome {
                        result: None,
                        delayed: entry.delayed,
                    };
                    self.effects.push_back(Effect::Answer(*ticket, outcome));
                }
                (Purpose::App(_), Again::Always) => {
                    entry.not_before = None;
                    self.waiting.insert(id, entry);
                }
            }
        }
    }

    /// The app wants this done; its outcome comes with the ticket.
    pub fn handle_request(&mut self, ticket: u64, command: Command, again: Again) {
        self.ask(command, Purpose::App(ticket), again);
    }

    /// The app follows a room, from a position that it has (`epoch` 0 for none).
    pub fn handle_follow(&mut self, room: &str, epoch: u32, seq: u64) {
        self.rooms.follow(room, epoch, seq);
        self.subscribe(room);
    }

    /// The app follows a room no longer.
    pub fn handle_unfollow(&mut self, room: &str) {
        self.rooms.forget(room);
    }

    /// Commands that were put off are sent when their time has come.
    pub fn handle_time(&mut self, now: Instant) {
        let mut due = Vec::new();
        for (&id, entry) in &mut self.waiting {
            if entry.not_before.is_some_and(|at| at <= now) {
                entry.not_before = None;
                due.push((id, entry.command.clone()));
            }
        }
        if self.phase == Phase::Online {
            due.into_iter()
                .for_each(|(id, command)| self.send(id, command));
        }
    }

    /// A message from the server.
    pub fn handle_message(&mut self, message: ServerMessage, now: Instant) {
        match message.message {
            Some(server_message::Message::Reply(reply)) => self.handle_reply(reply, now),
            Some(server_message::Message::Push(push)) => self.handle_push(push),
            // A kind of a later version.
            None => {}
        }
    }

    fn handle_reply(&mut self, reply: Reply, now: Instant) {
        if let Phase::Connecting { id, claim } = &self.phase {
            let (id, claim) = (*id, claim.clone());
            match reply.result {
                Some(reply::Result::Connected(connected)) if reply.id == id => {
                    self.handle_connected(connected, claim, now);
                }
                // A `bye` follows, whose code says what to do.
                Some(reply::Result::Error(_)) if reply.id == id => {}
                _ => self.fault(format!("reply {} before the one to Connect", reply.id)),
            }
            return;
        }
        let Some(mut entry) = self.waiting.remove(&reply.id) else {
            return self.fault(format!("a reply to {}, which nothing waits for", reply.id));
        };
        let Some(result) = reply.result else {
            return self.fault(format!("reply {} has no result", reply.id));
        };
        if let reply::Result::Error(error) = &result
            && error.temporary
            && entry.again == Again::Always
        {
            entry.delayed = true;
            entry.not_before = Some(now + Duration::from_millis(u64::from(error.retry_ms)));
            self.waiting.insert(reply.id, entry);
            return;
        }
        self.conclude(entry, result);
    }

    fn conclude(&mut self, entry: Waiting, result: reply::Result) {
        match (entry.purpose, result) {
            (Purpose::App(ticket), result) => {
                let outcome = Outcome {
                    result: Some(result),
                    delayed: entry.delayed,
                };
                self.effects.push_back(Effect::Answer(ticket, outcome));
            }
            (Purpose::Read(_), reply::Result::Events(page)) => {
                let steps = self.rooms.handle_page(page);
                self.perform(steps);
            }
            (Purpose::Subscribe(_), reply::Result::Subscribed(subscribed)) => {
                self.handle_subscribed(subscribed);
            }
            (Purpose::Read(room) | Purpose::Subscribe(room), reply::Result::Error(_)) => {
                self.end(room);
            }
            (Purpose::Read(room) | Purpose::Subscribe(room), other) => {
                self.fault(format!("{room}: a reply of the wrong kind: {other:?}"));
            }
        }
    }

    fn handle_connected(
        &mut self,
        connected: Connected,
        claim: Option<(String, u64)>,
        at: Instant,
    ) {
        match (connected.resumed, &claim) {
            (true, Some((session, count))) => {
                if *session != connected.session || *count != connected.count {
                    let (there, n) = (&connected.session, connected.count);
                    let same = if session == there {
                        "the same"
                    } else {
                        "another"
                    };
                    self.fault(format!("resumed at {n} for {count}, {same} session"));
                }
            }
            (true, None) => self.fault("resumed without having asked".to_owned()),
            (false, Some(_)) if connected.resume_refused.is_empty() => {
                self.fault("not resumed, and no reason given".to_owned());
            }
            (false, _) => {}
        }
        self.phase = Phase::Online;
        self.count = connected.count;
        self.session = Some(connected.session.clone());
        if connected.ping_ms > 0 {
            let silence = u64::from(connected.ping_ms) + GRACE_MS;
            self.heard_within = Duration::from_millis(silence);
        }
        self.notify(Notice::Connected {
            session: connected.session,
            resumed: connected.resumed,
            refused: connected.resume_refused,
            at,
        });
        // Before the rooms, which may ask for more.
        let again: Vec<(u32, Command)> = self
            .waiting
            .iter()
            .map(|(&id, w)| (id, w.command.clone()))
            .collect();
        again
            .into_iter()
            .for_each(|(id, command)| self.send(id, command));
        for room in connected.rooms {
            self.handle_subscribed(room);
        }
        let steps = self.rooms.handle_resumed();
        self.perform(steps);
    }

    fn handle_subscribed(&mut self, subscribed: Subscribed) {
        let Subscribed {
            room,
            epoch,
            head,
            outcome,
            // Calls are another test's.
            call: _,
        } = subscribed;
        let steps = match outcome {
            Some(subscribed::Outcome::Error(_)) => return self.end(room),
            Some(subscribed::Outcome::Reset(_)) => {
                self.notify(Notice::Restarted(room.clone()));
                self.rooms.handle_start(&room, epoch, head)
            }
            _ if self.rooms.is_unknown(&room) => self.rooms.handle_start(&room, epoch, head),
            Some(subscribed::Outcome::Events(page)) => self.rooms.handle_page(page),
            None => return self.fault(format!("{room}: subscribed without an outcome")),
        };
        self.perform(steps);
    }

    fn handle_push(&mut self, push: Push) {
        if self.phase != Phase::Online && !matches!(push.push, Some(push::Push::Bye(_))) {
            return self.fault("a push before Connected".to_owned());
        }
        match push.push {
            Some(push::Push::Event(event)) => {
                self.count += 1;
                self.notify(Notice::Pushed {
                    room: event.room.clone(),
                    seq: event.seq,
                });
                let steps = self.rooms.handle_event(event);
                self.perform(steps);
            }
            Some(push::Push::State(state)) => {
                self.count += 1;
                self.notify(Notice::State(Box::new(state)));
            }
            Some(push::Push::Marked(_)) => self.count += 1,
            Some(push::Push::Gap(gap)) => {
                self.count += 1;
                self.notify(Notice::Gap {
                    room: gap.room.clone(),
                    head: gap.head,
                });
                let step = self.rooms.handle_gap(&gap);
                self.perform(step);
            }
            Some(
                push @ (push::Push::CallRoster(_)
                | push::Push::CallSlots(_)
                | push::Push::CallRinging(_)
                | push::Push::CallEnded(_)
                | push::Push::CallRightsChanged(_)),
            ) => {
                self.count += 1;
                self.notify(Notice::Call(Box::new(push)));
            }
            Some(push @ (push::Push::CallSpeakers(_) | push::Push::CallQuality(_))) => {
                self.notify(Notice::Call(Box::new(push)));
            }
            Some(push::Push::Ping(ping)) => self.handle_ping(&ping),
            Some(push::Push::Bye(bye)) => self.bye = Some(bye),
            // Nobody here watches a clip grow.
            Some(push::Push::ClipProgress(_)) => {}
            // A kind of a later version; a reliable one would be a new major version.
            None => {}
        }
    }

    fn handle_ping(&mut self, ping: &Ping) {
        let pong = Pong { count: self.count };
        self.send(0, Command::Pong(pong));
        if ping.count != self.count {
            self.fault(format!(
                "the server counts {} pushes, we {}",
                ping.count, self.count
            ));
            self.effects.push_back(Effect::Reconnect);
        }
        for head in &ping.heads {
            let step = self.rooms.handle_head(head);
            self.perform(step);
        }
    }

    fn perform(&mut self, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            match step {
                Step::Deliver(event) => self.notify(Notice::Delivered(event)),
                Step::Read(RoomPosition { room, epoch, seq }) => {
                    let read = ReadEvents {
                        room: room.clone(),
                        epoch,
                        after: seq,
                        limit: 0,
                    };
                    self.ask(Command::Events(read), Purpose::Read(room), Again::Always);
                }
                Step::Restart(room) => {
                    self.notify(Notice::Restarted(room.clone()));
                    self.subscribe(&room);
                }
            }
        }
    }

    fn subscribe(&mut self, room: &str) {
        if self.phase == Phase::Online {
            let (epoch, seq) = self.rooms.last(room).unwrap_or_default();
            let after = RoomPosition {
                room: room.to_owned(),
                epoch,
                seq,
            };
            let command = Command::Subscribe(Subscribe { after: Some(after) });
            self.ask(command, Purpose::Subscribe(room.to_owned()), Again::Always);
        }
    }

    fn end(&mut self, room: String) {
        self.rooms.forget(&room);
        self.notify(Notice::Ended(room));
    }

    fn ask(&mut self, command: Command, purpose: Purpose, again: Again) {
        let id = self.take_id();
        if self.phase == Phase::Online {
            self.send(id, command.clone());
        }
        let entry = Waiting {
            command,
            purpose,
            again,
            not_before: None,
            delayed: false,
        };
        self.waiting.insert(id, entry);
    }

    fn take_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = self
            .next_id
            .checked_add(1)
            .expect("no test sends four billion commands");
        id
    }

    fn send(&mut self, id: u32, command: Command) {
        self.effects.push_back(Effect::Send(ClientMessage {
            id,
            command: Some(command),
        }));
    }

    fn notify(&mut self, notice: Notice) {
        self.effects.push_back(Effect::Notify(notice));
    }

    fn fault(&mut self, what: String) {
        self.notify(Notice::Fault(what));
    }
}

/// Whether a result is an error, and which.
#[must_use]
pub fn error_of(result: &reply::Result) -> Option<&Error> {
    if let reply::Result::Error(error) = result {
        Some(error)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
