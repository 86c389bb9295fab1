//! One person of the storm: writes with several commands in flight, cuts the connection now and then,
//! and keeps a journal of everything.

use super::journal::{Content, Entry, Fate, Journal, Seen, hash};
use crate::client::core::Again;
use crate::client::link::Cut;
use crate::client::{Client, Notice, Outcome};
use crate::rng::Rng;
use anyhow::Result;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use kaiwa_common::time::UnixMs;
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::{Committed, Delete, Edit, Send, reply};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, mpsc, oneshot};

/// What everybody in the storm shares.
#[derive(Debug, Default)]
pub struct Weather {
    /// Acknowledged writes so far.
    pub acks: AtomicU64,
    /// Something was acknowledged or delivered.
    pub progress: Notify,
    /// No new writes.
    pub calm: AtomicBool,
    /// The servers so far.
    pub servers: Mutex<Vec<Life>>,
}

/// One server process's life.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// When it was ready.
    pub start: Instant,
    /// What ended it, and when.
    pub end: Option<(Instant, Fate)>,
}

impl Weather {
    /// A server is ready.
    pub fn server_starts(&self) {
        self.lives().push(Life {
            start: Instant::now(),
            end: None,
        });
    }

    /// The server is about to be ended.
    pub fn server_ends(&self, fate: Fate) {
        if let Some(life) = self.lives().last_mut() {
            life.end = Some((Instant::now(), fate));
        }
    }

    /// What was being done to the server of a connection that lasted from `up` to `lost`.
    fn fate(&self, up: Instant, lost: Instant) -> Fate {
        let lives = self.lives();
        let life = lives.iter().rev().find(|life| life.start <= up);
        match life.and_then(|life| life.end) {
            Some((at, fate)) if at <= lost => fate,
            Some(_) | None => Fate::Running,
        }
    }

    fn lives(&self) -> std::sync::MutexGuard<'_, Vec<Life>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One person's journal and places, shared by their writing and their reading task.
#[derive(Debug)]
pub struct Person {
    /// The journal.
    pub journal: Mutex<Journal>,
    /// The last event delivered in each room.
    pub places: Mutex<BTreeMap<String, u64>>,
}

impl Person {
    /// Somebody who follows these rooms.
    #[must_use]
    pub fn new(person: &str, follows: Vec<String>) -> Self {
        let journal = Journal {
            person: person.to_owned(),
            follows,
            entries: Vec::new(),
        };
        Self {
            journal: Mutex::new(journal),
            places: Mutex::default(),
        }
    }

    /// The last event delivered in a room.
    #[must_use]
    pub fn place(&self, room: &str) -> u64 {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(room).copied().unwrap_or(0)
    }

    fn log(&self, entry: Entry) {
        self.journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entries
            .push(entry);
    }

    /// Keeps the journal of what the client tells, until it stops.
    pub async fn listen(&self, mut notices: mpsc::Receiver<Notice>, weather: &Weather) {
        let mut up = Instant::now();
        while let Some(notice) = notices.recv().await {
            match notice {
                Notice::Connected {
                    session,
                    resumed,
                    at,
                    ..
                } => {
                    up = at;
                    self.log(Entry::Connected { session, resumed });
                }
                Notice::Pushed { room, seq } => self.log(Entry::Pushed { room, seq }),
                Notice::Gap { room, head } => self.log(Entry::Gap { room, head }),
                Notice::Delivered(event) => {
                    let room = event.room.clone();
                    let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
                    places.insert(room.clone(), event.seq);
                    drop(places);
                    self.log(Entry::Delivered {
                        room,
                        event: Seen::from(&*event),
                    });
                    weather.progress.notify_one();
                }
                Notice::Lost { bye, cut, at } => {
                    self.log(Entry::Lost {
                        bye,
                        cut,
                        server: weather.fate(up, at),
                    });
                }
                Notice::State(_) | Notice::Call(_) => {}
                Notice::Fault(what) => self.log(Entry::Fault(what)),
                Notice::Restarted(room) => self.log(Entry::Fault(format!("{room} was reset"))),
                Notice::Ended(room) => self.log(Entry::Fault(format!("{room} ended"))),
                Notice::Stopped(code) => self.log(Entry::Fault(format!("stopped by {code:?}"))),
            }
        }
    }
}

/// How somebody writes.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// Writes in flight.
    pub window: usize,
    /// Of a thousand acknowledgements, so many are followed by a cut of the connection.
    pub cuts_permille: u64,
}

/// A write in flight.
struct Write {
    room: String,
    cid: String,
    command: Command,
    repeat: bool,
}

/// Somebody's writing task.
pub struct Writer<'a> {
    person: &'a Person,
    client: Client,
    weather: &'a Weather,
    habits: Habits,
    rng: Rng,
    rooms: Vec<String>,
    /// Own messages that can be edited or deleted.
    live: Vec<(String, u64)>,
    /// One that was deleted: writing to it is refused.
    dead: Option<(String, u64)>,
    written: u64,
}

impl<'a> Writer<'a> {
    /// A writer who has written nothing yet.
    #[must_use]
    pub fn new(
        person: &'a Person,
        client: Client,
        weather: &'a Weather,
        habits: Habits,
        rng: Rng,
    ) -> Self {
        let journal = person
            .journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let rooms = journal.follows.clone();
        drop(journal);
        Self {
            person,
            client,
            weather,
            habits,
            rng,
            rooms,
            live: Vec::new(),
            dead: None,
            written: 0,
        }
    }

    /// Writes until the weather is calm and every write has its answer.
    ///
    /// # Errors
    /// When the client has stopped.
    pub async fn run(mut self) -> Result<()> {
        let mut flying = FuturesUnordered::new();
        loop {
            while flying.len() < self.habits.window && !self.weather.calm.load(Ordering::Relaxed) {
                let write = self.compose();
                flying.push(self.begin(write).await?);
            }
            let Some((write, outcome)) = flying.next().await else {
                return Ok(());
            };
            if let Some(again) = self.conclude(write, outcome) {
                flying.push(self.begin(again).await?);
            }
            if self.rng.next_u64() % 1000 < self.habits.cuts_permille {
                let how = [Cut::Drop, Cut::MidFrame, Cut::Linger][self.rng.index(3)];
                self.client.cut(how).await?;
            }
        }
    }

    async fn begin(
        &self,
        write: Write,
    ) -> Result<impl Future<Output = (Write, Option<Outcome>)> + use<>> {
        let answer: oneshot::Receiver<Outcome> = self
            .client
            .begin(write.command.clone(), Again::Always)
            .await?;
        Ok(async move {
            let outcome = answer.await.ok();
            (write, outcome)
        })
    }

    /// The next write, in the journal as sent.
    fn compose(&mut self) -> Write {
        let cid = self.rng.cid(UnixMs::now().0);
        let dice = self.rng.between(0, 99);
        let (room, command, content) = match (dice, self.live.is_empty()) {
            (0..=11, false) => {
                let at = self.rng.index(self.live.len());
                let (room, target) = self.live[at].clone();
                self.edit(room, target, &cid)
            }
            (12..=17, false) => {
                let at = self.rng.index(self.live.len());
                let (room, target) = self.live.swap_remove(at);
                self.dead = Some((room.clone(), target));
                let delete = Delete {
                    room: room.clone(),
                    cid: cid.clone(),
                    target,
                };
                (room, Command::Delete(delete), Content::Deleted { target })
            }
            (18..=19, _) if self.dead.is_some() => {
                let (room, target) = self.dead.clone().expect("just looked");
                self.edit(room, target, &cid)
            }
            _ => {
                let at = self.rng.index(self.rooms.len());
                let (room, text) = (self.rooms[at].clone(), self.text());
                let content = Content::Posted { text: hash(&text) };
                let send = Send {
                    room: room.clone(),
                    cid: cid.clone(),
                    text,
                    reply_to: 0,
                    ..Send::default()
                };
                (room, Command::Send(send), content)
            }
        };
        self.person.log(Entry::Sent {
            room: room.clone(),
            cid: cid.clone(),
            content,
        });
        Write {
            room,
            cid,
            command,
            repeat: false,
        }
    }

    fn edit(&mut self, room: String, target: u64, cid: &str) -> (String, Command, Content) {
        let text = self.text();
        let content = Content::Edited {
            target,
            text: hash(&text),
        };
        let edit = Edit {
            room: room.clone(),
            cid: cid.to_owned(),
            target,
            text,
            ..Edit::default()
        };
        (room, Command::Edit(edit), content)
    }

    fn text(&mut self) -> String {
        self.written += 1;
        let filler = usize::try_from(self.rng.between(0, 40)).unwrap_or(0);
        format!(
            "{} 会話\n{}",
            self.written,
            "なに \"\\ \u{1F600}".repeat(filler)
        )
    }

    /// Writes the answer down; now and then the same write is to be sent again.
    fn conclude(&mut self, write: Write, outcome: Option<Outcome>) -> Option<Write> {
        let Some(Outcome {
            result: Some(result),
            delayed,
        }) = outcome
        else {
            return None;
        };
        let Write {
            room,
            cid,
            command,
            repeat,
        } = write;
        if let reply::Result::Error(error) = result {
            self.person.log(Entry::Refused {
                room,
                cid,
                code: error.code,
            });
            return None;
        }
        let reply::Result::Committed(Committed {
            epoch, seq, dup, ..
        }) = result
        else {
            self.person.log(Entry::Fault(format!(
                "a write was answered with {result:?}"
            )));
            return None;
        };
        let (to, key) = (room.clone(), cid.clone());
        self.person.log(Entry::Acked {
            room: to,
            cid: key,
            epoch,
            seq,
            dup,
            delayed,
            repeat,
        });
        self.weather.acks.fetch_add(1, Ordering::Relaxed);
        self.weather.progress.notify_one();
        if matches!(command, Command::Send(_)) && !repeat {
            self.live.push((room.clone(), seq));
        }
        let again = !repeat && self.rng.percent(REPEATED_PERCENT);
        again.then(|| Write {
            room,
            cid,
            command: other_words(command),
            repeat: true,
        })
    }
}

/// Acknowledged writes that are sent again, as a client does that lost the acknowledgement.
const REPEATED_PERCENT: u64 = 3;

/// The same `cid` gives the first result, "whatever else the command says".
fn other_words(command: Command) -> Command {
    if let Command::Send(send) = command {
        Command::Send(Send {
            text: "something else".to_owned(),
            ..send
        })
    } else {
        command
    }
}
