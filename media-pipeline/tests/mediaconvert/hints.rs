//! Reading: every file of the corpus, and what nobody has thought of.

use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::mediaconvert::hint::unseen;
use kaiwa_media_pipeline::mediaconvert::{Hint, ObjectCreated, Unreadable, read};
use kaiwa_media_pipeline::model::{Backend, Phase, Progress};
use kaiwa_media_pipeline::ports::Report;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn corpus() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mediaconvert/corpus");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn working(phase: Phase, percent: u8) -> Report {
    Report::Working(Progress { phase, percent })
}

#[test]
fn job_events_say_what_happened_to_whom() {
    let corpus = corpus();
    for (name, report) in [
        ("job_progressing", working(Phase::Probing, 0)),
        ("job_input_information", working(Phase::Probing, 0)),
        ("job_status_update", working(Phase::Transcoding, 42)),
        ("job_status_update_uploading", working(Phase::Storing, 99)),
        ("job_status_update_no_percent", working(Phase::Probing, 0)),
        ("job_complete", Report::Done(unseen())),
        ("job_canceled", Report::Cancelled),
    ] {
        let Ok(Hint::Job(event)) = read(&corpus[name]) else {
            panic!("{name}")
        };
        assert_eq!(event.report, report, "{name}");
        assert_eq!(event.id, "9e2d8a4c-0000-4000-8000-000000000001");
        assert_eq!(event.job, "1795836000000-abc123");
        assert_eq!(event.backend, Backend::MediaConvert);
        assert_eq!(event.at, UnixMs(1_795_838_400_123));
        assert_eq!(event.attempt, Some(2));
        let clip = event.clip.unwrap().to_string();
        assert_eq!(clip, "01930000-0000-7000-8000-000000000001");
    }
}

#[test]
fn a_failed_job_says_whether_trying_again_may_help() {
    let corpus = corpus();
    for (name, reason, retryable, code) in [
        ("job_error_1404", "SOURCE_UNREADABLE", true, 1404),
        ("job_error_1040", "TRANSCODE_REFUSED", false, 1040),
    ] {
        let Ok(Hint::Job(event)) = read(&corpus[name]) else {
            panic!("{name}")
        };
        let Report::Failed(error) = event.report else {
            panic!("{name}")
        };
        assert_eq!(
            (error.reason.as_str(), error.retryable),
            (reason, retryable)
        );
        assert_eq!(error.provider_code, Some(code));
        assert!(
            !error.message.contains("input file"),
            "AWS's own text stays out"
        );
    }
}

#[test]
fn jobs_of_others_have_no_clip() {
    let corpus = corpus();
    for name in ["job_of_others", "job_bare", "job_other_spelling"] {
        let Ok(Hint::Job(event)) = read(&corpus[name]) else {
            panic!("{name}")
        };
        assert_eq!((event.clip, event.attempt), (None, None), "{name}");
    }
}

#[test]
fn objects_have_their_keys_decoded_as_each_form_needs() {
    let corpus = corpus();
    let keys = |name: &str| match read(&corpus[name]) {
        Ok(Hint::Objects(objects)) => objects.into_iter().map(|o| o.key).collect::<Vec<_>>(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(keys("s3_created"), ["video/u/2026/11/c/source"]);
    assert_eq!(keys("s3_created_moto"), ["video/u/2026/11/c/source"]);
    assert_eq!(keys("s3_created_encoded"), ["video/a b+c/あ =/source"]);
    assert_eq!(
        keys("s3_created_and_removed"),
        ["video/u/2026/11/c/source", "k"]
    );
    // EventBridge does not encode.
    assert_eq!(keys("s3_bridged"), ["video/a+b%20/source"]);
    let Ok(Hint::Objects(objects)) = read(&corpus["s3_created"]) else {
        panic!()
    };
    let again = match read(&corpus["s3_created"]) {
        Ok(Hint::Objects(again)) => again[0].event.clone(),
        other => panic!("{other:?}"),
    };
    let later = corpus["s3_created"].replace("\"0055\"", "\"0056\"");
    let Ok(Hint::Objects(later)) = read(&later) else {
        panic!()
    };
    assert_ne!(later[0].event, again, "another creation of the same key");
    let whole = ObjectCreated {
        event: again,
        bucket: "clips".to_owned(),
        key: "video/u/2026/11/c/source".to_owned(),
        size: 123,
        at: UnixMs(1_795_838_400_123),
    };
    assert_eq!(objects, [whole]);
}

#[test]
fn what_is_known_and_of_no_interest_is_neither_work_nor_an_error() {
    let corpus = corpus();
    for name in [
        "s3_test",
        "s3_removed",
        "s3_bridged_deleted",
        "job_new_warning",
        "job_queue_hop",
    ] {
        assert!(
            matches!(read(&corpus[name]), Ok(Hint::Nothing(_))),
            "{name}"
        );
    }
}

#[test]
fn everything_bad_is_refused_with_its_reason() {
    let expected = [
        ("bad_cut", Unreadable::NotJson),
        ("bad_deep", Unreadable::NotJson),
        ("bad_empty", Unreadable::UnknownShape),
        ("bad_job_detail", Unreadable::Missing("detail")),
        (
            "bad_job_error_without_code",
            Unreadable::Missing("errorCode"),
        ),
        ("bad_job_id", Unreadable::Invalid("jobId")),
        ("bad_job_no_id", Unreadable::Missing("id")),
        ("bad_job_other_type", Unreadable::UnknownShape),
        ("bad_job_percent", Unreadable::Invalid("jobPercentComplete")),
        ("bad_job_phase", Unreadable::Invalid("currentPhase")),
        ("bad_job_status", Unreadable::UnknownStatus),
        ("bad_job_time", Unreadable::Invalid("timestamp")),
        ("bad_list", Unreadable::NotJson),
        ("bad_other_source", Unreadable::UnknownShape),
        ("bad_s3_key_control", Unreadable::Invalid("key")),
        ("bad_s3_key_escape", Unreadable::Invalid("key")),
        ("bad_s3_key_long", Unreadable::Invalid("key")),
        ("bad_s3_key_utf8", Unreadable::Invalid("key")),
        ("bad_s3_no_records", Unreadable::Invalid("Records")),
        ("bad_s3_records_text", Unreadable::Invalid("Records")),
        ("bad_s3_size", Unreadable::Invalid("size")),
        ("bad_s3_size_text", Unreadable::Invalid("size")),
        ("bad_s3_time", Unreadable::Invalid("eventTime")),
        ("bad_s3_too_many", Unreadable::Invalid("Records")),
        ("bad_text", Unreadable::NotJson),
    ];
    let corpus = corpus();
    let bad: Vec<_> = corpus
        .keys()
        .filter(|name| name.starts_with("bad_"))
        .collect();
    assert_eq!(
        bad,
        expected.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    for (name, why) in expected {
        assert_eq!(read(&corpus[name]), Err(why), "{name}");
    }
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(256 * 1024));
    assert_eq!(read(&large), Err(Unreadable::TooLarge));
}

/// As S3 writes a key.
fn encode(key: &str) -> String {
    let escape = |b: u8| match b {
        b' ' => "+".to_owned(),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
            char::from(b).to_string()
        }
        other => format!("%{other:02X}"),
    };
    key.bytes().map(escape).collect()
}

proptest! {
    #[test]
    fn every_key_comes_back_whatever_the_version(key in "[^\\p{Cc}]{1,200}", version in "\\PC{0,9}") {
        let mut record: serde_json::Value = serde_json::from_str(include_str!("corpus/s3_created.json")).unwrap();
        record["Records"][0]["eventVersion"] = version.into();
        record["Records"][0]["s3"]["object"]["key"] = encode(&key).into();
        let Ok(Hint::Objects(objects)) = read(&record.to_string()) else {
            return Err(TestCaseError::fail("not read"));
        };
        prop_assert_eq!(&objects[0].key, &key);
    }

    #[test]
    fn nothing_that_is_cut_or_changed_makes_it_fall(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        for text in corpus().values() {
            let mut bytes = text.clone().into_bytes();
            let place = at.index(bytes.len());
            if cut { bytes.truncate(place) } else { bytes[place] = byte }
            let _ = read(&String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn no_text_makes_it_fall(text in "\\PC{0,300}") {
        let _ = read(&text);
    }
}
