//! What people and operators ask of the notifier.

use super::Notifier;
use crate::core::settings::{Device, DeviceSettings, PersonChange, PersonSettings, RoomSettings};
use crate::model::{Address, DeviceId, EventId};
use crate::ports::{Explained, Registration, StoreError};
use kaiwa_common::id::{self, RoomId, UserId};
use kaiwa_common::limits::NOTIFY_LABEL_BYTES;
use kaiwa_common::redact::Redacted;
use std::time::Duration;
use uuid::Uuid;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifierError {
    /// There is no such device of this person, or no such queue.
    #[error("there is none")]
    NotFound,
    /// The bound of rooms with settings of their own is reached.
    #[error("too many rooms with settings of their own")]
    TooManyRooms,
    /// Nobody's device has such an address.
    #[error("not an address of a device")]
    NoDevice,
    /// Try again, unless the store is broken.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Between two looks at whether the last push to a former owner is done.
const LOOK: Duration = Duration::from_millis(50);

/// The notifier's name for a person's installation of the app: always the same, and different for
/// two people who use one browser.
#[must_use]
pub fn device_id(user: &UserId, installation: &id::DeviceId) -> DeviceId {
    // Neither id has a newline in it.
    let name = format!("{user}\n{installation}");
    DeviceId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
}

impl Notifier {
    /// Registers where this installation is reached. The address is this person's from now on: when
    /// this answers, no push for whoever had it before is on its way to it any more. Answers with the device
    /// as it is then.
    ///
    /// # Errors
    /// [`NotifierError`]; `NotFound` when it has been taken away meanwhile.
    pub async fn register(
        &self,
        user: &UserId,
        installation: &id::DeviceId,
        address: Address,
        label: &str,
    ) -> Result<Device, NotifierError> {
        if address == Address::Slack {
            return Err(NotifierError::NoDevice);
        }
        let device = device_id(user, installation);
        let end = label.floor_char_boundary(NOTIFY_LABEL_BYTES);
        let registration = Registration {
            user: user.clone(),
            device,
            installation: installation.clone(),
            address,
            label: Redacted(label[..end].to_owned()),
            at: self.clock.now(),
        };
        let registered = self.store.register(registration).await?;
        if let Some(former) = registered.moved_from {
            self.settle(former).await?;
        }
        let theirs = self.store.devices(user).await?;
        let found = theirs.into_iter().find(|one| one.id == device);
        found.ok_or(NotifierError::NotFound)
    }

    /// Awaits what was claimed before the device went: a minute at most, usually nothing.
    async fn settle(&self, device: DeviceId) -> Result<(), NotifierError> {
        while let Some(until) = self.store.in_flight(device, self.clock.now()).await? {
            let next = self.clock.now().plus(LOOK).min(until);
            self.clock.sleep_until(next).await;
        }
        Ok(())
    }

    /// A person's devices, the newest first.
    ///
    /// # Errors
    /// [`NotifierError::Store`].
    pub async fn devices(&self, user: &UserId) -> Result<Vec<Device>, NotifierError> {
        Ok(self.store.devices(user).await?)
    }

    /// Forgets a device, when somebody signs out or takes it off their list. When this answers, nothing is on its
    /// way to it any more: who signs in there next may register the same address.
    ///
    /// # Errors
    /// [`NotifierError`]; `NotFound` when it is not theirs.
    pub async fn remove_device(
        &self,
        user: &UserId,
        device: DeviceId,
    ) -> Result<(), NotifierError> {
        let was_theirs = self.store.remove(user, device).await?;
        self.settle(device).await?;
        found(was_theirs)
    }

    /// Changes a device's settings.
    ///
    /// # Errors
    /// [`NotifierError`]; `NotFound` when it is not theirs.
    pub async fn set_device(
        &self,
        user: &UserId,
        device: DeviceId,
        settings: DeviceSettings,
    ) -> Result<(), NotifierError> {
        found(self.store.set_device(user, device, settings).await?)
    }

    /// A person's settings.
    ///
    /// # Errors
    /// [`NotifierError::Store`].
    pub async fn person(&self, user: &UserId) -> Result<PersonSettings, NotifierError> {
        Ok(self.store.person(user).await?)
    }

    /// Changes them.
    ///
    /// # Errors
    /// [`NotifierError::Store`].
    pub async fn set_person(
        &self,
        user: &UserId,
        settings: PersonSettings,
    ) -> Result<(), NotifierError> {
        Ok(self.store.set_person(user, settings).await?)
    }

    /// Changes some of them, in one step.
    ///
    /// # Errors
    /// [`NotifierError::Store`].
    pub async fn change_person(
        &self,
        user: &UserId,
        change: PersonChange,
    ) -> Result<(), NotifierError> {
        Ok(self.store.change_person(user, change).await?)
    }

    /// The rooms for which a person has settings of their own.
    ///
    /// # Errors
    /// [`NotifierError::Store`].
    pub async fn rooms(&self, user: &UserId) -> Result<Vec<(RoomId, RoomSettings)>, NotifierError> {
        Ok(self.store.rooms(user).await?)
    }

    /// Changes a room's, or puts it back to the default.
    ///
    /// # Errors
    /// [`NotifierError`].
    pub async fn set_room(
        &self,
        user: &UserId,
        room: &RoomId,
        settings: Option<RoomSettings>,
    ) -> Result<(), NotifierError> {
        let is_set = self.store.set_room(user, room, settings).await?;
        is_set.then_some(()).ok_or(NotifierError::TooManyRooms)
    }

    /// Greater at each change of this person's settings, and of those for their rooms; 0 before the first.
    ///
    /// # Errors
    /// [`NotifierError::Store`].
    pub async fn settings_version(&self, user: &UserId) -> Result<u64, NotifierError> {
        Ok(self.store.settings_version(user).await?)
    }

    /// Why did this person get a push for this event, or not? `None` when it was never asked, or is forgotten.
    ///
    /// # Errors
    /// [`NotifierError::Store`].
    pub async fn explain(
        &self,
        event: EventId,
        user: &UserId,
    ) -> Result<Option<Explained>, NotifierError> {
        Ok(self.store.explain(event, user).await?)
    }

    /// What was decided about this event, for everybody; of more than `limit` people, the first by their ids.
    ///
    /// # Errors
    /// [`NotifierError::Store`].
    pub async fn decided(
        &self,
        event: EventId,
        limit: usize,
    ) -> Result<Vec<(UserId, Explained)>, NotifierError> {
        Ok(self.store.decided(event, limit).await?)
    }

    /// The newest decisions for a person, the newest first.
    ///
    /// # Errors
    /// [`NotifierError::Store`].
    pub async fn recent(
        &self,
        user: &UserId,
        limit: usize,
    ) -> Result<Vec<Explained>, NotifierError> {
        Ok(self.store.recent(user, limit).await?)
    }
}

fn found(is_found: bool) -> Result<(), NotifierError> {
    is_found.then_some(()).ok_or(NotifierError::NotFound)
}
