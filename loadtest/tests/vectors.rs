//! Golden: did the bytes of the client protocol change?
//!
//! `KAIWA_BLESS=1` writes the Protobuf of each vector anew from its JSON.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use kaiwa_loadtest::vectors::{Vector, to_hex};
use kaiwa_proto::client::v1::{ClientMessage, ServerMessage};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::path::PathBuf;

fn proto(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../proto")
        .join(path)
}

fn vectors<M>(file: &str) -> Vec<Vector>
where
    M: Message + Default + PartialEq + Serialize + DeserializeOwned,
{
    let path = proto("vectors").join(file);
    let mut vectors: Vec<Vector> =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    if std::env::var_os("KAIWA_BLESS").is_some() {
        for vector in &mut vectors {
            let typed: M = serde_json::from_value(vector.json.clone()).unwrap();
            vector.proto_hex = to_hex(&typed.encode_to_vec());
        }
        let text = serde_json::to_string_pretty(&vectors).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
    }
    for vector in &vectors {
        vector.check::<M>().unwrap();
    }
    vectors
}

/// The names of a `oneof`'s fields, as canonical JSON has them, from the schema.
fn oneof(message: &str, name: &str) -> BTreeSet<String> {
    let schema = std::fs::read_to_string(proto("kaiwa/client/v1/client.proto")).unwrap();
    let after = schema
        .split(&format!("\nmessage {message} {{"))
        .nth(1)
        .unwrap();
    let body = after
        .split(&format!("oneof {name} {{"))
        .nth(1)
        .unwrap()
        .split('}')
        .next()
        .unwrap();
    let field = |line: &str| {
        let line = line.trim();
        let is_field = !line.starts_with("//") && line.ends_with(';');
        is_field.then(|| line.split_whitespace().nth(1).unwrap().to_owned())
    };
    body.lines()
        .filter_map(field)
        .map(|name| camel(&name))
        .collect()
}

fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| {
        name + &part[..1].to_uppercase() + &part[1..]
    })
}

fn keys_at(vectors: &[Vector], pointer: &str) -> BTreeSet<String> {
    let objects = vectors
        .iter()
        .filter_map(|v| v.json.pointer(pointer)?.as_object());
    objects.flat_map(|object| object.keys().cloned()).collect()
}

#[test]
fn every_command_has_a_vector_that_both_codecs_make_and_take() {
    let vectors = vectors::<ClientMessage>("client.json");
    let missing: Vec<_> = oneof("ClientMessage", "command")
        .difference(&keys_at(&vectors, ""))
        .cloned()
        .collect();
    assert!(missing.is_empty(), "no vector for {missing:?}");
}

#[test]
fn every_reply_push_and_event_has_a_vector_that_both_codecs_make_and_take() {
    let vectors = vectors::<ServerMessage>("server.json");
    for (message, name, pointer) in [
        ("Reply", "result", "/reply"),
        ("Push", "push", "/push"),
        ("Event", "body", "/push/event"),
        ("Subscribed", "outcome", "/reply/subscribed"),
    ] {
        let present = keys_at(&vectors, pointer);
        let missing: Vec<_> = oneof(message, name).difference(&present).cloned().collect();
        assert!(missing.is_empty(), "no vector for {missing:?} of {message}");
    }
}

#[test]
fn names_of_vectors_are_unique() {
    for file in ["client.json", "server.json"] {
        let text = std::fs::read_to_string(proto("vectors").join(file)).unwrap();
        let vectors: Vec<Vector> = serde_json::from_str(&text).unwrap();
        let names: BTreeSet<_> = vectors.iter().map(|v| &v.name).collect();
        assert_eq!(names.len(), vectors.len(), "{file}");
    }
}
