//! The table as JSON Schema.

use apns_proto::PushType;
use serde_json::{Value, json};

use crate::table;

/// The payload of a push of this type as a JSON Schema (draft 2020-12). `None` for a type that is not known.
///
/// Inside `aps`, `alert` and `sound` it allows the documented keys alone, so that a slip of the pen is found; beside `aps`
/// an app may have keys of its own.
///
/// ```
/// use apns_proto::PushType;
///
/// let schema = apns_lint::schema(&PushType::Background).unwrap();
/// assert_eq!(schema["properties"]["aps"]["required"], serde_json::json!(["content-available"]));
/// ```
#[must_use]
pub fn schema(push_type: &PushType) -> Option<Value> {
    let body = match push_type {
        PushType::Other(_) => return None,
        PushType::LiveActivity => {
            let events: Vec<Value> = table::EVENTS.iter().map(|(_, body)| body.schema()).collect();
            json!({"oneOf": events})
        }
        known => table::body(known).schema(),
    };
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("Payload of an Apple push of type {push_type}"),
    });
    if let (Value::Object(schema), Value::Object(body)) = (&mut schema, body) {
        schema.extend(body);
    }
    Some(schema)
}
