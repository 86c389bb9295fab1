//! How much may be under way at once. With this bound the mailboxes behind it need none of their own.

use crate::error::ChatError;
use crate::model::Write;
use kaiwa_common::id::UserId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use tokio::sync::Notify;

/// Writes under way in the whole service. With 64 in flight for each of a thousand busy sessions the
/// disk is seconds behind; more would only make everybody's answer later. Then `overloaded`.
const WRITES: usize = 65_536;

/// Bytes of writes under way in the whole service, so that long texts cannot take the memory.
const BYTES: usize = 128 * 1024 * 1024;

/// What a write weighs beside its text: command, ticket, event, cid.
const WRITE_BYTES: usize = 512;

/// Counts what is under way.
#[derive(Debug, Default)]
pub(super) struct Admission {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    writes: AtomicUsize,
    bytes: AtomicUsize,
    draining: AtomicBool,
    idle: Notify,
}

/// A place for one write; given back when dropped, which is when the write is answered.
#[derive(Debug)]
pub(super) struct Permit {
    counts: Arc<Counts>,
    bytes: usize,
}

impl Admission {
    /// Takes a place, or refuses.
    pub(super) fn admit(&self, write: &Write) -> Result<Permit, ChatError> {
        let counts = Arc::clone(&self.counts);
        let bytes = bytes_of(write);
        // Counted before the flag is read, and `drain` sets the flag before it reads the count: one
        // of the two sees the other.
        let writes = counts.writes.fetch_add(1, SeqCst);
        let waiting = counts.bytes.fetch_add(bytes, SeqCst);
        let permit = Permit { counts, bytes };
        if permit.counts.draining.load(SeqCst) {
            return Err(ChatError::Draining);
        }
        if writes >= WRITES || waiting + bytes > BYTES {
            return Err(ChatError::Overloaded);
        }
        Ok(permit)
    }

    /// Admits nobody any more, and returns when nothing is under way.
    pub(super) async fn drain(&self) {
        self.counts.draining.store(true, SeqCst);
        loop {
            let idle = self.counts.idle.notified();
            tokio::pin!(idle);
            // Enabled before the count is read, so that no wake-up is missed between the two.
            idle.as_mut().enable();
            if self.counts.writes.load(SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts.bytes.fetch_sub(self.bytes, SeqCst);
        if self.counts.writes.fetch_sub(1, SeqCst) == 1 {
            self.counts.idle.notify_waiters();
        }
    }
}

fn bytes_of(write: &Write) -> usize {
    match write {
        Write::Send { text, mentions, .. } | Write::Edit { text, mentions, .. } => {
            WRITE_BYTES + text.0.len() + mentions.users.len() * UserId::MAX_BYTES
        }
        Write::PostClip { clip, .. } | Write::ShowClip { clip, .. } => {
            WRITE_BYTES + 2 * clip.title.0.len()
        }
        Write::Create(new) => WRITE_BYTES * (1 + new.invite.len()),
        Write::Delete { .. }
        | Write::RemoveClip { .. }
        | Write::OpenDirect { .. }
        | Write::Join { .. }
        | Write::Leave { .. }
        | Write::Invite { .. }
        | Write::Remove { .. }
        | Write::SetRole { .. } => WRITE_BYTES,
    }
}
