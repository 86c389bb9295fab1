//! The SHA-256 of the whole, begun while parts still arrive: as far as they stand at their places without a gap. It is
//! in memory alone; without it (after a restart, or when parts came in another order) the whole is read at the end.

use super::complete::hash_into;
use kaiwa_common::limits::OBJECT_PREFIXES;
use ring::digest;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Of uploads that are under way.
#[derive(Default)]
pub(super) struct Prefixes {
    open: Mutex<BTreeMap<String, Arc<Mutex<Prefix>>>>,
}

/// How far it is.
#[derive(Clone)]
pub(super) struct Prefix {
    arrived: BTreeSet<u32>,
    /// The first part that is not in it.
    pub(super) next: u32,
    /// Bytes that are in it.
    pub(super) bytes: u64,
    pub(super) hash: digest::Context,
    is_broken: bool,
}

impl Prefix {
    pub(super) fn empty() -> Self {
        Self {
            arrived: BTreeSet::new(),
            next: 1,
            bytes: 0,
            hash: digest::Context::new(&digest::SHA256),
            is_broken: false,
        }
    }

    fn advance(&mut self, data: &PathBuf, stride: u64) -> std::io::Result<()> {
        while self.arrived.remove(&self.next) {
            let file = File::open(data)?;
            hash_into(&file, self.bytes, self.bytes + stride, &mut self.hash)?;
            self.bytes += stride;
            self.next += 1;
        }
        Ok(())
    }
}

impl Prefixes {
    /// A part that fills its place stands there, and nobody will write to it until the object is made.
    pub(super) fn arrived(&self, upload: &str, number: u32, data: PathBuf, stride: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OBJECT_PREFIXES && !open.contains_key(upload) {
            return;
        }
        let prefix = open
            .entry(upload.to_owned())
            .or_insert_with(|| Arc::new(Mutex::new(Prefix::empty())));
        let prefix = Arc::clone(prefix);
        drop(open);
        tokio::task::spawn_blocking(move || {
            let mut prefix = prefix.lock().unwrap_or_else(PoisonError::into_inner);
            prefix.arrived.insert(number);
            if prefix.advance(&data, stride).is_err() {
                prefix.is_broken = true;
            }
        });
    }

    /// What there is of it; it is forgotten.
    pub(super) fn take(&self, upload: &str) -> Prefix {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let prefix = open.remove(upload);
        drop(open);
        let prefix = prefix.map(|prefix| {
            prefix
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        });
        prefix
            .filter(|prefix| !prefix.is_broken)
            .unwrap_or_else(Prefix::empty)
    }
}
