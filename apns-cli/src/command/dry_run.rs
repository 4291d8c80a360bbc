//! `apns send --dry-run`: judges everything, and sends nothing.

use apns_lint::{Finding, Lint};
use apns_proto::{Notification, Payload, PushType};
use serde::Serialize;
use serde_json::value::RawValue;

use super::lint::{FindingRow, is_serious, line};
use crate::draft::Composer;
use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use crate::progress::Telling;
use crate::reading::{Aside, Reading, Work};
use crate::row::Key;

/// What was found about one notification.
#[derive(Serialize)]
struct JudgedRow<'a> {
    n: u64,
    id: Option<&'a RawValue>,
    token: Option<&'a str>,
    /// `valid` or `invalid`.
    outcome: &'static str,
    /// Why it is invalid.
    reason: Option<String>,
    findings: Vec<FindingRow<'a>>,
}

impl<'a> JudgedRow<'a> {
    fn new(key: &'a Key, reason: Option<String>, findings: &'a [Finding]) -> Self {
        Self {
            n: key.n,
            id: key.id.as_deref(),
            token: key.token.as_deref(),
            outcome: if reason.is_none() { "valid" } else { "invalid" },
            reason,
            findings: findings.iter().map(FindingRow::new).collect(),
        }
    }
}

/// What is said so far.
pub(crate) struct DryRun {
    output: Output,
    json: bool,
    valid: u64,
    invalid: u64,
    doubted: u64,
    serious: bool,
    /// The payload that was looked at last: many notifications share one.
    last: Option<(Payload, PushType, Vec<Finding>)>,
}

impl DryRun {
    pub(crate) fn new(json: bool) -> Self {
        Self { output: Output::new(), json, valid: 0, invalid: 0, doubted: 0, serious: false, last: None }
    }

    /// Reads all that would be sent.
    pub(crate) async fn run(mut self, work: Work, composer: Composer, telling: Telling) -> Result<Exit, Failure> {
        let Reading { mut notifications, mut asides, .. } = Reading::start(work, composer)?;
        let mut unreadable = None;
        loop {
            tokio::select! {
                Some((key, notification)) = notifications.recv() => self.valid(&key, &notification),
                Some(aside) = asides.recv() => match aside {
                    Aside::Invalid(key, why) => self.invalid(&key, why.to_string()),
                    // Only a run that resumes has one.
                    Aside::Lost(_) => {}
                    Aside::Unreadable(failure) => unreadable = Some(failure),
                },
                else => break,
            }
        }
        self.output.finish()?;
        if let Some(failure) = unreadable {
            return Err(failure);
        }
        if telling == Telling::Everything {
            let (valid, invalid, doubted) = (self.valid, self.invalid, self.doubted);
            say(format_args!(
                "nothing was sent: {valid} notifications can be sent ({doubted} of them with something to look at), {invalid} cannot"
            ));
        }
        let fine = self.invalid == 0 && !self.serious;
        Ok(if fine { Exit::Fine } else { Exit::Partly })
    }

    fn valid(&mut self, key: &Key, notification: &Notification) {
        self.valid += 1;
        let of_topic = || notification.topic().and_then(|topic| PushType::of_topic(topic.as_str()));
        let payload = notification.payload();
        let named = notification.push_type().cloned().or_else(of_topic);
        // As the linter has it, without another look into a payload that all share.
        let push_type = named.or_else(|| payload.inferred_push_type()).unwrap_or(PushType::Alert);
        let is_known = self.last.as_ref().is_some_and(|(last, of, _)| last == payload && *of == push_type);
        if !is_known {
            let findings = Lint::new(payload.as_bytes()).with_push_type(push_type.clone()).findings();
            self.last = Some((payload.clone(), push_type, findings));
        }
        let findings = self.last.as_ref().map_or(&[][..], |(_, _, findings)| findings);
        self.doubted += u64::from(!findings.is_empty());
        self.serious |= findings.iter().any(is_serious);
        if self.json {
            self.output.json(&JudgedRow::new(key, None, findings));
        } else if !is_known {
            // A person reads once what all that follow have in common.
            for finding in findings {
                self.output.line(format_args!("{}: {}", key.n, line(finding)));
            }
        }
    }

    fn invalid(&mut self, key: &Key, why: String) {
        self.invalid += 1;
        if self.json {
            self.output.json(&JudgedRow::new(key, Some(why), &[]));
        } else {
            self.output.line(format_args!("{}: invalid: {why}", key.n));
        }
    }
}
