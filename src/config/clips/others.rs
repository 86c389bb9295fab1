//! Other systems: services that ask for people, and the one that is asked whether people may.

use super::super::ConfigError;
use super::super::push::{is_url, rule};
use kaiwa_common::id::UserId;
use kaiwa_common::token::ServerRole;
use kaiwa_media_pipeline::authz::{ActsFor, Scope, ServiceRule};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A back end that asks for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// `clips.read`, `clips.write`, `clips.play`, `clips.admin`.
    pub(crate) scopes: Vec<String>,
    /// User ids for which it may ask; `["*"]` for everybody. Empty: for nobody.
    #[serde(default)]
    pub(crate) acts_for: Vec<String>,
    /// The role in which it asks for them.
    #[serde(default = "creator")]
    pub(crate) role: ServiceRole,
}

const fn creator() -> ServiceRole {
    ServiceRole::Creator
}

/// The role in which a service asks for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ServiceRole {
    /// Brings and watches clips.
    Creator,
    /// Watches them.
    Viewer,
}

/// The permission hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hook {
    /// An https URL with `{permission}` in its path.
    pub(crate) url: String,
    /// A file with what goes as `Authorization: Bearer …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Addresses that it may be at though they are not public, as `push.allowed_private`.
    #[serde(default)]
    pub(crate) allowed_private: Vec<String>,
    /// Authorities that are trusted for it besides the public ones, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) extra_ca: Option<PathBuf>,
}

/// For everybody.
const ANYBODY: &str = "*";

impl Service {
    pub(super) fn check(&self, name: &str) -> Result<(), ConfigError> {
        const SCOPES: &str = "clips.read, clips.write, clips.play, clips.admin";
        if let Err(invalid) = UserId::parse(name) {
            return rule(format!(
                "clips.services: {name:?} can't be a token's sub ({})",
                invalid.rule
            ));
        }
        if self.scopes.is_empty() {
            return rule(format!(
                "clips.services.{name}.scopes is empty: give some of {SCOPES}"
            ));
        }
        if let Some(text) = self.scopes.iter().find(|text| Scope::parse(text).is_none()) {
            return rule(format!(
                "clips.services.{name}.scopes: {text:?} is none of {SCOPES}"
            ));
        }
        let people = self.acts_for.iter().filter(|who| *who != ANYBODY);
        let mut people = people.map(|who| (who, UserId::parse(who)));
        match people.find_map(|(who, id)| Some((who, id.err()?))) {
            Some((who, invalid)) => rule(format!(
                "clips.services.{name}.acts_for: {who:?} is no user id ({}), and not \"*\" for everybody",
                invalid.rule
            )),
            None => Ok(()),
        }
    }

    /// As the API takes it.
    pub(crate) fn rule(&self) -> ServiceRule {
        let people: BTreeSet<String> = self.acts_for.iter().cloned().collect();
        ServiceRule {
            acts_for: if people.contains(ANYBODY) {
                ActsFor::Anybody
            } else if people.is_empty() {
                ActsFor::Nobody
            } else {
                ActsFor::People(people)
            },
            scopes: self.scopes.iter().filter_map(|s| Scope::parse(s)).collect(),
            role: match self.role {
                ServiceRole::Creator => ServerRole::Creator,
                ServiceRole::Viewer => ServerRole::Viewer,
            },
        }
    }
}

impl Hook {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        // Behind a `?` or `#` person and room would not be told apart, or not sent.
        let plain = Some(self.url.as_str()).filter(|url| !url.contains(['?', '#']));
        let path = plain.filter(|url| is_url(url, &["https"])).and_then(|url| {
            let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
            (!host.contains(['{', '@'])).then_some(path)
        });
        if path.is_some_and(|path| path.contains("{permission}")) {
            return Ok(());
        }
        rule(format!(
            "clips.permission_hook.url: {:?} is no https URL with {{permission}} in its path and without a user, ? and \
             #, such as https://lms.example.org/permissions/{{permission}}",
            self.url
        ))
    }
}
