//! `apns explain`: what an answer of the service means, and what to do about it.

use std::fmt;

use apns_proto::binary::Status;
use apns_proto::http2::{Api, ProviderRejection, Reason};
use apns_proto::{Explanation, Rejection, Retry, WallTime};
use apns_sim::Deviation;
use clap::Args;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// The options of `apns explain`.
#[derive(Args)]
pub(crate) struct ExplainFlags {
    /// A reason of the HTTP/2 provider API (BadDeviceToken), its HTTP status (410), a status byte of the binary
    /// protocol by number (8) or name (`invalid_token`), or a word of the simulator for what Apple's recipes do
    /// (`der_signature`)
    #[arg(value_name = "REASON|STATUS|CODE")]
    answer: String,
    /// Print an object for each meaning: protocol, api, status, reason, happened, `to_do`, reaction, retry,
    /// `retry_after`, `device_token`, `needs_person`, and `recipes` where a recipe of Apple's gets this answer
    #[arg(long)]
    json: bool,
}

impl ExplainFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let meanings = meanings(&self.answer)?;
        let mut output = Output::new();
        for (index, meaning) in meanings.iter().enumerate() {
            if self.json {
                output.json(meaning);
            } else {
                let gap = if index == 0 { "" } else { "\n" };
                output.line(format_args!("{gap}{meaning}"));
            }
        }
        output.finish()?;
        Ok(Exit::Fine)
    }
}

/// What was asked for is no answer of the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum UnknownAnswer {
    /// A number that neither protocol has.
    #[error("this is neither a status byte (0 to 255) nor an HTTP status (200 to 599)")]
    Number,
    /// A text that is like one that is known.
    #[error("this is no reason that is known; did you mean {near}?")]
    Near { near: &'static str },
    /// A text that is like none.
    #[error("this is no reason that is known: give one such as BadDeviceToken, or a status such as 410 or 8")]
    Text,
}

impl From<UnknownAnswer> for Failure {
    fn from(error: UnknownAnswer) -> Self {
        Self::Special(Box::new(error))
    }
}

/// One thing that the answer can mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Meaning {
    protocol: &'static str,
    /// Which part of the provider API, where it makes a difference.
    api: Option<&'static str>,
    status: u16,
    reason: Option<String>,
    happened: String,
    to_do: String,
    reaction: Option<&'static str>,
    retry: Option<&'static str>,
    /// In seconds.
    retry_after: Option<u64>,
    device_token: &'static str,
    needs_person: bool,
    /// What in Apple's own recipes gets this answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recipes: Vec<Recipe>,
}

/// Something that Apple's recipes do and Apple's pages do not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Recipe {
    deviation: &'static str,
    what: &'static str,
    page_says: &'static str,
}

impl From<Deviation> for Recipe {
    fn from(deviation: Deviation) -> Self {
        Self { deviation: deviation.word(), what: deviation.what(), page_says: deviation.page_says() }
    }
}

impl Meaning {
    fn new(protocol: &'static str, rejection: &Rejection, explanation: Explanation) -> Self {
        let (retry, retry_after) = match rejection.retry() {
            Retry::Never => ("never", None),
            Retry::AfterFix => ("after_fix", None),
            Retry::NewConnection => ("new_connection", None),
            Retry::NewToken => ("new_token", None),
            Retry::After(wait) => ("after", Some(wait.as_secs())),
            _ => ("ask", None),
        };
        Self {
            protocol,
            api: None,
            status: rejection.status(),
            reason: None,
            happened: explanation.happened.to_owned(),
            to_do: explanation.to_do.to_owned(),
            reaction: Some(rejection.reaction().word()),
            retry: Some(retry),
            retry_after,
            device_token: rejection.token_verdict().word(),
            needs_person: rejection.needs_person(),
            recipes: Vec::new(),
        }
    }

    fn of_byte(status: Status) -> Self {
        let rejection = Rejection::Gateway(status);
        let reason = Some(rejection.reason().to_owned());
        Self { reason, ..Self::new("binary", &rejection, rejection.explain()) }
    }

    /// One, or one for each part of the API where they differ.
    fn of_reason(reason: &Reason) -> Vec<Self> {
        let meaning = |api| {
            let status = reason.status().unwrap_or_default();
            let rejection = provider(api, status, Some(reason));
            let recipes = Deviation::ALL.into_iter().filter(|one| reason.as_str() == one.reason()).map(Recipe::from);
            let recipes = recipes.collect();
            Self {
                reason: Some(reason.as_str().to_owned()),
                recipes,
                ..Self::new("http2", &rejection, rejection.explain())
            }
        };
        let (device, broadcast) = (meaning(Api::Device), meaning(Api::Broadcast));
        if device == broadcast {
            return vec![device];
        }
        vec![Self { api: Some("device"), ..device }, Self { api: Some("broadcast"), ..broadcast }]
    }

    fn of_status(status: u16) -> Self {
        let reasons: Vec<&Reason> = Reason::KNOWN.iter().filter(|reason| reason.status() == Some(status)).collect();
        if let [only] = reasons[..] {
            let rejection = provider(Api::Device, status, Some(only));
            return Self::new("http2", &rejection, rejection.explain());
        }
        if (200..=299).contains(&status) {
            return Self {
                protocol: "http2",
                api: None,
                status,
                reason: None,
                happened: match status {
                    201 => "The service made the channel.",
                    204 => "The service deleted the channel.",
                    _ => "The service took the request.",
                }
                .to_owned(),
                to_do: "Nothing. Whether a device shows a notification, no answer can tell.".to_owned(),
                reaction: None,
                retry: None,
                retry_after: None,
                device_token: "keep",
                needs_person: false,
                recipes: Vec::new(),
            };
        }
        let rejection = provider(Api::Device, status, None);
        let meaning = Self::new("http2", &rejection, rejection.explain());
        let happened = match status {
            400 => "Something in the request is wrong.".to_owned(),
            403 => "The service does not accept the credentials.".to_owned(),
            _ => meaning.happened,
        };
        let to_do = if reasons.is_empty() {
            meaning.to_do
        } else {
            let reasons: Vec<&str> = reasons.into_iter().map(Reason::as_str).collect();
            format!("Look at the reason in the answer: it is one of {}.", reasons.join(", "))
        };
        Self { happened, to_do, ..meaning }
    }
}

/// A refusal as it comes: those that give a time for the device token give one.
fn provider(api: Api, status: u16, reason: Option<&Reason>) -> Rejection {
    let rejection = ProviderRejection::new(api, status).with_timestamp(WallTime::EPOCH);
    match reason {
        Some(reason) => rejection.with_reason(reason.as_str()).into(),
        None => rejection.into(),
    }
}

/// Everything that the answer can mean.
fn meanings(answer: &str) -> Result<Vec<Meaning>, UnknownAnswer> {
    let answer = answer.trim();
    if let Ok(number) = answer.parse::<u64>() {
        let mut meanings = Vec::new();
        if let Ok(byte) = u8::try_from(number) {
            meanings.push(Meaning::of_byte(Status::from_raw(byte)));
        }
        if let Ok(status @ 200..=599) = u16::try_from(number) {
            meanings.push(Meaning::of_status(status));
        }
        return if meanings.is_empty() { Err(UnknownAnswer::Number) } else { Ok(meanings) };
    }
    let mut wanted = folded(&reason_in(answer));
    // A whole page that is pasted gets no guess.
    wanted.truncate(LONGEST_GUESSED);
    let mut meanings = Vec::new();
    for reason in Reason::KNOWN {
        if reason.spellings().iter().any(|spelling| folded(spelling) == wanted) {
            meanings.extend(Meaning::of_reason(reason));
        }
    }
    for deviation in Deviation::ALL.into_iter().filter(|one| folded(one.word()) == wanted) {
        let reason = Reason::KNOWN.iter().filter(|reason| reason.as_str() == deviation.reason());
        let told = reason.flat_map(Meaning::of_reason);
        meanings.extend(told.map(|meaning| Meaning { recipes: vec![deviation.into()], ..meaning }));
    }
    let named =
        (0..=u8::MAX).map(Status::from_raw).filter(|status| status.name().map(folded).as_ref() == Some(&wanted));
    meanings.extend(named.map(Meaning::of_byte));
    if !meanings.is_empty() {
        return Ok(meanings);
    }
    let reasons = Reason::KNOWN.iter().flat_map(|reason| reason.spellings().iter().copied());
    let names = (0..=u8::MAX).filter_map(|byte| Status::from_raw(byte).name());
    let words = Deviation::ALL.into_iter().map(Deviation::word);
    let near = reasons
        .chain(names)
        .chain(words)
        .map(|name| (distance(&wanted, &folded(name)), name))
        .min_by_key(|(far, _)| *far);
    Err(match near {
        // A third of it may be wrong: farther away, a guess helps nobody.
        Some((far, near)) if far * 3 <= wanted.len() => UnknownAnswer::Near { near },
        _ => UnknownAnswer::Text,
    })
}

/// How much of what was asked is compared.
const LONGEST_GUESSED: usize = 80;

/// The body of an answer is taken as well: its reason counts.
fn reason_in(answer: &str) -> String {
    let body: Option<serde_json::Value> = answer.starts_with('{').then(|| serde_json::from_str(answer).ok()).flatten();
    let reason = body.as_ref().and_then(|body| body.get("reason")?.as_str());
    reason.unwrap_or(answer).to_owned()
}

/// Without case, and without what people put between words.
fn folded(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_lowercase()).collect()
}

/// How many characters have to be put in, taken out or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, character) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, same) in other.iter().map(|candidate| *candidate == character).enumerate() {
            let replaced = diagonal + usize::from(!same);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status;
        match (self.protocol, &self.reason) {
            ("binary", Some(reason)) => write!(f, "status {status} ({reason}) of the binary protocol")?,
            (_, Some(reason)) => write!(f, "{reason}, status {status} of the HTTP/2 provider API")?,
            (_, None) => write!(f, "status {status} of the HTTP/2 provider API")?,
        }
        match self.api {
            Some("broadcast") => f.write_str(", broadcasts and channels")?,
            Some(_) => f.write_str(", pushes to one device")?,
            None => {}
        }
        let again = match (self.retry, self.retry_after) {
            (Some("never"), _) => "never".to_owned(),
            (Some("after_fix"), _) => "once it is mended".to_owned(),
            (Some("new_connection"), _) => "at once, on a new connection".to_owned(),
            (Some("new_token"), _) => "at once, with a new provider token".to_owned(),
            (_, Some(seconds)) if seconds >= 120 => format!("after {} minutes at the earliest", seconds / 60),
            (_, Some(seconds)) => format!("after {seconds} s at the earliest"),
            (_, None) => "not needed".to_owned(),
        };
        let token = match self.device_token {
            "keep" => "stays as it is",
            "drop" => "is to be dropped",
            _ => "is to be dropped, unless it was registered after the time in the answer",
        };
        paragraph(f, "what happened", &self.happened)?;
        paragraph(f, "what to do", &self.to_do)?;
        paragraph(f, "send again", &again)?;
        paragraph(f, "device token", token)?;
        for Recipe { deviation, what, page_says } in &self.recipes {
            let text = format!("{deviation}: {what}. Apple's page: {page_says}. `apns sim --lenient` takes it.");
            paragraph(f, "in a recipe", &text)?;
        }
        Ok(())
    }
}

/// How wide a line is at most.
const WIDTH: usize = 100;

/// Where the text begins.
const INDENT: usize = 17;

fn paragraph(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    write!(f, "\n  {label:<13}")?;
    let mut column = INDENT - 2;
    for word in text.split(' ') {
        if column + 1 + word.len() > WIDTH {
            write!(f, "\n{:INDENT$}{word}", "")?;
            column = INDENT + word.len();
        } else {
            let gap = if column < INDENT { "  " } else { " " };
            write!(f, "{gap}{word}")?;
            column += gap.len() + word.len();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_byte_means_something() {
        for byte in 0..=u8::MAX {
            let meanings = meanings(&byte.to_string()).unwrap();
            assert_eq!((meanings[0].protocol, meanings[0].status), ("binary", u16::from(byte)));
            assert_eq!(meanings.len(), if byte >= 200 { 2 } else { 1 }, "{byte}");
        }
    }

    #[test]
    fn every_reason_is_found_in_every_spelling() {
        for reason in Reason::KNOWN {
            for spelling in reason.spellings() {
                for text in [(*spelling).to_owned(), spelling.to_lowercase(), spelling.to_uppercase()] {
                    let meanings = meanings(&text).unwrap();
                    assert_eq!(meanings[0].reason.as_deref(), Some(reason.as_str()), "{text}");
                    assert_eq!(Some(meanings[0].status), reason.status(), "{text}");
                }
            }
        }
    }

    #[test]
    fn where_the_parts_of_the_api_differ_both_are_told() {
        let apis = |text| -> Vec<_> { meanings(text).unwrap().iter().map(|meaning| meaning.api).collect() };
        assert_eq!(apis("TopicDisallowed"), [Some("device"), Some("broadcast")]);
        assert_eq!(apis("BadDeviceToken"), [None]);
    }

    #[test]
    fn a_word_of_both_protocols_is_told_for_both() {
        let protocols: Vec<_> = meanings("shutdown").unwrap().iter().map(|meaning| meaning.protocol).collect();
        assert_eq!(protocols, ["http2", "binary"]);
    }

    #[test]
    fn statuses_name_the_reasons_that_come_with_them() {
        for status in 200..=599 {
            let meanings = meanings(&status.to_string()).unwrap();
            let last = meanings.last().unwrap();
            assert_eq!((last.protocol, last.status), ("http2", status));
            for reason in Reason::KNOWN.iter().filter(|reason| reason.status() == Some(status)) {
                let explained = reason.explain(Api::Device).unwrap();
                assert!(last.to_do.contains(reason.as_str()) || last.happened == explained.happened, "{reason}");
            }
        }
    }

    #[test]
    fn a_slip_is_answered_with_a_guess() {
        let guess = |text: &str| match meanings(text) {
            Err(UnknownAnswer::Near { near, .. }) => Some(near),
            _ => None,
        };
        assert_eq!(guess("BadDeviceTokn"), Some("BadDeviceToken"));
        assert_eq!(guess("unregisterd"), Some("Unregistered"));
        assert_eq!(guess("invalid-tokens"), Some("invalid_token"));
        assert_eq!(guess("weather"), None);
        assert_eq!(guess(""), None);
        assert_eq!(guess(&"x".repeat(1_000_000)), None);
        for number in ["600", "1000", "99999999999"] {
            assert_eq!(meanings(number), Err(UnknownAnswer::Number));
        }
    }

    #[test]
    fn what_apples_recipes_leave_out_is_told_with_its_reason_and_by_its_own_word() {
        for deviation in Deviation::ALL {
            let of_reason = meanings(deviation.reason()).unwrap();
            assert!(of_reason.iter().all(|one| one.recipes.contains(&deviation.into())), "{deviation:?}");
            let of_word = meanings(deviation.word()).unwrap();
            assert!(!of_word.is_empty(), "{deviation:?}");
            for meaning in of_word {
                assert_eq!(
                    (meaning.reason.as_deref(), &meaning.recipes),
                    (Some(deviation.reason()), &vec![deviation.into()])
                );
                let shown = meaning.to_string();
                assert!(shown.contains(&format!("in a recipe    {}: ", deviation.word())), "{shown}");
                assert!(shown.lines().all(|line| line.len() <= WIDTH), "{shown}");
            }
        }
    }

    #[test]
    fn the_distance_is_that_of_the_textbook() {
        for (one, other, far) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2)]
        {
            assert_eq!(distance(one, other), far, "{one} {other}");
        }
    }

    #[test]
    fn a_person_gets_lines_that_fit() {
        let shown = meanings("bad device token").unwrap()[0].to_string();
        assert!(
            shown.starts_with("BadDeviceToken, status 400 of the HTTP/2 provider API\n  what happened  "),
            "{shown}"
        );
        assert!(shown.contains("\n  send again     never\n  device token   is to be dropped"), "{shown}");
        assert!(shown.lines().all(|line| line.len() <= WIDTH && line.trim_end() == line), "{shown}");
    }
}
