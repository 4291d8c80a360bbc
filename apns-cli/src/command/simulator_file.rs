//! `apns send --simulator`: a payload in a file for Xcode's simulator, in place of sending it.

use std::fs;
use std::path::Path;

use apns_credentials::disclosure::shown;
use apns_proto::{PushType, Topic};

use crate::draft::Draft;
use crate::exit::{Exit, Failure};
use crate::output::say;

/// Writes the file.
pub(super) fn write(path: &Path, draft: Draft) -> Result<Exit, Failure> {
    let Some(topic) = draft.topic else {
        return Err(Failure::Usage("no --topic: the simulator has to be told the app".to_owned()));
    };
    if draft.content.is_empty() {
        let message = "nothing says what to send: give --payload, or options such as --title and --body";
        return Err(Failure::Usage(message.to_owned()));
    }
    let payload = draft.content.build(draft.push_type)?;
    let text =
        str::from_utf8(payload.as_bytes()).ok().and_then(|text| apns_inbox::simulator_file(text, app_of(&topic)));
    let text = text.expect("a payload is a JSON object in UTF-8");
    let name = shown(path).to_string();
    fs::write(path, text).map_err(|error| Failure::Write { name: name.clone(), error })?;
    say(format_args!("{name} is written, and nothing is sent: xcrun simctl push booted {name}"));
    Ok(Exit::Fine)
}

/// The app's bundle id, without the suffix of a push type.
fn app_of(topic: &Topic) -> &str {
    let topic = topic.as_str();
    let suffix = PushType::of_topic(topic).map_or("", |push_type| push_type.topic_suffix());
    topic.strip_suffix(suffix).unwrap_or(topic)
}
