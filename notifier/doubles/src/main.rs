//! A push provider's double as a program: prints where it is, and runs until it is ended.

use clap::Parser;
use kaiwa_provider_doubles::{Control, Double, Kind, Options};
use std::io::Write;

/// A local server that behaves as a push provider does.
#[derive(Parser)]
struct Arguments {
    /// Which provider.
    #[arg(long, value_enum)]
    kind: Kind,
    /// Port of the provider on 127.0.0.1; 0 for any.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the control API on 127.0.0.1; 0 for any.
    #[arg(long, default_value_t = 0)]
    control_port: u16,
    /// Web Push: open every so many-th message; 0 for none.
    #[arg(long, default_value_t = 1)]
    open_every: u32,
    /// APNs: play the sandbox.
    #[arg(long)]
    sandbox: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let double = Double::start(Options {
        kind: arguments.kind,
        port: arguments.port,
        open_every: arguments.open_every,
        is_sandbox: arguments.sandbox,
    });
    let control = Control::bind(double.await?, arguments.control_port).await?;
    let mut info = control.info();
    info["control"] = format!("http://{}", control.address()?).into();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{info}")?;
    out.flush()?;
    drop(out);
    control.serve().await
}
