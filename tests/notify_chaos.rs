//! What notifications promise, with a real server and doubles of the push services: kills, drains, outages,
//! rings, forgeries, and tokens that move.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "support/root.rs"]
mod support;

#[path = "notify/drain.rs"]
mod drain;
#[path = "notify/kills.rs"]
mod kills;
#[path = "notify/letters.rs"]
mod letters;
#[path = "notify/load.rs"]
mod load;
#[path = "notify/moves.rs"]
mod moves;
#[path = "notify/outage.rs"]
mod outage;
#[path = "notify/refused.rs"]
mod refused;
#[path = "notify/rings.rs"]
mod rings;
#[path = "notify/world.rs"]
mod world;
