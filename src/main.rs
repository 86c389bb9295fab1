//! `kaiwa`: one binary with every role. `kaiwa serve` runs it.

mod cli;
mod config;
mod data;
mod serve;
mod telemetry;
mod web;

use clap::Parser as _;
use std::process::ExitCode;

/// The configuration is wrong (`EX_CONFIG` of BSD's sysexits).
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let config = match config::load(&cli.options(), std::env::vars()) {
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
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}
