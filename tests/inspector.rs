//! The call inspector over HTTP against a real server: who sees what of a call, and what it says of media that flows.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "support/root.rs"]
mod support;

#[allow(dead_code, reason = "a part is used")]
#[path = "../sfu/tests/call/client.rs"]
mod client;
#[allow(dead_code, reason = "a part is used")]
#[path = "../sfu/tests/call/wait.rs"]
mod wait;
#[allow(dead_code, reason = "a part is used")]
#[path = "whip/world.rs"]
mod world;

#[path = "inspector/metrics.rs"]
mod metrics;
#[path = "inspector/requests.rs"]
mod requests;
#[path = "inspector/samples.rs"]
mod samples;
#[path = "inspector/scopes.rs"]
mod scopes;

use crate::support::http::Answer;
use serde_json::{Value, json};
use world::World;

/// A question with somebody's token.
async fn get(world: &World, path: &str, token: &str) -> Answer {
    world.ask(&format!("GET {path}"), token, &[], "").await
}

/// The inspector's path of the world's room.
fn path(world: &World) -> String {
    format!("/api/v1/calls/{}", world.scene.room)
}

/// What somebody sees of the world's call.
async fn seen(world: &World, token: &str) -> Value {
    let answer = get(world, &path(world), token).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// A token of an administrator who is in no room.
fn admin(world: &World) -> String {
    world.token_with("operator", &json!({"role": "admin"}))
}

/// Of whom an answer tells, by name.
fn names(answer: &Value) -> Vec<&str> {
    let participants = answer["participants"].as_array().unwrap();
    let names = participants.iter().map(|one| one["name"].as_str().unwrap());
    names.collect()
}

/// What an answer tells of somebody.
fn one<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let participants = answer["participants"].as_array().unwrap();
    let found = participants.iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("{name} in {answer}"))
}
