//! What the notifier asks of others. The root binds these to adapters.

use crate::core::decision::{Decision, Verdict};
use crate::core::digest::Recent;
use crate::core::router::{Recipient, Seen};
use crate::core::settings::{Device, DeviceSettings, PersonChange, PersonSettings, RoomSettings};
use crate::core::tokens::Fate;
use crate::event::Place;
use crate::model::{Address, Badge, Channel, DeviceId, EventId};
use kaiwa_common::id::{self, RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::pin::Pin;

/// An answer to come. A write whose answer is dropped may have been done.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Try again. A write may have been done.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// What is stored cannot be read, or the statement is wrong.
    #[error("the store is broken: {0}")]
    Broken(String),
}

/// How far people are with what they may be told of: chat knows.
pub trait ReadState: Send + Sync + 'static {
    /// For each, in the order given: how far they are with the message at this place (`Seen::No` without
    /// one), and what their icon should show.
    fn standings<'a>(
        &'a self,
        place: Option<&'a Place>,
        people: &'a [Standee],
    ) -> Answer<'a, Vec<Standing>>;
}

/// Whom to ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standee {
    /// Who.
    pub user: UserId,
    /// Rooms whose unread messages do not count on their icon.
    pub uncounted: Vec<RoomId>,
}

/// How far somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// With the message.
    pub seen: Seen,
    /// What the icon should show, if that is known.
    pub badge: Option<Badge>,
}

/// Everything that the notifier stores.
pub trait Store: Devices + Preferences + Decisions + Ledger {}

impl<T: Devices + Preferences + Decisions + Ledger> Store for T {}

/// An address that is to be a person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Whose.
    pub user: UserId,
    /// For this device of theirs; one that has been registered keeps its settings.
    pub device: DeviceId,
    /// What the app calls itself.
    pub installation: id::DeviceId,
    /// Where it is reached.
    pub address: Address,
    /// What they call it.
    pub label: Redacted<String>,
    /// Now.
    pub at: UnixMs,
}

/// What registering did to others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registered {
    /// The device that had the address before, of this person or another: it is gone.
    pub moved_from: Option<DeviceId>,
    /// The one that had to make room.
    pub evicted: Option<DeviceId>,
}

/// People's devices. An address belongs to one device of one person.
pub trait Devices: Send + Sync + 'static {
    /// Registers, or registers anew; atomically takes the address from whoever had it.
    fn register(&self, registration: Registration) -> Answer<'_, Registered>;

    /// When the last push that may be on its way to this device is settled or given up; `None` when there is none.
    fn in_flight(&self, device: DeviceId, now: UnixMs) -> Answer<'_, Option<UnixMs>>;

    /// A person's devices, the newest first.
    fn devices(&self, user: &UserId) -> Answer<'_, Vec<Device>>;

    /// Forgets a device of this person; false when it is not theirs.
    fn remove(&self, user: &UserId, device: DeviceId) -> Answer<'_, bool>;

    /// Changes a device's settings; false when it is not theirs.
    fn set_device(
        &self,
        user: &UserId,
        device: DeviceId,
        settings: DeviceSettings,
    ) -> Answer<'_, bool>;
}

/// What people have set.
pub trait Preferences: Send + Sync + 'static {
    /// A person's settings; the default ones of who has set nothing.
    fn person(&self, user: &UserId) -> Answer<'_, PersonSettings>;

    /// Sets them.
    fn set_person(&self, user: &UserId, settings: PersonSettings) -> Answer<'_, ()>;

    /// Changes some of them, atomically: of two changes at once that name different ones, both hold.
    fn change_person(&self, user: &UserId, change: PersonChange) -> Answer<'_, ()>;

    /// The rooms for which they have settings of their own.
    fn rooms(&self, user: &UserId) -> Answer<'_, Vec<(RoomId, RoomSettings)>>;

    /// Greater at each change of a person's settings or of a room's; 0 before the first.
    fn settings_version(&self, user: &UserId) -> Answer<'_, u64>;

    /// Sets a room's, or puts it back to the default; false at the bound of rooms for a person.
    fn set_room(
        &self,
        user: &UserId,
        room: &RoomId,
        settings: Option<RoomSettings>,
    ) -> Answer<'_, bool>;

    /// People who have set this room to every message, those after `after` by id, ascending, at most `limit`: in
    /// large rooms only they and those who are mentioned are told.
    fn opted_in(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Answer<'_, Vec<UserId>>;
}

/// What the router has to know of an event's recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The event.
    pub event: EventId,
    /// Its room.
    pub room: Option<RoomId>,
    /// What a silent event takes away.
    pub takes_away: Option<Shown>,
    /// Its recipients.
    pub users: Vec<UserId>,
    /// Now.
    pub now: UnixMs,
}

/// What a device may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its collapse key.
    pub key: String,
    /// Of a room: messages up to this.
    pub up_to: u64,
}

/// What is known of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// All but how far they are and their icon.
    pub recipient: Recipient,
    /// Rooms whose unread messages do not count on their icon.
    pub uncounted: Vec<RoomId>,
    /// It has been decided before: the event came again.
    pub is_decided: bool,
}

/// A decision, to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Of which event.
    pub event: EventId,
    /// When it happened.
    pub time: UnixMs,
    /// In which room.
    pub room: Option<RoomId>,
    /// The message's number in it.
    pub seq: Option<u64>,
    /// For whom.
    pub user: UserId,
    /// The decision.
    pub decision: Decision,
    /// What they were told of the room with it.
    pub recent: Option<Recent>,
    /// What waits.
    pub holds: Vec<Hold>,
    /// When it was decided.
    pub at: UnixMs,
}

/// A push that waits for a device. With what waits there under the same key it becomes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The device.
    pub device: DeviceId,
    /// Its collapse key.
    pub collapse: String,
    /// Until then.
    pub until: UnixMs,
    /// The message's number in its room; the latest one is what will be shown.
    pub seq: u64,
    /// The event, as the wire has it.
    pub event: String,
    /// How many it stands for: more than one when it has waited before.
    pub count: u32,
}

/// What has waited long enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// For whom.
    pub user: UserId,
    /// For which device.
    pub device: DeviceId,
    /// Under which key.
    pub collapse: String,
    /// The latest event, as the wire has it.
    pub event: String,
    /// How many there are.
    pub count: u32,
}

/// A decision as it is shown to who asks why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Of which event.
    pub event: EventId,
    /// When it happened.
    pub time: UnixMs,
    /// When it was decided.
    pub at: UnixMs,
    /// In which room.
    pub room: Option<RoomId>,
    /// The message's number in it.
    pub seq: Option<u64>,
    /// The decision.
    pub decision: Decision,
    /// What became of each device's push, for those that got to one.
    pub fates: Vec<(DeviceId, PushState)>,
}

impl Explained {
    /// The device's verdict, if it was asked about.
    #[must_use]
    pub fn verdict(&self, device: DeviceId) -> Option<Verdict> {
        let found = self.decision.devices.iter().find(|d| d.device == device);
        found.map(|d| d.verdict)
    }
}

/// Where a push to one device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushState {
    /// Somebody is sending it, until then.
    Claimed {
        /// Then another may.
        until: UnixMs,
    },
    /// It has to be tried again.
    Open {
        /// What happened.
        code: String,
    },
    /// The provider took it.
    Sent {
        /// Its id for it.
        provider_id: String,
    },
    /// It will not be sent.
    Failed {
        /// Why.
        code: String,
    },
}

/// The router's memory.
pub trait Decisions: Send + Sync + 'static {
    /// What is known of each recipient, in the order given; who cannot be read is left out.
    fn profiles(&self, ask: Ask) -> Answer<'_, Vec<Profile>>;

    /// Calls under this key ring for nobody of these any more, from now on.
    fn call_over(&self, users: Vec<UserId>, key: String, now: UnixMs) -> Answer<'_, ()>;

    /// Keeps decisions, and what waits by them; one that is known already is left as it is. What has
    /// been `released` waits no more, unless it is more by now; its decisions replace the known ones.
    fn record(&self, records: Vec<Record>, released: Vec<Due>) -> Answer<'_, ()>;

    /// What has waited long enough, the longest first. What cannot be read is left out, and never due again.
    fn due(&self, now: UnixMs, limit: usize) -> Answer<'_, Vec<Due>>;

    /// Why did this person get a push for this event, or not?
    fn explain(&self, event: EventId, user: &UserId) -> Answer<'_, Option<Explained>>;

    /// What was decided about this event, by people's ids, at most `limit`.
    fn decided(&self, event: EventId, limit: usize) -> Answer<'_, Vec<(UserId, Explained)>>;

    /// The newest decisions for a person, the newest first.
    fn recent(&self, user: &UserId, limit: usize) -> Answer<'_, Vec<Explained>>;

    /// Forgets what is too old or too much, a bounded part at a time; how much that was.
    fn trim(&self, now: UnixMs) -> Answer<'_, usize>;
}

/// What is to be claimed: one push each for these devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Of which event.
    pub event: EventId,
    /// Whose devices; nobody's for an operator.
    pub user: Option<UserId>,
    /// Of this channel.
    pub channel: Channel,
    /// Which.
    pub devices: Vec<DeviceId>,
    /// The push shows something under this key, for a message up to this number; `None` when silent.
    pub shows: Option<Shown>,
    /// Now.
    pub now: UnixMs,
    /// Others may try from then on.
    pub until: UnixMs,
}

/// What came of a claim for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Send; to this device, of a person.
    Yes(Option<Box<Device>>),
    /// It has been sent, or it will not be.
    Done,
    /// Somebody else is at it, until then.
    Busy(UnixMs),
    /// It is not a device of this person any more, or does not take pushes. That is recorded.
    Gone,
    /// The call is over. That is recorded.
    Over,
}

/// What became of a push to one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Of which event.
    pub event: EventId,
    /// To which device.
    pub device: DeviceId,
    /// Where it stands; not `Claimed`.
    pub state: PushState,
    /// What becomes of the device, if its address is the one registered then.
    pub fate: Option<(Fate, UnixMs)>,
    /// This was taken away from it.
    pub took_away: Option<(UserId, Shown)>,
    /// Now.
    pub at: UnixMs,
}

/// That each device is told of each event once.
pub trait Ledger: Send + Sync + 'static {
    /// Claims the pushes, and reads the devices in the same transaction; in the order given.
    fn claim(&self, claim: Claim) -> Answer<'_, Vec<Claimed>>;

    /// Records what became of them, and of what was sent, when, with its device. What has been sent stays sent.
    fn settle(&self, settled: Vec<Settled>) -> Answer<'_, ()>;
}
