//! Who may, as the settings say it: tokens of people and services, the permission hook, CloudFront's key.

use crate::config::{Clips as Settings, CloudFront, Hook};
use crate::data::{read_secret, read_secret_text};
use anyhow::Context as _;
use kaiwa_common::token::TokenKey;
use kaiwa_media_pipeline::authz::{HookConfig, PermissionHook, Tokens};
use kaiwa_media_pipeline::playback as played;
use kaiwa_platform::clock::SystemClock;
use kaiwa_platform::outbound::{Guard, Outbound, OutboundConfig};
use std::sync::Arc;

/// Who may ask: people by the key that chat's tokens have, services by theirs.
pub(super) fn tokens(settings: &Settings, people: TokenKey) -> anyhow::Result<Tokens> {
    let tokens = Tokens::new(people);
    let Some(path) = &settings.service_secret_file else {
        return Ok(tokens);
    };
    let key = TokenKey::hs256(&read_secret(path)?, &settings.service_audience, None);
    let key = key.with_context(|| format!("the secret in {}", path.display()))?;
    let services = settings.services.iter();
    let rules = services.map(|(name, service)| (name.clone(), service.rule()));
    Ok(tokens.with_services(key, rules.collect()))
}

/// The permission hook.
pub(super) fn hook(settings: &Hook) -> anyhow::Result<PermissionHook> {
    let guard = Guard::new(&settings.allowed_private);
    let extra_roots = match &settings.extra_ca {
        Some(path) => Some(std::fs::read(path).with_context(|| path.display().to_string())?),
        None => None,
    };
    let outbound = Outbound::new(OutboundConfig {
        guard: guard.context("clips.permission_hook.allowed_private")?,
        extra_roots,
        ..OutboundConfig::default()
    });
    let outbound = outbound.context("clips.permission_hook.extra_ca")?;
    let config = HookConfig {
        url: settings.url.clone(),
        secret: match &settings.secret_file {
            Some(path) => Some(read_secret_text(path)?),
            None => None,
        },
    };
    let hook = PermissionHook::new(&config, Arc::new(outbound), Arc::new(SystemClock));
    hook.context("clips.permission_hook")
}

/// CloudFront's signer.
pub(super) fn cloudfront(settings: &CloudFront) -> anyhow::Result<played::CloudFront> {
    let config = played::CloudFrontConfig {
        base: settings.base.clone(),
        key_pair_id: settings.key_pair_id.clone(),
        private_key: read_secret_text(&settings.private_key_file)?,
    };
    played::CloudFront::new(&config).context("clips.aws.cloudfront")
}
