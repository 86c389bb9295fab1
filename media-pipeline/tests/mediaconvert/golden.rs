//! The bytes of CreateJob: a change of them is a change of what customers pay for. The same files are checked against
//! AWS's model by the double (`faults::what_the_service_refuses_is_refused_for_good`).

use crate::emulator;
use crate::orders::{order, rung, source};
use crate::world::{ROLE, transcoder};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use kaiwa_media_pipeline::mediaconvert::transcoder::Ladder;
use kaiwa_media_pipeline::ports::{Order, TranscodeError, Transcoder as _};
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The JSON of this order's CreateJob, as it is on the wire.
async fn wire(order: &Order, ladder: Ladder) -> Value {
    let taken = Arc::new(Mutex::new(Vec::new()));
    async fn take(
        State(taken): State<Arc<Mutex<Vec<String>>>>,
        body: String,
    ) -> (StatusCode, &'static str) {
        taken.lock().unwrap().push(body);
        let job = r#"{"job":{"id":"1795836000000-abc123","role":"r","settings":{}}}"#;
        (StatusCode::CREATED, job)
    }
    let app = Router::new().fallback(take).with_state(Arc::clone(&taken));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let root = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let config = emulator::config(&root, "test").await;
    let job = transcoder(&config, &root, None, ladder)
        .submit(order)
        .await
        .unwrap();
    assert_eq!(job.id, "1795836000000-abc123");
    serving.abort();
    let taken = taken.lock().unwrap();
    assert_eq!(taken.len(), 1);
    serde_json::from_str(&taken[0]).unwrap()
}

async fn compare(name: &str, order: &Order, ladder: Ladder) {
    let sent = wire(order, ladder).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/mediaconvert/golden")
        .join(name);
    if std::env::var_os("KAIWA_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&sent).unwrap() + "\n").unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    assert_eq!(sent, golden, "{name}: KAIWA_WRITE_GOLDEN=1 writes it anew");
}

#[tokio::test]
async fn a_landscape_clip_with_sound_in_four_qualities() {
    let ladder: Ladder = Arc::new(|_| {
        vec![
            rung("1080p", (1920, 1080), 30.0, 5_000_000),
            rung("720p", (1280, 720), 30.0, 3_000_000),
            rung("480p", (854, 480), 30.0, 1_500_000),
            rung("360p", (640, 360), 30.0, 800_000),
        ]
    });
    let order = order(1, source(1920, 1080, 60, true));
    compare("landscape.json", &order, ladder).await;
}

#[tokio::test]
async fn a_silent_portrait_clip_at_another_frame_rate() {
    let ladder: Ladder = Arc::new(|_| vec![rung("360p", (360, 640), 30_000.0 / 1001.0, 800_000)]);
    let mut order = order(2, source(360, 640, 1000, false));
    order.attempt = 3;
    order.segment_s = 10;
    compare("portrait_silent.json", &order, ladder).await;
}

#[tokio::test]
async fn what_mediaconvert_would_not_take_is_not_sent() {
    let good = || rung("360p", (640, 360), 30.0, 800_000);
    let mut ladders = vec![vec![], vec![good(), good()]];
    for change in [
        (|r| r.width = 641) as fn(&mut kaiwa_media_pipeline::mediaconvert::Rung),
        |r| r.height = 0,
        |r| r.max_bitrate = 999,
        |r| r.quality = 11,
        |r| r.fps = f64::NAN,
        |r| r.name = "../x".to_owned(),
    ] {
        let mut rung = good();
        change(&mut rung);
        ladders.push(vec![rung]);
    }
    // Nobody listens there.
    let config = emulator::config("http://127.0.0.1:9", "test").await;
    let refused = |order: Order, ladder: Vec<_>| {
        let config = config.clone();
        async move {
            let ladder: Ladder = Arc::new(move |_| ladder.clone());
            let transcoder = transcoder(&config, "http://127.0.0.1:9", None, ladder);
            match transcoder.submit(&order).await {
                Err(TranscodeError::Refused(why)) => (why.reason, why.retryable),
                other => panic!("{other:?}"),
            }
        }
    };
    for ladder in ladders {
        let order = order(3, source(640, 360, 5, true));
        let why = refused(order, ladder.clone()).await;
        assert_eq!(why, ("TRANSCODE_REFUSED".to_owned(), false), "{ladder:?}");
    }
    let mut no_pictures = order(3, source(640, 360, 5, true));
    no_pictures.source.video = None;
    let why = refused(no_pictures, vec![good()]).await;
    assert_eq!(why, ("NO_PICTURES".to_owned(), false));
    assert!(ROLE.starts_with("arn:"));
}
