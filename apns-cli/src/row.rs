//! What became of one notification, as a line for a person or for a program.

use std::borrow::Cow;
use std::fmt;

use apns_proto::Escaped;
use apns_proto::{ApnsId, NotSentCause, Outcome, Proof, Rejection, WallTime};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::invalid::Invalid;

/// Which notification it is.
#[derive(Clone)]
pub(crate) struct Key {
    /// The line of the batch, or the place of the token on the command line, from 1.
    pub(crate) n: u64,
    /// What the line gave as its id.
    pub(crate) id: Option<Box<RawValue>>,
    /// The token: as normal digits, or the text as it was given when it is none but like one.
    pub(crate) token: Option<String>,
    /// When the app registered the token, in seconds since 1970, if the line says.
    pub(crate) registered: Option<u64>,
    /// It may have left in an earlier run, and is sent again.
    pub(crate) resumed: bool,
}

/// The end of one notification. All keys are always there; what is not known is `null`.
#[derive(Serialize)]
pub(crate) struct Row {
    n: u64,
    id: Option<Box<RawValue>>,
    token: Option<String>,
    outcome: &'static str,
    /// `confirmed` or `presumed`, for what was accepted.
    proof: Option<&'static str>,
    /// The number that the service gave, for what it rejected.
    status: Option<u16>,
    /// The service's word for it, or what is wrong in plain text.
    reason: Option<String>,
    /// How often it was written; unknown for what an earlier run left without an outcome.
    attempts: Option<u32>,
    /// The service's name for the notification; HTTP/2 only, as all that follows.
    apns_id: Option<String>,
    /// The name under which the push console lists it.
    unique_id: Option<String>,
    /// Since when the device token is no longer active, in milliseconds since 1970.
    timestamp: Option<u64>,
    /// For results alone.
    #[serde(skip)]
    registered: Option<u64>,
    #[serde(skip)]
    resumed: bool,
}

/// A row of results, which has two keys more.
#[derive(Serialize)]
pub(crate) struct ResultRow<'a> {
    #[serde(flatten)]
    row: &'a Row,
    /// Whether it was sent again after a break: what an earlier run sent may have arrived as well.
    resumed: bool,
    /// When the app registered the token, in seconds since 1970, if the line says.
    registered: Option<u64>,
}

impl<'a> From<&'a Row> for ResultRow<'a> {
    fn from(row: &'a Row) -> Self {
        Self { row, resumed: row.resumed, registered: row.registered }
    }
}

impl Row {
    /// For what made no notification.
    pub(crate) fn invalid(key: Key, why: &Invalid) -> Self {
        Self { reason: Some(why.to_string()), ..Self::bare(key, "invalid", Some(0)) }
    }

    /// For what may have left in a run that was broken off before its outcome was written.
    pub(crate) fn lost(key: Key) -> Self {
        let reason = Some("the run was broken off before its outcome was written".to_owned());
        Self { reason, ..Self::bare(key, "unknown", None) }
    }

    /// For what ended like this.
    pub(crate) fn outcome(key: Key, outcome: &Outcome, attempts: u32) -> Self {
        let mut row = Self::bare(key, outcome.word(), Some(attempts));
        match outcome {
            Outcome::Accepted { proof, apns_id, unique_id } => {
                row.proof = Some(Proof::word(*proof));
                row.name(*apns_id, unique_id.as_deref());
            }
            Outcome::Rejected(rejection) => {
                row.status = Some(rejection.status());
                row.reason = Some(rejection.reason().to_owned());
                if let Rejection::Provider(rejection) = rejection {
                    row.name(rejection.apns_id(), rejection.unique_id());
                    row.timestamp = rejection.timestamp().map(WallTime::as_millis);
                }
            }
            Outcome::Unknown { cause } => row.reason = Some(cause.to_string()),
            Outcome::NotSent { cause: NotSentCause::Invalid(invalid) } => row.reason = Some(invalid.to_string()),
            Outcome::NotSent { cause: NotSentCause::CredentialRefused(refusal) } => {
                row.status = refusal.status();
                row.reason = Some(refusal.reason().map_or_else(|| refusal.to_string(), str::to_owned));
            }
            Outcome::NotSent { cause } => row.reason = Some(cause.to_string()),
            _ => {}
        }
        row
    }

    fn bare(key: Key, outcome: &'static str, attempts: Option<u32>) -> Self {
        let Key { n, id, token, registered, resumed } = key;
        Self {
            n,
            id,
            token,
            outcome,
            proof: None,
            status: None,
            reason: None,
            attempts,
            apns_id: None,
            unique_id: None,
            timestamp: None,
            registered,
            resumed,
        }
    }

    fn name(&mut self, apns_id: Option<ApnsId>, unique_id: Option<&str>) {
        self.apns_id = apns_id.map(|id| id.to_string());
        self.unique_id = unique_id.map(str::to_owned);
    }

    /// What it says, as a reader of the results sees it.
    pub(crate) fn view(&self) -> RowView<'_> {
        RowView {
            n: self.n,
            token: self.token.as_deref().map(Cow::Borrowed),
            outcome: Cow::Borrowed(self.outcome),
            proof: self.proof.map(Cow::Borrowed),
            status: self.status,
            reason: self.reason.as_deref().map(Cow::Borrowed),
            timestamp: self.timestamp,
            resumed: Some(self.resumed),
            registered: self.registered,
        }
    }
}

/// What a row says, as far as anything follows from it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct RowView<'a> {
    pub(crate) n: u64,
    #[serde(borrow)]
    pub(crate) token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) outcome: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) proof: Option<Cow<'a, str>>,
    pub(crate) status: Option<u16>,
    #[serde(borrow)]
    pub(crate) reason: Option<Cow<'a, str>>,
    pub(crate) timestamp: Option<u64>,
    #[serde(default)]
    pub(crate) resumed: Option<bool>,
    #[serde(default)]
    pub(crate) registered: Option<u64>,
}

/// Without the token.
impl fmt::Debug for RowView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowView").field("n", &self.n).field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// How many digits of a token are enough for a person to know it again.
const ENOUGH_DIGITS: usize = 8;

/// For a person: the number, the outcome, what there is to say about it, and the beginning of the token.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6}  {:<8}", self.n, self.outcome)?;
        if let Some(proof) = self.proof {
            write!(f, "  {proof}")?;
        }
        if let Some(status) = self.status {
            write!(f, "  status {status}")?;
        }
        if let Some(reason) = &self.reason {
            let gap = if self.status.is_some() { " " } else { "  " };
            write!(f, "{gap}{}", Escaped(reason))?;
        }
        if let Some(attempts) = self.attempts.filter(|attempts| *attempts > 1) {
            write!(f, "  ({attempts} attempts)")?;
        }
        if let Some(token) = &self.token {
            let enough: String = token.chars().take(ENOUGH_DIGITS).collect();
            let more = if token.chars().nth(ENOUGH_DIGITS).is_some() { "…" } else { "" };
            write!(f, "  {}{more}", Escaped(enough))?;
        }
        if let Some(id) = &self.id {
            write!(f, "  id {id}")?;
        }
        if let Some(apns_id) = &self.apns_id {
            write!(f, "  apns-id {apns_id}")?;
        }
        Ok(())
    }
}

/// How many ended in which way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    counts: Vec<(&'static str, u64)>,
}

/// The outcomes in the order in which they are summed up.
pub(crate) const ORDER: [&str; 6] = ["accepted", "rejected", "expired", "unknown", "not_sent", "invalid"];

impl Tally {
    /// Counts one more. A word that there is not counts for nothing.
    pub(crate) fn add(&mut self, word: &str) {
        let Some(word) = ORDER.into_iter().find(|known| *known == word) else { return };
        match self.counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((word, 1)),
        }
    }

    /// How many ended like this.
    pub(crate) fn of(&self, word: &str) -> u64 {
        self.counts.iter().find(|(known, _)| *known == word).map_or(0, |(_, count)| *count)
    }

    /// How many there were.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// Whether all were accepted.
    pub(crate) fn all_accepted(&self) -> bool {
        self.of("accepted") == self.total()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.total() == 1 { "notification" } else { "notifications" };
        write!(f, "{} {noun}", self.total())?;
        let mut gap = ": ";
        for word in ORDER {
            let count = self.of(word);
            if count > 0 {
                write!(f, "{gap}{count} {}", word.replace('_', " "))?;
                gap = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use apns_proto::UnknownCause;
    use apns_proto::binary::Status;
    use apns_proto::http2::{Api, ProviderRejection};

    use super::*;

    const TOKEN: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

    fn key(n: u64) -> Key {
        Key { n, id: None, token: Some(TOKEN.to_owned()), registered: None, resumed: false }
    }

    fn json(row: &Row) -> String {
        serde_json::to_string(row).unwrap()
    }

    #[test]
    fn words_of_the_service_forge_no_row() {
        let forged = "Bad\n     7  accepted  confirmed\u{1b}[2J";
        let rejection = ProviderRejection::new(Api::Device, 400).with_reason(forged);
        let row = Row::outcome(key(1), &Outcome::Rejected(rejection.into()), 1);
        let shown = row.to_string();
        assert!(shown.contains(r"Bad\n     7") && !shown.contains(char::is_control), "{shown}");
        assert!(json(&row).contains(r"Bad\n     7") && !json(&row).contains(char::is_control));
    }

    #[test]
    fn every_row_has_every_key() {
        let accepted = Row::outcome(key(1), &Outcome::accepted(Proof::Confirmed), 1);
        let expected = format!(
            r#"{{"n":1,"id":null,"token":"{TOKEN}","outcome":"accepted","proof":"confirmed","status":null,"reason":null,"attempts":1,"apns_id":null,"unique_id":null,"timestamp":null}}"#
        );
        assert_eq!(json(&accepted), expected);
        assert_eq!(accepted.to_string(), "     1  accepted  confirmed  00fc13ad…");

        let rejected = Rejection::Gateway(Status::INVALID_TOKEN);
        let id = RawValue::from_string(r#""a-7""#.to_owned()).unwrap();
        let rejected = Row::outcome(Key { id: Some(id), ..key(3) }, &Outcome::Rejected(rejected), 2);
        let expected = format!(
            r#"{{"n":3,"id":"a-7","token":"{TOKEN}","outcome":"rejected","proof":null,"status":8,"reason":"invalid_token","attempts":2,"apns_id":null,"unique_id":null,"timestamp":null}}"#
        );
        assert_eq!(json(&rejected), expected);
        assert_eq!(
            rejected.to_string(),
            "     3  rejected  status 8 invalid_token  (2 attempts)  00fc13ad…  id \"a-7\""
        );

        let invalid = Row::invalid(Key { token: None, ..key(9) }, &Invalid::NoToken);
        assert_eq!(
            json(&invalid),
            r#"{"n":9,"id":null,"token":null,"outcome":"invalid","proof":null,"status":null,"reason":"there is no `token`","attempts":0,"apns_id":null,"unique_id":null,"timestamp":null}"#
        );
        assert_eq!(invalid.to_string(), "     9  invalid   there is no `token`");

        let unknown = Row::outcome(key(4), &Outcome::Unknown { cause: UnknownCause::NoAnswer }, 1);
        assert_eq!(unknown.to_string(), "     4  unknown   no answer came in time  00fc13ad…");
    }

    #[test]
    fn names_and_times_of_the_provider_api_are_there() {
        let apns_id: ApnsId = "27cfdc15-0000-4000-8000-000000000001".parse().unwrap();
        let gone = ProviderRejection::new(Api::Device, 410)
            .with_reason("Unregistered")
            .with_timestamp(WallTime::from_millis(1_527_206_400_123))
            .with_apns_id(apns_id);
        let row = Row::outcome(key(1), &Outcome::Rejected(gone.into()), 1);
        let json: serde_json::Value = serde_json::from_str(&json(&row)).unwrap();
        assert_eq!(json["timestamp"], 1_527_206_400_123_u64);
        assert_eq!(json["apns_id"], "27cfdc15-0000-4000-8000-000000000001");
        let accepted =
            Outcome::Accepted { proof: Proof::Confirmed, apns_id: Some(apns_id), unique_id: Some("u-1".into()) };
        let row = Row::outcome(key(2), &accepted, 1);
        assert_eq!(row.unique_id.as_deref(), Some("u-1"));
        assert!(row.to_string().ends_with("apns-id 27cfdc15-0000-4000-8000-000000000001"), "{row}");
    }

    #[test]
    fn a_row_of_results_says_the_same_and_two_things_more() {
        let resumed = Key { registered: Some(1_700_000_000), resumed: true, ..key(7) };
        let row = Row::outcome(resumed, &Outcome::accepted(Proof::Presumed), 1);
        let text = serde_json::to_string(&ResultRow::from(&row)).unwrap();
        let plain = json(&row);
        let expected = format!(r#"{},"resumed":true,"registered":1700000000}}"#, plain.strip_suffix('}').unwrap());
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<RowView<'_>>(&text).unwrap(), row.view());

        let lost = Row::lost(key(8));
        let text = serde_json::to_string(&ResultRow::from(&lost)).unwrap();
        assert!(text.contains(r#""outcome":"unknown""#) && text.contains(r#""attempts":null"#), "{text}");
        assert_eq!(serde_json::from_str::<RowView<'_>>(&text).unwrap(), lost.view());
    }

    #[test]
    fn a_strange_token_cannot_disturb_the_terminal() {
        let row = Row::invalid(Key { token: Some("\u{1b}[2Jabcdefgh".to_owned()), ..key(1) }, &Invalid::NoToken);
        assert_eq!(row.to_string(), "     1  invalid   there is no `token`  \\u{1b}[2Jabcd…");
    }

    #[test]
    fn a_tally_adds_up() {
        let mut tally = Tally::default();
        assert_eq!(tally.to_string(), "0 notifications");
        assert!(tally.all_accepted());
        tally.add("accepted");
        assert_eq!(tally.to_string(), "1 notification: 1 accepted");
        assert!(tally.all_accepted());
        tally.add("not_sent");
        tally.add("accepted");
        assert_eq!((tally.of("accepted"), tally.total()), (2, 3));
        assert_eq!(tally.to_string(), "3 notifications: 2 accepted, 1 not sent");
        assert!(!tally.all_accepted());
    }
}
