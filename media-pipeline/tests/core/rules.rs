//! Single rules of the state machine, each with the defect that it keeps out.

use crate::make::{
    START, after, clip, go_at, job, outputs, source, transient, upload, word, working,
};
use crate::world::arrived;
use kaiwa_media_pipeline::core::mark::Word;
use kaiwa_media_pipeline::core::rules::Rules;
use kaiwa_media_pipeline::core::step::{Arrived, Effect, Input, Verdict};
use kaiwa_media_pipeline::model::{
    Backend, Chore, Clip, ClipError, ClipKind, ClipState, UploadMode,
};
use kaiwa_media_pipeline::ports::Report;
use std::time::Duration;

fn submitted() -> Clip {
    after(&[
        Input::Granted(upload()),
        arrived(),
        Input::Inspecting("e".to_owned()),
        Input::Inspected(Box::new(source())),
        Input::Submitted(1, job(1)),
    ])
}

fn take(clip: &Clip, input: &Input) -> Clip {
    go_at(clip, input, START).clip.unwrap_or(clip.clone())
}

fn ready() -> Clip {
    let clip = take(&submitted(), &word(1, 1, Report::Done(outputs(1))));
    take(&clip, &Input::Verified(1, Box::new(outputs(1))))
}

#[test]
fn a_word_counts_only_if_it_moves_forward() {
    let clip = take(&submitted(), &word(1, 5, working(40)));
    assert_eq!(clip.state, ClipState::Processing);
    let cases = [
        ("less", word(1, 9, working(39)), Verdict::Stale),
        ("as much, later", word(1, 9, working(40)), Verdict::Stale),
        ("further", word(1, 6, working(41)), Verdict::Taken),
        ("a lower rank", word(1, 9, Report::Queued), Verdict::Stale),
        (
            "of another attempt",
            word(2, 9, working(90)),
            Verdict::Stale,
        ),
        (
            "a higher rank",
            word(1, 1, Report::Done(outputs(1))),
            Verdict::Taken,
        ),
    ];
    for (name, input, verdict) in cases {
        assert_eq!(go_at(&clip, &input, START).verdict, verdict, "{name}");
    }
    let mut other = word(1, 9, working(90));
    if let Input::Word(word) = &mut other {
        word.job = "job-of-somebody".to_owned();
    }
    assert_eq!(go_at(&clip, &other, START).verdict, Verdict::Stale);
}

#[test]
fn complete_before_progressing_is_enough_and_progressing_is_late() {
    let clip = take(&submitted(), &word(1, 1, Report::Done(outputs(1))));
    assert_eq!(clip.state, ClipState::Verifying);
    let late = go_at(&clip, &word(1, 9, working(10)), START);
    assert_eq!((late.verdict, late.clip), (Verdict::Stale, None));
}

#[test]
fn a_word_before_the_submits_answer_is_parked_and_heard_after_it() {
    let waiting = after(&[
        Input::Granted(upload()),
        arrived(),
        Input::Inspected(Box::new(source())),
    ]);
    let done = word(1, 1, Report::Done(outputs(1)));
    assert_eq!(go_at(&waiting, &done, START).verdict, Verdict::Park);
    let answered = take(&waiting, &Input::Submitted(1, job(1)));
    assert_eq!(take(&answered, &done).state, ClipState::Verifying);
}

#[test]
fn of_two_ends_the_first_holds_and_the_losers_outputs_go() {
    let cancelled = take(&submitted(), &Input::Cancel);
    assert!(cancelled.chores.todo.contains(&Chore::StopJob(job(1))));
    // All that cancelling brought is done when the other end comes.
    let mut clip = cancelled.clone();
    for chore in cancelled.chores.todo {
        clip = take(&clip, &Input::Did(chore));
    }
    assert_eq!(clip.due, None);
    let late = go_at(&clip, &word(1, 9, Report::Done(outputs(1))), START);
    assert_eq!(late.verdict, Verdict::Conflict);
    assert_eq!(late.effects, [Effect::Run(Chore::Sweep(1))]);
    assert_eq!(late.clip.unwrap().state, ClipState::Cancelled);
    // The same end twice is no conflict: nothing of what can be played is swept.
    let twice = go_at(&ready(), &word(1, 9, Report::Done(outputs(1))), START);
    assert_eq!((twice.verdict, twice.clip), (Verdict::Stale, None));
}

#[test]
fn a_retry_is_a_new_attempt_and_the_old_ones_words_are_late() {
    let refused = ClipError {
        retryable: false,
        ..transient()
    };
    let failed = take(&submitted(), &word(1, 1, Report::Failed(refused)));
    assert_eq!(failed.state, ClipState::Failed);
    assert!(failed.chores.todo.contains(&Chore::TellFailed(1)));
    let step = go_at(&failed, &Input::Retry, START);
    assert!(step.effects.contains(&Effect::Submit(2)));
    let retried = step.clip.unwrap();
    assert_eq!((retried.state, retried.attempt), (ClipState::Submitted, 2));
    assert_eq!((&retried.job, &retried.error), (&None, &None));
    let late = go_at(&retried, &word(1, 5, working(90)), START);
    assert_eq!((late.verdict, late.clip), (Verdict::Stale, None));
}

#[test]
fn what_may_pass_is_tried_again_by_itself_a_few_times_only() {
    let mut clip = submitted();
    for attempt in 1..=3 {
        assert_eq!(clip.attempt, attempt);
        clip = take(&clip, &word(attempt, 1, Report::Failed(transient())));
        if attempt < 3 {
            assert_eq!((clip.state, &clip.job), (ClipState::Submitted, &None));
            clip = take(&clip, &Input::Submitted(attempt + 1, job(attempt + 1)));
        }
    }
    assert_eq!(clip.state, ClipState::Failed);
}

#[test]
fn another_size_or_checksum_than_promised_is_rejected_and_erased() {
    let open = after(&[Input::Granted(upload())]);
    let short = Input::Arrived(Arrived {
        size: 1,
        sha256: None,
    });
    let other = Input::Arrived(Arrived {
        size: 1_000_000,
        sha256: Some([2; 32]),
    });
    for (input, reason) in [(short, "SIZE_MISMATCH"), (other, "CHECKSUM_MISMATCH")] {
        let clip = take(&open, &input);
        assert_eq!(clip.state, ClipState::Rejected);
        assert_eq!(clip.error.unwrap().reason, reason);
        assert!(clip.chores.todo.contains(&Chore::Erase));
    }
    // The store may not know the checksum; whoever looks at the bytes does.
    let arrived = take(&open, &arrived());
    let mut found = source();
    found.sha256 = Some([2; 32]);
    let clip = take(&arrived, &Input::Inspected(Box::new(found)));
    assert_eq!(clip.state, ClipState::Rejected);
}

#[test]
fn an_upload_that_does_not_come_expires_and_is_thrown_away() {
    let open = after(&[Input::Granted(upload())]);
    let looked = go_at(&open, &Input::Due, open.due.unwrap());
    assert!(looked.effects.contains(&Effect::Look));
    let clip = looked.clip.unwrap();
    let early = go_at(&clip, &Input::Absent, START.plus(Duration::from_secs(9)));
    assert_eq!(early.verdict, Verdict::Stale);
    let end = upload().expires;
    let clip = go_at(&clip, &Input::Absent, end).clip.unwrap();
    assert_eq!(clip.state, ClipState::Expired);
    let aborted = Chore::AbortUpload("u1".to_owned());
    assert!(clip.chores.todo.contains(&aborted));
    // Nobody ever asked for a way in: nothing can be there.
    let never = go_at(&clip_with_window(), &Input::Due, end).clip.unwrap();
    assert_eq!(never.state, ClipState::Expired);
}

fn clip_with_window() -> Clip {
    clip()
}

#[test]
fn what_comes_by_a_way_in_that_outlived_its_clip_is_erased() {
    let mut post = upload();
    post.mode = UploadMode::Post;
    post.id = None;
    let cancelled = after(&[Input::Granted(post.clone()), Input::Cancel]);
    let erased = take(&cancelled, &Input::Did(Chore::Erase));
    assert!(
        erased.chores.todo.contains(&Chore::Erase),
        "once more later"
    );
    let late = go_at(&cancelled, &arrived(), post.expires);
    assert_eq!(late.verdict, Verdict::Conflict);
}

#[test]
fn pictures_and_sound_are_shared_as_they_are() {
    let mut picture = source();
    picture.duration = Duration::ZERO;
    let mut sound = source();
    sound.video = None;
    for (found, kind) in [(picture, ClipKind::Image), (sound, ClipKind::Audio)] {
        let open = after(&[Input::Granted(upload()), arrived()]);
        let step = go_at(&open, &Input::Inspected(Box::new(found)), START);
        assert!(step.effects.contains(&Effect::Verify));
        let clip = step.clip.unwrap();
        assert_eq!((clip.kind, clip.attempt), (kind, 0));
        assert_eq!(clip.state, ClipState::Verifying);
    }
}

#[test]
fn a_job_that_is_stuck_is_stopped_and_another_is_begun() {
    let rules = Rules::default();
    let working = take(&submitted(), &word(1, 1, working(40)));
    let cases = [
        (submitted(), rules.queued, "waiting"),
        (working, rules.silent, "working"),
    ];
    for (clip, bound, name) in cases {
        let before = go_at(&clip, &Input::Due, START.plus(bound / 2));
        assert!(before.effects.contains(&Effect::Ask), "{name}");
        let after = go_at(&clip, &Input::Due, START.plus(bound));
        assert!(!after.effects.contains(&Effect::Ask), "{name}");
        let clip = after.clip.unwrap();
        assert_eq!((clip.state, clip.attempt), (ClipState::Submitted, 2));
        assert!(clip.chores.todo.contains(&Chore::StopJob(job(1))), "{name}");
    }
}

#[test]
fn a_job_that_the_transcoder_forgot_is_begun_again() {
    let clip = take(&submitted(), &Input::Lost(1));
    assert_eq!((clip.state, clip.attempt), (ClipState::Submitted, 2));
    let late = go_at(&ready(), &Input::Lost(1), START);
    assert_eq!(late.verdict, Verdict::Stale);
}

#[test]
fn an_answer_that_comes_after_cancelling_stops_its_job() {
    let waiting = after(&[
        Input::Granted(upload()),
        arrived(),
        Input::Inspected(Box::new(source())),
    ]);
    let cancelled = take(&waiting, &Input::Cancel);
    let step = go_at(&cancelled, &Input::Submitted(1, job(1)), START);
    assert_eq!(step.verdict, Verdict::Conflict);
    let run = Effect::Run(Chore::StopJob(job(1)));
    assert!(step.effects.contains(&run));
}

#[test]
fn failures_in_a_row_end_in_a_named_failure() {
    let waiting = after(&[
        Input::Granted(upload()),
        arrived(),
        Input::Inspected(Box::new(source())),
    ]);
    let mut clip = waiting;
    for _ in 0..=Rules::default().tries {
        assert_eq!(clip.state, ClipState::Submitted);
        clip = take(&clip, &Input::WorkFailed(None));
    }
    assert_eq!(clip.state, ClipState::Failed);
    assert_eq!(clip.error.unwrap().reason, "TRANSCODER_UNAVAILABLE");
}

#[test]
fn a_throttled_submit_waits_as_long_as_it_is_asked_to() {
    let waiting = after(&[
        Input::Granted(upload()),
        arrived(),
        Input::Inspected(Box::new(source())),
    ]);
    let wish = Duration::from_secs(90);
    let clip = take(&waiting, &Input::WorkFailed(Some(wish)));
    assert_eq!(clip.chores.work_due, Some(START.plus(wish)));
}

#[test]
fn deleting_takes_what_people_wrote_and_everything_stored() {
    let clip = take(&ready(), &Input::Delete);
    assert_eq!(clip.state, ClipState::Deleted);
    assert_eq!(
        (clip.title.as_str(), clip.declared.name.0.as_str()),
        ("", "")
    );
    assert!(clip.chores.todo.contains(&Chore::Erase));
    let again = go_at(&clip, &Input::Delete, START);
    assert_eq!((again.verdict, again.clip), (Verdict::Stale, None));
}

#[test]
fn a_job_without_our_notes_is_known_by_its_id() {
    let event = Input::Word(Box::new(Word {
        attempt: None,
        backend: Backend::MediaConvert,
        job: job(1).id,
        at: START,
        report: working(7),
    }));
    assert_eq!(take(&submitted(), &event).state, ClipState::Processing);
}

#[test]
fn a_failed_clips_file_is_kept_for_another_try_and_then_deleted() {
    let gone = ClipError {
        retryable: false,
        ..transient()
    };
    let failed = take(&submitted(), &word(1, 1, Report::Failed(gone)));
    assert_eq!(failed.state, ClipState::Failed);
    let swept = failed.chores.todo.clone();
    let mut kept = failed.clone();
    for chore in swept {
        kept = take(&kept, &Input::Did(chore));
    }
    let until = START.plus(Rules::default().keep_failed);
    assert_eq!(kept.due, Some(until));
    assert_eq!(take(&kept, &Input::Retry).state, ClipState::Submitted);
    let before = kaiwa_common::time::UnixMs(until.0 - 1);
    assert_eq!(go_at(&kept, &Input::Due, before).clip, None);

    let dropped = go_at(&kept, &Input::Due, until);
    assert_eq!(dropped.effects, [Effect::Run(Chore::Erase)]);
    let dropped = dropped.clip.unwrap();
    assert_eq!(
        (dropped.state, dropped.stored_bytes()),
        (ClipState::Failed, 0)
    );
    assert!(!dropped.error.as_ref().unwrap().retryable);
    let again = go_at(&dropped, &Input::Retry, until);
    assert_eq!(again.verdict, Verdict::Refused(ClipState::Failed));
    let erased = take(&dropped, &Input::Did(Chore::Erase));
    assert_eq!(erased.due, None, "nothing is left to wait for");
}
