//! Writers who go on while the server lasts, people who are away, and the account of who got what.

use super::world::{World, browser, direct, in_time, payload};
use crate::support::cid;
use crate::support::client::{Client, int};
use crate::support::server::Server;
use kaiwa_provider_doubles::Delivery;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinSet;

/// Messages of one writer to one person: those that a digest lets through one by one. Each writer writes in
/// rooms of their own.
const EACH: usize = 3;

/// Between two messages of a writer: they are still at it when the first pushes go out.
const PACE: Duration = Duration::from_millis(120);

/// Who is away, with their devices.
pub(crate) type Away = BTreeMap<String, Vec<String>>;

/// People who register, every other one two browsers, and leave.
pub(crate) async fn people(world: &World, server: &Server, count: usize) -> Away {
    let mut away = Away::new();
    for no in 0..count {
        let user = format!("away-{no}");
        let mut client = Client::connect(server, &user).await;
        let mut devices = vec![browser(&mut client, &world.push).await];
        if no % 2 == 0 {
            devices.push(browser(&mut client, &world.push).await);
        }
        away.insert(user, devices);
    }
    away
}

/// A message that the server has said is on disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Acknowledged {
    to: String,
    room: String,
    seq: u64,
}

/// Writers who write to everybody until the server is no more.
pub(crate) struct Writers(JoinSet<Vec<Acknowledged>>);

impl Writers {
    /// New people, in new rooms.
    pub(crate) async fn begin(server: &Server, (life, count): (u32, usize), away: &Away) -> Self {
        let mut tasks = JoinSet::new();
        for no in 0..count {
            let mut client = Client::connect(server, &format!("writer-{life}-{no}")).await;
            let mut rooms = Vec::new();
            for to in away.keys() {
                rooms.push((to.clone(), direct(&mut client, to).await));
            }
            tasks.spawn(write(client, rooms));
        }
        Self(tasks)
    }

    /// What was acknowledged to them by its end.
    pub(crate) async fn end(self) -> Vec<Acknowledged> {
        in_time("the writers' end", self.0.join_all())
            .await
            .concat()
    }
}

async fn write(mut client: Client, rooms: Vec<(String, String)>) -> Vec<Acknowledged> {
    let mut pace = tokio::time::interval(PACE);
    let mut sent = BTreeMap::new();
    for _ in 0..EACH {
        for at in &rooms {
            pace.tick().await;
            let send = json!({"send": {"room": at.1, "cid": cid(), "text": "are you there?"}});
            sent.insert(u64::from(client.begin(send).await), at);
        }
    }
    let mut acknowledged = Vec::new();
    for message in client.closed().await.before {
        let reply = &message["reply"];
        let Some((to, room)) = sent.get(&int(&reply["id"])) else {
            continue;
        };
        if reply["committed"].is_object() {
            acknowledged.push(Acknowledged {
                to: to.clone(),
                room: room.clone(),
                seq: int(&reply["committed"]["seq"]),
            });
        }
    }
    acknowledged
}

/// Who got what, in which life of the server.
pub(crate) struct Account {
    accepted: Receiver<Delivery>,
    pub(crate) life: u32,
    /// By device and the push's id, the lives of the server in which it came.
    came: BTreeMap<(String, String), Vec<u32>>,
    /// Device, room and seq.
    told: BTreeSet<(String, String, u64)>,
}

impl Account {
    pub(crate) fn new(world: &World) -> Self {
        Self {
            accepted: world.push.accepted(),
            life: 0,
            came: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    fn note(&mut self, delivery: &Delivery) {
        let told = payload(delivery);
        let device = delivery.device.clone();
        assert_eq!(told["id"], json!(delivery.id));
        let room = told["room"].as_str().unwrap().to_owned();
        self.told.insert((device.clone(), room, int(&told["seq"])));
        let came = self.came.entry((device, delivery.id.clone()));
        came.or_default().push(self.life);
    }

    /// Waits for so many more.
    pub(crate) async fn more(&mut self, count: usize) {
        for _ in 0..count {
            let delivery = in_time("a push", self.accepted.recv()).await.unwrap();
            self.note(&delivery);
        }
    }

    /// Takes what has come.
    pub(crate) fn catch_up(&mut self) {
        while let Ok(delivery) = self.accepted.try_recv() {
            self.note(&delivery);
        }
    }

    /// Waits until every device of whom it was for has been told of each of these.
    pub(crate) async fn tells(&mut self, acknowledged: &[Acknowledged], away: &Away) {
        let told = |of: &Acknowledged| {
            let devices = away[&of.to].iter();
            let told = devices.map(|device| (device.clone(), of.room.clone(), of.seq));
            told.collect::<Vec<_>>()
        };
        let wanted: BTreeSet<_> = acknowledged.iter().flat_map(told).collect();
        let enough = async {
            while !wanted.is_subset(&self.told) {
                let delivery = self.accepted.recv().await.unwrap();
                self.note(&delivery);
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(150), enough).await;
        let missing: Vec<_> = wanted.difference(&self.told).collect();
        assert!(
            waited.is_ok(),
            "{} of {} are missing: {missing:?}",
            missing.len(),
            wanted.len()
        );
    }

    /// Pushes that came, of how many.
    pub(crate) fn repeats(&self) -> (usize, usize) {
        let all: usize = self.came.values().map(Vec::len).sum();
        (all - self.came.len(), all)
    }

    /// Within one life of the server nothing came twice to a device: so at most one repeat for each kill.
    pub(crate) fn repeats_by_kills_only(&self) {
        for (what, lives) in &self.came {
            let distinct: BTreeSet<_> = lives.iter().collect();
            assert_eq!(distinct.len(), lives.len(), "{what:?} came in {lives:?}");
        }
    }
}
