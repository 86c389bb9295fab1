//! A notifier that keeps devices and settings in memory, and sends nothing.

use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::time::UnixMs;
use kaiwa_signaling::push::{
    Address, Answer, Attempt, Channel, Decision, Device, DeviceId, DeviceSettings, NotifySettings,
    PersonSettings, Push, PushError, PushInfo, Registration, RoomSettings,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// Rooms with settings of their own.
pub(crate) const ROOMS: usize = 2;

const NOW: UnixMs = UnixMs(1_790_000_000_000);

#[derive(Default)]
struct State {
    devices: BTreeMap<(UserId, DeviceId), (Device, Address)>,
    settings: BTreeMap<UserId, (PersonSettings, BTreeMap<RoomId, RoomSettings>, u64)>,
    is_down: bool,
}

/// The fake.
#[derive(Default)]
pub(crate) struct MemoryPush {
    state: Mutex<State>,
}

impl MemoryPush {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on the store does not answer.
    pub(crate) fn fail(&self) {
        self.state.lock().expect("whole").is_down = true;
    }

    fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut State) -> Result<T, PushError>,
    ) -> Answer<'static, T> {
        let mut state = self.state.lock().expect("whole");
        let result = if state.is_down {
            Err(PushError::Unavailable)
        } else {
            act(&mut state)
        };
        Box::pin(ready(result))
    }
}

impl State {
    fn told(&self, user: &UserId) -> NotifySettings {
        let (person, rooms, version) = self.settings.get(user).cloned().unwrap_or_default();
        NotifySettings {
            person,
            rooms: rooms.into_iter().collect(),
            version,
        }
    }
}

impl Push for MemoryPush {
    fn info(&self) -> PushInfo {
        PushInfo {
            vapid_key: Some([4; 65]),
            channels: vec![Channel::Fcm],
        }
    }

    fn register(&self, user: UserId, registration: Registration) -> Answer<'_, Device> {
        self.with(|state| {
            if let Address::WebPush { endpoint, .. } = &registration.address
                && (endpoint.0.contains("//127.") || endpoint.0.contains("//10."))
            {
                return Err(PushError::AddressRefused(Cow::Borrowed("not public")));
            }
            let address = registration.address;
            state.devices.retain(|_, (_, theirs)| *theirs != address);
            let key = (user, registration.device);
            let known = state.devices.get(&key);
            let device = Device {
                id: registration.device,
                name: registration.name,
                channel: address.channel(),
                registered: NOW,
                last_push: None,
                settings: known.map(|(d, _)| d.settings.clone()).unwrap_or_default(),
            };
            state.devices.insert(key, (device.clone(), address));
            Ok(device)
        })
    }

    fn set_device(
        &self,
        user: UserId,
        device: DeviceId,
        settings: DeviceSettings,
    ) -> Answer<'_, Device> {
        self.with(|state| {
            let known = state.devices.get_mut(&(user, device));
            let (known, _) = known.ok_or(PushError::DeviceUnknown)?;
            if settings
                .quiet
                .as_ref()
                .is_some_and(|q| q.zone != "Asia/Tokyo")
            {
                return Err(PushError::ZoneUnknown);
            }
            known.settings = settings;
            Ok(known.clone())
        })
    }

    fn devices(&self, user: UserId) -> Answer<'_, Vec<Device>> {
        self.with(|state| {
            let own = state.devices.iter().filter(|((of, _), _)| *of == user);
            Ok(own.map(|(_, (device, _))| device.clone()).collect())
        })
    }

    fn remove_device(&self, user: UserId, device: DeviceId) -> Answer<'_, ()> {
        self.with(|state| {
            state.devices.remove(&(user, device));
            Ok(())
        })
    }

    fn settings(&self, user: UserId) -> Answer<'_, NotifySettings> {
        self.with(|state| Ok(state.told(&user)))
    }

    fn set_settings(&self, user: UserId, settings: PersonSettings) -> Answer<'_, NotifySettings> {
        self.with(|state| {
            let own = state.settings.entry(user.clone()).or_default();
            own.0 = settings;
            own.2 += 1;
            Ok(state.told(&user))
        })
    }

    fn set_room(
        &self,
        user: UserId,
        room: RoomId,
        settings: RoomSettings,
    ) -> Answer<'_, NotifySettings> {
        self.with(|state| {
            let own = state.settings.entry(user.clone()).or_default();
            own.1.remove(&room);
            if settings != RoomSettings::default() {
                if own.1.len() == ROOMS {
                    return Err(PushError::TooManyRooms { limit: ROOMS });
                }
                own.1.insert(room, settings);
            }
            own.2 += 1;
            Ok(state.told(&user))
        })
    }

    fn explain(&self, _: UserId, room: Option<RoomId>, limit: usize) -> Answer<'_, Vec<Decision>> {
        self.with(|_| {
            let decision = Decision {
                event: Uuid::from_u128(5),
                time: NOW,
                room,
                seq: Some(7),
                is_sent: true,
                reason: Cow::Borrowed("accepted"),
                message: Cow::Borrowed("sent to one device"),
                attempts: vec![Attempt {
                    device: DeviceId(Uuid::from_u128(1)),
                    time: NOW,
                    is_accepted: true,
                    code: "201".to_owned(),
                }],
            };
            Ok([decision].into_iter().take(limit).collect())
        })
    }
}
