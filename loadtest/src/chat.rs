//! Measurements of chat, each beside what the machine could do at best.

pub mod fanout;
pub mod idle;
pub mod sends;
pub mod stats;

use crate::codec::Codec;
use crate::lean::Lean;
use crate::server::Spec;
use anyhow::{Context as _, Result, bail, ensure};
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::{
    ClientMessage, Connect, RoomCreate, RoomInfo, RoomKind, RoomPosition, Visibility, reply,
    server_message,
};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use tempfile::TempDir;

/// What is measured, and where.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The `kaiwa` program.
    pub binary: PathBuf,
    /// Where its data goes; the system's temporary folder when left out.
    pub data: Option<PathBuf>,
}

impl Setup {
    /// A server that isn't started yet, with a data folder that goes with the handle.
    ///
    /// # Errors
    /// When there is no place or port for it.
    pub fn spec(&self) -> Result<(Spec, TempDir)> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("kaiwa-bench-");
        let folder = match &self.data {
            Some(data) => builder.tempdir_in(data)?,
            None => builder.tempdir()?,
        };
        Ok((Spec::new(&self.binary, folder.path())?, folder))
    }
}

/// A lean connection as somebody, and the ids of its commands.
#[derive(Debug)]
pub struct Voice {
    /// The connection.
    pub lean: Lean,
    next_id: u32,
}

impl Voice {
    /// Connects, following these rooms from their present heads.
    ///
    /// # Errors
    /// When the server doesn't take it.
    pub async fn connect(
        server: SocketAddr,
        codec: Codec,
        from: Option<IpAddr>,
        token: &str,
        rooms: Vec<RoomPosition>,
    ) -> Result<Self> {
        let mut lean = Lean::open(server, codec, from).await?;
        let connect = Connect {
            token: token.to_owned(),
            device: "load".to_owned(),
            resume: None,
            rooms,
            client: String::new(),
        };
        let command = Some(Command::Connect(connect));
        lean.send(&[ClientMessage { id: 1, command }]).await?;
        let mut voice = Self { lean, next_id: 2 };
        let result = voice.reply(1).await?;
        ensure!(
            matches!(result, reply::Result::Connected(_)),
            "not connected: {result:?}"
        );
        Ok(voice)
    }

    /// Does one command.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn request(&mut self, command: Command) -> Result<reply::Result> {
        let id = self.take_id();
        self.lean
            .send(&[ClientMessage {
                id,
                command: Some(command),
            }])
            .await?;
        self.reply(id).await
    }

    /// Does a command whose answer is a room.
    ///
    /// # Errors
    /// When it is not.
    pub async fn room(&mut self, command: Command) -> Result<RoomInfo> {
        let result = self.request(command).await?;
        let reply::Result::Room(info) = result else {
            bail!("not a room: {result:?}")
        };
        Ok(info)
    }

    /// The next command's id.
    pub fn take_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id - 1
    }

    async fn reply(&mut self, id: u32) -> Result<reply::Result> {
        loop {
            for message in self.lean.next().await? {
                // Pushes are somebody else's business here.
                if let Some(server_message::Message::Reply(reply)) = message.message
                    && reply.id == id
                {
                    return reply.result.context("a reply without a result");
                }
            }
        }
    }
}

/// A public group room to be made.
#[must_use]
pub fn public_room(cid: String, title: &str) -> Command {
    Command::RoomCreate(RoomCreate {
        cid,
        kind: RoomKind::Group.into(),
        title: title.to_owned(),
        visibility: Visibility::Public.into(),
        members: vec![],
    })
}
