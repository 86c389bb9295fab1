//! `kaiwa doctor`: whether a server can be reached as clients reach it, and what to do where it can't.
//!
//! Without `--url` it looks at this machine and at the server that runs here with the same settings; with it, from any
//! machine, at what a client sees. It asks nobody else than the server, and the time server that it is told.

mod addresses;
mod findings;
mod ntp;
mod probe;
mod site;
mod system;
mod web;

use super::http::{Wanted, own_url, token};
use crate::config::Config;
use addresses::Known;
use clap::Args;
use findings::{Finding, is_well};
use kaiwa_sfu::net::address::{Loopback, local_addresses};
use kaiwa_signaling::edge::tls::{Certificates, Files};
use probe::Probe;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use site::Site;
use std::net::IpAddr;
use std::path::PathBuf;

#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArgs {
    /// Looks at this server as a client does, such as https://chat.example, from whichever machine
    /// [default: this machine, and the server that runs here].
    #[arg(long)]
    url: Option<String>,

    /// A file with anybody's token, for trying media at a server elsewhere; else `KAIWA_TOKEN`, else one made with the
    /// data folder's secret, for a server on this machine.
    #[arg(long)]
    token_file: Option<PathBuf>,

    /// Trusts certificates of these issuers too (PEM).
    #[arg(long)]
    ca: Option<PathBuf>,

    /// Compares the clock with this time server (SNTP).
    #[arg(long, value_name = "HOST")]
    ntp: Option<String>,

    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Looks; gives what to print, and whether all is well.
pub(crate) async fn run(config: &Config, args: &DoctorArgs) -> anyhow::Result<(String, bool)> {
    let findings = match &args.url {
        Some(url) => elsewhere(config, args, &Site::parse(url)?).await,
        None => here(config, args).await?,
    };
    let text = if args.json {
        findings::json(&findings)
    } else {
        findings::text(&findings)
    };
    Ok((text, is_well(&findings)))
}

/// This machine, and the server that runs here.
async fn here(config: &Config, args: &DoctorArgs) -> anyhow::Result<Vec<Finding>> {
    let mut findings = system::check(config);
    findings.extend(files(config, args));
    let site = Site::parse(&own_url(config))?;
    let looked = web::look(&site, &authorities(config, args)).await;
    let is_running = looked.is_there;
    if is_running {
        findings.extend(looked.findings);
    } else {
        findings.push(not_running(config, &site));
    }
    if let Some(server) = &args.ntp {
        findings.push(ntp::check(server).await);
    }
    if !config.calls.enabled {
        return Ok(findings);
    }
    let known = Known::of(config);
    if is_running && looked.is_trusted {
        match media(config, args, &site).await {
            Ok(probe) => {
                findings.extend(addresses::check(&probe.told(), &known.own, config));
                findings.extend(probe.check(true).await);
                return Ok(findings);
            }
            Err(finding) => findings.push(finding),
        }
    }
    findings.extend(addresses::check(&known.told, &known.own, config));
    findings.extend(addresses::ports(&known.bound, is_running));
    Ok(findings)
}

/// The port of HTTP is free, or somebody else's.
fn not_running(config: &Config, site: &Site) -> Finding {
    match std::net::TcpListener::bind(config.http.listen) {
        Ok(_) => Finding::ok(
            "HTTP",
            format!("no server runs here; {} is free", config.http.listen),
        ),
        Err(error) => Finding::fail(
            "HTTP",
            format!(
                "{} is no Kaiwa, and its port can't be had: {error}",
                site.url
            ),
            "end what has it, or name another address with --listen",
        ),
    }
}

/// What a client sees.
async fn elsewhere(config: &Config, args: &DoctorArgs, site: &Site) -> Vec<Finding> {
    let looked = web::look(site, &authorities(config, args)).await;
    let mut findings = looked.findings;
    if let Some(server) = &args.ntp {
        findings.push(ntp::check(server).await);
    }
    if !looked.is_there {
        return findings;
    }
    if !looked.is_trusted {
        let text = "not tried: a token is told to no server whose certificate is not good";
        findings.push(Finding::warn("media", text, "mend TLS first"));
        return findings;
    }
    let own = local_addresses(Loopback::Included).unwrap_or_default();
    let own: Vec<IpAddr> = own.iter().map(|found| found.address.ip()).collect();
    let is_here = site
        .addresses()
        .await
        .iter()
        .any(|ip| ip.is_loopback() || own.contains(ip));
    match media(config, args, site).await {
        Ok(probe) => findings.extend(probe.check(is_here).await),
        Err(finding) => findings.push(finding),
    }
    findings
}

/// What to try media with.
async fn media(config: &Config, args: &DoctorArgs, site: &Site) -> Result<Probe, Finding> {
    let wanted = Wanted {
        url: args.url.clone(),
        token_file: args.token_file.clone(),
        token: std::env::var("KAIWA_TOKEN").ok(),
        ca: None,
    };
    let is_clear = !site.is_tls && !site.addresses().await.iter().all(IpAddr::is_loopback);
    if is_clear {
        let text = "not tried: a token would go over the network in the clear";
        return Err(Finding::warn("media", text, "use https://"));
    }
    match token(config, &wanted, &site.host) {
        Ok(token) => Probe::get(site, &token, &authorities(config, args)).await,
        Err(error) => Err(Finding::warn(
            "media",
            "not tried: that needs a token",
            format!("{error:#}"),
        )),
    }
}

/// Whose certificates are trusted besides the public ones: those that are named, and what this server made itself.
fn authorities(config: &Config, args: &DoctorArgs) -> Vec<PathBuf> {
    let own = config.data_dir.join("self-signed-certificate.pem");
    let own = own.exists().then_some(own);
    args.ca.iter().cloned().chain(own).collect()
}

/// The certificate's files, as the next start reads them.
fn files(config: &Config, args: &DoctorArgs) -> Vec<Finding> {
    let (Some(certificate), Some(key)) = (&config.http.tls_certificate, &config.http.tls_key)
    else {
        return Vec::new();
    };
    let check = "TLS files";
    let files = Files {
        certificate: certificate.clone(),
        key: key.clone(),
    };
    if let Err(error) = Certificates::load(files) {
        let error = anyhow::Error::from(error);
        let remedy =
            "name a certificate with its own key, both in PEM, that the server's user may read";
        return vec![Finding::fail(check, format!("{error:#}"), remedy)];
    }
    let read = CertificateDer::pem_file_iter(certificate);
    let shown: Vec<_> = read.into_iter().flatten().flatten().collect();
    let names: &[String] = &config.http.hosts;
    let findings = names.iter().map(|name| Finding {
        check,
        ..web::certificate(&shown, name, &authorities(config, args))
    });
    let mut findings: Vec<Finding> = findings.collect();
    if findings.is_empty() {
        findings.push(Finding::ok(check, "certificate and key belong together"));
    }
    findings
}
