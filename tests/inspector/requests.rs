//! Requests that are not as they should be.

use super::{admin, get, path};
use crate::support::http::request;
use crate::support::server::own;
use crate::world::World;
use serde_json::json;

#[tokio::test]
async fn without_a_good_token_nothing_is_answered() {
    let world = World::new().await;
    let address = world.server().address;
    for path in ["/api/v1/calls".to_owned(), path(&world)] {
        for headers in [vec![], vec![("Authorization", "Bearer nonsense")]] {
            let answer = request(address, &format!("GET {path}"), &headers, "").await;
            assert_eq!(answer.status, 401, "{path} {headers:?}");
            assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
            assert_eq!(answer.json()["error"]["reason"], "token_invalid");
        }
    }
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let world = World::new().await;
    let token = world.token("witness");
    for (query, status) in [
        ("seconds=0", 422),
        ("seconds=61", 422),
        ("seconds=18446744073709551615", 422),
        ("after=nobody", 422),
        ("after=p_xyz", 422),
        ("seconds=-1", 400),
        ("seconds=many", 400),
        ("second=1", 400),
        ("seconds=1&seconds=2", 400),
    ] {
        let answer = get(&world, &format!("{}?{query}", path(&world)), &token).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.body);
        let message = answer.json()["error"]["message"].to_string();
        let field = query.split('=').next().unwrap();
        assert!(message.contains(field), "{query}: {message}");
    }
    for query in [
        "seconds=1",
        "seconds=60",
        "after=p_0",
        "after=p_ffffffffffffffff",
    ] {
        let answer = get(&world, &format!("{}?{query}", path(&world)), &token).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    }
}

#[tokio::test]
async fn a_server_without_calls_says_so() {
    let server = own(|spec| spec.with("KAIWA_CALLS__ENABLED", false));
    let world = World::on(server).await;
    for path in ["/api/v1/calls".to_owned(), path(&world)] {
        let answer = get(&world, &path, &admin(&world)).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json()["error"]["reason"], json!("calls_off"));
    }
}

#[tokio::test]
async fn one_persons_questions_are_counted_and_an_administrators_are_not() {
    let world = World::new().await;
    let path = path(&world);
    let mut statuses = Vec::new();
    let token = world.token("carol");
    for _ in 0..60 {
        statuses.push(get(&world, &path, &token).await.status);
    }
    assert!(statuses.starts_with(&[403; 50]), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    for _ in 0..60 {
        assert_eq!(get(&world, &path, &admin(&world)).await.status, 200);
    }
}
