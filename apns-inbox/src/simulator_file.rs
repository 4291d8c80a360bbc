//! Payloads as Xcode's simulator takes them.

/// The payload with the app that it is for, under the key that Xcode's simulator looks for; all else as it is. What comes
/// out is the content of a file `.apns` for `xcrun simctl push`. `None` where the payload does not begin as a JSON object.
///
/// ```
/// let file = apns_inbox::simulator_file(r#"{"aps":{}}"#, "com.example.app");
/// assert_eq!(file.as_deref(), Some(r#"{"Simulator Target Bundle":"com.example.app","aps":{}}"#));
/// ```
#[must_use]
pub fn simulator_file(payload: &str, bundle_id: &str) -> Option<String> {
    let rest = payload.trim_start().strip_prefix('{')?;
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    let app = serde_json::Value::from(bundle_id);
    Some(format!("{{\"Simulator Target Bundle\":{app}{comma}{rest}"))
}
