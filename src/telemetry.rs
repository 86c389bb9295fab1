//! Logs and metrics of the process.

use crate::config::{Log, LogFormat};
use anyhow::Context as _;
use kaiwa_chat::relay::RelayStatus;
use kaiwa_chat::relay::announcer::AnnouncerStats;
use kaiwa_platform::sqlite::StatsSnapshot;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal as _;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// How often histograms are folded, which bounds what they hold.
const UPKEEP: Duration = Duration::from_secs(5);

/// Begins to log, to standard error.
pub(crate) fn start_logs(log: &Log) -> anyhow::Result<()> {
    // Its warnings are about what peers may send: ours say what became of it. `log.filter` goes before.
    let filter = format!("rtc_dtls=off,{}", log.filter);
    let filter =
        EnvFilter::try_new(&filter).with_context(|| format!("log.filter {:?}", log.filter))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// Begins to count.
pub(crate) fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let mut builder = PrometheusBuilder::new();
    let histograms = kaiwa_sfu::metrics::HISTOGRAMS.into_iter();
    for (name, buckets) in histograms.chain([kaiwa_signaling::metrics::JOIN]) {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
    }
    builder
        .install_recorder()
        .context("metrics can't be counted")
}

/// Keeps histograms small, for as long as the process runs.
pub(crate) async fn keep_up(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

/// Shows what the store's writer has counted.
pub(crate) fn export_writer(stats: &StatsSnapshot) {
    for (name, value) in [
        ("kaiwa_store_commits_total", stats.commits),
        ("kaiwa_store_failed_commits_total", stats.failed_commits),
        ("kaiwa_store_jobs_total", stats.jobs),
        ("kaiwa_store_undone_jobs_total", stats.undone_jobs),
        ("kaiwa_store_refused_jobs_total", stats.refused_jobs),
        ("kaiwa_store_commit_microseconds_total", stats.commit_micros),
        ("kaiwa_store_busy_microseconds_total", stats.busy_micros),
    ] {
        metrics::counter!(name).absolute(value);
    }
}

/// Shows how far telling people who are away has got.
pub(crate) fn export_relay(status: &RelayStatus, announced: &AnnouncerStats) {
    // Far below 2^53.
    #[expect(clippy::cast_precision_loss, reason = "a gauge for people")]
    metrics::gauge!("kaiwa_notify_relay_behind_events").set(status.behind as f64);
    let stats = &status.stats;
    for (name, value) in [
        ("kaiwa_notify_relay_events_total", stats.events),
        ("kaiwa_notify_relay_told_total", stats.told),
        ("kaiwa_notify_relay_looking_total", stats.looking),
        ("kaiwa_notify_relay_held_total", stats.held),
        ("kaiwa_notify_relay_expired_total", stats.expired),
        ("kaiwa_notify_relay_refused_total", stats.refused),
        ("kaiwa_notify_relay_failures_total", stats.failures),
        ("kaiwa_notify_announced_total", announced.published()),
        (
            "kaiwa_notify_announcements_dropped_total",
            announced.dropped(),
        ),
    ] {
        metrics::counter!(name).absolute(value);
    }
}
