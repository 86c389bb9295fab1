//! `kaiwa notifications …`: what operators do about notifications, over a running server's HTTP API.

mod table;

use super::http::{Server, Wanted};
use crate::config::Config;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use kaiwa_common::time::UnixMs;
use kaiwa_signaling::edge::notifications::wire::{
    DeadLetter, DeadLetters, Decisions, Done, PickRequest, Queues,
};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Clone, Args)]
pub(crate) struct NotificationsArgs {
    /// The server, such as https://chat.example [default: where these settings listen].
    #[arg(long, global = true)]
    server: Option<String>,

    /// A file with an administrator's token; else `KAIWA_TOKEN`, else one made with the data folder's
    /// secret, for a server on this machine.
    #[arg(long, global = true)]
    token_file: Option<PathBuf>,

    /// Trusts certificates of these issuers too (PEM).
    #[arg(long, global = true)]
    ca: Option<PathBuf>,

    /// Prints the server's answer as JSON.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// What waits in each queue, what died there, and which providers are not well.
    Queues,
    /// Messages that could not be processed.
    #[command(subcommand)]
    Dead(Dead),
    /// Why somebody was told of something, or was not.
    Why(Why),
}

#[derive(Debug, Clone, Subcommand)]
enum Dead {
    /// Lists them.
    List(List),
    /// Shows one.
    Show(Show),
    /// Sends them back to their queue.
    Redrive(Pick),
    /// Deletes them for ever.
    Drop(Pick),
}

#[derive(Debug, Clone, Args)]
struct List {
    /// Only of this queue.
    #[arg(long)]
    queue: Option<String>,

    /// Only those with this reason.
    #[arg(long)]
    reason: Option<String>,

    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, Clone, Args)]
struct Show {
    /// Its id.
    id: String,

    /// Where it lies; without it every queue is looked at.
    #[arg(long)]
    queue: Option<String>,
}

#[derive(Debug, Clone, Args)]
struct Pick {
    /// Whose dead letters.
    queue: String,

    /// Those of these ids.
    #[arg(required_unless_present_any = ["reason", "all"], conflicts_with_all = ["reason", "all"])]
    ids: Vec<String>,

    /// Those with this reason.
    #[arg(long, conflicts_with = "all")]
    reason: Option<String>,

    /// All.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Clone, Args)]
struct Why {
    /// Whom it is about.
    #[arg(long, required_unless_present = "event")]
    user: Option<String>,

    /// What it is about.
    #[arg(long)]
    event: Option<String>,

    /// At most so many.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

/// Asks the server, and gives what is to be printed.
pub(super) async fn run(config: &Config, args: &NotificationsArgs) -> anyhow::Result<String> {
    let wanted = Wanted {
        url: args.server.clone(),
        token_file: args.token_file.clone(),
        token: std::env::var("KAIWA_TOKEN").ok(),
        ca: args.ca.clone(),
    };
    let server = Server::new(config, &wanted)?;
    answer(&server, args, UnixMs::now()).await
}

async fn answer(server: &Server, args: &NotificationsArgs, now: UnixMs) -> anyhow::Result<String> {
    match &args.what {
        What::Queues => {
            let queues: Queues = server.get("/queues").await?;
            shown(args, &queues, |queues| table::queues(queues, now))
        }
        What::Dead(Dead::List(list)) => {
            let limit = list.limit.to_string();
            let query = query(&[
                ("queue", list.queue.as_deref()),
                ("reason", list.reason.as_deref()),
                ("limit", Some(&limit)),
            ]);
            let letters: DeadLetters = server.get(&format!("/dead{query}")).await?;
            shown(args, &letters, |letters| table::letters(letters, now))
        }
        What::Dead(Dead::Show(show)) => {
            let query = query(&[("queue", show.queue.as_deref())]);
            let path = format!("/dead/{}{query}", escaped(&show.id));
            let letter: DeadLetter = server.get(&path).await?;
            shown(args, &letter, |letter| table::letter(letter, now))
        }
        What::Dead(Dead::Redrive(pick)) => {
            let done = sweep(server, "/dead/redrive", pick).await?;
            finished(args, &done, "redriven")
        }
        What::Dead(Dead::Drop(pick)) => {
            let done = sweep(server, "/dead/drop", pick).await?;
            finished(args, &done, "dropped")
        }
        What::Why(why) => {
            let limit = why.limit.to_string();
            let query = query(&[
                ("user", why.user.as_deref()),
                ("event", why.event.as_deref()),
                ("limit", Some(&limit)),
            ]);
            let decisions: Decisions = server.get(&format!("/decisions{query}")).await?;
            shown(args, &decisions, |decisions| {
                table::decisions(decisions, now)
            })
        }
    }
}

/// One call does a bounded number of them, so it is made until none is left.
async fn sweep(server: &Server, path: &str, pick: &Pick) -> anyhow::Result<Done> {
    let request = PickRequest {
        queue: pick.queue.clone(),
        ids: (!pick.ids.is_empty()).then(|| pick.ids.clone()),
        reason: pick.reason.clone(),
        all: pick.all,
    };
    let mut total = Done::default();
    loop {
        let done: Done = server.post(path, &request).await?;
        let has_moved = done.done > 0;
        total.done += done.done;
        total.failed.extend(done.failed);
        total.stopped = done.stopped;
        total.more = done.more;
        // What fails each time would be met for ever.
        if !done.more || !has_moved || total.stopped.is_some() || !total.failed.is_empty() {
            return Ok(total);
        }
    }
}

/// What was not done makes the command fail, after what was done is said.
fn finished(args: &NotificationsArgs, done: &Done, word: &str) -> anyhow::Result<String> {
    let text = shown(args, done, |done| table::done(done, word))?;
    if done.failed.is_empty() && done.stopped.is_none() {
        return Ok(text);
    }
    bail!("not all of them were {word}\n{}", text.trim_end());
}

fn shown<T: Serialize>(
    args: &NotificationsArgs,
    answer: &T,
    table: impl FnOnce(&T) -> String,
) -> anyhow::Result<String> {
    if args.json {
        let json = serde_json::to_string_pretty(answer).context("the answer has no JSON form")?;
        return Ok(json + "\n");
    }
    Ok(table(answer))
}

fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        if let Some(value) = value {
            query.push(if query.is_empty() { '?' } else { '&' });
            query += &format!("{name}={}", escaped(value));
        }
    }
    query
}

/// RFC 3986's unreserved characters stay as they are.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
