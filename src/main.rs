//! `kaiwa`: one binary with every role. `kaiwa serve` runs it.

mod calls;
mod cli;
mod clips;
mod config;
mod data;
mod notify;
mod serve;
mod telemetry;
mod web;

use clap::Parser as _;
use std::process::ExitCode;

/// Small, short-lived allocations from many threads are what a server of messages makes; this one is
/// faster at them than the C library's, at the same memory per idle connection (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The configuration is wrong (`EX_CONFIG` of BSD's sysexits).
const EXIT_CONFIG: u8 = 78;

/// The environment, without what is not UTF-8: none of that is ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
}

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let config = match config::load(&cli.options(), environment()) {
        Ok(config) => config,
        Err(error) => {
            cli::complain(&error.into());
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let done = match cli.command() {
        cli::Command::Serve => serve::run(config),
        cli::Command::Token(wanted) => cli::print_tokens(&config, &wanted),
        cli::Command::Config => cli::print_config(&config),
        cli::Command::Notifications(args) => cli::notifications(&config, &args),
        cli::Command::Queues(args) => cli::queues(&config, &args),
        cli::Command::Doctor(args) => match cli::doctor(&config, &args) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => Err(error),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&error);
            ExitCode::from(cli::exit_code(&error))
        }
    }
}
