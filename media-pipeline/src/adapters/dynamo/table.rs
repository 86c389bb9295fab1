//! The table: its keys, its indexes, and how an operator makes it.
//!
//! | what | `pk` | `sk` | and |
//! |---|---|---|---|
//! | a clip | `C#{clip}` | `-` | `version`, `revision`, `body`; `due_in`, `due_at`; `job`; `open_of` |
//! | shown in a room | `R#{room}` | clip | nothing: what a clip is stands in its row alone |
//! | brought by a person | `P#{user}` | clip | nothing |
//! | used by a person | `U#{user}` | time, clip | `size`, `media` in ms |
//! | the newest revision | `HEAD` | `-` | `revision` |
//! | revisions written together | `L#{first / 8192}` | first | `clips`: 16 bytes for each |
//! | an answered request | `Q#{caller}` | key | `hash`, `clip`, `at` |
//! | an event's id | `E#{event}` | `-` | |
//!
//! What is forgotten one day has `due_in` and `due_at` as well, for `trim`, and `expires` for DynamoDB itself.
//! Indexes have keys alone: `due` (`due_in`, `due_at`), `job`, `open`. They are written a moment after the row, so
//! nothing is read from them but which rows to look at.

use super::errors;
use crate::ports::StoreError;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::client::Waiters as _;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TimeToLiveSpecification, TimeToLiveStatus,
};
use std::time::Duration;

pub(super) const PK: &str = "pk";
pub(super) const SK: &str = "sk";
/// The sort key of what stands alone under its key.
pub(super) const ALONE: &str = "-";

pub(super) const DUE_IN: &str = "due_in";
pub(super) const DUE_AT: &str = "due_at";
pub(super) const JOB: &str = "job";
pub(super) const OPEN_OF: &str = "open_of";
pub(super) const EXPIRES: &str = "expires";

pub(super) const DUE_INDEX: &str = "due";
pub(super) const JOB_INDEX: &str = "job";
pub(super) const OPEN_INDEX: &str = "open";

/// Partitions of what is due: each takes 1,000 changes a second, and the reaper asks all of them each second.
pub(super) const DUE_SHARDS: u8 = 8;

/// How long a new table may take.
const MADE: Duration = Duration::from_secs(300);

/// Makes the clips' table: on demand, with its indexes and its time to live. One that is there stays as it is.
/// Backups and protection from deletion are the operator's to switch on.
///
/// # Errors
/// [`StoreError::Broken`]: no right to, or a name that is none. [`StoreError::Unavailable`]: try again.
pub async fn create_table(config: &SdkConfig, name: &str) -> Result<(), StoreError> {
    let client = Client::new(config);
    let made = definition(client.create_table().table_name(name)).send();
    if let Err(error) = made.await
        && error.code() != Some("ResourceInUseException")
    {
        return Err(errors::call(&error));
    }
    let ready = client.wait_until_table_exists().table_name(name).wait(MADE);
    let failed = |error| StoreError::Unavailable(format!("the table {name} is not ready: {error}"));
    ready.await.map_err(failed)?;
    let asked = client.describe_time_to_live().table_name(name).send();
    let asked = asked.await.map_err(|error| errors::call(&error))?;
    let status = asked.time_to_live_description();
    let status = status.and_then(|found| found.time_to_live_status().cloned());
    if matches!(
        status,
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
    ) {
        return Ok(());
    }
    let wanted = TimeToLiveSpecification::builder()
        .attribute_name(EXPIRES)
        .enabled(true);
    let wanted = wanted.build().map_err(|error| errors::unbuilt(&error))?;
    let set = client.update_time_to_live().table_name(name);
    let set = set.time_to_live_specification(wanted).send().await;
    set.map(|_| ()).map_err(|error| errors::call(&error))
}

fn definition(table: CreateTableFluentBuilder) -> CreateTableFluentBuilder {
    let attributes = [
        (PK, ScalarAttributeType::S),
        (SK, ScalarAttributeType::S),
        (DUE_IN, ScalarAttributeType::S),
        (DUE_AT, ScalarAttributeType::N),
        (JOB, ScalarAttributeType::S),
        (OPEN_OF, ScalarAttributeType::S),
    ];
    let attributes = attributes.map(|(name, kind)| {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        let attribute = attribute.attribute_type(kind);
        attribute.build().expect("it has a name and a type")
    });
    table
        .set_attribute_definitions(Some(attributes.into()))
        .set_key_schema(Some(keys(PK, Some(SK))))
        .billing_mode(BillingMode::PayPerRequest)
        .global_secondary_indexes(index(DUE_INDEX, DUE_IN, Some(DUE_AT)))
        .global_secondary_indexes(index(JOB_INDEX, JOB, None))
        .global_secondary_indexes(index(OPEN_INDEX, OPEN_OF, None))
}

fn keys(hash: &str, range: Option<&str>) -> Vec<KeySchemaElement> {
    let keys = [(Some(hash), KeyType::Hash), (range, KeyType::Range)];
    let keys = keys.into_iter().filter_map(|(name, kind)| {
        let key = KeySchemaElement::builder().attribute_name(name?);
        Some(
            key.key_type(kind)
                .build()
                .expect("it has a name and a type"),
        )
    });
    keys.collect()
}

fn index(name: &str, hash: &str, range: Option<&str>) -> GlobalSecondaryIndex {
    let keys_only = Projection::builder().projection_type(ProjectionType::KeysOnly);
    GlobalSecondaryIndex::builder()
        .index_name(name)
        .set_key_schema(Some(keys(hash, range)))
        .projection(keys_only.build())
        .build()
        .expect("it has a name and keys")
}
