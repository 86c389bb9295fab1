//! What has come.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// A message that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The device's token; of a Web Push subscription the last part of its endpoint.
    pub device: String,
    /// By which a repeat is known: `apns-id`, or `id` in the payload. Empty when there is none.
    pub id: String,
    /// `Topic`, `apns-collapse-id`, `collapse_key`. Empty when there is none.
    pub collapse: String,
    /// `Urgency`, `apns-priority`, `android.priority`.
    pub urgency: String,
    /// `apns-push-type`.
    pub push_type: String,
    /// Seconds to live (Web Push, FCM), or the time of its end (APNs).
    pub ttl: String,
    /// What it says, decrypted; empty when it wasn't opened.
    pub payload: String,
    /// Bytes of the body as it came.
    pub bytes: usize,
    /// The body as it came, for who can decrypt it (Web Push).
    #[serde(skip)]
    pub body: bytes::Bytes,
}

/// What has come to one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeviceReport {
    /// Messages that were accepted.
    pub delivered: u64,
    /// Of these, how many had an id that had come before.
    pub duplicates: u64,
    /// Of these, how many had another collapse key than the first: a person sees both.
    pub visible_duplicates: u64,
    /// The collapse keys.
    pub collapse: BTreeSet<String>,
    /// Messages that a device that was away would get: later ones replace those with the same key.
    pub stored: usize,
}

/// What has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Connections that were made.
    pub connections: u64,
    /// Requests.
    pub requests: u64,
    /// Messages that were accepted.
    pub delivered: u64,
    /// Of these, repeats.
    pub duplicates: u64,
    /// Messages that could not be decrypted.
    pub unreadable: u64,
    /// Requests that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Access tokens that were given (FCM).
    pub tokens: u64,
    /// By device.
    pub devices: BTreeMap<String, DeviceReport>,
}

/// Deliveries that are kept whole; older ones are only counted.
const KEPT: usize = 10_000;

#[derive(Default)]
pub(crate) struct Record {
    pub(crate) report: Report,
    latest: VecDeque<Delivery>,
    /// By device and id, the collapse key of the first.
    seen: HashMap<(String, String), String>,
    uncollapsed: HashMap<String, usize>,
}

impl Record {
    pub(crate) fn accept(&mut self, delivery: Delivery) {
        self.report.delivered += 1;
        let device = self
            .report
            .devices
            .entry(delivery.device.clone())
            .or_default();
        device.delivered += 1;
        if delivery.collapse.is_empty() {
            *self.uncollapsed.entry(delivery.device.clone()).or_default() += 1;
        } else {
            device.collapse.insert(delivery.collapse.clone());
        }
        if !delivery.id.is_empty() {
            let key = (delivery.device.clone(), delivery.id.clone());
            if let Some(first) = self.seen.get(&key) {
                self.report.duplicates += 1;
                device.duplicates += 1;
                device.visible_duplicates += u64::from(*first != delivery.collapse);
            } else {
                self.seen.insert(key, delivery.collapse.clone());
            }
        }
        let uncollapsed = self.uncollapsed.get(&delivery.device).copied().unwrap_or(0);
        device.stored = device.collapse.len() + uncollapsed;
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(delivery);
    }

    pub(crate) fn refuse(&mut self, reason: &str) {
        *self.report.refused.entry(reason.to_owned()).or_default() += 1;
    }

    pub(crate) fn report(&self) -> Report {
        self.report.clone()
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.latest.iter().cloned().collect()
    }
}
