//! Which requests are answered at all, and how.

use crate::support::http::{UPGRADE, exchange, request, upgrade_status};
use crate::support::server::{Spec, own, shared};
use serde_json::json;

/// Headers that a proxy adds.
const FORWARDING: [(&str, &str); 7] = [
    ("Forwarded", "for=127.0.0.1"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-Host", "localhost"),
    ("X-Forwarded-Proto", "http"),
    ("X-Real-IP", "127.0.0.1"),
    ("Via", "1.1 proxy"),
    ("CF-Connecting-IP", "127.0.0.1"),
];

#[tokio::test]
async fn a_websocket_is_opened_by_our_own_pages_allowed_ones_and_programs_only() {
    let server = shared();
    let own = format!("http://{}", server.address);
    let by_name = format!("http://localhost:{}", server.port());
    let host_by_name = format!("localhost:{}", server.port());
    let upgrade = async |headers: &[(&str, &str)]| upgrade_status(server.address, headers).await;
    assert_eq!(upgrade(&[]).await, 101, "a program sends no Origin");
    assert_eq!(upgrade(&[("Origin", &own)]).await, 101);
    assert_eq!(
        upgrade(&[("Origin", &by_name), ("Host", &host_by_name)]).await,
        101
    );
    assert_eq!(
        upgrade(&[("Origin", "https://app.example")]).await,
        101,
        "the operator allowed it"
    );
    let other_port = format!("http://127.0.0.1:{}", server.port() ^ 1);
    for origin in [
        "https://evil.example",
        "null",
        "",
        "http://127.0.0.1",
        "file://",
        "https://app.example.evil.example",
        "https://app.example:8443",
        "http://app.example",
        "https://evil.example#https://app.example",
        &other_port,
        &format!("{own}.evil.example"),
        &format!("{own}@evil.example"),
        &format!("http://evil.example@{}", server.address),
        &by_name,
        "chrome-extension://abc",
        "\u{FF}",
    ] {
        assert_eq!(upgrade(&[("Origin", origin)]).await, 403, "{origin}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_not_answered_whatever_it_asks_for() {
    let server = shared();
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "2130706433",
    ] {
        for path in ["/", "/api/v1/info", "/metrics", "/assets/x.js", "/healthz"] {
            let line = format!("GET {path}");
            let answer = request(server.address, &line, &[("Host", host)], "").await;
            assert_eq!(answer.status, 421, "{host} {path}");
        }
        assert_eq!(
            upgrade_status(server.address, &[("Host", host)]).await,
            421,
            "{host}"
        );
        let body = "{\"name\":\"Mallory\"}";
        let json = [("Host", host), ("Content-Type", "application/json")];
        let answer = request(server.address, "POST /api/v1/sign-in", &json, body).await;
        assert_eq!(answer.status, 421, "{host}");
    }
    for host in [
        "localhost",
        "LOCALHOST:1",
        "kaiwa.localhost",
        "[::1]:8080",
        "192.0.2.1",
    ] {
        let answer = request(server.address, "GET /healthz", &[("Host", host)], "").await;
        assert_eq!(answer.status, 200, "{host}");
    }
    let named = own(|spec| spec.with("KAIWA_HTTP__HOSTS", "[\"chat.example\"]"));
    for (host, status) in [
        ("chat.example", 200),
        ("Chat.Example:443", 200),
        ("x.chat.example", 421),
    ] {
        let answer = request(named.address, "GET /healthz", &[("Host", host)], "").await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_request_without_one_valid_host_is_a_bad_request() {
    let server = shared();
    for head in [
        "",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: http://localhost/\r\n",
        // RFC 9110 section 7.2: a host and a port, and no user.
        "Host: somebody@localhost\r\n",
        // RFC 9112 section 3.2: exactly one.
        "Host: localhost\r\nHost: evil.example\r\n",
    ] {
        let text = format!("GET /healthz HTTP/1.1\r\n{head}Connection: close\r\n\r\n");
        assert_eq!(
            exchange(server.address, text.as_bytes()).await.status,
            400,
            "{head:?}"
        );
    }
}

#[tokio::test]
async fn what_is_not_http_or_too_much_of_it_is_refused_and_the_server_goes_on() {
    let server = shared();
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "x".repeat(40_000)
    );
    let many = "X: y\r\n".repeat(200);
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    let smuggled = "POST /api/v1/sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\
        Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n";
    for text in [
        "hello\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        &long,
        &many,
        smuggled,
    ] {
        let status = exchange(server.address, text.as_bytes()).await.status;
        assert!((400..500).contains(&status), "{status} for {text:.40}");
    }
    assert_eq!(
        request(server.address, "GET /healthz", &[], "")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn an_upgrade_that_is_none_is_told_what_is_spoken_here() {
    let server = shared();
    let without = |name: &str| -> Vec<(&str, &str)> {
        let mut headers: Vec<_> = UPGRADE.into_iter().filter(|(n, _)| *n != name).collect();
        headers.push(("Sec-WebSocket-Protocol", "kaiwa.v1+json"));
        headers
    };
    let cases = [
        ("GET /ws", without("Upgrade"), 426),
        ("GET /ws", without("Connection"), 426),
        ("GET /ws", without("Sec-WebSocket-Version"), 426),
        ("GET /ws", without("Sec-WebSocket-Key"), 400),
        ("POST /ws", without(""), 426),
        ("GET /ws", UPGRADE.to_vec(), 400),
        (
            "GET /ws",
            [&UPGRADE[..], &[("Sec-WebSocket-Protocol", "mqtt")]].concat(),
            400,
        ),
    ];
    for (line, headers, status) in cases {
        let mut headers = headers;
        if !headers.iter().any(|(name, _)| *name == "Connection") {
            headers.push(("Connection", "close"));
        }
        headers.push(("X-Case", line));
        // An answer that keeps the connection open would be waited for in vain.
        let bytes = request_with_close(server.address.to_string(), line, &headers);
        let answer = exchange(server.address, bytes.as_bytes()).await;
        assert_eq!(answer.status, status, "{line} {headers:?}: {answer:?}");
        if status == 400 && line == "GET /ws" && headers.iter().any(|(_, v)| *v == "mqtt") {
            assert!(
                answer.body.contains("kaiwa.v1+json") && answer.body.contains("kaiwa.v1+proto")
            );
        }
    }
}

fn request_with_close(host: String, line: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{line} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers {
        let close = if *name == "Connection" && *value == "Upgrade" {
            ", close"
        } else {
            ""
        };
        text += &format!("{name}: {value}{close}\r\n");
    }
    text + "\r\n"
}

#[tokio::test]
async fn no_path_leads_out_of_the_web_app() {
    let server = shared();
    for path in [
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/assets/../../token-secret",
        "/assets/..%5c..%5ctoken-secret.x",
        "//etc/passwd.txt",
        "/./token-secret.txt",
        "/kaiwa.db",
        "/assets/%00.js",
        "/assets/\u{FF}.js",
    ] {
        let answer = request(server.address, &format!("GET {path}"), &[], "").await;
        let served = answer.status == 200;
        // A path without a dot in its last part is a page of the app's, whatever it is called.
        let is_page = !path.rsplit('/').next().unwrap().contains('.');
        assert!(!served || is_page, "{path}: {answer:?}");
        assert!(!answer.body.contains("root:"), "{path}");
        assert!(!answer.body.contains("SQLite format"), "{path}");
    }
    for line in [
        "POST /",
        "PUT /index.html",
        "DELETE /assets/x.js",
        "TRACE /",
    ] {
        assert_eq!(
            request(server.address, line, &[], "").await.status,
            405,
            "{line}"
        );
    }
    assert_eq!(
        request(server.address, "GET /api/v2/anything", &[], "")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn what_is_not_there_below_the_clips_addresses_is_no_page_of_the_app() {
    let server = shared();
    for path in [
        "/v",
        "/objects",
        "/objects/",
        "/objects/none",
        "/webhooks/none",
    ] {
        for method in ["GET", "HEAD", "PUT"] {
            let answer = request(server.address, &format!("{method} {path}"), &[], "").await;
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        }
    }
    // Below it a path is a token's, and one answer for all that is wrong with it.
    let answer = request(server.address, "GET /v/none", &[], "").await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        request(server.address, "GET /view", &[], "").await.status,
        200
    );
}

#[tokio::test]
async fn pages_of_allowed_origins_alone_may_read_the_clips_api() {
    let data = tempfile::tempdir().unwrap();
    let app = "https://app.example";
    let server = Spec::new(data.path())
        .with("KAIWA_HTTP__ALLOWED_ORIGINS", json!([app]))
        .start();
    let ask = async |line: &str, origin: &str| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "DELETE"),
        ];
        request(server.address, line, &headers, "").await
    };
    let clip = "/api/v1/clips/019ce000-0000-7000-8000-000000000001";
    for (path, methods) in [
        ("/api/v1/clips", "POST, GET, HEAD, OPTIONS"),
        (clip, "GET, DELETE, HEAD, OPTIONS"),
        (&format!("{clip}/captions/en"), "PUT, OPTIONS"),
    ] {
        let asked = ask(&format!("OPTIONS {path}"), app).await;
        assert_eq!(asked.status, 204, "{path}: {asked:?}");
        assert_eq!(asked.header("access-control-allow-origin"), Some(app));
        let allowed = asked.header("access-control-allow-methods");
        assert_eq!(allowed, Some(methods), "{path}");
        let headers = asked.header("access-control-allow-headers");
        assert!(headers.is_some_and(|all| all.contains("authorization")));
        let foreign = ask(&format!("OPTIONS {path}"), "https://evil.example").await;
        assert_eq!(foreign.header("access-control-allow-origin"), None);
        let vary = foreign.header("vary").unwrap_or_default();
        assert!(vary.contains("origin"), "{foreign:?}");
    }
    let read = ask(&format!("GET {clip}"), app).await;
    assert_eq!(
        (read.status, read.header("access-control-allow-origin")),
        (401, Some(app))
    );
    // No other part of the API is shared so.
    let own = ask("GET /api/v1/info", app).await;
    assert_eq!(own.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let server = shared();
    for line in [
        "GET /",
        "GET /nothing.js",
        "GET /api/v1/info",
        "GET /api/nothing",
        "POST /",
    ] {
        let answer = request(server.address, line, &[], "").await;
        for (name, value) in [
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Frame-Options", "DENY"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{line}");
        }
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "{line}");
    }
    let page = request(server.address, "GET /", &[], "").await;
    if page.body.contains("without the web app") {
        // `make test` builds the app first.
        return;
    }
    let policy = page
        .header("Content-Security-Policy")
        .expect("a policy")
        .to_owned();
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    for danger in ["unsafe", "*", "https:", "data: blob:; script"] {
        let rules = policy.replace("img-src 'self' data: blob:", "");
        assert!(!rules.contains(danger), "{danger} in {policy}");
    }
    assert!(!page.body.contains("<script>"), "nothing inline");
}

#[tokio::test]
async fn metrics_are_for_this_machine_unless_opened() {
    let server = shared();
    let answer = request(server.address, "GET /metrics", &[], "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("kaiwa_"), "{}", answer.body);
    for header in FORWARDING {
        let answer = request(server.address, "GET /metrics", &[header], "").await;
        assert_eq!(answer.status, 403, "{header:?}");
    }
    let open = own(|spec| spec.with("KAIWA_HTTP__PUBLIC_METRICS", "true"));
    assert_eq!(
        request(open.address, "GET /metrics", &[FORWARDING[1]], "")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn signing_in_through_a_proxy_is_refused_whichever_header_gives_it_away() {
    let server = shared();
    let body = "{\"name\":\"Alice\"}";
    for header in FORWARDING {
        let headers = [("Content-Type", "application/json"), header];
        let answer = request(server.address, "POST /api/v1/sign-in", &headers, body).await;
        assert_eq!(answer.status, 403, "{header:?}");
        assert_eq!(answer.json()["error"]["code"], 300, "{header:?}");
    }
}
