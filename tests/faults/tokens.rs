//! Tokens that are no good, and clocks that don't agree. Whoever has such a token is told by the answer to their report.

use crate::person::{named, report, server};
use crate::support::client::{Client, Codec, connect};
use crate::support::now_s;
use crate::support::server::{Server, SharedServer};
use crate::support::token::{Key, claims};
use serde_json::{Value, json};
use std::sync::Arc;

/// Is refused a connection with the token, and reports it, with this clock.
async fn refused(server: &Server, token: &str, clock_s: i64) -> Value {
    let mut client = Client::open(server, Codec::Json).await;
    client.refused(connect(token)).await;
    let body = json!({"clientMs": clock_s * 1000, "iceState": "new"});
    let answer = report(server, "room", token, &body).await;
    assert_eq!(answer.status, 401, "{}", answer.body);
    let answer = answer.json();
    assert!(answer["error"]["reason"].is_string(), "{answer}");
    answer["cause"].clone()
}

fn now() -> i64 {
    i64::try_from(now_s()).unwrap()
}

fn world() -> Arc<SharedServer> {
    server(|spec| spec)
}

#[tokio::test]
async fn a_token_of_another_server_is_named() {
    let server = world();
    let token = Key::foreign().sign(&claims("alice", 3600));
    named(&refused(&server, &token, now()).await, "token_invalid");
}

#[tokio::test]
async fn a_token_whose_time_is_over_is_named() {
    let server = world();
    let token = server.key().sign(&claims("alice", -600));
    let cause = refused(&server, &token, now()).await;
    named(&cause, "token_expired");
    assert!(
        cause["text"].as_str().unwrap().contains("10 min ago"),
        "{cause}"
    );
}

#[tokio::test]
async fn clocks_that_do_not_agree_are_named_with_the_difference() {
    let server = world();
    // The issuer's is ahead.
    let mut early = claims("alice", 7200);
    early["iat"] = json!(now() + 1200);
    let token = server.key().sign(&early);
    let cause = refused(&server, &token, now()).await;
    named(&cause, "clock_off");
    // The client's is behind: by its own the token is good.
    let token = server.key().sign(&claims("bob", -600));
    let cause = refused(&server, &token, now() - 3600).await;
    named(&cause, "clock_off");
    assert!(
        cause["text"].as_str().unwrap().contains("60 min"),
        "{cause}"
    );
    // One that is behind by less than that has nothing to do with it.
    let token = server.key().sign(&claims("carol", -600));
    named(
        &refused(&server, &token, now() - 120).await,
        "token_expired",
    );
}
