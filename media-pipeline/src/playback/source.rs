//! What a clip has to play.

use super::files;
use crate::model::{Clip, ClipId, ClipState};
use crate::ports::{Answer, ClipStore, StoreError};
use kaiwa_common::id::RoomId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a clip's objects are: `video/{user}/{yyyy}/{mm}/{clip}/`.
pub type PrefixOf = Arc<dyn Fn(&Clip) -> String + Send + Sync>;

/// A clip that can be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playable {
    /// Where it is shown: the epoch of the one for which a token was made counts.
    pub rooms: Vec<RoomId>,
    /// Its files by the name that URLs have.
    pub files: BTreeMap<String, PlayableFile>,
}

/// A file of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayableFile {
    /// The object.
    pub key: String,
    /// As what it is sent.
    pub content_type: &'static str,
    /// The store's mark that its bytes have to have: of a file that is shown as it came, those that were looked at.
    pub mark: Option<String>,
}

/// Finds them.
pub trait PlayableClips: Send + Sync + 'static {
    /// The clip, if it is ready.
    fn playable(&self, clip: ClipId) -> Answer<'_, Option<Playable>, StoreError>;
}

/// Those of a store.
pub struct StoredClips {
    store: Arc<dyn ClipStore>,
    prefix_of: PrefixOf,
}

impl StoredClips {
    /// Those of this store, whose objects are there.
    #[must_use]
    pub fn new(store: Arc<dyn ClipStore>, prefix_of: PrefixOf) -> Self {
        Self { store, prefix_of }
    }
}

impl PlayableClips for StoredClips {
    fn playable(&self, clip: ClipId) -> Answer<'_, Option<Playable>, StoreError> {
        Box::pin(async move {
            let clip = self.store.get(clip).await?;
            Ok(clip.and_then(|clip| Playable::of(&clip, &(self.prefix_of)(&clip))))
        })
    }
}

/// The name under which a file is played that is shared as it came.
pub(super) const SOURCE: &str = "source";

impl Playable {
    /// What this clip has below its prefix, if it is ready: what was written and verified, and its subtitles. Its
    /// source only where that is what is played.
    #[must_use]
    pub fn of(clip: &Clip, prefix: &str) -> Option<Self> {
        let outputs = clip
            .outputs
            .as_ref()
            .filter(|_| clip.state == ClipState::Ready)?;
        let captions = clip.captions.values().map(|captions| &captions.file);
        let names = outputs.files.keys().chain(captions);
        let mut files: BTreeMap<String, PlayableFile> = names
            .filter(|name| files::is_plain(name))
            .filter_map(|name| {
                let content_type = files::content_type(name)?;
                let key = format!("{prefix}processed/{name}");
                let mark = None;
                let file = PlayableFile {
                    key,
                    content_type,
                    mark,
                };
                Some((name.clone(), file))
            })
            .collect();
        if outputs.playlist.is_none() {
            let key = format!("{prefix}{SOURCE}");
            let container = clip.source.as_ref().map_or("", |source| &source.container);
            let content_type = files::source_type(container, clip.kind);
            let mark = clip.chores.seen.clone();
            files.insert(
                SOURCE.to_owned(),
                PlayableFile {
                    key,
                    content_type,
                    mark,
                },
            );
        }
        let rooms = std::iter::once(&clip.room).chain(clip.chores.rooms.keys());
        Some(Self {
            rooms: rooms.cloned().collect(),
            files,
        })
    }
}
