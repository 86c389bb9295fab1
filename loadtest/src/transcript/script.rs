//! The form of a transcript.

use crate::codec::Codec;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// One conversation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// What it shows, in a sentence.
    pub about: String,
    /// Who takes part.
    pub people: BTreeMap<String, PersonSpec>,
    /// The codecs that it is for; both when left out.
    #[serde(default)]
    pub codecs: Vec<String>,
    /// Server limits that it needs; it gets a server of its own then.
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
    /// Settings that it needs, as the environment names them without `KAIWA_`; a server of its own too.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// Somebody with a token.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PersonSpec {
    /// The name to show.
    pub name: String,
    /// The token's role.
    pub role: Option<String>,
    /// How long the token is good.
    pub ttl: Option<String>,
    /// The same user as this person, with another token.
    pub same_as: Option<String>,
}

/// One step, on one connection.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    /// The connection's name.
    pub on: String,
    /// What happens.
    #[serde(flatten)]
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Opens the connection.
    Open(Open),
    /// The upgrade is refused with this HTTP status.
    Refused(Refused),
    /// Sends a message.
    Send(Value),
    /// Sends several in one frame.
    SendFrame(Vec<Value>),
    /// Sends a text frame as it is.
    SendText(String),
    /// Sends a binary frame as it is.
    SendHex(String),
    /// The next message is this one.
    Expect(Value),
    /// The next messages are these, in any order.
    ExpectAnyOrder(Vec<Value>),
    /// The server closes with this code.
    ExpectClose(u16),
    /// We end the connection without a word.
    Cut(Unit),
}

/// `{}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {}

/// How a connection is opened.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// The subprotocols offered, if not exactly the transcript's codec.
    pub offer: Option<String>,
}

/// An upgrade that is refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The subprotocols offered; none when empty.
    #[serde(default)]
    pub offer: Option<String>,
    /// The `Origin`.
    #[serde(default)]
    pub origin: Option<String>,
    /// The HTTP status.
    pub status: u16,
}

impl fmt::Display for Action {
    /// As the transcript has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Transcript {
    /// Whether it is for this codec.
    #[must_use]
    pub fn is_for(&self, codec: Codec) -> bool {
        self.codecs.is_empty() || self.codecs.iter().any(|name| name == codec.name())
    }

    /// All transcripts of a folder by name, sorted.
    ///
    /// # Errors
    /// When the folder can't be read, or a file is no transcript.
    pub fn read_folder(folder: &Path) -> Result<Vec<(String, Self)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "json") {
                let text = std::fs::read_to_string(&path)?;
                let transcript = serde_json::from_str(&text);
                let transcript = transcript.with_context(|| path.display().to_string())?;
                let name = path
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                found.push((name, transcript));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }
}
