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
