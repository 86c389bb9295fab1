//! The store in memory: for tests, and as the plainest reading of what the ports promise.
//!
//! It keeps each room's log and the fold of it ([`Projection`]); nothing survives the process.

use crate::core::page::{PageBytes, Take};
use crate::core::projection::{Projection, erased};
use crate::model::{
    ClipShown, ClipView, Event, EventBody, HistoryFrom, HistoryPage, Marked, Member, Membership,
    Mentions, Message, Page, Role, RoomInfo, RoomKind, Unread, User, Visibility,
};
use crate::ports::{
    Among, Answer, Append, Appended, CidKey, Facts, FirstResult, LogPos, LogRange, LogSlice,
    Logged, Marking, Marks, MessageFact, Outbox, PageOf, Part, Posted, Question, ReadyClip,
    RoomList, RoomLog, RoomRecord, RoomViews, Standing, StoreError, UnreadTotal, UserFact, Wanted,
    WriteKind,
};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{UNREAD, UNREAD_SCAN};
use kaiwa_common::position::{Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The chat store in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
}

#[derive(Debug, Default)]
struct Tables {
    rooms: BTreeMap<RoomId, Room>,
    /// Rooms in the order of their creation; the index is the cursor.
    created: Vec<RoomId>,
    users: BTreeMap<UserId, Redacted<String>>,
    /// The log over all rooms: a place is the index and 1.
    outbox: Vec<(RoomId, Seq)>,
    cursor: LogPos,
    /// How often a mark moved.
    marks: u64,
}

#[derive(Debug)]
struct Room {
    no: usize,
    log: Vec<Event>,
    fold: Projection,
    cids: BTreeMap<CidKey, FirstResult>,
    readers: BTreeMap<UserId, Reader>,
}

/// How far a member has read, and the event by which they joined.
#[derive(Debug, Clone, Copy)]
struct Reader {
    read: Seq,
    since: Seq,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Tables) -> Result<T, StoreError>,
    ) -> Answer<T> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(std::future::ready(act(&mut tables)))
    }
}

impl RoomLog for MemoryStore {
    fn append(&self, append: &Append) -> Answer<Appended> {
        self.with(|tables| Ok(tables.append(append)))
    }

    fn load(&self, room: &RoomId) -> Answer<Option<RoomRecord>> {
        self.with(|tables| Ok(tables.rooms.get(room).map(|room| tables.record(room))))
    }

    fn facts(&self, room: &RoomId, wanted: Wanted) -> Answer<Facts> {
        self.with(|tables| Ok(tables.facts(room, wanted)))
    }

    fn seen(&self, user: &User) -> Answer<()> {
        self.with(|tables| {
            tables.users.insert(user.id.clone(), user.name.clone());
            Ok(())
        })
    }

    fn purge_cids(&self, made_before: UnixMs, limit: usize) -> Answer<usize> {
        self.with(|tables| {
            // A clip is posted once for each room, for ever.
            let old = |(key, first): &(&CidKey, &FirstResult)| {
                key.1.made_at_ms() < made_before.0 && first.kind != WriteKind::PostClip
            };
            let mut left = limit;
            for room in tables.rooms.values_mut() {
                let keys: Vec<_> = room
                    .cids
                    .iter()
                    .filter(old)
                    .take(left)
                    .map(|(key, _)| key.clone())
                    .collect();
                left -= keys.len();
                for key in keys {
                    room.cids.remove(&key);
                }
            }
            Ok(limit - left)
        })
    }

    fn scrub(&self) -> Answer<()> {
        self.with(|_| Ok(()))
    }
}

impl RoomViews for MemoryStore {
    fn standings(&self, user: &UserId, rooms: Vec<RoomId>) -> Answer<Vec<Option<Standing>>> {
        self.with(|tables| {
            let standing = |room| tables.rooms.get(room).map(|room| room.standing(user));
            Ok(rooms.iter().map(standing).collect())
        })
    }

    fn revocation(&self, room: &RoomId) -> Answer<Option<Seq>> {
        self.with(|tables| Ok(tables.rooms.get(room).map(|room| room.fold.revoked)))
    }

    fn read_logs(&self, user: &UserId, ranges: Vec<LogRange>) -> Answer<Vec<LogSlice>> {
        self.with(|tables| {
            let mut bytes = PageBytes::default();
            let slice = |range: LogRange| match tables.rooms.get(&range.room) {
                None => LogSlice {
                    standing: None,
                    events: Vec::new(),
                },
                Some(room) => LogSlice {
                    standing: Some(room.standing(user)),
                    events: room.read(range.after, range.limit, &mut bytes),
                },
            };
            Ok(ranges.into_iter().map(slice).collect())
        })
    }

    fn history(
        &self,
        user: &UserId,
        room: &RoomId,
        from: HistoryFrom,
        limit: usize,
    ) -> Answer<Option<(Standing, HistoryPage)>> {
        self.with(|tables| {
            let Some(room) = tables.rooms.get(room) else {
                return Ok(None);
            };
            let page = tables.history(room, from, limit);
            Ok(Some((room.standing(user), page)))
        })
    }

    fn view(&self, user: &UserId, room: &RoomId) -> Answer<Option<RoomInfo>> {
        self.with(|tables| Ok(tables.rooms.get(room).map(|room| tables.view(user, room))))
    }

    fn rooms(&self, user: &UserId, list: RoomList, page: PageOf) -> Answer<Page<RoomInfo>> {
        self.with(|tables| tables.list(user, list, &page))
    }

    fn members(
        &self,
        user: &UserId,
        room: &RoomId,
        page: PageOf,
    ) -> Answer<Option<(Standing, Page<Member>)>> {
        self.with(|tables| {
            let Some(room) = tables.rooms.get(room) else {
                return Ok(None);
            };
            Ok(Some((room.standing(user), tables.members(room, &page))))
        })
    }
}

impl Marks for MemoryStore {
    fn mark(&self, user: &UserId, room: &RoomId, to: Position) -> Answer<Option<Marking>> {
        self.with(|tables| Ok(tables.mark(user, room, to)))
    }

    fn unread_of_each(&self, people: Vec<(UserId, Vec<RoomId>)>) -> Answer<Vec<UnreadTotal>> {
        self.with(|tables| {
            let total = |(user, except): (UserId, Vec<RoomId>)| {
                let rooms = tables.rooms.iter().filter(|(id, _)| !except.contains(id));
                let count: u32 = rooms.map(|(_, room)| room.unread(&user).count).sum();
                UnreadTotal {
                    count: count.min(UNREAD),
                    version: tables.outbox.len() as u64 + tables.marks,
                }
            };
            Ok(people.into_iter().map(total).collect())
        })
    }
}

impl Outbox for MemoryStore {
    fn end(&self) -> Answer<LogPos> {
        self.with(|tables| Ok(LogPos(tables.outbox.len() as u64)))
    }

    fn cursor(&self) -> Answer<Option<LogPos>> {
        self.with(|tables| Ok(Some(tables.cursor)))
    }

    fn save_cursor(&self, at: LogPos) -> Answer<()> {
        self.with(|tables| {
            tables.cursor = at;
            Ok(())
        })
    }

    fn read_outbox(&self, after: LogPos, limit: usize) -> Answer<Vec<Logged>> {
        self.with(|tables| {
            let logged = (1..).map(LogPos).zip(&tables.outbox);
            let wanted = logged.filter(|(pos, _)| *pos > after).take(limit);
            Ok(wanted
                .map(|(pos, place)| tables.logged(pos, place))
                .collect())
        })
    }

    fn candidates(&self, questions: Vec<Question>) -> Answer<Vec<Vec<UserId>>> {
        self.with(|tables| Ok(questions.iter().map(|q| tables.candidates(q)).collect()))
    }
}

impl Tables {
    fn mark(&mut self, user: &UserId, room: &RoomId, to: Position) -> Option<Marking> {
        let room = self.rooms.get_mut(room)?;
        let standing = room.standing(user);
        let head = room.fold.head;
        let has_joined = room.has_joined(user);
        if !has_joined || to.epoch != head.epoch || to.seq > head.seq {
            return Some((standing, None));
        }
        let reader = room.readers.get_mut(user);
        let reader = reader.expect("who has joined reads");
        let has_moved = reader.read < to.seq;
        reader.read = reader.read.max(to.seq);
        self.marks += u64::from(has_moved);
        let marked = Marked {
            head,
            unread: room.unread(user),
            has_moved,
        };
        Some((standing, Some(marked)))
    }

    fn logged(&self, pos: LogPos, (room, seq): &(RoomId, Seq)) -> Logged {
        let room = &self.rooms[room];
        let event = room.log.iter().find(|event| event.position.seq == *seq);
        let event = event.expect("the outbox is the log");
        let message = room.fold.messages.get(seq);
        let posted = message.and_then(|message| {
            if message.clip.is_some() {
                return None;
            }
            let target = message.reply_to.and_then(|to| room.fold.messages.get(&to));
            Some(Box::new(Posted {
                room: event.room.clone(),
                position: event.position,
                kind: room.fold.kind,
                title: room.fold.title.clone(),
                joined: room.fold.counts.joined,
                sender: self.named(&event.sender),
                text: message.text.clone()?,
                mentions: message.mentions.clone(),
                answers: target.map(|target| target.sender.id.clone()),
                clip: None,
            }))
        });
        Logged {
            pos,
            time: event.time,
            posted: posted.or_else(|| self.ready(room, event)),
        }
    }

    /// The clip, when its message first shows it as ready by this event, and was not deleted since.
    fn ready(&self, room: &Room, event: &Event) -> Option<Box<Posted>> {
        let at = event.position.seq;
        let (message, clip) = shown(event)?;
        let is_ready = |clip: &ClipView| clip.state == ClipShown::Ready;
        let mut before = room.log.iter().take_while(|event| event.position.seq < at);
        let was_ready = before
            .any(|event| shown(event).is_some_and(|(of, clip)| of == message && is_ready(clip)));
        let is_there = room.fold.messages.get(&message)?.deleted.is_none();
        let is_told = is_there && is_ready(clip) && !was_ready;
        is_told.then(|| {
            Box::new(Posted {
                room: event.room.clone(),
                position: event.position,
                kind: room.fold.kind,
                title: room.fold.title.clone(),
                joined: room.fold.counts.joined,
                sender: self.named(&event.sender),
                text: Redacted(clip.text()),
                mentions: Mentions::default(),
                answers: None,
                clip: Some(ReadyClip {
                    clip: clip.clip,
                    message,
                }),
            })
        })
    }

    fn candidates(&self, question: &Question) -> Vec<UserId> {
        let Some(room) = self.rooms.get(&question.room) else {
            return Vec::new();
        };
        let message = room.fold.messages.get(&question.message);
        if message.is_some_and(|message| message.text.is_none()) {
            return Vec::new();
        }
        let is_candidate = |user: &&UserId| {
            let reader = room.readers.get(*user);
            let unread = |reader: &Reader| reader.read.max(reader.since) < question.seq;
            question.sender.as_ref() != Some(*user)
                && room.has_joined(user)
                && reader.is_some_and(unread)
        };
        let found: Vec<&UserId> = match &question.among {
            Among::MembersAfter(after) => {
                let members = room.fold.members.keys();
                members
                    .filter(|user| after.as_ref().is_none_or(|after| *user > after))
                    .collect()
            }
            Among::These(users) => users.iter().collect(),
        };
        let found = found.into_iter().filter(is_candidate);
        found.take(question.limit).cloned().collect()
    }

    fn append(&mut self, append: &Append) -> Appended {
        let known = self.rooms.get(&append.room);
        let head = known.map_or(Seq::ZERO, |room| room.fold.head.seq);
        let epoch = known.map_or(append.epoch, |room| room.fold.head.epoch);
        if head != append.expected || epoch != append.epoch {
            return Appended::Conflict;
        }
        let mut cids = BTreeMap::new();
        let mut duplicates = Vec::new();
        for event in &append.events {
            let Some((cid, kind)) = event.cid.zip(WriteKind::of(&event.body)) else {
                continue;
            };
            let key = (event.sender.clone(), cid);
            let first = FirstResult {
                kind,
                seq: event.position.seq,
                time: event.time,
            };
            let before = known
                .and_then(|room| room.cids.get(&key))
                .or_else(|| cids.get(&key));
            match before {
                Some(before) => duplicates.push((key, *before)),
                None => drop(cids.insert(key, first)),
            }
        }
        if !duplicates.is_empty() {
            return Appended::Duplicate(duplicates);
        }
        self.take(append, cids);
        Appended::Committed
    }

    fn take(&mut self, append: &Append, cids: BTreeMap<CidKey, FirstResult>) {
        let mut events = append.events.iter();
        if append.expected == Seq::ZERO
            && let Some(first) = events.next()
            && let Some(fold) = Projection::created(first)
        {
            let no = self.created.len();
            let room = Room {
                no,
                log: vec![first.clone()],
                fold,
                cids: BTreeMap::new(),
                readers: BTreeMap::new(),
            };
            self.rooms.insert(append.room.clone(), room);
            self.created.push(append.room.clone());
        }
        let Some(room) = self.rooms.get_mut(&append.room) else {
            return;
        };
        room.cids.extend(cids);
        let places = append.events.iter().map(|event| event.position.seq);
        self.outbox
            .extend(places.map(|seq| (append.room.clone(), seq)));
        for event in events {
            room.log.push(event.clone());
            room.follow_reader(event);
            for seq in room.fold.apply(event) {
                let place = room.log.iter_mut().find(|event| event.position.seq == seq);
                if let Some(place) = place {
                    *place = erased(place.clone());
                }
            }
        }
    }

    fn record(&self, room: &Room) -> RoomRecord {
        let fold = &room.fold;
        let pair: Vec<User> = match fold.kind {
            RoomKind::Direct => fold.members.keys().map(|id| self.named(id)).collect(),
            RoomKind::Group | RoomKind::Broadcast => Vec::new(),
        };
        RoomRecord {
            kind: fold.kind,
            title: fold.title.clone(),
            visibility: fold.visibility,
            created: fold.created,
            head: fold.head,
            time: fold.time,
            counts: fold.counts,
            last: self.last(room).map(Arc::new),
            pair: <[User; 2]>::try_from(pair).ok().map(Box::new),
        }
    }

    fn facts(&self, room: &RoomId, wanted: Wanted) -> Facts {
        let room = self.rooms.get(room);
        let part = |user: UserId| {
            let part = room.and_then(|room| room.fold.members.get(&user).copied());
            (user, part)
        };
        let message = |seq: Seq| {
            let message = room.and_then(|room| room.fold.messages.get(&seq));
            let fact = message.map(|message| MessageFact {
                sender: message.sender.id.clone(),
                deleted: message.deleted.is_some(),
                clip: message.clip.as_ref().map(|clip| (clip.clip, clip.version)),
            });
            (seq, fact)
        };
        let first = |key: CidKey| {
            let first = room.and_then(|room| room.cids.get(&key).copied());
            (key, first)
        };
        Facts {
            members: wanted.members.into_iter().map(part).collect(),
            messages: wanted.messages.into_iter().map(message).collect(),
            users: wanted
                .users
                .into_iter()
                .map(|user| self.user_fact(user))
                .collect(),
            cids: wanted.cids.into_iter().map(first).collect(),
        }
    }

    fn user_fact(&self, user: UserId) -> (UserId, Option<UserFact>) {
        let rooms = self
            .rooms
            .values()
            .filter(|r| r.fold.members.contains_key(&user))
            .count();
        let rooms = u32::try_from(rooms).unwrap_or(u32::MAX);
        let fact = self.users.get(&user).map(|name| UserFact {
            name: name.clone(),
            rooms,
        });
        (user, fact)
    }

    fn named(&self, id: &UserId) -> User {
        User {
            id: id.clone(),
            name: self.users.get(id).cloned().unwrap_or_default(),
        }
    }

    /// A message with its sender's name.
    fn shown(&self, message: &Message) -> Message {
        Message {
            sender: self.named(&message.sender.id),
            ..message.clone()
        }
    }

    fn last(&self, room: &Room) -> Option<Message> {
        room.fold
            .messages
            .last_key_value()
            .map(|(_, message)| self.shown(message))
    }

    fn history(&self, room: &Room, from: HistoryFrom, limit: usize) -> HistoryPage {
        let messages = &room.fold.messages;
        let found: Box<dyn Iterator<Item = &Message>> = match from {
            HistoryFrom::Newest => Box::new(messages.values().rev()),
            HistoryFrom::Before(seq) => {
                Box::new(messages.range(..seq).rev().map(|(_, message)| message))
            }
            HistoryFrom::After(seq) => {
                Box::new(messages.range(seq.next()..).map(|(_, message)| message))
            }
        };
        let mut bytes = PageBytes::default();
        let mut page = Vec::new();
        let mut more = false;
        for message in found {
            let size = message.text.as_ref().map_or(0, |text| text.0.len());
            if page.len() == limit || bytes.take(size) == Take::Enough {
                more = true;
                break;
            }
            page.push(self.shown(message));
        }
        page.sort_by_key(|message| message.seq);
        let head = room.fold.head;
        HistoryPage {
            epoch: head.epoch,
            messages: page,
            as_of: head.seq,
            more,
        }
    }

    fn view(&self, user: &UserId, room: &Room) -> RoomInfo {
        let fold = &room.fold;
        let part = fold.members.get(user);
        let membership = part.map_or(Membership::Left, |part| part.membership);
        let peer = match fold.kind {
            RoomKind::Direct => fold
                .members
                .keys()
                .find(|id| *id != user)
                .map(|id| self.named(id)),
            RoomKind::Group | RoomKind::Broadcast => None,
        };
        RoomInfo {
            room: fold_room(room),
            kind: fold.kind,
            title: fold.title.clone(),
            visibility: fold.visibility,
            created: fold.created,
            head: fold.head,
            members: fold.counts.joined,
            membership,
            role: part.map_or(Role::Guest, |part| part.role),
            peer,
            last: self.last(room).filter(|_| membership == Membership::Joined),
            unread: room.unread(user),
        }
    }

    fn list(
        &self,
        user: &UserId,
        list: RoomList,
        page: &PageOf,
    ) -> Result<Page<RoomInfo>, StoreError> {
        let before = match &page.after {
            None => self.created.len(),
            Some(cursor) => cursor.parse().map_err(|_| StoreError::Failed)?,
        };
        let listed = |room: &&Room| match list {
            RoomList::Own => room.fold.members.contains_key(user),
            RoomList::Public => room.fold.visibility == Visibility::Public,
        };
        let newest_first = self.created.iter().take(before).rev();
        let mut rooms = newest_first
            .filter_map(|id| self.rooms.get(id))
            .filter(listed)
            .peekable();
        let mut shown = Page {
            items: Vec::new(),
            next: None,
        };
        while let Some(room) = rooms.next() {
            shown.items.push(self.view(user, room));
            if shown.items.len() >= page.limit {
                shown.next = rooms.peek().map(|_| room.no.to_string());
                break;
            }
        }
        Ok(shown)
    }

    fn members(&self, room: &Room, page: &PageOf) -> Page<Member> {
        let after = page.after.as_deref().unwrap_or_default();
        let mut found = room
            .fold
            .members
            .iter()
            .filter(|(id, _)| id.as_str() > after)
            .peekable();
        let mut shown = Page {
            items: Vec::new(),
            next: None,
        };
        while let Some((id, Part { membership, role })) = found.next() {
            let user = self.named(id);
            shown.items.push(Member {
                user,
                membership: *membership,
                role: *role,
            });
            if shown.items.len() >= page.limit {
                shown.next = found.peek().map(|_| id.to_string());
                break;
            }
        }
        shown
    }
}

impl Room {
    fn has_joined(&self, user: &UserId) -> bool {
        let part = self.fold.members.get(user);
        part.is_some_and(|part| part.membership == Membership::Joined)
    }

    /// Keeps who reads, before the event is folded in.
    fn follow_reader(&mut self, event: &Event) {
        let EventBody::Member {
            user, membership, ..
        } = &event.body
        else {
            return;
        };
        if *membership != Membership::Joined {
            self.readers.remove(&user.id);
        } else if !self.has_joined(&user.id) {
            let reader = Reader {
                read: Seq::ZERO,
                since: event.position.seq,
            };
            self.readers.insert(user.id.clone(), reader);
        }
    }

    fn unread(&self, user: &UserId) -> Unread {
        let Some(reader) = self.readers.get(user) else {
            return Unread::default();
        };
        let after = reader.read.max(reader.since).next();
        let newest = self.fold.messages.range(after..).rev();
        let scanned = newest
            .take(UNREAD_SCAN as usize)
            .map(|(_, message)| message);
        let others: Vec<_> = scanned
            .filter(|message| message.sender.id != *user && message.deleted.is_none())
            .collect();
        let named = others.iter().filter(|message| message.mentions.names(user));
        let count = |count: usize| u32::try_from(count).unwrap_or(UNREAD).min(UNREAD);
        Unread {
            read: reader.read,
            count: count(others.len()),
            mentions: count(named.count()),
        }
    }

    fn standing(&self, user: &UserId) -> Standing {
        Standing {
            kind: self.fold.kind,
            visibility: self.fold.visibility,
            head: self.fold.head,
            part: self.fold.members.get(user).copied(),
        }
    }

    fn read(&self, after: Seq, limit: usize, bytes: &mut PageBytes) -> Vec<Event> {
        let events = self
            .log
            .iter()
            .filter(|event| event.position.seq > after)
            .take(limit);
        events
            .take_while(|event| bytes.take(text_bytes(event)) == Take::Yes)
            .cloned()
            .collect()
    }
}

fn fold_room(room: &Room) -> RoomId {
    room.log
        .first()
        .map(|event| event.room.clone())
        .expect("a room has its first event")
}

/// The message whose clip an event shows, and how.
fn shown(event: &Event) -> Option<(Seq, &ClipView)> {
    match &event.body {
        EventBody::Posted { clip, .. } => Some((event.position.seq, clip.as_deref()?)),
        EventBody::ClipChanged { target, clip } => Some((*target, clip.as_deref()?)),
        EventBody::Edited { .. }
        | EventBody::Deleted { .. }
        | EventBody::Member { .. }
        | EventBody::Created { .. } => None,
    }
}

fn text_bytes(event: &Event) -> usize {
    match &event.body {
        EventBody::Posted { text, .. } | EventBody::Edited { text, .. } => {
            text.as_ref().map_or(0, |text| text.0.len())
        }
        EventBody::ClipChanged { .. }
        | EventBody::Deleted { .. }
        | EventBody::Member { .. }
        | EventBody::Created { .. } => 0,
    }
}
