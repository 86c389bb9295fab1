//! Queues on SQS and topics on SNS keep the contract of `platform/src/queue.rs`: the real SDKs over real HTTP, against
//! two emulators. What one of them cannot do stands in [`CANNOT`], and is looked at too.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "queue/conformance.rs"]
mod conformance;
#[path = "queue/emulator.rs"]
mod emulator;
#[path = "queue/letters.rs"]
mod letters;
#[path = "queue/topic.rs"]
mod topic;
#[path = "queue/world.rs"]
mod world;

use emulator::{Emulator, Kind};
use kaiwa_platform::queue::aws::{QueueLayout, SqsQueue, wire};
use kaiwa_platform::queue::dead_letters::name_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use world::{Boxed, Pair, World};

/// What an emulator cannot do, and why. A check that stands here must fail: when the emulator has learnt it, the line
/// goes.
const CANNOT: &[(Kind, &str, &str)] = &[(
    Kind::MiniStack,
    "deleting_what_is_gone_is_no_error",
    "it forgets a receipt with its message, and calls it invalid; SQS answers that it is deleted",
)];

/// Checks at once: enough that the waiting ones cost nothing, few enough for a Python process.
const AT_ONCE: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqs_keeps_the_contract_on_ministack() {
    conform(Kind::MiniStack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqs_keeps_the_contract_on_moto() {
    conform(Kind::Moto).await;
}

async fn conform(kind: Kind) {
    let emulator = Emulator::start(kind).await;
    let world: Arc<dyn World> = Arc::new(Remote {
        config: emulator.config().await,
        made: AtomicU32::new(0),
    });
    let mut failed = Vec::new();
    let mut running = JoinSet::new();
    let mut checks = conformance::CHECKS.iter();
    loop {
        while running.len() < AT_ONCE
            && let Some((name, check)) = checks.next()
        {
            let check = tokio::spawn(check(Arc::clone(&world)));
            running.spawn(async move { (*name, check.await) });
        }
        let Some(ended) = running.join_next().await else {
            break;
        };
        let (name, result) = ended.unwrap();
        eprintln!(
            "{kind:?}: {name}: {}",
            if result.is_ok() { "kept" } else { "not kept" }
        );
        let known = CANNOT
            .iter()
            .find(|(who, what, _)| (*who, *what) == (kind, name));
        match (result, known) {
            (Ok(()), None) => {}
            (Err(_), Some((_, _, reason))) => eprintln!("{kind:?}: as is known: {reason}"),
            (Ok(()), Some(_)) => failed.push(format!("{name}: it has learnt that")),
            (Err(error), None) => failed.push(format!("{name}: {error}")),
        }
    }
    assert!(failed.is_empty(), "{kind:?}: {failed:#?}");
}

struct Remote {
    config: aws_config::SdkConfig,
    made: AtomicU32,
}

impl World for Remote {
    fn queue(&self, max_receives: u32) -> Boxed<'_, Pair> {
        Box::pin(async move {
            let name = format!("q{}", self.made.fetch_add(1, Ordering::Relaxed));
            let layout = QueueLayout {
                max_receives,
                ..QueueLayout::direct(&name)
            };
            let wired = wire(&self.config, "events", &[layout]).await.unwrap();
            Pair {
                queue: Arc::new(SqsQueue::at(&self.config, &wired.queues[&name])),
                dead: Arc::new(
                    SqsQueue::named(&self.config, &name_of(&name))
                        .await
                        .unwrap(),
                ),
            }
        })
    }

    fn pass(&self, time: Duration) -> Boxed<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn may_double(&self) -> bool {
        // Seen on moto, one message in thousands.
        true
    }

    fn until_one_waits(&self) -> Boxed<'_, ()> {
        // The service does not say; a second is long enough for nearly every one of these.
        Box::pin(tokio::time::sleep(Duration::from_secs(1)))
    }

    fn long(&self) -> Duration {
        Duration::from_secs(10)
    }
}
