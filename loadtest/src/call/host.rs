//! Servers that calls are measured on, each as a child process pinned to a core: Kaiwa and Janus.

pub mod janus;
pub mod kaiwa;

use self::janus::Janus;
use self::kaiwa::Kaiwa;
use super::engine::PeerId;
use super::peer::Plan;
use super::stage::{Stage, Wishes};
use crate::print;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// What a figure is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Kaiwa.
    Kaiwa,
    /// Janus's VideoRoom.
    Janus,
    /// Sealing, copying and sending, without a server.
    Floor,
}

impl Kind {
    /// A name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kaiwa => "Kaiwa",
            Self::Janus => "Janus",
            Self::Floor => "floor",
        }
    }
}

/// How often somebody tries to enter Janus's room: of a thousand who do under load, one or two get no keys.
const JANUS_TRIES: usize = 3;

/// A running server with its participants. Dropping it kills the server.
#[derive(Debug)]
pub enum Host {
    /// Kaiwa.
    Kaiwa(Box<Kaiwa>),
    /// Janus.
    Janus(Box<Janus>),
}

impl Host {
    /// Its process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        match self {
            Self::Kaiwa(kaiwa) => kaiwa.server.pid(),
            Self::Janus(janus) => janus.pid(),
        }
    }

    /// Adds a participant, who publishes and receives as the plan says; waits for its keys.
    ///
    /// # Errors
    /// When the server refuses, or does not connect.
    pub async fn enter(&mut self, stage: &Stage, plan: Plan, wishes: Wishes) -> Result<PeerId> {
        match self {
            Self::Kaiwa(kaiwa) => {
                let peer = kaiwa.enter(stage, plan, wishes).await?;
                stage.connected(peer).await?;
                Ok(peer)
            }
            Self::Janus(janus) => {
                let mut tries = 0;
                loop {
                    let peer = janus.enter(stage, plan.clone()).await?;
                    tries += 1;
                    match stage.connected(peer).await {
                        Ok(_) => return Ok(peer),
                        Err(error) if tries == JANUS_TRIES => return Err(error),
                        Err(error) => print::progress(format_args!("Janus, once more: {error:#}")),
                    }
                    stage.leave(peer).await;
                }
            }
        }
    }

    /// What participants were told that they should not have been.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        match self {
            Self::Kaiwa(kaiwa) => kaiwa.faults(),
            Self::Janus(_) => Vec::new(),
        }
    }

    /// Everybody leaves, and the server is ended.
    ///
    /// # Errors
    /// When the server had ended by itself.
    pub async fn end(self, stage: &Stage) -> Result<()> {
        match self {
            Self::Kaiwa(kaiwa) => kaiwa.end(stage).await,
            Self::Janus(janus) => janus.end(stage).await,
        }
    }
}
