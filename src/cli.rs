//! The command line, and the one place that prints.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the printing module"
)]

mod doctor;
mod http;
mod notifications;
mod queues;

use crate::config::{Config, Options};
use crate::data::DataDir;
use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use doctor::DoctorArgs;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::{Identity, ServerRole};
use notifications::NotificationsArgs;
use queues::QueuesArgs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Kaiwa, a real-time communications server.
#[derive(Debug, Parser)]
#[command(name = "kaiwa", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Reads settings from this TOML file (docs/configuration.md).
    #[arg(long, global = true, env = "KAIWA_CONFIG")]
    config: Option<PathBuf>,

    /// Keeps everything in this folder [default: kaiwa-data].
    #[arg(long, global = true)]
    data: Option<PathBuf>,

    #[command(flatten)]
    serve: ServeArgs,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Serves HTTP and WebSocket here [default: 127.0.0.1:8080].
    #[arg(long, global = true)]
    listen: Option<SocketAddr>,

    /// Serves HTTPS with this certificate (PEM), read again when it changes.
    #[arg(long, global = true, requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// The certificate's private key (PEM).
    #[arg(long, global = true, requires = "tls_certificate")]
    tls_key: Option<PathBuf>,

    /// Serves HTTPS with a certificate that is made at first start, to try Kaiwa on a LAN.
    #[arg(long, global = true, conflicts_with = "tls_certificate")]
    tls_self_signed: bool,

    /// Serves plain HTTP on an address that is not loopback.
    #[arg(long, global = true)]
    allow_plain: bool,

    /// Receives the media of calls here, by UDP [default: the HTTP port at all of the host's addresses].
    #[arg(long, global = true)]
    media_bind: Vec<SocketAddr>,

    /// Tells browsers to send media to this address instead, as behind one-to-one NAT.
    #[arg(long, global = true)]
    advertise: Vec<IpAddr>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Runs the server (the default).
    Serve,
    /// Prints a token for somebody, for scripts and tests.
    Token(TokenArgs),
    /// Prints the settings in effect, without secrets.
    Config,
    /// Looks after the notifications of a running server.
    Notifications(NotificationsArgs),
    /// Looks whether the server can be reached as clients reach it, and says what to do where it can't.
    Doctor(DoctorArgs),
    /// Makes the queues at Amazon that the settings name.
    Queues(QueuesArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TokenArgs {
    /// The user id.
    #[arg(long, required_unless_present = "sub_prefix")]
    sub: Option<String>,

    /// The name to show.
    #[arg(long, default_value = "")]
    name: String,

    /// What they may do on the whole server: admin, creator or viewer.
    #[arg(long, default_value = "creator", value_parser = parse_role)]
    role: ServerRole,

    /// How long it is good: a number with s, m, h or d.
    #[arg(long, default_value = "1h", value_parser = parse_duration)]
    ttl: Duration,

    /// Only for this room's call by WHIP and WHEP (docs/whip.md), such as an encoder's.
    #[arg(long, value_parser = parse_room)]
    room: Option<RoomId>,

    /// Prints this many tokens, for user ids with a number after --sub-prefix.
    #[arg(long, default_value_t = 1)]
    count: u32,

    /// Numbered user ids begin with this: user- gives user-0, user-1 …
    #[arg(long, conflicts_with = "sub")]
    sub_prefix: Option<String>,
}

impl Cli {
    /// What the flags set.
    pub(crate) fn options(&self) -> Options {
        Options {
            file: self.config.clone(),
            data: self.data.clone(),
            listen: self.serve.listen,
            tls_files: self
                .serve
                .tls_certificate
                .clone()
                .zip(self.serve.tls_key.clone()),
            tls_self_signed: self.serve.tls_self_signed,
            allow_plain: self.serve.allow_plain,
            media_bind: self.serve.media_bind.clone(),
            advertise: self.serve.advertise.clone(),
        }
    }

    /// What to do.
    pub(crate) fn command(self) -> Command {
        self.command.unwrap_or(Command::Serve)
    }
}

/// Says what went wrong, with its causes, in one line.
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("kaiwa: {error:#}");
}

/// What the process ends with for this error: 1, or what a script may act on.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    let call = error.downcast_ref::<http::CallError>();
    call.map_or(1, http::CallError::exit_code)
}

/// Asks a running server about its notifications, and prints what it says.
pub(crate) fn notifications(config: &Config, args: &NotificationsArgs) -> anyhow::Result<()> {
    print_answer(notifications::run(config, args))
}

/// Makes queues, and prints what to put into the settings.
pub(crate) fn queues(config: &Config, args: &QueuesArgs) -> anyhow::Result<()> {
    print_answer(queues::run(config, args))
}

/// Looks whether the server can be reached, and prints what was found; whether nothing fails.
pub(crate) fn doctor(config: &Config, args: &DoctorArgs) -> anyhow::Result<bool> {
    let (text, is_well) = awaited(doctor::run(config, args))?;
    print!("{text}");
    Ok(is_well)
}

fn print_answer(answer: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<()> {
    print!("{}", awaited(answer)?);
    Ok(())
}

fn awaited<T>(answer: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime can't start")?;
    runtime.block_on(answer)
}

/// Prints tokens, one a line.
pub(crate) fn print_tokens(config: &Config, wanted: &TokenArgs) -> anyhow::Result<()> {
    let key = DataDir::open(&config.data_dir)?.token_key(&config.auth)?;
    let now = UnixMs::now();
    for number in 0..wanted.count {
        let sub = match (&wanted.sub_prefix, &wanted.sub) {
            (Some(prefix), _) => format!("{prefix}{number}"),
            (None, Some(sub)) => sub.clone(),
            (None, None) => anyhow::bail!("--sub or --sub-prefix is needed"),
        };
        let user = UserId::parse(&sub).with_context(|| format!("--sub {sub:?}"))?;
        let mut identity = Identity::new(user, &wanted.name, wanted.role, now, wanted.ttl);
        if let Some(room) = &wanted.room {
            identity = identity.for_call(room.clone());
        }
        println!("{}", key.issue(&identity, now));
    }
    Ok(())
}

/// Prints the settings in effect. None of them is a secret: those are in the data folder.
pub(crate) fn print_config(config: &Config) -> anyhow::Result<()> {
    print!(
        "{}",
        toml::to_string_pretty(config).context("the settings have no TOML form")?
    );
    Ok(())
}

/// Says that the server runs, and where. The first line is for people and for scripts that wait.
pub(crate) fn announce(url: &str, facts: &[(&str, String)]) {
    println!("Kaiwa {} is ready: {url}", env!("CARGO_PKG_VERSION"));
    for (name, value) in facts {
        println!("  {name:<10} {value}");
    }
}

fn parse_role(text: &str) -> Result<ServerRole, String> {
    match text {
        "admin" => Ok(ServerRole::Admin),
        "creator" => Ok(ServerRole::Creator),
        "viewer" => Ok(ServerRole::Viewer),
        _ => Err("admin, creator or viewer".to_owned()),
    }
}

fn parse_room(text: &str) -> Result<RoomId, String> {
    RoomId::parse(text).map_err(|error| error.rule.to_owned())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a number with s, m, h or d, such as 90s or 12h".to_owned();
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in ["", "5", "h", "-1h", "1.5h", "会", "99999999999999999999d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
