//! What only DynamoDB has: several servers in one table, transactions that hold many changes, and items that end.

use crate::conformance::{changed, numbered, request};
use crate::emulator::{Emulator, Kind};
use crate::make::START;
use crate::{config, opened, store};
use kaiwa_common::limits::{CLIP_DYNAMO_BODY, CLIP_OUTPUT_FILES};
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::adapters::dynamo::{DynamoStore, create_table};
use kaiwa_media_pipeline::model::{Clip, ClipState, Outputs, Rendition};
use kaiwa_media_pipeline::ports::{ClipStore, Query, StoreError};
use kaiwa_platform::clock::SystemClock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_made_once_and_a_missing_one_is_named() {
    let emulator = Emulator::start(Kind::MiniStack).await;
    let config = config(&emulator).await;
    let missing = DynamoStore::open(&config, "clips", Arc::new(SystemClock)).await;
    let error = missing.err().unwrap();
    assert!(
        matches!(&error, StoreError::Broken(what) if what.contains("no such table")),
        "{error}"
    );
    create_table(&config, "clips").await.unwrap();
    let first = opened(&emulator, "clips").await;
    assert_eq!(first.insert(&numbered(1), None).await, Ok(1));
    create_table(&config, "clips").await.unwrap();
    assert_eq!(first.get(numbered(1).id).await, Ok(Some(numbered(1))));
    let nobody = Emulator::start(Kind::MiniStack).await;
    let gone = opened_then_gone(nobody).await;
    assert!(matches!(
        gone.get(numbered(1).id).await,
        Err(StoreError::Unavailable(_))
    ));
}

/// A store whose table does not answer any more.
async fn opened_then_gone(emulator: Emulator) -> DynamoStore {
    let store = store(&emulator, "clips").await;
    drop(emulator);
    store
}

/// Three servers, each with changes of its own clips and of one that all change. Not on moto, whose transactions are
/// not kept apart from each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_share_a_table_and_no_revision_is_given_twice_or_left_out() {
    let emulator = Emulator::start(Kind::MiniStack).await;
    let stores = [
        store(&emulator, "clips").await,
        opened(&emulator, "clips").await,
        opened(&emulator, "clips").await,
    ];
    assert_eq!(stores[0].insert(&numbered(1_000), None).await, Ok(1));
    let servers = stores.iter().enumerate().flat_map(|(server, store)| {
        (0..12_u128).map(move |one| {
            let (store, number) = (store.clone(), server as u128 * 100 + one + 1);
            tokio::spawn(async move { live(&store, number).await })
        })
    });
    let mut revisions = vec![1];
    for server in servers.collect::<Vec<_>>() {
        revisions.extend(server.await.unwrap());
    }
    let count = revisions.len() as u64;
    let unique: BTreeSet<u64> = revisions.into_iter().collect();
    assert_eq!(unique, (1..=count).collect());
    for store in &stores {
        assert_eq!(store.revision().await, Ok(count));
    }
    let shared = stores[1].get(numbered(1_000).id).await.unwrap().unwrap();
    assert_eq!(shared.version, 37, "each changed it once");
    is_followed(&stores[2], count).await;
}

/// A new clip, a change of it, and one of the clip that all change; the revisions.
async fn live(store: &DynamoStore, number: u128) -> Vec<u64> {
    let clip = numbered(number);
    let mut revisions = vec![store.insert(&clip, None).await.unwrap()];
    let next = changed(&clip, |clip| clip.message = Some(7));
    revisions.push(store.update(1, &next, None).await.unwrap());
    loop {
        let shared = store.get(numbered(1_000).id).await.unwrap().unwrap();
        let next = changed(&shared, |clip| clip.message = Some(9));
        match store.update(shared.version, &next, None).await {
            Ok(revision) => revisions.push(revision),
            Err(StoreError::Conflict) => continue,
            Err(error) => panic!("{error}"),
        }
        return revisions;
    }
}

/// Whoever reads on from change to change sees every clip as it is.
async fn is_followed(store: &DynamoStore, newest: u64) {
    let mut after = 0;
    let mut seen: BTreeMap<_, Clip> = BTreeMap::new();
    loop {
        let changes = store.changes(after, 10).await.unwrap();
        let Some((last, _)) = changes.last() else {
            break;
        };
        let rising = changes.windows(2).all(|pair| pair[0].0 < pair[1].0);
        assert!(rising && changes[0].0 > after);
        after = *last;
        seen.extend(changes.into_iter().map(|(_, clip)| (clip.id, clip)));
    }
    assert_eq!((after, seen.len()), (newest, 37));
    for (id, clip) in seen {
        assert_eq!(store.get(id).await, Ok(Some(clip)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_refused_takes_no_other_with_it() {
    let emulator = Emulator::start(Kind::Moto).await;
    let store = store(&emulator, "clips").await;
    store.insert(&numbered(1), None).await.unwrap();
    let asked = request("k", &numbered(1), START);
    let next = changed(&numbered(1), |clip| clip.message = Some(1));
    store.update(1, &next, Some(&asked)).await.unwrap();
    let writers = (1..=30_u128).map(|number| {
        let (store, clip) = (store.clone(), numbered(number));
        // Every third comes with a request that was answered.
        let request = (number % 3 == 0).then(|| request("k", &clip, START));
        tokio::spawn(async move { (number, store.insert(&clip, request.as_ref()).await) })
    });
    let mut revisions = BTreeSet::new();
    for writer in writers.collect::<Vec<_>>() {
        let (number, stored) = writer.await.unwrap();
        if number == 1 || number % 3 == 0 {
            assert_eq!(stored, Err(StoreError::Conflict), "{number}");
            let is_there = store.get(numbered(number).id).await.unwrap().is_some();
            assert_eq!(is_there, number == 1);
        } else {
            revisions.insert(stored.unwrap());
        }
    }
    assert_eq!(revisions, (3..=21).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_read_stands_in_nobodys_way() {
    let emulator = Emulator::start(Kind::MiniStack).await;
    let store = store(&emulator, "clips").await;
    for number in 1..=3 {
        store.insert(&numbered(number), None).await.unwrap();
    }
    let script = "
import boto3, sys
table = boto3.resource('dynamodb', endpoint_url=sys.argv[1], region_name='us-east-1',
                       aws_access_key_id='test', aws_secret_access_key='test').Table('clips')
table.update_item(Key={'pk': 'C#ID', 'sk': '-'}, UpdateExpression='SET body = :b, due_at = :d',
                  ExpressionAttributeValues={':b': 'no JSON', ':d': 0})
";
    let script = script.replace("ID", &numbered(2).id.to_string());
    tokio::task::block_in_place(|| emulator.python(&script));
    let whole = [numbered(1), numbered(3)];
    let end = START.plus(Duration::from_secs(1_000_000));
    assert_eq!(store.due(end, 2).await, Ok(whole.to_vec()));
    let query = Query {
        uploader: Some(numbered(1).uploader),
        limit: 10,
        ..Query::default()
    };
    assert_eq!(store.list(&query).await.unwrap().clips.len(), 2);
    assert_eq!(store.changes(0, 10).await.unwrap().len(), 2);
    let all = [1, 2, 3].map(|number| numbered(number).id);
    assert_eq!(store.get_many(&all).await, Ok(whole.to_vec()));
    let read = store.get(numbered(2).id).await;
    assert!(matches!(read, Err(StoreError::Broken(_))), "{read:?}");
}

/// A clip of so many segments of six seconds in four qualities.
fn long(number: u128, segments: u64) -> Clip {
    let mut clip = numbered(number);
    clip.state = ClipState::Ready;
    clip.due = None;
    let names = ["1080p", "720p", "480p", "360p"];
    let mut files = BTreeMap::from([("hls/master.m3u8".to_owned(), 812)]);
    for (rung, name) in names.iter().enumerate() {
        files.insert(format!("hls/{name}.m3u8"), 40 * segments);
        for segment in 0..segments {
            // Sizes as they are: none like another.
            let size = 400_000 + (segment * 2_654_435_761 + rung as u64 * 7_919) % 3_900_000;
            files.insert(format!("hls/{name}_{segment:05}.ts"), size);
        }
    }
    files.truncate_to(CLIP_OUTPUT_FILES);
    let renditions = names.map(|name| Rendition {
        name: name.to_owned(),
        width: 1920,
        height: 1080,
        fps: 29.97,
        peak: 6_000_000,
        average: 5_000_000,
        codecs: "avc1.640028,mp4a.40.2".to_owned(),
        playlist: format!("hls/{name}.m3u8"),
    });
    clip.outputs = Some(Outputs {
        playlist: Some("hls/master.m3u8".to_owned()),
        renditions: renditions.into(),
        poster: Some("thumbnails/poster.jpg".to_owned()),
        sprite: None,
        files,
    });
    clip
}

trait TruncateTo {
    fn truncate_to(&mut self, count: usize);
}

impl TruncateTo for BTreeMap<String, u64> {
    fn truncate_to(&mut self, count: usize) {
        while self.len() > count {
            self.pop_last();
        }
    }
}

/// MiniStack and moto both refuse what is over 400 KB, as DynamoDB does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_clip_fits_into_a_row_and_a_longer_one_is_refused() {
    let emulator = Emulator::start(Kind::Moto).await;
    let store = store(&emulator, "clips").await;
    for (number, hours, segments) in [(1, 2, 1_200), (2, 8, 4_999)] {
        let clip = long(number, segments);
        store.insert(&clip, None).await.unwrap();
        let back = store.get(clip.id).await.unwrap();
        assert_eq!(back.as_ref(), Some(&clip));
        let files = clip.outputs.unwrap().files.len();
        let bytes = body(&emulator, &back.unwrap());
        eprintln!("{hours} h: {files} files, {bytes} bytes in the row");
        assert!(bytes < CLIP_DYNAMO_BODY, "{hours} h");
    }
    let mut large = long(3, 10);
    large.title = noise(CLIP_DYNAMO_BODY * 2);
    let refused = store.insert(&large, None).await;
    assert!(matches!(refused, Err(StoreError::Broken(_))), "{refused:?}");
    assert_eq!(store.insert(&numbered(4), None).await, Ok(3));
    let due = store.due(UnixMs(i64::MAX / 2), 10).await.unwrap();
    assert_eq!(due.len(), 1, "who is over is not due");
}

/// Text that does not get shorter.
fn noise(bytes: usize) -> String {
    let mut state = 88_172_645_463_325_252_u64;
    let letters = (0..bytes).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + u8::try_from(state % 90).unwrap())
    });
    letters.filter(|c| !"\"\\".contains(*c)).collect()
}

/// What a clip's text takes in its row.
fn body(emulator: &Emulator, clip: &Clip) -> usize {
    let script = "
import boto3, sys
table = boto3.resource('dynamodb', endpoint_url=sys.argv[1], region_name='us-east-1',
                       aws_access_key_id='test', aws_secret_access_key='test').Table('clips')
print(len(table.get_item(Key={'pk': 'C#ID', 'sk': '-'})['Item']['body'].value))
";
    let script = script.replace("ID", &clip.id.to_string());
    let printed = tokio::task::block_in_place(|| emulator.python(&script));
    printed.parse().unwrap()
}
