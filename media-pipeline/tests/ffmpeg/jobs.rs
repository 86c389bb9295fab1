//! The line of jobs: once each, across restarts, until somebody stops them.

use crate::support::{Place, done, end, make, order};
use kaiwa_media_pipeline::ports::{Inspector, Report, Transcoder};

async fn film(seconds: u32) -> (Place, kaiwa_media_pipeline::ports::Order) {
    let place = Place::new(true);
    make(
        &format!(
            "-f lavfi -i testsrc2=s=320x180:r=30:d={seconds} -c:v libx264 -preset ultrafast -pix_fmt yuv420p -f mp4"
        ),
        &place.path("source"),
    );
    let source = place.inspector.inspect("source").await.unwrap();
    let order = order("source", source);
    (place, order)
}

#[tokio::test]
async fn the_same_clip_and_attempt_is_one_job_and_its_end_survives_a_restart() {
    let (place, order) = film(3).await;
    let transcoder = place.transcoder();
    let job = transcoder.submit(&order).await.unwrap();
    assert_eq!(transcoder.submit(&order).await.unwrap().id, job.id);
    let outputs = done(&transcoder, &job, &order).await;
    let puts = place.objects.puts.lock().unwrap().len();
    assert_eq!(puts, outputs.files.len());
    drop(transcoder);
    let transcoder = place.transcoder();
    assert_eq!(transcoder.submit(&order).await.unwrap().id, job.id);
    assert_eq!(end(&transcoder, &job, &order).await, Report::Done(outputs));
    assert_eq!(
        place.objects.puts.lock().unwrap().len(),
        puts,
        "nothing is transcoded again after success"
    );
}

#[tokio::test]
async fn a_job_that_died_with_its_server_is_begun_again() {
    let (place, order) = film(30).await;
    let transcoder = place.transcoder();
    let job = transcoder.submit(&order).await.unwrap();
    while !matches!(
        transcoder.report(&job, &order).await.unwrap(),
        Some(Report::Working(_))
    ) {
        tokio::task::yield_now().await;
    }
    drop(transcoder);
    let transcoder = place.transcoder();
    let outputs = done(&transcoder, &job, &order).await;
    assert_eq!(outputs.renditions.len(), 1);
}

#[tokio::test]
async fn a_stopped_job_stays_stopped_and_its_process_ends() {
    let (place, order) = film(30).await;
    let transcoder = place.transcoder();
    let job = transcoder.submit(&order).await.unwrap();
    let folder = place.dir.path().join("transcoder/work").join(&job.id);
    let process = loop {
        tokio::task::yield_now().await;
        if let Ok(text) = std::fs::read_to_string(folder.join("process"))
            && let Some((id, _)) = text.split_once(' ')
        {
            break id.to_owned();
        }
    };
    // Held, it can only be killed: it does not end because its work is done.
    let held = rustix::process::Pid::from_raw(process.parse().unwrap()).unwrap();
    rustix::process::kill_process(held, rustix::process::Signal::STOP).unwrap();
    transcoder.cancel(&job).await.unwrap();
    assert_eq!(end(&transcoder, &job, &order).await, Report::Cancelled);
    while folder.exists() {
        tokio::task::yield_now().await;
    }
    // It has been told to end (SIGKILL); the kernel takes its moment.
    let running =
        || std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let ended = async {
        while running().contains(&job.id) {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), ended).await;
    assert!(ended.is_ok(), "the process was killed");
    assert!(place.objects.puts.lock().unwrap().is_empty());
    transcoder.cancel(&job).await.unwrap();
}

#[tokio::test]
async fn a_job_nobody_handed_over_is_unknown() {
    let (place, order) = film(1).await;
    let transcoder = place.transcoder();
    let mut job = transcoder.submit(&order).await.unwrap();
    job.id.push('x');
    assert_eq!(transcoder.report(&job, &order).await.unwrap(), None);
}

/// Whether a process of this job is there. What it was started with is readable as long as it lives.
fn runs(id: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|said| String::from_utf8_lossy(&said).contains(id))
    })
}

async fn until(what: impl Fn() -> bool) {
    let waited = async {
        let mut asked = tokio::time::interval(std::time::Duration::from_millis(10));
        while !what() {
            asked.tick().await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), waited).await;
    assert!(waited.is_ok(), "it did not happen in a minute");
}

const CHILD: &str = "KAIWA_TEST_TRANSCODER";

/// The server of the next test, in a process of its own: takes one job up and works until it is killed. For others there is
/// nothing to do.
#[tokio::test]
async fn a_server_that_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else {
        return;
    };
    let place = Place::at(folder.into());
    let _transcoder = place.transcoder();
    std::future::pending().await
}

#[tokio::test]
async fn killed_in_the_middle_a_server_leaves_no_process_and_the_next_one_ends_the_job() {
    let (place, order) = film(120).await;
    // Handed over to a server that is gone before it begins.
    let transcoder = place.transcoder();
    let job = transcoder.submit(&order).await.unwrap();
    drop(transcoder);
    until(|| !runs(&job.id)).await;
    let mut server = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "jobs::a_server_that_is_killed", "--nocapture"])
        .env(CHILD, place.dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let output = place.dir.path().join("transcoder/work").join(&job.id);
    let output = output.join("out/hls/180p/seg_00000.m4s");
    until(|| output.exists()).await;
    assert!(runs(&job.id));
    // SIGKILL: nothing of its own runs any more.
    server.kill().unwrap();
    server.wait().unwrap();
    until(|| !runs(&job.id)).await;
    assert!(place.objects.puts.lock().unwrap().is_empty());
    let transcoder = place.transcoder();
    let outputs = done(&transcoder, &job, &order).await;
    assert_eq!(outputs.renditions.len(), 1);
    assert_eq!(
        std::fs::read_dir(place.dir.path().join("transcoder/work"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn copies_that_a_killed_server_left_are_removed() {
    let place = Place::new(false);
    let left = place.dir.path().join("inspect/source-0");
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, b"four gigabytes").unwrap();
    let place = Place::at(place.dir.path().to_owned());
    assert!(!left.exists());
    drop(place);
}

#[tokio::test]
async fn the_end_of_an_old_clip_is_known_however_many_newer_ones_have_ended() {
    let (place, order) = film(1).await;
    let jobs = place.dir.path().join("transcoder/jobs");
    let transcoder = place.transcoder();
    let job = transcoder.submit(&order).await.unwrap();
    done(&transcoder, &job, &order).await;
    drop(transcoder);
    // A thousand clips that were registered later.
    let record = std::fs::read_to_string(jobs.join(format!("{}.json", job.id))).unwrap();
    for _ in 0..1000 {
        let clip = uuid::Uuid::now_v7().to_string();
        let record = record.replace(&order.clip.to_string(), &clip);
        std::fs::write(jobs.join(format!("{clip}-1.json")), record).unwrap();
    }
    let transcoder = place.transcoder();
    let mut again = order.clone();
    again.attempt = 2;
    let job = transcoder.submit(&again).await.unwrap();
    done(&transcoder, &job, &again).await;
    assert!(transcoder.report(&job, &again).await.unwrap().is_some());
}

#[tokio::test]
async fn only_segments_that_players_can_use_are_made() {
    let (place, order) = film(1).await;
    let transcoder = place.transcoder();
    for segment_s in [0, 1, 3, 32, u32::MAX - 1] {
        let mut order = order.clone();
        order.segment_s = segment_s;
        assert!(transcoder.submit(&order).await.is_err(), "{segment_s}");
    }
}
