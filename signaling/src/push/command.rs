//! Commands of notifications: what they ask of the [`Push`] port, and how it is asked.

use super::{
    Device, DeviceId, DeviceSettings, PersonSettings, Push, PushError, Registration, RoomSettings,
    wire,
};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_proto::client::v1 as proto;
use kaiwa_proto::client::v1::reply::Result as ReplyResult;
use std::sync::Arc;

/// What a client asks, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// How devices can be reached.
    Get,
    /// Registers a device.
    Register(Registration),
    /// Sets how a device is told.
    SetDevice(DeviceId, DeviceSettings),
    /// One's devices.
    List,
    /// Takes a device away.
    Remove(DeviceId),
    /// One's settings.
    Settings,
    /// Sets what holds for all devices.
    SetSettings(PersonSettings),
    /// Sets what holds for a room.
    SetRoom(RoomId, RoomSettings),
    /// Why one was told of something, or was not.
    Explain {
        /// Only of this room.
        room: Option<RoomId>,
        /// At most so many.
        limit: usize,
    },
}

impl Command {
    /// It counts against the rate of changes: it is one, or it asks why, which looks through hundreds of decisions.
    #[must_use]
    pub fn is_rated(&self) -> bool {
        self.is_change() || matches!(self, Self::Explain { .. })
    }

    /// It changes something.
    #[must_use]
    pub fn is_change(&self) -> bool {
        match self {
            Self::Register(_)
            | Self::SetDevice(..)
            | Self::Remove(_)
            | Self::SetSettings(_)
            | Self::SetRoom(..) => true,
            Self::Get | Self::List | Self::Settings | Self::Explain { .. } => false,
        }
    }

    /// The room whose readers alone may command this. Whoever left a room may still take back what they had
    /// set for it.
    #[must_use]
    pub fn needs_room(&self) -> Option<&RoomId> {
        match self {
            Self::SetRoom(room, settings) if *settings != RoomSettings::default() => Some(room),
            Self::SetRoom(..)
            | Self::Get
            | Self::Register(_)
            | Self::SetDevice(..)
            | Self::List
            | Self::Remove(_)
            | Self::Settings
            | Self::SetSettings(_)
            | Self::Explain { .. } => None,
        }
    }
}

/// Asks it, for this person.
///
/// # Errors
/// The port's.
pub async fn perform(
    push: Arc<dyn Push>,
    user: UserId,
    command: Command,
) -> Result<ReplyResult, PushError> {
    let device = |device: Device| ReplyResult::Device((&device).into());
    Ok(match command {
        Command::Get => ReplyResult::Push((&push.info()).into()),
        Command::Register(registration) => {
            let channel = registration.address.channel();
            if !wire::has_channel(&push.info(), channel) {
                return Err(PushError::ChannelOff(channel));
            }
            device(push.register(user, registration).await?)
        }
        Command::SetDevice(id, settings) => device(push.set_device(user, id, settings).await?),
        Command::List => ReplyResult::Devices(proto::Devices {
            devices: push.devices(user).await?.iter().map(Into::into).collect(),
        }),
        Command::Remove(id) => {
            push.remove_device(user, id).await?;
            ReplyResult::Done(proto::Done {})
        }
        Command::Settings => ReplyResult::NotifySettings((&push.settings(user).await?).into()),
        Command::SetSettings(settings) => {
            ReplyResult::NotifySettings((&push.set_settings(user, settings).await?).into())
        }
        Command::SetRoom(room, settings) => {
            ReplyResult::NotifySettings((&push.set_room(user, room, settings).await?).into())
        }
        Command::Explain { room, limit } => {
            let decisions = push.explain(user, room, limit).await?;
            ReplyResult::NotifyDecisions(proto::NotifyDecisions {
                decisions: decisions.iter().map(Into::into).collect(),
            })
        }
    })
}
