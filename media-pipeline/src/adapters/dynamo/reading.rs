//! What is read. Rows are read consistently; an index only says which rows to look at.

use super::commit::read_head;
use super::errors;
use super::items::{
    DUE, Item, Key, clip_id, due_partitions, integer, job_key, log_next, log_partition, log_place,
    person_partition, read_clip, read_log, room_partition, text, used_from, used_partition,
};
use super::table::{DUE_AT, DUE_IN, DUE_INDEX, JOB, JOB_INDEX, OPEN_INDEX, OPEN_OF, PK, SK};
use crate::adapters::asked::{counted, is_asked_for};
use crate::adapters::stored::left_out;
use crate::model::{Backend, Clip, ClipId, ClipState};
use crate::ports::{Page, Query, StoreError, Usage};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, Select};
use futures_util::future::try_join_all;
use kaiwa_common::id::UserId;
use kaiwa_common::limits::{CLIP_DYNAMO_ITEMS, CLIP_DYNAMO_TRIES, CLIP_PAGE};
use kaiwa_common::time::UnixMs;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A table to read from. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) table: String,
}

/// Clips with their revisions.
type Rows = BTreeMap<ClipId, (u64, Clip)>;

/// What one query gave, and where the next goes on.
type Found = (Vec<Item>, Option<Item>);

impl Reader {
    pub(super) async fn item(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        let call = self.client.get_item().table_name(&self.table);
        let call = call.consistent_read(true).set_key(Some(key.item()));
        let answer = call.send().await.map_err(|error| errors::call(&error))?;
        Ok(answer.item)
    }

    /// Those that are there and can be read; at most [`CLIP_PAGE`].
    pub(super) async fn clips(&self, ids: &[ClipId]) -> Result<Rows, StoreError> {
        let mut rows = Rows::new();
        let ids: BTreeSet<_> = ids.iter().take(CLIP_PAGE).collect();
        let mut wanted: Vec<Item> = ids.iter().map(|id| Key::clip(**id).item()).collect();
        // An answer ends at 16 MB, and may leave out what there was no capacity for.
        for _ in 0..CLIP_DYNAMO_TRIES {
            if wanted.is_empty() {
                return Ok(rows);
            }
            let keys = KeysAndAttributes::builder().set_keys(Some(wanted));
            let keys = keys.consistent_read(true).build();
            let keys = keys.map_err(|error| errors::unbuilt(&error))?;
            let call = self.client.batch_get_item();
            let answer = call.request_items(&self.table, keys).send().await;
            let answer = answer.map_err(|error| errors::call(&error))?;
            let found = answer.responses.and_then(|mut all| all.remove(&self.table));
            for item in found.unwrap_or_default() {
                match read_clip(&item) {
                    Ok((revision, clip)) => drop(rows.insert(clip.id, (revision, clip))),
                    // What stands beside it goes on.
                    Err(error) => left_out(&error),
                }
            }
            let left = answer.unprocessed_keys;
            let left = left.and_then(|mut all| all.remove(&self.table));
            wanted = left.map(|left| left.keys).unwrap_or_default();
        }
        let what = "DynamoDB leaves rows out: it is asked for too much";
        Err(StoreError::Unavailable(what.to_owned()))
    }

    /// A page of clips, newest first: rows are looked at until it is full.
    pub(super) async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let partition = match (&query.room, &query.uploader) {
            (Some(room), _) => room_partition(room.as_str()),
            (None, Some(uploader)) => person_partition(uploader.as_str()),
            (None, None) => {
                let what = "clips are listed by room or by person here";
                return Err(StoreError::Broken(what.to_owned()));
            }
        };
        let limit = query.limit.min(CLIP_PAGE);
        let mut clips = Vec::new();
        let mut before = query.before;
        loop {
            let (ids, is_end) = self.older(&partition, before, limit + 1).await?;
            let mut rows = self.clips(&ids).await?;
            for id in &ids {
                let row = rows.remove(id).map(|(_, clip)| clip);
                clips.extend(row.filter(|clip| is_asked_for(clip, query)));
            }
            if clips.len() > limit {
                clips.truncate(limit);
                return Ok(Page { clips, more: true });
            }
            if is_end {
                return Ok(Page { clips, more: false });
            }
            before = ids.last().copied().or(before);
        }
    }

    /// Ids of a partition that are older than this one, newest first; whether there are no more.
    async fn older(
        &self,
        partition: &str,
        before: Option<ClipId>,
        limit: usize,
    ) -> Result<(Vec<ClipId>, bool), StoreError> {
        let query = self.partition(partition);
        let query = match before {
            None => query.key_condition_expression("#pk = :pk"),
            Some(before) => query
                .key_condition_expression("#pk = :pk AND #sk < :sk")
                .expression_attribute_names("#sk", SK)
                .expression_attribute_values(":sk", AttributeValue::S(before.to_string())),
        };
        let query = query.scan_index_forward(false);
        let (items, next) = run(query.limit(count(limit.min(CLIP_PAGE)))).await?;
        let ids = items.iter().filter_map(|item| clip_id(text(item, SK)?));
        Ok((ids.collect(), next.is_none()))
    }

    /// Clips whose time has come, the longest due first.
    pub(super) async fn due(&self, now: UnixMs, limit: usize) -> Result<Vec<Clip>, StoreError> {
        let found = self.old(DUE, now, limit.saturating_add(UNREADABLE)).await?;
        let ids: Vec<_> = found.iter().filter_map(|(_, key)| key.clip_id()).collect();
        let mut due = Vec::new();
        for ids in ids.chunks(limit.clamp(1, CLIP_PAGE)) {
            let rows = self.clips(ids).await?.into_values().map(|(_, clip)| clip);
            // The index is behind the rows.
            due.extend(rows.filter(|clip| clip.due.is_some_and(|at| at <= now)));
            if due.len() >= limit {
                break;
            }
        }
        due.sort_by_key(|clip| (clip.due, clip.id));
        due.truncate(limit);
        Ok(due)
    }

    /// What is not over is looked into one day, so the index of what is due has all of it; a row costs half a read.
    pub(super) async fn under_way(
        &self,
        limit: usize,
    ) -> Result<BTreeMap<ClipState, usize>, StoreError> {
        let mut found = self.old(DUE, UnixMs(i64::MAX), limit).await?;
        found.truncate(limit);
        let ids: Vec<_> = found.iter().filter_map(|(_, key)| key.clip_id()).collect();
        let mut counts = BTreeMap::new();
        for ids in ids.chunks(CLIP_PAGE) {
            let rows = self.clips(ids).await?;
            for (state, clips) in counted(rows.values().map(|(_, clip)| clip)) {
                *counts.entry(state).or_default() += clips;
            }
        }
        Ok(counts)
    }

    /// Rows of a kind whose time has come, by time; at most `limit` of each of its partitions.
    pub(super) async fn old(
        &self,
        kind: &'static str,
        now: UnixMs,
        limit: usize,
    ) -> Result<Vec<(i64, Key)>, StoreError> {
        let shards = due_partitions(kind).map(|partition| {
            let query = self.client.query().table_name(&self.table);
            let query = query
                .index_name(DUE_INDEX)
                .key_condition_expression("#in = :in AND #at <= :now")
                .expression_attribute_names("#in", DUE_IN)
                .expression_attribute_names("#at", DUE_AT)
                .expression_attribute_values(":in", AttributeValue::S(partition))
                .expression_attribute_values(":now", super::items::number(now.0));
            run(query.limit(count(limit.max(1))))
        });
        let found = try_join_all(shards).await?;
        let items = found.iter().flat_map(|(items, _)| items);
        let timed = items.filter_map(|item| Some((integer(item, DUE_AT)?, Key::of(item)?)));
        let mut timed: Vec<(i64, Key)> = timed.collect();
        timed.sort_by(|(one, a), (other, b)| (one, &a.pk, &a.sk).cmp(&(other, &b.pk, &b.sk)));
        Ok(timed)
    }

    /// The clip of a transcoder's job.
    pub(super) async fn by_job(
        &self,
        backend: Backend,
        job: &str,
    ) -> Result<Option<Clip>, StoreError> {
        let query = self.index(JOB_INDEX, JOB, &job_key(backend, job));
        let (items, _) = run(query.limit(count(CLIP_PAGE))).await?;
        let ids: Vec<_> = items
            .iter()
            .filter_map(|item| Key::of(item)?.clip_id())
            .collect();
        let rows = self.clips(&ids).await?;
        let is_of = |clip: &Clip| {
            let known = clip.job.as_ref();
            known.is_some_and(|known| known.backend == backend && known.id == job)
        };
        Ok(rows.into_values().map(|(_, clip)| clip).find(is_of))
    }

    /// What a person registered since then, and has under way. The second comes from an index.
    pub(super) async fn usage(
        &self,
        uploader: &UserId,
        since: UnixMs,
    ) -> Result<Usage, StoreError> {
        let mut usage = Usage::default();
        let query = self
            .partition(&used_partition(uploader.as_str()))
            .key_condition_expression("#pk = :pk AND #sk >= :sk")
            .expression_attribute_names("#sk", SK)
            .expression_attribute_values(":sk", AttributeValue::S(used_from(since)));
        let mut from = None;
        loop {
            let (items, next) = run(query.clone().set_exclusive_start_key(from)).await?;
            for item in &items {
                let size = integer(item, "size").unwrap_or(0);
                let media = Duration::from_millis(integer(item, "media").unwrap_or(0));
                usage.bytes = usage.bytes.saturating_add(size);
                usage.media = usage.media.saturating_add(media);
            }
            if next.is_none() {
                break;
            }
            from = next;
        }
        let query = self.index(OPEN_INDEX, OPEN_OF, uploader.as_str());
        let call = query.select(Select::Count).send().await;
        let answer = call.map_err(|error| errors::call(&error))?;
        // One answer counts some ten thousand; nobody may have as many.
        usage.open = u32::try_from(answer.count).unwrap_or(0);
        Ok(usage)
    }

    /// Clips that changed after this revision, in the order of their newest.
    pub(super) async fn changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Clip)>, StoreError> {
        let head = read_head(&self.client, &self.table).await?;
        let mut changes = Vec::new();
        // An entry that begins before may reach beyond.
        let mut from = (after + 1).saturating_sub(CLIP_DYNAMO_ITEMS as u64);
        while from <= head {
            let query = self
                .partition(&log_partition(from))
                .key_condition_expression("#pk = :pk AND #sk >= :sk")
                .expression_attribute_names("#sk", SK)
                .expression_attribute_values(":sk", AttributeValue::S(log_place(from)));
            let mut next = None;
            loop {
                let query = query.clone().limit(LOG_PAGE);
                let (items, last) = run(query.set_exclusive_start_key(next)).await?;
                let entries: Vec<_> = items.iter().flat_map(read_log).collect();
                let newer: Vec<_> = entries.into_iter().filter(|(at, _)| *at > after).collect();
                let is_all = self.newest(&newer, limit, &mut changes).await?;
                if !is_all || changes.len() >= limit {
                    return Ok(changes);
                }
                if last.is_none() {
                    break;
                }
                next = last;
            }
            from = log_next(from);
        }
        Ok(changes)
    }

    /// Adds the clips whose newest revision this is; others come later in the log. False when a row is not as new as
    /// the log: what follows is for the next time.
    async fn newest(
        &self,
        entries: &[(u64, ClipId)],
        limit: usize,
        changes: &mut Vec<(u64, Clip)>,
    ) -> Result<bool, StoreError> {
        for entries in entries.chunks(CLIP_PAGE) {
            let ids: Vec<_> = entries.iter().map(|(_, id)| *id).collect();
            let rows = self.clips(&ids).await?;
            for (revision, id) in entries {
                match rows.get(id) {
                    Some((newest, clip)) if newest == revision && changes.len() < limit => {
                        changes.push((*revision, clip.clone()));
                    }
                    Some((newest, _)) if newest < revision => return Ok(false),
                    _ => {}
                }
            }
        }
        Ok(true)
    }

    fn partition(&self, partition: &str) -> QueryFluentBuilder {
        let query = self.client.query().table_name(&self.table);
        query
            .consistent_read(true)
            .expression_attribute_names("#pk", PK)
            .expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()))
    }

    fn index(&self, index: &str, name: &str, value: &str) -> QueryFluentBuilder {
        let query = self.client.query().table_name(&self.table);
        query
            .index_name(index)
            .key_condition_expression("#name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", AttributeValue::S(value.to_owned()))
    }
}

/// Rows of one partition that cannot be read which are passed over in one look for what is due: they stay due.
const UNREADABLE: usize = 125;

/// Entries of the log in one answer.
const LOG_PAGE: i32 = 64;

async fn run(query: QueryFluentBuilder) -> Result<Found, StoreError> {
    let answer = query.send().await.map_err(|error| errors::call(&error))?;
    Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
}

fn count(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
