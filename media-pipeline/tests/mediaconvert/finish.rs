//! The last hand at outputs: our master playlist, of what was measured, and pictures for scrubbing.

use crate::world::{World, finisher};
use futures_util::TryStreamExt as _;
use kaiwa_media_pipeline::cage::Tools;
use kaiwa_media_pipeline::mediaconvert::outputs::Finish as _;
use kaiwa_media_pipeline::mediaconvert::playlist::media;
use kaiwa_media_pipeline::model::Outputs;
use kaiwa_media_pipeline::playlist::parse_master;
use kaiwa_media_pipeline::ports::{Objects as _, Order, Report, Transcoder as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_clip_has_a_measured_master_and_pictures_for_scrubbing() {
    let world = World::new().await;
    let order = world.order(11).await;
    let job = world.transcoder.submit(&order).await.unwrap();
    let Report::Done(outputs) = world.over(&job, &order).await else {
        panic!("not done")
    };
    the_master_says_what_was_measured(&world, &order, &outputs).await;
    pictures_are_of_the_whole_length(&world, &order, &outputs).await;
    // Asked again, also after a crash before the master was there: the same.
    let again = world.transcoder.report(&job, &order).await.unwrap();
    assert_eq!(again, Some(Report::Done(outputs.clone())));
    remove(&world, &order, "hls/master.m3u8").await;
    remove(&world, &order, "thumbnails/sprite.vtt").await;
    let again = world.transcoder.report(&job, &order).await.unwrap();
    assert_eq!(again, Some(Report::Done(outputs.clone())));
    // What ends before its source does is not whole, whatever the job says.
    let mut longer = order.clone();
    longer.source.duration += std::time::Duration::from_secs(2);
    let cut = world.transcoder.report(&job, &longer).await.unwrap();
    let Some(Report::Failed(why)) = cut else {
        panic!("half of a clip is none: {cut:?}")
    };
    assert_eq!(
        (why.reason.as_str(), why.retryable),
        ("OUTPUT_INCOMPLETE", true)
    );
    // Without a captured frame the poster is made.
    for name in outputs.files.keys().filter(|name| name.contains("thumb.")) {
        remove(&world, &order, name).await;
    }
    let Some(Report::Done(made)) = world.transcoder.report(&job, &order).await.unwrap() else {
        panic!("not done")
    };
    assert_eq!(made.poster.as_deref(), Some("thumbnails/poster.jpg"));
    let poster = bytes(&world, &order, "thumbnails/poster.jpg").await;
    assert_eq!(size_of(&poster), (320, 180));
    without_an_encoder_there_is_no_sprite(&world, &order, &outputs).await;
}

async fn the_master_says_what_was_measured(world: &World, order: &Order, outputs: &Outputs) {
    let text = text(world, order, outputs.playlist.as_ref().unwrap()).await;
    let master = parse_master(&text).expect("valid by RFC 8216");
    assert_eq!(master.variants.len(), outputs.renditions.len());
    for (variant, rendition) in master.variants.iter().zip(&outputs.renditions) {
        assert_eq!(format!("hls/{}", variant.uri), rendition.playlist);
        let said = |name: &str| variant.attributes[name].parse::<f64>().unwrap();
        let (width, height) = (rendition.width, rendition.height);
        assert_eq!(
            variant.attributes["RESOLUTION"],
            format!("{width}x{height}")
        );
        assert!((said("FRAME-RATE") - rendition.fps).abs() < 0.001);
        assert!(variant.attributes["CODECS"].starts_with("avc1."));
        let playlist = self::text(world, order, &rendition.playlist).await;
        let (mut all, mut seconds) = (0.0, 0.0);
        for (length, uri) in media(&playlist).unwrap().segments {
            let size = bytes(world, order, &format!("hls/{uri}")).await.len();
            let bits = f64::from(u32::try_from(size).unwrap()) * 8.0;
            assert!(said("BANDWIDTH") >= bits / length, "{uri}: {text}");
            (all, seconds) = (all + bits, seconds + length);
        }
        assert!(
            (said("AVERAGE-BANDWIDTH") - all / seconds).abs() <= 1.0,
            "{text}"
        );
    }
}

async fn pictures_are_of_the_whole_length(world: &World, order: &Order, outputs: &Outputs) {
    let sprite = outputs.sprite.as_ref().unwrap();
    assert_eq!(sprite.interval_ms, 2000);
    let vtt = text(world, order, &sprite.vtt).await;
    let times: Vec<_> = vtt.lines().filter(|line| line.contains("-->")).collect();
    assert_eq!(
        times,
        [
            "00:00:00.000 --> 00:00:02.000",
            "00:00:02.000 --> 00:00:04.000",
            "00:00:04.000 --> 00:00:05.000"
        ]
    );
    assert!(vtt.contains("sprite.jpg#xywh=320,0,160,90"), "{vtt}");
    let image = bytes(world, order, &sprite.image).await;
    assert_eq!(size_of(&image), (480, 90));
}

async fn without_an_encoder_there_is_no_sprite(world: &World, order: &Order, outputs: &Outputs) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ffmpeg");
    std::fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let finisher = finisher(world.bucket.clone(), Tools::find(&path).unwrap());
    let mut bare = outputs.clone();
    (bare.playlist, bare.sprite) = (None, None);
    bare.files.retain(|name, _| !name.contains("sprite"));
    let finished = finisher.finish(order, bare).await.unwrap();
    assert_eq!(finished.sprite, None);
    assert_eq!(finished.playlist, outputs.playlist);
}

async fn remove(world: &World, order: &Order, name: &str) {
    world
        .bucket
        .remove(&format!("{}{name}", order.processed))
        .await;
}

async fn bytes(world: &World, order: &Order, name: &str) -> Vec<u8> {
    let key = format!("{}{name}", order.processed);
    let reading = world.bucket.read(&key, None).await.unwrap();
    let pieces: Vec<_> = reading.bytes.try_collect().await.unwrap();
    pieces.concat()
}

async fn text(world: &World, order: &Order, name: &str) -> String {
    String::from_utf8(bytes(world, order, name).await).unwrap()
}

/// Width and height of a picture.
fn size_of(image: &[u8]) -> (u32, u32) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.jpg");
    std::fs::write(&path, image).unwrap();
    let said = Command::new("ffprobe")
        .args("-v error -show_entries stream=width,height -of csv=p=0".split(' '))
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let (width, height) = said.trim().split_once(',').unwrap();
    (width.parse().unwrap(), height.parse().unwrap())
}
