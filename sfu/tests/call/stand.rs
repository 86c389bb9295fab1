//! An engine for clients, and what it tells.

use super::client::Client;
use super::wait::{block_on, pump};
use kaiwa_common::id::RoomId;
use kaiwa_sfu::config::Config;
use kaiwa_sfu::control::*;
use kaiwa_sfu::engine::Engine;
use std::sync::{Arc, Mutex};

pub(crate) const ALL: Rights = Rights {
    microphone: true,
    camera: true,
    screen: true,
    subscribe: true,
};

#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl SfuEvents for Events {
    fn handle(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Events {
    pub(crate) fn has(&self, is_it: impl Fn(&Event) -> bool) -> bool {
        self.0.lock().unwrap().iter().any(is_it)
    }
}

pub(crate) struct Stand {
    pub(crate) engine: Arc<Engine>,
    pub(crate) events: Arc<Events>,
    pub(crate) room: RoomId,
}

impl Stand {
    pub(crate) fn new(shards: usize) -> Self {
        Self::with(Config {
            shards,
            ..Config::default()
        })
    }

    pub(crate) fn with(config: Config) -> Self {
        let config = Config {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            loopback: true,
            ..config
        };
        let events = Arc::new(Events::default());
        let engine = Engine::start(&config, Arc::clone(&events) as Arc<dyn SfuEvents>).unwrap();
        Self {
            engine,
            events,
            room: RoomId::parse("r_1").unwrap(),
        }
    }

    pub(crate) fn join(&self, client: &Client, rights: Rights) {
        let join = Join {
            room: self.room.clone(),
            participant: client.participant,
            rights,
            video_codecs: None,
        };
        block_on(self.engine.join(join)).expect("joined");
    }

    pub(crate) fn enter(&self, client: &mut Client) {
        self.join(client, ALL);
        client.negotiate(&self.engine);
        pump(&mut [client], |clients| clients[0].is_connected());
    }

    pub(crate) fn publication(&self, source: Source) -> PublicationId {
        let events = self.events.0.lock().unwrap();
        let found = events.iter().rev().find_map(|event| match event {
            Event::Published { publication, .. } if publication.source == source => {
                Some(publication.id)
            }
            Event::Published { .. }
            | Event::Unpublished { .. }
            | Event::Slots { .. }
            | Event::Speakers { .. }
            | Event::Quality { .. }
            | Event::Connectivity { .. }
            | Event::Gone { .. } => None,
        });
        found.expect("published")
    }

    pub(crate) fn prefer(
        &self,
        client: &Client,
        publication: PublicationId,
        width: u16,
        height: u16,
    ) {
        let wish = Wish {
            publication,
            width,
            height,
            is_paused: false,
        };
        let prefer = Prefer {
            participant: client.participant,
            wishes: vec![wish],
            hears: Hears::Everybody,
        };
        block_on(self.engine.prefer(prefer)).expect("a participant");
    }
}
