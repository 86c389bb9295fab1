//! Judges a [`Record`]: which promises of the protocol were broken, and where exactly.
//!
//! Knows nothing of how the record came about; every kind of violation has a test that plants it.

use super::fold;
use super::journal::{Content, Entry, Fate, Journal, Record, RoomRecord, Seen};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Which one.
    pub promise: Promise,
    /// Where and how.
    pub what: String,
}

/// The promises, each with the sentence of the specification that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// "There are no holes": a log counts 1, 2, 3 … up to its head, in one epoch.
    LogDense,
    /// An event's time is never smaller than its predecessor's.
    LogTime,
    /// A `cid` names one event.
    CidOnce,
    /// "The reply to a write means that it is on disk": an acknowledged write is in the log, there
    /// and as it was sent.
    AckedIsThere,
    /// The same `cid` gives the first result again.
    AckSteady,
    /// "A command that got an error changed nothing."
    RefusedIsNowhere,
    /// Exactly one reply: after the storm no write waits for its answer.
    Answered,
    /// Nothing is in a log that nobody sent.
    NothingInvented,
    /// "Exactly once to the app", in order.
    DeliveredOnce,
    /// All receivers get the same events.
    DeliveredSame,
    /// Whoever is connected in the end has everything.
    CaughtUp,
    /// A session's pushes of a room are in order, each once, over all resumes.
    PushedOnce,
    /// "Commands of one connection that write are taken in their order."
    SenderOrder,
    /// `ReadHistory` shows what the events make.
    HistoryIsFold,
    /// A drain says goodbye (4000) to every connection.
    DrainSaysBye,
    /// No connection ends without a word while the server runs.
    NotDropped,
    /// The client saw nothing that the protocol forbids.
    NoFault,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.what)
    }
}

/// All violations, sorted.
#[must_use]
pub fn check(record: &Record) -> Vec<Violation> {
    let mut check = Check::new(record);
    for room in &record.rooms {
        check.log(room);
        check.history(room);
    }
    for journal in &record.journals {
        check.writes(journal);
        check.deliveries(journal);
        check.pushes(journal);
        check.connections(journal);
    }
    check.inventions(record);
    check.found.sort();
    check.found
}

/// Where each write of a room ended up.
#[derive(Debug, Default)]
struct Index<'a> {
    epoch: u32,
    head: u64,
    by_seq: BTreeMap<u64, Seen>,
    by_cid: BTreeMap<&'a str, u64>,
}

struct Check<'a> {
    rooms: BTreeMap<&'a str, Index<'a>>,
    sent: BTreeMap<(&'a str, &'a str), Sent<'a>>,
    found: Vec<Violation>,
}

/// A write as its author sent it.
#[derive(Debug, Clone, Copy)]
struct Sent<'a> {
    person: &'a str,
    content: Content,
}

impl<'a> Check<'a> {
    fn new(record: &'a Record) -> Self {
        let index = |room: &'a RoomRecord| {
            let seen = |e| (Seen::from(e).seq, Seen::from(e));
            let cids = room.log.iter().filter(|e| !e.cid.is_empty());
            let index = Index {
                epoch: room.epoch,
                head: room.head,
                by_seq: room.log.iter().map(seen).collect(),
                by_cid: cids.map(|e| (e.cid.as_str(), e.seq)).collect(),
            };
            (room.room.as_str(), index)
        };
        let mut sent = BTreeMap::new();
        for journal in &record.journals {
            for entry in &journal.entries {
                if let Entry::Sent { room, cid, content } = entry {
                    let write = Sent {
                        person: &journal.person,
                        content: *content,
                    };
                    sent.insert((room.as_str(), cid.as_str()), write);
                }
            }
        }
        Self {
            rooms: record.rooms.iter().map(index).collect(),
            sent,
            found: Vec::new(),
        }
    }

    fn report(&mut self, promise: Promise, what: String) {
        self.found.push(Violation { promise, what });
    }

    fn log(&mut self, room: &RoomRecord) {
        let name = &room.room;
        let mut last = (0, 0);
        let mut cids = BTreeSet::new();
        for event in &room.log {
            if event.seq != last.0 + 1 || event.epoch != room.epoch {
                let found = format!("({}, {})", event.epoch, event.seq);
                let what = format!("{name}: {found} follows ({}, {})", room.epoch, last.0);
                self.report(Promise::LogDense, what);
            }
            if event.time_ms < last.1 {
                let what = format!(
                    "{name}: {} is {} ms early",
                    event.seq,
                    last.1 - event.time_ms
                );
                self.report(Promise::LogTime, what);
            }
            last = (event.seq, event.time_ms);
            if !event.cid.is_empty() && !cids.insert(&event.cid) {
                let what = format!("{name}: {} again at {}", event.cid, event.seq);
                self.report(Promise::CidOnce, what);
            }
        }
        if last.0 != room.head {
            let what = format!(
                "{name}: the log ends at {}, its head is {}",
                last.0, room.head
            );
            self.report(Promise::LogDense, what);
        }
    }

    fn history(&mut self, room: &RoomRecord) {
        let name = &room.room;
        let expected = fold::messages(&room.log);
        let mut last = 0;
        let mut seen = BTreeSet::new();
        for message in &room.history {
            if message.seq <= last {
                let what = format!("{name}: message {} follows {last}", message.seq);
                self.report(Promise::HistoryIsFold, what);
            }
            last = message.seq;
            seen.insert(message.seq);
            let Some(wanted) = expected.get(&message.seq) else {
                let what = format!("{name}: message {} is in no event", message.seq);
                self.report(Promise::HistoryIsFold, what);
                continue;
            };
            let mut shown = message.clone();
            // The log doesn't say it.
            shown.sender_name.clear();
            if shown != *wanted {
                let what = format!("{name}: shows {shown:?}, the events make {wanted:?}");
                self.report(Promise::HistoryIsFold, what);
            }
        }
        for seq in expected.keys().filter(|seq| !seen.contains(seq)) {
            let what = format!("{name}: message {seq} is missing");
            self.report(Promise::HistoryIsFold, what);
        }
    }

    fn writes(&mut self, journal: &'a Journal) {
        let mut open: BTreeMap<&str, &str> = BTreeMap::new();
        let mut acked: BTreeMap<&str, u64> = BTreeMap::new();
        let mut overtaken: BTreeSet<&str> = BTreeSet::new();
        for entry in &journal.entries {
            match entry {
                Entry::Sent { room, cid, .. } => {
                    open.insert(cid, room);
                }
                Entry::Acked {
                    room,
                    cid,
                    epoch,
                    seq,
                    dup,
                    delayed,
                    repeat,
                } => {
                    open.remove(cid.as_str());
                    if *delayed {
                        overtaken.insert(cid);
                    }
                    self.acked(journal, room, cid, (*epoch, *seq));
                    let before = acked.insert(cid, *seq);
                    if before.is_some_and(|before| before != *seq) || (*repeat && !dup) {
                        let what = format!(
                            "{}: {cid} acknowledged at {before:?}, then at {seq}, dup: {dup}",
                            journal.person
                        );
                        self.report(Promise::AckSteady, what);
                    }
                }
                Entry::Refused { room, cid, code } => {
                    open.remove(cid.as_str());
                    if let Some(seq) = self.seq_of(room, cid) {
                        let who = &journal.person;
                        let what = format!("{who}: {cid} was refused ({code}), and is at {seq}");
                        self.report(Promise::RefusedIsNowhere, what);
                    }
                }
                Entry::Pushed { .. }
                | Entry::Gap { .. }
                | Entry::Delivered { .. }
                | Entry::Connected { .. }
                | Entry::Lost { .. }
                | Entry::Fault(_) => {}
            }
        }
        for (cid, room) in open {
            let what = format!("{}: {cid} in {room} got no answer", journal.person);
            self.report(Promise::Answered, what);
        }
        self.sender_order(journal, &overtaken);
    }

    fn seq_of(&self, room: &str, cid: &str) -> Option<u64> {
        self.rooms.get(room)?.by_cid.get(cid).copied()
    }

    fn acked(&mut self, journal: &Journal, room: &'a str, cid: &'a str, at: (u32, u64)) {
        let who = &journal.person;
        let Some(index) = self.rooms.get(room) else {
            return self.report(
                Promise::AckedIsThere,
                format!("{who}: {cid} in no room {room}"),
            );
        };
        let there = index.by_seq.get(&at.1);
        let sent = self.sent.get(&(room, cid));
        let same = there.is_some_and(|seen| {
            at.0 == index.epoch
                && seen.cid == cid
                && seen.sender == *who
                && sent.is_some_and(|sent| seen.content.is(sent.content))
        });
        if !same {
            let found = index.by_cid.get(cid);
            let what = format!(
                "{who}: {cid} acknowledged at {at:?} in {room}, where {there:?} is; it is at {found:?}"
            );
            self.report(Promise::AckedIsThere, what);
        }
    }

    fn sender_order(&mut self, journal: &'a Journal, overtaken: &BTreeSet<&str>) {
        let mut last: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
        for entry in &journal.entries {
            let Entry::Sent { room, cid, .. } = entry else {
                continue;
            };
            let Some(seq) = self.seq_of(room, cid) else {
                continue;
            };
            if overtaken.contains(cid.as_str()) {
                continue;
            }
            if let Some((before, first)) = last.get(room.as_str())
                && *before > seq
            {
                let who = &journal.person;
                let what =
                    format!("{who}: {cid} at {seq} in {room} was sent after {first} at {before}");
                self.report(Promise::SenderOrder, what);
            }
            last.insert(room, (seq, cid));
        }
    }

    fn deliveries(&mut self, journal: &'a Journal) {
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for entry in &journal.entries {
            let Entry::Delivered { room, event } = entry else {
                continue;
            };
            let who = &journal.person;
            let before = last.insert(room, event.seq).unwrap_or(0);
            if event.seq != before + 1 {
                let what = format!("{who}: in {room} {} follows {before}", event.seq);
                self.report(Promise::DeliveredOnce, what);
            }
            let there = self
                .rooms
                .get(room.as_str())
                .and_then(|i| i.by_seq.get(&event.seq));
            let same = there.is_some_and(|log| {
                log.content.is(event.content)
                    && (log.epoch, log.time_ms) == (event.epoch, event.time_ms)
                    && (&log.sender, &log.cid) == (&event.sender, &event.cid)
            });
            let sent = self.sent.get(&(room.as_str(), event.cid.as_str()));
            let as_sent = sent.is_none_or(|sent| event.content.is(sent.content));
            if !same || !as_sent {
                let what = format!("{who}: in {room} got {event:?}, the log has {there:?}");
                self.report(Promise::DeliveredSame, what);
            }
        }
        for room in &journal.follows {
            let head = self.rooms.get(room.as_str()).map_or(0, |index| index.head);
            let reached = last.get(room.as_str()).copied().unwrap_or(0);
            if reached != head {
                let what = format!("{}: in {room} at {reached} of {head}", journal.person);
                self.report(Promise::CaughtUp, what);
            }
        }
    }

    fn pushes(&mut self, journal: &'a Journal) {
        // The last push of each room in this session, and whether a gap was announced since.
        let mut last: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
        for entry in &journal.entries {
            match entry {
                Entry::Connected { resumed: false, .. } => last.clear(),
                Entry::Gap { room, .. } => {
                    last.entry(room).or_default().1 = true;
                }
                Entry::Pushed { room, seq } => {
                    let before = last.insert(room, (*seq, false));
                    let fits = before
                        .is_none_or(|(before, gap)| *seq == before + 1 || (gap && *seq > before));
                    if !fits {
                        let who = &journal.person;
                        let what = format!("{who}: in {room} push {seq} follows {before:?}");
                        self.report(Promise::PushedOnce, what);
                    }
                }
                Entry::Connected { .. }
                | Entry::Sent { .. }
                | Entry::Acked { .. }
                | Entry::Refused { .. }
                | Entry::Delivered { .. }
                | Entry::Lost { .. }
                | Entry::Fault(_) => {}
            }
        }
    }

    fn connections(&mut self, journal: &Journal) {
        for entry in &journal.entries {
            if let Entry::Fault(what) = entry {
                self.report(Promise::NoFault, format!("{}: {what}", journal.person));
            }
            let Entry::Lost {
                bye,
                cut: false,
                server,
            } = entry
            else {
                continue;
            };
            let promise = match (server, bye) {
                (Fate::Draining, bye) if *bye != Some(4000) => Promise::DrainSaysBye,
                (Fate::Running, None) => Promise::NotDropped,
                (Fate::Draining | Fate::Running | Fate::Killed, _) => continue,
            };
            self.report(
                promise,
                format!("{}: ended with bye {bye:?}", journal.person),
            );
        }
    }

    fn inventions(&mut self, record: &'a Record) {
        for room in &record.rooms {
            for event in &room.log {
                let seen = Seen::from(event);
                if !seen.content.is_written() {
                    continue;
                }
                let sent = self.sent.get(&(room.room.as_str(), event.cid.as_str()));
                let real =
                    sent.is_some_and(|s| s.person == event.sender && seen.content.is(s.content));
                if !real {
                    let what = format!("{}: {seen:?}, sent was {sent:?}", room.room);
                    self.report(Promise::NothingInvented, what);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
