//! Reports that are not as they should be, and the probe.

use crate::person::{report, server};
use crate::support::http::request;
use crate::support::server::{SharedServer, own};
use serde_json::{Value, json};
use std::sync::Arc;

fn world() -> Arc<SharedServer> {
    server(|spec| spec)
}

#[tokio::test]
async fn a_report_is_bounded_and_what_is_wrong_with_it_is_named() {
    let server = world();
    let pair = |local: &str| json!({"protocol": "udp", "local": local});
    let long = "x".repeat(65);
    let many: Vec<Value> = (0..33).map(|_| pair("a")).collect();
    let huge: Vec<Value> = (0..32).map(|_| json!({"local": "x".repeat(600)})).collect();
    for (no, (body, status)) in [
        (json!({}), 200),
        (json!({"participant": null, "unheard": [1]}), 200),
        (json!({"participant": "alice"}), 422),
        (json!({"iceState": "fa iled"}), 422),
        (json!({"dtlsState": "\u{7}"}), 422),
        (json!({"pairs": [pair(&long)]}), 422),
        (json!({"pairs": [pair("日本")]}), 422),
        (json!({"pairs": many}), 422),
        (json!({"pairs": huge}), 413),
        (json!({"pairs": [{"sent": -1}]}), 422),
        (json!({"clientMs": "now"}), 422),
        (json!("nothing"), 422),
        (json!({"clientMs": i64::MIN}), 200),
    ]
    .into_iter()
    .enumerate()
    {
        // Each from somebody else, since one person's are counted.
        let token = server.token(&format!("person-{no}"));
        let answer = report(&server, "room", &token, &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    }
    let authorization = format!("Bearer {}", server.token("alice"));
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
    ];
    for (line, body, status) in [
        ("POST /api/v1/calls/room/reports", "{", 400),
        ("POST /api/v1/calls/no%20room/reports", "{}", 200),
        ("GET /api/v1/calls/room/reports", "", 405),
    ] {
        let answer = request(server.address, line, &headers, body).await;
        assert_eq!(answer.status, status, "{line} {body}: {}", answer.body);
    }
}

#[tokio::test]
async fn one_persons_reports_are_counted() {
    let server = world();
    let token = server.token("alice");
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let answer = report(&server, "room", &token, &json!({})).await;
        statuses.push(answer.status);
        if answer.status == 429 {
            assert!(answer.header("Retry-After").is_some());
        }
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(statuses.starts_with(&[200; 10]), "{statuses:?}");
    let other = server.token("bob");
    assert_eq!(
        report(&server, "room", &other, &json!({})).await.status,
        200
    );
}

#[tokio::test]
async fn who_has_no_token_is_told_no_more_than_that() {
    let server = world();
    let headers = [("Content-Type", "application/json")];
    let line = "POST /api/v1/calls/room/reports";
    let answer = request(server.address, line, &headers, "{}").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["cause"], Value::Null);
    let answer = request(server.address, "GET /api/v1/call-probe", &[], "").await;
    assert_eq!(answer.status, 401);
    let authorization = format!("Bearer {}", server.token("alice"));
    let headers = [("Authorization", authorization.as_str())];
    let answer = request(server.address, "GET /api/v1/call-probe", &headers, "").await;
    assert_eq!(answer.status, 200);
    let candidates = answer.json()["candidates"].as_array().unwrap().clone();
    assert_eq!(candidates.len(), 2, "{candidates:?}");
}

#[tokio::test]
async fn a_server_without_calls_takes_none() {
    let server = own(|spec| spec.with("KAIWA_CALLS__ENABLED", false));
    let token = server.token("alice");
    assert_eq!(
        report(&server, "room", &token, &json!({})).await.status,
        404
    );
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str())];
    let answer = request(server.address, "GET /api/v1/call-probe", &headers, "").await;
    assert_eq!(answer.status, 404);
}
