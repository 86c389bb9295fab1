//! A server that is told to end under load: what it has in hand is done, and nothing of it is done again.

use super::load::{Account, Writers, people};
use super::world::{World, emptied};

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_loses_nothing_and_the_next_start_repeats_nothing() {
    let world = World::new().await;
    let mut account = Account::new(&world);
    let mut acknowledged = Vec::new();
    let mut server = world.start();
    let away = people(&world, &server, 6).await;
    for life in 0..3 {
        let writers = Writers::begin(&server, (life, 8), &away).await;
        account.more(10).await;
        server.terminate();
        let status = server.ended().await;
        assert_eq!(status.code(), Some(0), "{status:?}");
        acknowledged.extend(writers.end().await);
        let log = server.stop_and_read_log();
        assert!(!log.contains("were not done in time"), "{log}");
        server = world.start();
    }
    account.tells(&acknowledged, &away).await;
    let dead = emptied(&server).await;
    account.catch_up();
    let (repeats, all) = account.repeats();
    assert_eq!(repeats, 0, "of {all}");
    assert_eq!(dead.iter().sum::<u64>(), 0, "dead letters: {dead:?}");
    assert!(acknowledged.len() > 60, "hardly any load");
}
