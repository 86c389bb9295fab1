//! Against a small server in the process, which notes what it is asked and says what it is told to.

use super::super::Cli;
use super::super::http::CallError;
use super::*;
use clap::Parser as _;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Requests, whole.
type Asked = Arc<Mutex<Vec<String>>>;

/// Answers each connection with the next of these.
async fn server(answers: Vec<(u16, &'static str)>) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    tokio::spawn(async move {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let request = read(&mut stream).await;
            noted.lock().expect("whole").push(request);
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
            let text = format!("{head}Connection: close\r\n\r\n{body}");
            stream.write_all(text.as_bytes()).await.expect("written");
        }
    });
    (url, asked)
}

async fn read(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length
                    .then(|| value.trim().parse::<usize>().ok())
                    .flatten()
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        assert!(stream.read_buf(&mut bytes).await.expect("read") > 0);
    }
}

fn args(line: &[&str]) -> NotificationsArgs {
    let line = ["kaiwa", "notifications"].iter().chain(line);
    let command = Cli::try_parse_from(line).expect("a command").command();
    let super::super::Command::Notifications(args) = command else {
        panic!("{command:?}")
    };
    args
}

async fn run_at(url: &str, line: &[&str]) -> anyhow::Result<String> {
    let wanted = Wanted {
        url: Some(url.to_owned()),
        token: Some("a.b.c".to_owned()),
        ..Wanted::default()
    };
    let server = Server::new(&Config::default(), &wanted)?;
    answer(&server, &args(line), UnixMs(100_000)).await
}

/// What was asked, as method, path and body.
fn calls(asked: &Asked) -> Vec<String> {
    let asked = asked.lock().expect("whole");
    let short = |request: &String| {
        let (head, body) = request.split_once("\r\n\r\n").expect("whole");
        assert!(head.to_lowercase().contains("authorization: bearer a.b.c"));
        let line = head.lines().next().expect("a line");
        let line = line.replace("/api/v1/notifications", "");
        format!("{} {body}", line.trim_end_matches(" HTTP/1.1"))
    };
    asked.iter().map(short).collect()
}

#[tokio::test]
async fn queues_are_a_table_with_the_providers_that_are_not_well() {
    let body = r#"{"queues":[{"name":"events","visible":3,"in_flight":2,"delayed":0,
        "oldest_ms":40000,"dead":0,"breakers":[]},{"name":"push-webpush","visible":120,"in_flight":1,
        "delayed":7,"oldest_ms":null,"dead":4,"breakers":[{"provider":"push.example","state":"open",
        "until_ms":130000,"why":"503"}]}]}"#;
    let (url, asked) = server(vec![(200, body)]).await;
    let printed = run_at(&url, &["queues"]).await.expect("answered");
    let expected = "\
QUEUE         WAITING  IN WORK  DELAYED  OLDEST  DEAD
events        3        2        0        1m ago  0
push-webpush  120      1        7        -       4
push-webpush: push.example is open, tried again in 30 s: 503
";
    assert_eq!(printed, expected);
    assert_eq!(calls(&asked), ["GET /queues "]);
}

#[tokio::test]
async fn what_is_asked_for_is_escaped_and_bounded() {
    let none = r#"{"letters":[],"more":false}"#;
    let decision = r#"{"decisions":[{"event":"e","user":"bob@example","time_ms":99000,"room":"r_1",
        "seq":7,"sent":false,"reason":"room_muted","message":"the room is muted",
        "steps":[{"rule":"room_mute","ruling":"stops"}],"attempts":[]}]}"#;
    let (url, asked) = server(vec![(200, none), (200, decision)]).await;
    let list = ["dead", "list", "--queue", "push-apns", "--reason", "a&b"];
    assert_eq!(
        run_at(&url, &list).await.expect("answered"),
        "no dead letters\n"
    );
    let why = run_at(&url, &["why", "--user", "bob@example"])
        .await
        .expect("answered");
    let expected = "1s ago bob@example was NOT told: the room is muted (room_muted)\n  \
        event e, room r_1, message 7\n  room_mute: stops\n";
    assert_eq!(why, expected);
    let expected = [
        "GET /dead?queue=push-apns&reason=a%26b&limit=50 ",
        "GET /decisions?user=bob%40example&limit=20 ",
    ];
    assert_eq!(calls(&asked), expected);
}

#[tokio::test]
async fn all_are_redriven_call_by_call_and_those_that_were_not_make_it_fail() {
    let more = r#"{"done":500,"failed":[],"more":true,"stopped":null}"#;
    let last = r#"{"done":3,"failed":[],"more":false,"stopped":null}"#;
    let failed = r#"{"done":1,"failed":[{"id":"m2","why":"gone"}],"more":false,"stopped":null}"#;
    let (url, asked) = server(vec![(200, more), (200, last), (200, failed)]).await;
    let all = ["dead", "redrive", "push-fcm", "--all"];
    assert_eq!(run_at(&url, &all).await.expect("done"), "503 redriven\n");
    let two = ["dead", "drop", "push-fcm", "m1", "m2"];
    let error = run_at(&url, &two)
        .await
        .expect_err("one was not")
        .to_string();
    assert!(
        error.contains("1 dropped") && error.contains("m2: gone"),
        "{error}"
    );
    let all = r#"POST /dead/redrive {"queue":"push-fcm","all":true}"#;
    let two = r#"POST /dead/drop {"queue":"push-fcm","ids":["m1","m2"]}"#;
    assert_eq!(calls(&asked), [all, all, two]);
}

#[tokio::test]
async fn errors_say_what_to_do_and_end_with_a_code_of_their_own() {
    let off = r#"{"error":{"code":600,"reason":"push_off","message":"set push.enabled"}}"#;
    let forbidden = r#"{"error":{"code":300,"reason":"forbidden","message":"operators only"}}"#;
    let answers = vec![
        (404, off),
        (403, forbidden),
        (502, "<html>"),
        (200, "<html>"),
    ];
    let (url, _) = server(answers).await;
    for (code, words) in [
        (1, "404: set push.enabled (push_off)"),
        (77, "operators only (forbidden)"),
        (1, "502"),
        (1, "something else than a Kaiwa server"),
    ] {
        let error = run_at(&url, &["queues"]).await.expect_err("refused");
        assert!(format!("{error:#}").contains(words), "{error:#}");
        assert_eq!(super::super::exit_code(&error), code, "{error:#}");
    }
    // Nobody listens any more.
    let error = run_at(&url, &["queues"]).await.expect_err("nobody");
    assert_eq!(super::super::exit_code(&error), 69, "{error:#}");
    let unreachable = matches!(error.downcast_ref(), Some(CallError::Unreachable { .. }));
    assert!(
        unreachable && error.to_string().contains("--server"),
        "{error:#}"
    );
}

#[test]
fn a_token_goes_only_where_it_belongs() {
    let at = |url: &str, token: Option<&str>| {
        let wanted = Wanted {
            url: Some(url.to_owned()),
            token: token.map(str::to_owned),
            ..Wanted::default()
        };
        Server::new(&Config::default(), &wanted).map(|_| ())
    };
    let error = |url: &str, token| at(url, token).expect_err(url).to_string();
    assert!(error("http://chat.example", Some("t")).contains("in the clear"));
    assert!(error("https://chat.example", None).contains("--token-file"));
    assert!(error("ftp://localhost", Some("t")).contains("http://"));
    assert!(error("https://chat.example/x", Some("t")).contains("without a path"));
    assert!(error("http://localhost:1", Some("a\r\nb")).contains("no token"));
    for fine in [
        "http://127.0.0.1:8080",
        "http://[::1]:8080/",
        "https://chat.example",
    ] {
        at(fine, Some("t")).expect(fine);
    }
}

#[test]
fn a_token_is_made_with_the_secret_that_is_there_and_none_is_made_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config {
        data_dir: folder.path().to_owned(),
        ..Config::default()
    };
    let wanted = Wanted::default();
    let error = Server::new(&config, &wanted)
        .map(|_| ())
        .expect_err("no secret");
    assert!(error.to_string().contains("--data"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0);
    let data = crate::data::DataDir::open(folder.path()).expect("opened");
    data.token_key(&config.auth).expect("made");
    Server::new(&config, &wanted).map(|_| ()).expect("a token");
}

#[test]
fn one_way_to_pick_is_named() {
    for wrong in [
        vec!["dead", "redrive", "q"],
        vec!["dead", "redrive", "q", "m1", "--all"],
        vec!["dead", "drop", "q", "--reason", "r", "--all"],
        vec!["why"],
    ] {
        let line = ["kaiwa", "notifications"].into_iter().chain(wrong.clone());
        assert!(Cli::try_parse_from(line).is_err(), "{wrong:?}");
    }
}
