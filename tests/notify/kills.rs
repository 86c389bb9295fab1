//! `kill -9` in the midst of deliveries: everything acknowledged arrives, nothing is seen twice.

use super::load::{Account, Writers, people};
use super::world::{World, emptied};

/// In `make test`, `KAIWA_PUSH_KILLS` in the soak: each is some four seconds more.
const KILLS: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_reaches_every_device_whenever_the_server_is_killed() {
    let kills = std::env::var("KAIWA_PUSH_KILLS");
    let kills = kills.map_or(KILLS, |text| text.parse().expect("a number"));
    let world = World::new().await;
    let mut account = Account::new(&world);
    let mut acknowledged = Vec::new();
    let mut server = world.start();
    let away = people(&world, &server, 6).await;
    for life in 0..kills {
        account.life = life;
        let writers = Writers::begin(&server, (life, 8), &away).await;
        // Each time at another place: from the first push of a burst to its midst.
        account.more(1 + (life as usize * 7) % 40).await;
        server.stop_and_read_log();
        acknowledged.extend(writers.end().await);
        // This restart delivers nothing before it is ready.
        account.catch_up();
        account.life = life + 1;
        server = world.start();
    }
    account.tells(&acknowledged, &away).await;
    let dead = emptied(&server).await;
    account.catch_up();

    account.repeats_by_kills_only();
    let report = world.push.report();
    let visible: u64 = report.devices.values().map(|d| d.visible_duplicates).sum();
    assert_eq!((visible, report.unreadable), (0, 0), "{report:?}");
    assert!(report.refused.is_empty(), "{:?}", report.refused);
    assert_eq!(dead.iter().sum::<u64>(), 0, "dead letters: {dead:?}");
    assert!(acknowledged.len() > 20 * kills as usize, "hardly any load");
    let (repeats, all) = account.repeats();
    let worst = report.devices.values().map(|d| d.duplicates).max();
    eprintln!(
        "{kills} kills, {} messages acknowledged, {all} pushes, {repeats} of them repeats, at most {worst:?} \
         on one device",
        acknowledged.len()
    );
}
