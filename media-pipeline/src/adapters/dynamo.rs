//! Clips in one table of Amazon DynamoDB, for several servers at once.
//!
//! A change, its revision, the request that it answers and the places where it is found are one transaction.

mod commit;
mod errors;
mod group;
mod items;
mod reading;
mod table;

pub use table::create_table;

use crate::model::{Backend, Clip, ClipId, ClipState};
use crate::ports::{Answer, ClipStore, Page, Query, Request, StoreError, Usage};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use commit::{Writer, read_head};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use group::{Change, Must, Write};
use items::{Item, Key, OLD};
use kaiwa_common::id::UserId;
use kaiwa_common::limits::CLIP_TRIM;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::Clock;
use reading::Reader;
use std::collections::BTreeMap;
use std::sync::Arc;
use table::{DUE_AT, DUE_SHARDS, PK};

/// Deletions of `trim` that are under way at once.
const TRIMMED_AT_ONCE: usize = 16;

/// Clips in a table of DynamoDB. Cheap to clone.
#[derive(Clone)]
pub struct DynamoStore {
    reader: Reader,
    writer: Writer,
    clock: Arc<dyn Clock>,
}

impl DynamoStore {
    /// In a table that [`create_table`] made. A runtime has to be there: one task of it writes.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: there is no such table, or no right to read it. [`StoreError::Unavailable`]: try
    /// again.
    pub async fn open(
        config: &SdkConfig,
        table: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let client = Client::new(config);
        read_head(&client, table).await?;
        let table = table.to_owned();
        let writer = Writer::begin(client.clone(), table.clone(), Arc::clone(&clock));
        let reader = Reader { client, table };
        Ok(Self {
            reader,
            writer,
            clock,
        })
    }

    /// The rows of a change; `must` is for the clip's own.
    fn change(
        &self,
        clip: &Clip,
        must: Must,
        request: Option<&Request>,
    ) -> Result<Change, StoreError> {
        let is_new = must == Must::BeNew;
        let row = items::clip_row(clip)?;
        let bytes = items::body_bytes(&row);
        let mut writes = vec![Write { item: row, must }];
        if let Some(request) = request {
            let item = items::request_row(request, self.clock.now());
            let must = Must::BeNewOrOld(request.at.0);
            writes.push(Write { item, must });
        }
        let mut found = Vec::new();
        if is_new {
            found.push(items::room_row(clip.room.as_str(), clip.id));
            found.push(items::person_row(clip));
        }
        // How long it plays is known later.
        if is_new || !clip.chores.media.is_zero() {
            found.push(items::used_row(clip));
        }
        let others = clip.chores.rooms.keys().filter(|room| **room != clip.room);
        found.extend(others.map(|room| items::room_row(room.as_str(), clip.id)));
        let must = Must::BeAnything;
        writes.extend(found.into_iter().map(|item| Write {
            item,
            must: must.clone(),
        }));
        Ok(Change {
            clip: clip.id,
            writes,
            bytes,
        })
    }

    /// Notes it under its key, unless it is there and not forgotten yet.
    async fn put_once(&self, mut item: Item, now: UnixMs) -> Result<bool, StoreError> {
        // A repetition of this call by the SDK, after a lost answer, finds its own note.
        let call = AttributeValue::S(uuid::Uuid::new_v4().to_string());
        item.insert("call".to_owned(), call.clone());
        let put = self.reader.client.put_item().table_name(&self.reader.table);
        let put = put
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#pk) OR #due <= :now OR #call = :call")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#due", DUE_AT)
            .expression_attribute_names("#call", "call")
            .expression_attribute_values(":now", items::number(now.0))
            .expression_attribute_values(":call", call);
        match put.send().await.map_err(|error| errors::call(&error)) {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a row if it is still old; whether it was.
    async fn forget(&self, key: Key, now: UnixMs) -> Result<bool, StoreError> {
        let delete = self.reader.client.delete_item();
        let delete = delete
            .table_name(&self.reader.table)
            .set_key(Some(key.item()))
            .condition_expression("#due <= :now")
            .expression_attribute_names("#due", DUE_AT)
            .expression_attribute_values(":now", items::number(now.0));
        match delete.send().await.map_err(|error| errors::call(&error)) {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl ClipStore for DynamoStore {
    fn insert<'a>(
        &'a self,
        clip: &'a Clip,
        request: Option<&'a Request>,
    ) -> Answer<'a, u64, StoreError> {
        Box::pin(async move {
            let change = self.change(clip, Must::BeNew, request)?;
            self.writer.store(change).await
        })
    }

    fn get(&self, id: ClipId) -> Answer<'_, Option<Clip>, StoreError> {
        Box::pin(async move {
            let item = self.reader.item(&Key::clip(id)).await?;
            let row = item.as_ref().map(items::read_clip).transpose()?;
            Ok(row.map(|(_, clip)| clip))
        })
    }

    fn get_many<'a>(&'a self, ids: &'a [ClipId]) -> Answer<'a, Vec<Clip>, StoreError> {
        Box::pin(async move {
            let rows = self.reader.clips(ids).await?;
            Ok(rows.into_values().map(|(_, clip)| clip).collect())
        })
    }

    fn update<'a>(
        &'a self,
        expected: u64,
        clip: &'a Clip,
        request: Option<&'a Request>,
    ) -> Answer<'a, u64, StoreError> {
        Box::pin(async move {
            if clip.version != expected + 1 {
                return Err(StoreError::Conflict);
            }
            let change = self.change(clip, Must::Have("version", expected), request)?;
            self.writer.store(change).await
        })
    }

    fn list<'a>(&'a self, query: &'a Query) -> Answer<'a, Page, StoreError> {
        Box::pin(self.reader.list(query))
    }

    fn due(&self, now: UnixMs, limit: usize) -> Answer<'_, Vec<Clip>, StoreError> {
        Box::pin(self.reader.due(now, limit))
    }

    fn by_job<'a>(
        &'a self,
        backend: Backend,
        job: &'a str,
    ) -> Answer<'a, Option<Clip>, StoreError> {
        Box::pin(self.reader.by_job(backend, job))
    }

    fn answered<'a>(
        &'a self,
        caller: &'a str,
        request: &'a str,
    ) -> Answer<'a, Option<Request>, StoreError> {
        Box::pin(async move {
            let item = self.reader.item(&Key::request(caller, request)).await?;
            let Some(item) = item else {
                return Ok(None);
            };
            let broken = || StoreError::Broken("the row of a request cannot be read".to_owned());
            items::read_request(&item, caller, request)
                .ok_or_else(broken)
                .map(Some)
        })
    }

    fn note<'a>(&'a self, request: &'a Request) -> Answer<'a, (), StoreError> {
        Box::pin(async move {
            let item = items::request_row(request, self.clock.now());
            let is_noted = self.put_once(item, request.at).await?;
            is_noted.then_some(()).ok_or(StoreError::Conflict)
        })
    }

    fn first_time<'a>(&'a self, event: &'a str, now: UnixMs) -> Answer<'a, bool, StoreError> {
        let item = items::event_row(event, now, self.clock.now());
        Box::pin(self.put_once(item, now))
    }

    fn revision(&self) -> Answer<'_, u64, StoreError> {
        Box::pin(read_head(&self.reader.client, &self.reader.table))
    }

    fn changes(&self, after: u64, limit: usize) -> Answer<'_, Vec<(u64, Clip)>, StoreError> {
        Box::pin(self.reader.changes(after, limit))
    }

    fn usage<'a>(&'a self, uploader: &'a UserId, since: UnixMs) -> Answer<'a, Usage, StoreError> {
        Box::pin(self.reader.usage(uploader, since))
    }

    fn under_way(&self, limit: usize) -> Answer<'_, BTreeMap<ClipState, usize>, StoreError> {
        Box::pin(self.reader.under_way(limit))
    }

    fn trim(&self, now: UnixMs) -> Answer<'_, usize, StoreError> {
        Box::pin(async move {
            let limit = CLIP_TRIM / usize::from(DUE_SHARDS);
            let old = self.reader.old(OLD, now, limit).await?;
            let deleted = stream::iter(old).map(|(_, key)| self.forget(key, now));
            let deleted: Vec<_> = deleted
                .buffer_unordered(TRIMMED_AT_ONCE)
                .try_collect()
                .await?;
            Ok(deleted.into_iter().filter(|was| *was).count())
        })
    }
}
