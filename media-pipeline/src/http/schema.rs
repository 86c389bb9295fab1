//! The messages of `media.proto` as JSON Schema: read from the schema itself, so that neither lags behind.

use kaiwa_proto::media::v1;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Comments by the path of what they stand before (`descriptor.proto`, `SourceCodeInfo`).
type Comments = BTreeMap<Vec<i32>, String>;

/// All messages, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    let Ok(set) = FileDescriptorSet::decode(v1::DESCRIPTORS) else {
        return schemas;
    };
    for file in &set.file {
        let comments = comments(file);
        for (at, message) in (0..).zip(&file.message_type) {
            let schema = message_schema(message, &comments, &[4, at]);
            schemas.insert(message.name().to_owned(), schema);
        }
        for (at, found) in (0..).zip(&file.enum_type) {
            schemas.insert(found.name().to_owned(), enum_schema(found, &comments, at));
        }
    }
    schemas
}

/// What the schema says of a call.
pub(super) fn summaries() -> BTreeMap<String, String> {
    let mut summaries = BTreeMap::new();
    let Ok(set) = FileDescriptorSet::decode(v1::DESCRIPTORS) else {
        return summaries;
    };
    for file in &set.file {
        let comments = comments(file);
        for (at, service) in (0..).zip(&file.service) {
            for (call, method) in (0..).zip(&service.method) {
                let comment = comments.get(&vec![6, at, 2, call]);
                summaries.insert(
                    method.name().to_owned(),
                    comment.cloned().unwrap_or_default(),
                );
            }
        }
    }
    summaries
}

fn comments(file: &FileDescriptorProto) -> Comments {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations
        .map(|location| {
            let lines = location.leading_comments().lines().map(str::trim);
            let text: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
            (location.path.clone(), text.join(" "))
        })
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

fn described(mut schema: Value, comments: &Comments, path: &[i32]) -> Value {
    if let Some(comment) = comments.get(path) {
        schema["description"] = comment.as_str().into();
    }
    schema
}

fn message_schema(message: &DescriptorProto, comments: &Comments, path: &[i32]) -> Value {
    let mut properties = Map::new();
    for (at, field) in (0..).zip(&message.field) {
        let place = [path, &[2, at]].concat();
        let schema = described(field_schema(message, field), comments, &place);
        properties.insert(camel(field.name()), schema);
    }
    let schema = json!({ "type": "object", "properties": properties });
    described(schema, comments, path)
}

fn enum_schema(found: &EnumDescriptorProto, comments: &Comments, at: i32) -> Value {
    let names: Vec<&str> = found.value.iter().map(|value| value.name()).collect();
    described(
        json!({ "type": "string", "enum": names }),
        comments,
        &[5, at],
    )
}

fn field_schema(message: &DescriptorProto, field: &FieldDescriptorProto) -> Value {
    let type_name = field.type_name().rsplit('.').next().unwrap_or_default();
    let entry = message.nested_type.iter().find(|nested| {
        nested.name() == type_name && nested.options.as_ref().is_some_and(|o| o.map_entry())
    });
    if let Some(entry) = entry {
        let value = entry.field.iter().find(|field| field.name() == "value");
        let value = value.map_or(json!({}), single);
        return json!({ "type": "object", "additionalProperties": value });
    }
    if field.label() == Label::Repeated {
        return json!({ "type": "array", "items": single(field) });
    }
    single(field)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign enum; what else it has is not used in this schema, and the test sees it"
)]
fn single(field: &FieldDescriptorProto) -> Value {
    match field.r#type() {
        Type::String => json!({ "type": "string" }),
        Type::Bool => json!({ "type": "boolean" }),
        Type::Double => json!({ "type": "number", "format": "double" }),
        Type::Uint32 => json!({ "type": "integer", "format": "uint32", "minimum": 0 }),
        Type::Int64 => json!({ "type": "string", "format": "int64" }),
        Type::Uint64 => json!({ "type": "string", "format": "uint64" }),
        Type::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Type::Message | Type::Enum => {
            let name = field.type_name().rsplit('.').next().unwrap_or_default();
            json!({ "$ref": format!("#/components/schemas/{name}") })
        }
        _ => json!({}),
    }
}

/// `room_id` → `roomId`, as proto3's JSON mapping writes it.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}
