//! Answers as people read them.

use kaiwa_common::time::UnixMs;
use kaiwa_signaling::edge::notifications::wire::{
    Breaker, DeadLetter, DeadLetters, Decided, Decisions, Done, Queues,
};

/// Each queue, and the providers that are not well.
pub(super) fn queues(queues: &Queues, now: UnixMs) -> String {
    let head = ["QUEUE", "WAITING", "IN WORK", "DELAYED", "OLDEST", "DEAD"];
    let rows = queues.queues.iter().map(|queue| {
        vec![
            queue.name.clone(),
            queue.visible.to_string(),
            queue.in_flight.to_string(),
            queue.delayed.to_string(),
            queue
                .oldest_ms
                .map_or_else(|| "-".to_owned(), |ms| ago(ms, now)),
            queue.dead.to_string(),
        ]
    });
    let mut text = table(&head, rows.collect());
    for queue in &queues.queues {
        for breaker in &queue.breakers {
            text += &format!("{}: {}\n", plain(&queue.name), breaker_line(breaker, now));
        }
    }
    text
}

fn breaker_line(breaker: &Breaker, now: UnixMs) -> String {
    let next = breaker.until_ms.map_or_else(String::new, |until| {
        let seconds = UnixMs(until).since(now).as_secs();
        format!(", tried again in {seconds} s")
    });
    let (provider, state) = (plain(&breaker.provider), plain(&breaker.state));
    format!("{provider} is {state}{next}: {}", plain(&breaker.why))
}

/// A line for each.
pub(super) fn letters(letters: &DeadLetters, now: UnixMs) -> String {
    if letters.letters.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let head = ["QUEUE", "ID", "REASON", "SENT", "USER", "EVENT"];
    let rows = letters.letters.iter().map(|letter| {
        vec![
            letter.queue.clone(),
            letter.id.clone(),
            letter.reason.clone(),
            ago(letter.first_seen_ms, now),
            letter.user.clone().unwrap_or_else(|| "-".to_owned()),
            letter.event.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let mut text = table(&head, rows.collect());
    if letters.more {
        text += "there may be more: --queue and --reason choose, --limit takes up to 200\n";
    }
    text
}

/// All that is known of one.
pub(super) fn letter(letter: &DeadLetter, now: UnixMs) -> String {
    let mut facts = vec![
        ("id", letter.id.clone()),
        ("queue", letter.queue.clone()),
        ("reason", letter.reason.clone()),
        ("said by", letter.component.clone()),
        ("sent", ago(letter.first_seen_ms, now)),
        ("bytes", letter.body_bytes.to_string()),
    ];
    let known = [
        ("user", &letter.user),
        ("event", &letter.event),
        ("trace", &letter.trace),
    ];
    facts.extend(
        known
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?))),
    );
    let more = letter.facts.iter();
    facts.extend(more.map(|(name, value)| (name.as_str(), value.clone())));
    lines(&facts)
}

/// Why, decision by decision.
pub(super) fn decisions(decisions: &Decisions, now: UnixMs) -> String {
    if decisions.decisions.is_empty() {
        return "no decision is known: it is older than a week, or there was no such event for them \
                (with a session that acknowledged, none is made)\n"
            .to_owned();
    }
    decisions
        .decisions
        .iter()
        .map(|d| decision(d, now))
        .collect()
}

fn decision(decided: &Decided, now: UnixMs) -> String {
    let verdict = if decided.sent { "told" } else { "NOT told" };
    let mut text = format!(
        "{} {} was {verdict}: {} ({})\n",
        ago(decided.time_ms, now),
        plain(&decided.user),
        plain(&decided.message),
        plain(&decided.reason),
    );
    let mut what = format!("  event {}", plain(&decided.event));
    if let Some(room) = &decided.room {
        what += &format!(", room {}", plain(room));
    }
    if let Some(seq) = decided.seq {
        what += &format!(", message {seq}");
    }
    text += &(what + "\n");
    for step in &decided.steps {
        text += &format!("  {}: {}\n", plain(&step.rule), plain(&step.ruling));
    }
    for tried in &decided.attempts {
        let word = if tried.accepted {
            "accepted"
        } else {
            "not accepted"
        };
        let (device, when) = (plain(&tried.device), ago(tried.time_ms, now));
        text += &format!(
            "  device {device}: {word} {when} ({})\n",
            plain(&tried.code)
        );
    }
    text
}

/// How many, and which were not.
pub(super) fn done(done: &Done, word: &str) -> String {
    let mut text = format!("{} {word}\n", done.done);
    for failed in &done.failed {
        text += &format!(
            "not {word}: {}: {}\n",
            plain(&failed.id),
            plain(&failed.why)
        );
    }
    if let Some(stopped) = &done.stopped {
        text += &format!(
            "stopped early, the rest is still there: {}\n",
            plain(stopped)
        );
    } else if done.more {
        text += "there may be more: do it again\n";
    }
    text
}

fn lines(facts: &[(&str, String)]) -> String {
    let line = |(name, value): &(&str, String)| format!("{:<10} {}\n", plain(name), plain(value));
    facts.iter().map(line).collect()
}

fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = [head]
        .into_iter()
        .chain(rows)
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        text += line.join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// What providers say must not command a terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn ago(ms: i64, now: UnixMs) -> String {
    let seconds = now.since(UnixMs(ms)).as_secs();
    match seconds {
        0..60 => format!("{seconds}s ago"),
        60..3_600 => format!("{}m ago", seconds / 60),
        3_600..172_800 => format!("{}h ago", seconds / 3_600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_says_commands_no_terminal() {
        let breaker = Breaker {
            provider: "push.example".to_owned(),
            state: "open".to_owned(),
            until_ms: Some(5_000),
            why: "\u{1b}[2J503".to_owned(),
        };
        let line = breaker_line(&breaker, UnixMs(2_000));
        assert_eq!(
            line,
            "push.example is open, tried again in 3 s: \u{fffd}[2J503"
        );
    }

    #[test]
    fn ages_have_one_unit() {
        let now = UnixMs(400_000_000);
        for (seconds, text) in [
            (59, "59s ago"),
            (60, "1m ago"),
            (3_600, "1h ago"),
            (172_800, "2d ago"),
        ] {
            assert_eq!(ago(now.0 - seconds * 1_000, now), text);
        }
    }
}
