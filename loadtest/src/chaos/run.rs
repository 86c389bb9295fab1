//! Makes the storm: people write while the server is killed, drained and cut off.

use super::checker::{self, Violation};
use super::journal::{Entry, Fate, Record, RoomRecord};
use super::person::{Habits, Person, Weather, Writer};
use crate::client::{Client, ClientError, Notice, Options, Policy};
use crate::codec::Codec;
use crate::rng::Rng;
use crate::server::{Server, Spec, Who};
use anyhow::{Context as _, Result, bail, ensure};
use kaiwa_common::time::UnixMs;
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::{
    Event, Message, ReadEvents, ReadHistory, RoomCreate, RoomGet, RoomInfo, RoomJoin, RoomKind,
    Visibility, read_history, reply,
};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The size of a storm.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The `kaiwa` program.
    pub binary: PathBuf,
    /// Decides when the server is killed, and what everybody does.
    pub seed: u64,
    /// How often the server is killed.
    pub kills: u32,
    /// How often it is drained (SIGTERM), in between.
    pub drains: u32,
    /// How many write.
    pub people: usize,
    /// How many rooms there are; everybody is in two thirds of them.
    pub rooms: usize,
    /// Each person's writes in flight.
    pub window: usize,
}

impl Plan {
    /// 24 people in 6 rooms.
    #[must_use]
    pub fn new(binary: PathBuf, seed: u64, kills: u32) -> Self {
        Self {
            binary,
            seed,
            kills,
            drains: kills.div_ceil(5),
            people: 24,
            rooms: 6,
            window: 4,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Broken promises; none is a pass.
    pub violations: Vec<Violation>,
    /// Everything, to look into.
    pub record: Record,
    /// What happened, in numbers.
    pub counts: Counts,
}

/// A storm in numbers: one in which nothing happened has proved nothing.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Counts {
    /// SIGKILLs.
    pub kills: u32,
    /// SIGTERMs.
    pub drains: u32,
    /// Writes acknowledged.
    pub acks: usize,
    /// Of those, ones that the server knew already.
    pub dups: usize,
    /// Writes refused.
    pub refused: usize,
    /// Events delivered to somebody.
    pub deliveries: usize,
    /// Connections that clients cut.
    pub cuts: usize,
    /// Connections that resumed their session.
    pub resumed: usize,
    /// Connections that began a new one.
    pub fresh: usize,
    /// Gaps announced.
    pub gaps: usize,
    /// `bye`s with 4000.
    pub byes: usize,
    /// Events in all rooms.
    pub events: u64,
    /// How long it took.
    pub took: Duration,
}

/// Without an acknowledgement for this long, the server is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// After the storm everybody has to have everything within this time.
const QUIET: Duration = Duration::from_secs(60);

/// Acknowledgements between two kills, at least and at most.
const ACKS_BETWEEN: (u64, u64) = (50, 500);

/// Runs a storm and judges it.
///
/// # Errors
/// When it could not be carried through: the server doesn't start, doesn't end, or is stuck.
pub async fn run(plan: &Plan) -> Result<Report> {
    let started = Instant::now();
    let folder = tempfile::Builder::new().prefix("kaiwa-chaos-").tempdir()?;
    let spec = Spec::new(&plan.binary, folder.path())?;
    let result = storm(plan, &spec).await;
    match result {
        Ok((record, mut counts)) => {
            counts.took = started.elapsed();
            let violations = checker::check(&record);
            Ok(Report {
                violations,
                record,
                counts,
            })
        }
        Err(error) => {
            let kept = folder.keep();
            Err(error.context(format!(
                "seed {}; data kept in {}",
                plan.seed,
                kept.display()
            )))
        }
    }
}

/// The server and those who live with it.
struct Storm<'a> {
    plan: &'a Plan,
    spec: &'a Spec,
    weather: Arc<Weather>,
    rng: Rng,
    rooms: Vec<RoomInfo>,
    people: Vec<Arc<Person>>,
    clients: Vec<Client>,
    tasks: JoinSet<()>,
}

async fn storm(plan: &Plan, spec: &Spec) -> Result<(Record, Counts)> {
    let mut storm = Storm {
        plan,
        spec,
        weather: Arc::default(),
        rng: Rng::new(plan.seed),
        rooms: Vec::new(),
        people: Vec::new(),
        clients: Vec::new(),
        tasks: JoinSet::new(),
    };
    let mut server = storm.start().await?;
    let auditor = storm.found_rooms(&server).await?;
    let mut writers = storm.people(&server).await?;

    let mut ends = vec![Fate::Killed; usize::try_from(plan.kills)?];
    for _ in 0..plan.drains {
        let at = storm.rng.index(ends.len() + 1);
        ends.insert(at, Fate::Draining);
    }
    for fate in ends {
        storm.acks().await?;
        server = storm.restart(server, fate).await?;
    }
    storm.acks().await?;
    storm.weather.calm.store(true, Ordering::Relaxed);
    let calm = async {
        while let Some(writer) = writers.join_next().await {
            writer??;
        }
        anyhow::Ok(())
    };
    // A write that never gets its answer is the checker's to report.
    if let Ok(ended) = tokio::time::timeout(QUIET, calm).await {
        ended?;
    }
    // What is read now comes from the disk.
    let server = storm.restart(server, Fate::Killed).await?;
    let record = storm.audit(&auditor).await?;
    for client in storm.clients.iter().chain([&auditor]) {
        client.close().await;
    }
    while storm.tasks.join_next().await.is_some() {}
    server.kill().await?;
    let counts = count(&record, plan);
    Ok((record, counts))
}

impl Storm<'_> {
    /// A connection that was up before this returns may be counted to the server before: rather
    /// that than to blame this one for what that one's end did.
    async fn start(&self) -> Result<Server> {
        let server = self.spec.start().await?;
        self.weather.server_starts();
        Ok(server)
    }

    async fn restart(&self, server: Server, fate: Fate) -> Result<Server> {
        self.weather.server_ends(fate);
        if fate == Fate::Draining {
            let status = server.terminate().await?;
            ensure!(status.success(), "SIGTERM ended the server with {status}");
        } else {
            server.kill().await?;
        }
        self.start().await
    }

    /// Waits for a random number of acknowledgements more.
    async fn acks(&mut self) -> Result<()> {
        let (least, most) = ACKS_BETWEEN;
        let acks = &self.weather.acks;
        let wanted = acks.load(Ordering::Relaxed) + self.rng.between(least, most);
        while acks.load(Ordering::Relaxed) < wanted {
            let progress = self.weather.progress.notified();
            if tokio::time::timeout(STUCK, progress).await.is_err() {
                bail!("nothing was acknowledged or delivered for {STUCK:?}");
            }
        }
        Ok(())
    }

    fn client(
        &mut self,
        server: &Server,
        (name, token): (&str, String),
        codec: Codec,
    ) -> (Client, mpsc::Receiver<Notice>) {
        let policy = Policy {
            least: Duration::from_millis(10),
            most: Duration::from_millis(60),
            ceiling: Duration::from_millis(250),
            bye_ceiling: Some(Duration::from_millis(200)),
        };
        Client::start(Options {
            server: server.address(),
            codec,
            token,
            device: format!("{name}-1"),
            policy,
            seed: self.rng.next_u64(),
        })
    }

    /// The auditor makes the rooms, and reads them in the end.
    async fn found_rooms(&mut self, server: &Server) -> Result<Client> {
        let who = Who {
            sub: "auditor",
            name: "Auditor",
            role: None,
            ttl: "1h",
        };
        let token = self.spec.token(who).await?;
        let (auditor, mut notices) = self.client(server, ("auditor", token), Codec::Proto);
        self.tasks
            .spawn(async move { while notices.recv().await.is_some() {} });
        for n in 0..self.plan.rooms {
            let create = RoomCreate {
                cid: self.rng.cid(UnixMs::now().0),
                kind: RoomKind::Group.into(),
                title: format!("storm {n}"),
                visibility: Visibility::Public.into(),
                members: vec![],
            };
            self.rooms
                .push(room(auditor.request(Command::RoomCreate(create)).await)?);
        }
        Ok(auditor)
    }

    /// Everybody connects, joins two thirds of the rooms and follows them; then all begin to write.
    async fn people(&mut self, server: &Server) -> Result<JoinSet<Result<()>>> {
        let tokens = self.spec.tokens("person-", self.plan.people).await?;
        for (n, token) in tokens.into_iter().enumerate() {
            let name = format!("person-{n}");
            let (client, notices) = self.client(server, (&name, token), Codec::ALL[n % 2]);
            let mut mine = Vec::new();
            for k in 0..(self.plan.rooms * 2).div_ceil(3) {
                mine.push(self.rooms[(n + k) % self.rooms.len()].clone());
            }
            let ids = mine.iter().map(|r| r.room.clone()).collect();
            let person = Arc::new(Person::new(&name, ids));
            let (listener, weather) = (Arc::clone(&person), Arc::clone(&self.weather));
            self.tasks
                .spawn(async move { listener.listen(notices, &weather).await });
            for RoomInfo {
                room: id, epoch, ..
            } in mine
            {
                room(
                    client
                        .request(Command::RoomJoin(RoomJoin { room: id.clone() }))
                        .await,
                )?;
                client.follow(&id, epoch, 0).await?;
            }
            self.people.push(person);
            self.clients.push(client);
        }
        let mut writers = JoinSet::new();
        let habits = Habits {
            window: self.plan.window,
            cuts_permille: 12,
        };
        for (person, client) in self.people.iter().zip(&self.clients) {
            let (person, client) = (Arc::clone(person), client.clone());
            let (weather, rng) = (Arc::clone(&self.weather), self.rng.fork());
            writers.spawn(async move {
                Writer::new(&person, client, &weather, habits, rng)
                    .run()
                    .await
            });
        }
        Ok(writers)
    }

    /// Waits until everybody has everything, then reads all rooms.
    async fn audit(&self, auditor: &Client) -> Result<Record> {
        let mut record = Record::default();
        for info in &self.rooms {
            record.rooms.push(read_room(auditor, &info.room).await?);
        }
        let behind = || {
            let room = |r: &RoomRecord, p: &Person| p.place(&r.room) < r.head;
            let follows = |p: &Person, r: &RoomRecord| {
                let journal = p.journal.lock().unwrap_or_else(PoisonError::into_inner);
                journal.follows.contains(&r.room)
            };
            let any = |p: &Arc<Person>| record.rooms.iter().any(|r| follows(p, r) && room(r, p));
            self.people.iter().any(any)
        };
        let caught_up = async {
            while behind() {
                self.weather.progress.notified().await;
            }
        };
        // Who stays behind is the checker's to report.
        let _ = tokio::time::timeout(QUIET, caught_up).await;
        for person in &self.people {
            let journal = person
                .journal
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            record.journals.push(journal.clone());
        }
        Ok(record)
    }
}

fn room(result: Result<reply::Result, ClientError>) -> Result<RoomInfo> {
    let result = result?;
    let reply::Result::Room(info) = result else {
        bail!("not a room: {result:?}")
    };
    Ok(info)
}

/// All of a room.
async fn read_room(client: &Client, id: &str) -> Result<RoomRecord> {
    let get = RoomGet {
        room: id.to_owned(),
    };
    let RoomInfo { epoch, head, .. } = room(client.request(Command::RoomGet(get)).await)?;
    let log = read_log(client, id, epoch).await?;
    let history = read_history(client, id, head).await?;
    Ok(RoomRecord {
        room: id.to_owned(),
        epoch,
        head,
        log,
        history,
    })
}

/// A room's log, from the first event.
async fn read_log(client: &Client, id: &str, epoch: u32) -> Result<Vec<Event>> {
    let mut log: Vec<Event> = Vec::new();
    loop {
        let after = log.last().map_or(0, |event| event.seq);
        let read = ReadEvents {
            room: id.to_owned(),
            epoch,
            after,
            limit: 0,
        };
        let result = client.request(Command::Events(read)).await?;
        let reply::Result::Events(page) = result else {
            bail!("not a page: {result:?}")
        };
        ensure!(
            !page.more || !page.events.is_empty(),
            "{id}: an empty page that says more"
        );
        log.extend(page.events);
        if !page.more {
            return Ok(log);
        }
    }
}

/// A room's history, from the newest page back.
async fn read_history(client: &Client, id: &str, head: u64) -> Result<Vec<Message>> {
    let mut history: Vec<Message> = Vec::new();
    loop {
        let before = history.first().map(|message| message.seq);
        let from = before.map(read_history::From::Before);
        let read = ReadHistory {
            room: id.to_owned(),
            from,
            limit: 0,
        };
        let result = client.request(Command::History(read)).await?;
        let reply::Result::History(page) = result else {
            bail!("not a page: {result:?}")
        };
        ensure!(
            page.as_of == head,
            "{id}: history as of {}, head {head}",
            page.as_of
        );
        ensure!(
            !page.more || !page.messages.is_empty(),
            "{id}: an empty page that says more"
        );
        history.splice(0..0, page.messages);
        if !page.more {
            return Ok(history);
        }
    }
}

fn count(record: &Record, plan: &Plan) -> Counts {
    let mut counts = Counts {
        kills: plan.kills,
        drains: plan.drains,
        ..Counts::default()
    };
    counts.events = record.rooms.iter().map(|r| r.head).sum();
    let entries = record.journals.iter().flat_map(|j| &j.entries);
    entries.for_each(|entry| counts.add(entry));
    counts
}

impl Counts {
    fn add(&mut self, entry: &Entry) {
        match entry {
            Entry::Acked { dup, .. } => {
                self.acks += 1;
                self.dups += usize::from(*dup);
            }
            Entry::Refused { .. } => self.refused += 1,
            Entry::Delivered { .. } => self.deliveries += 1,
            Entry::Lost { bye, cut, .. } => {
                self.cuts += usize::from(*cut);
                self.byes += usize::from(*bye == Some(4000));
            }
            Entry::Connected { resumed: true, .. } => self.resumed += 1,
            Entry::Connected { resumed: false, .. } => self.fresh += 1,
            Entry::Gap { .. } => self.gaps += 1,
            Entry::Sent { .. } | Entry::Pushed { .. } | Entry::Fault(_) => {}
        }
    }
}

/// The `kaiwa` program for a test: `KAIWA_BIN`, or beside the test in its target folder.
///
/// # Errors
/// When there is none.
pub fn find_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("KAIWA_BIN") {
        return Ok(PathBuf::from(path));
    }
    let exe = std::env::current_exe()?;
    let folder = exe.ancestors().find(|f| f.join("kaiwa").is_file());
    let folder = folder.context("no `kaiwa` program: build it, or set KAIWA_BIN")?;
    Ok(folder.join("kaiwa"))
}
