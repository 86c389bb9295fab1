//! Golden vectors: one example of each message, as JSON and as Protobuf bytes.

use anyhow::{Context as _, Result, ensure};
use prost::Message;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message in both codecs. (On the wire, a length precedes the Protobuf.)
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// What it is an example of.
    pub name: String,
    /// The canonical JSON.
    pub json: Value,
    /// The Protobuf, fields in the order of their numbers.
    pub proto_hex: String,
}

impl Vector {
    /// Both codecs produce and accept exactly this.
    ///
    /// # Errors
    /// What differs.
    pub fn check<M>(&self) -> Result<()>
    where
        M: Message + Default + PartialEq + Serialize + DeserializeOwned,
    {
        let typed: M = serde_json::from_value(self.json.clone())
            .with_context(|| format!("{}: its JSON is not accepted", self.name))?;
        let json = serde_json::to_value(&typed)?;
        ensure!(
            json == self.json,
            "{}: {json} instead of {}",
            self.name,
            self.json
        );
        let hex = to_hex(&typed.encode_to_vec());
        ensure!(
            hex == self.proto_hex,
            "{}: {hex} instead of {}",
            self.name,
            self.proto_hex
        );
        let bytes = from_hex(&self.proto_hex)?;
        let back = M::decode(bytes.as_slice())
            .with_context(|| format!("{}: its Protobuf is not accepted", self.name))?;
        ensure!(
            back == typed,
            "{}: its Protobuf means something else",
            self.name
        );
        Ok(())
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Bytes of hexadecimal text.
///
/// # Errors
/// When it is none.
pub fn from_hex(text: &str) -> Result<Vec<u8>> {
    ensure!(
        text.len().is_multiple_of(2) && text.is_ascii(),
        "not hexadecimal: {text:?}"
    );
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16);
    Ok((0..text.len())
        .step_by(2)
        .map(byte)
        .collect::<Result<_, _>>()?)
}
