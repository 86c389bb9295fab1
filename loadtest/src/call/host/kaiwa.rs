//! A Kaiwa server with one room, and people in the room's call.

use crate::call::engine::PeerId;
use crate::call::peer::Plan;
use crate::call::stage::person::{Person, Seat};
use crate::call::stage::{Stage, Wishes};
use crate::chat::{Setup, Voice, public_room};
use crate::codec::Codec;
use crate::rng::Rng;
use crate::server::{Server, Spec};
use anyhow::{Context as _, Result, ensure};
use kaiwa_common::time::UnixMs;
use tempfile::TempDir;

/// How the server is started.
#[derive(Debug, Clone, Default)]
pub struct KaiwaPlan {
    /// The core that it is pinned to.
    pub core: Option<usize>,
    /// Media leaves at the estimated rate instead of at once.
    pub is_paced: bool,
    /// Further variables of its environment, `NAME=VALUE`.
    pub variables: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Kaiwa {
    /// The process.
    pub server: Server,
    _folder: TempDir,
    tokens: std::vec::IntoIter<String>,
    room: String,
    people: Vec<Person>,
    entered: u64,
}

impl Kaiwa {
    /// Starts a server on loopback, with tokens for so many people, and makes the room.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(setup: &Setup, plan: &KaiwaPlan, people: usize) -> Result<Self> {
        let (mut spec, folder) = setup.spec()?;
        configure(&mut spec, plan)?;
        let server = spec.start().await?;
        let tokens = spec.tokens("caller-", people + 1).await?;
        let mut tokens = tokens.into_iter();
        let owner = tokens.next().context("no token")?;
        let mut voice =
            Voice::connect(server.address(), Codec::Proto, None, &owner, vec![]).await?;
        let cid = Rng::new(1).cid(UnixMs::now().0);
        let room = voice.room(public_room(cid, "call")).await?.room;
        Ok(Self {
            server,
            _folder: folder,
            tokens,
            room,
            people: Vec::new(),
            entered: 0,
        })
    }

    /// Where and as whom the next person enters.
    ///
    /// # Errors
    /// When there is no token left.
    pub fn seat(&mut self) -> Result<Seat> {
        Ok(Seat {
            server: self.server.address(),
            token: self.tokens.next().context("no token left")?,
            room: self.room.clone(),
            joins_room: true,
        })
    }

    /// The next person enters.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn enter(&mut self, stage: &Stage, plan: Plan, wishes: Wishes) -> Result<PeerId> {
        let seat = self.seat()?;
        self.entered += 1;
        let person = Person::join(stage, seat, plan, wishes, self.entered).await?;
        let peer = person.peer;
        self.people.push(person);
        Ok(peer)
    }

    /// What people were told that they should not have been.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let faults = |person: &Person| {
            person.told(|told| {
                let ended = told
                    .ended
                    .iter()
                    .map(|reason| format!("the call ended: {reason}"));
                told.faults.iter().cloned().chain(ended).collect::<Vec<_>>()
            })
        };
        self.people.iter().flat_map(faults).collect()
    }

    /// Everybody leaves.
    ///
    /// # Errors
    /// When the server refuses somebody.
    pub async fn clear(&mut self) -> Result<()> {
        for person in self.people.drain(..) {
            person.leave().await?;
        }
        Ok(())
    }

    /// Everybody leaves, and the server is drained.
    ///
    /// # Errors
    /// When it had ended by itself, or does not end well.
    pub async fn end(mut self, _stage: &Stage) -> Result<()> {
        self.clear().await?;
        let status = self.server.terminate().await?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

/// What a path is taken to carry: more than anybody is sent here.
const ASSUMED_KBPS: &str = "100000";

fn configure(spec: &mut Spec, plan: &KaiwaPlan) -> Result<()> {
    // In a session of its own: the kernel's autogroups would else divide time between it and us.
    spec.prefix = vec!["setsid".to_owned()];
    let mut variables = vec![
        ("KAIWA_CALLS__SHARDS".to_owned(), "1".to_owned()),
        ("KAIWA_CALLS__PACED".to_owned(), plan.is_paced.to_string()),
    ];
    if !plan.is_paced {
        // What is not paced is not probed either, and a measurement is not about what a path carries.
        variables.push((
            "KAIWA_CALLS__ASSUMED_KBPS".to_owned(),
            ASSUMED_KBPS.to_owned(),
        ));
    }
    if let Some(core) = plan.core {
        let core = core.to_string();
        spec.prefix
            .extend(["taskset", "-c", &core].map(str::to_owned));
        variables.push(("KAIWA_CALLS__FIRST_CORE".to_owned(), core));
    }
    for variable in &plan.variables {
        let (name, value) = variable
            .split_once('=')
            .context("a variable is NAME=VALUE")?;
        variables.push((name.to_owned(), value.to_owned()));
    }
    spec.variables = variables;
    spec.arguments = vec!["--media-bind".to_owned(), spec.listen.to_string()];
    Ok(())
}
