//! The schema against breaking changes, and against the code.

use kaiwa_media_pipeline::http::openapi;
use kaiwa_media_pipeline::refusal::Reason;
use kaiwa_proto::media::v1;
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};
use std::collections::BTreeSet;
use std::path::Path;

/// Everything of the schema that clients depend on, one thing a line.
fn lines() -> Vec<String> {
    let set = FileDescriptorSet::decode(v1::DESCRIPTORS).expect("a schema");
    let mut lines = Vec::new();
    for file in &set.file {
        for message in &file.message_type {
            message_lines(message.name(), message, &mut lines);
        }
        for found in &file.enum_type {
            for value in &found.value {
                lines.push(format!(
                    "{} {} = {}",
                    found.name(),
                    value.name(),
                    value.number()
                ));
            }
        }
        for service in &file.service {
            for method in &service.method {
                let stream = if method.server_streaming() {
                    "stream "
                } else {
                    ""
                };
                let (input, output) = (method.input_type(), method.output_type());
                let name = format!("{}/{}", service.name(), method.name());
                lines.push(format!("{name} {input} -> {stream}{output}"));
            }
        }
    }
    lines.sort();
    lines
}

fn message_lines(name: &str, message: &DescriptorProto, lines: &mut Vec<String>) {
    lines.push(format!("message {name}"));
    for field in &message.field {
        let (label, kind) = (field.label().as_str_name(), field.r#type().as_str_name());
        let oneof = field
            .oneof_index
            .map_or_else(String::new, |at| format!(" oneof {at}"));
        lines.push(format!(
            "{name}.{} = {} {label} {kind} {}{oneof}",
            field.name(),
            field.number(),
            field.type_name()
        ));
    }
    for nested in &message.nested_type {
        message_lines(&format!("{name}.{}", nested.name()), nested, lines);
    }
}

/// What was given out stays. After adding something, write the file anew with `KAIWA_SNAPSHOT=write`; a line that goes
/// or changes breaks clients that are built.
#[test]
fn nothing_that_clients_depend_on_goes_or_changes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    let file = root.join("proto/kaiwa/media/v1/media.snapshot");
    let now = lines();
    if std::env::var_os("KAIWA_SNAPSHOT").is_some_and(|mode| mode == "write") {
        std::fs::write(&file, now.join("\n") + "\n").expect("the snapshot is written");
    }
    let then = std::fs::read_to_string(&file).expect("a snapshot");
    let then: BTreeSet<&str> = then.lines().collect();
    let now: BTreeSet<&str> = now.iter().map(String::as_str).collect();
    let gone: Vec<_> = then.difference(&now).collect();
    assert!(gone.is_empty(), "this breaks clients: {gone:#?}");
    let new: Vec<_> = now.difference(&then).collect();
    assert!(
        new.is_empty(),
        "note it with KAIWA_SNAPSHOT=write: {new:#?}"
    );
}

#[test]
fn the_schemas_comment_lists_the_reasons_that_the_code_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    let text = std::fs::read_to_string(root.join("proto/kaiwa/media/v1/media.proto"));
    let text = text.expect("the schema");
    let listed = text.lines().filter_map(|line| line.strip_prefix("//   "));
    let listed: BTreeSet<(String, String, u16)> = listed
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let (name, code) = (
                words.next().expect("a reason"),
                words.next().expect("a code"),
            );
            (
                name,
                code,
                words.next().expect("a status").parse().expect("a number"),
            )
        })
        .collect();
    let code_name = |reason: &Reason| {
        let camel = format!("{:?}", reason.code());
        let mut name = String::new();
        for letter in camel.chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    };
    let have = Reason::ALL
        .iter()
        .map(|r| (r.text().to_owned(), code_name(r), r.status()));
    assert_eq!(listed, have.collect());
}

#[test]
fn the_document_has_every_reason_every_status_and_no_dangling_name() {
    let document = openapi();
    let reasons = &document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]
        ["reason"]["enum"];
    for reason in Reason::ALL {
        let listed = reasons.as_array().expect("a list").iter();
        assert!(
            listed.clone().any(|listed| listed == reason.text()),
            "{reason:?}"
        );
        let name = format!("E{}", reason.status());
        let response = &document["components"]["responses"][&name]["description"];
        let text = response.as_str().unwrap_or_default();
        assert!(
            text.contains(&format!("`{}`", reason.text())),
            "{reason:?}: {text}"
        );
        for (path, operations) in document["paths"].as_object().expect("paths") {
            for (method, operation) in operations.as_object().expect("operations") {
                let status = reason.status().to_string();
                assert!(
                    !operation["responses"][&status].is_null(),
                    "{method} {path} {status}"
                );
            }
        }
    }
    let text = document.to_string();
    for named in text.split("#/components/").skip(1) {
        let pointer = named.split('"').next().expect("a name");
        let found = document.pointer(&format!("/components/{pointer}"));
        assert!(found.is_some(), "{pointer}");
    }
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .expect("schemas")
    {
        for (field, kind) in schema["properties"].as_object().into_iter().flatten() {
            let is_typed = kind["type"].is_string() || kind["$ref"].is_string();
            assert!(is_typed, "{name}.{field} has no type");
        }
    }
}
