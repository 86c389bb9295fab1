//! Servers that calls are measured on, each as a child process pinned to a core: Kaiwa and Janus.

pub mod janus;
pub mod kaiwa;

use self::janus::Janus;
use self::kaiwa::Kaiwa;
use super::engine::PeerId;
use super::peer::Plan;
use super::stage::{Stage, Wishes};
use anyhow::{Result, bail};
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
        let publishes = plan.audio.is_some() || plan.video.is_some();
        let receives = plan.audio_slots + plan.video_slots > 0;
        let peer = match self {
            Self::Kaiwa(kaiwa) => kaiwa.enter(stage, plan, wishes).await?,
            Self::Janus(janus) => match (publishes, receives) {
                (true, false) => janus.publish(stage, plan).await?,
                (false, true) => janus.subscribe(stage, plan).await?,
                _ => bail!("VideoRoom's participants publish or receive"),
            },
        };
        stage.connected(peer).await?;
        Ok(peer)
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
