//! Payloads that a device would drop, told at intake.

use std::collections::BTreeSet;

use apns_lint::{Finding, Lint, Severity};
use apns_proto::Notification;
use apns_proto::http2::{Authentication, Requests};
use parking_lot::Mutex;

use crate::AppName;
use crate::config::{App, Validate};

/// What is wrong with the payload, as far as the app wants to know: to be told beside the acceptance, or as an error why it
/// is not taken.
pub(super) fn judge(notification: &Notification, app: &App) -> Result<Vec<Finding>, Vec<Finding>> {
    if app.validate == Validate::Off {
        return Ok(Vec::new());
    }
    // The binary protocol sends no push type, and the payload decides as it would on HTTP/2.
    let requests = app.main().requests(app).unwrap_or_else(|| Requests::new("", Authentication::Certificate));
    let push_type = requests.sent_as(notification).push_type;
    let findings = Lint::new(notification.payload().as_bytes()).with_push_type(push_type).findings();
    let refused = app.validate == Validate::Refuse && findings.iter().any(|one| one.severity > Severity::Doubtful);
    if refused { Err(findings) } else { Ok(findings) }
}

/// So many different findings of an app are in the log; a program has few mistakes, each made a million times.
const MOST_TOLD: usize = 50;

/// What was said already.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<BTreeSet<(String, String)>>);

impl Told {
    /// Says in the log what was not said of this app before. Findings name keys, and never a value.
    pub(super) fn tell(&self, app: &AppName, findings: &[Finding]) {
        for Finding { severity, at, what, .. } in findings {
            let mut told = self.0.lock();
            if told.len() >= MOST_TOLD || !told.insert((at.clone(), what.clone())) {
                continue;
            }
            let last = if told.len() == MOST_TOLD { "; no more is said of its payloads" } else { "" };
            drop(told);
            let at = if at.is_empty() { "the whole" } else { at };
            tracing::warn!("app {app}: a payload at {at}: {}: {what} (said once){last}", severity.word());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_each_finding_once_and_not_without_end() {
        let told = Told::default();
        let app: AppName = "shop".parse().unwrap();
        let one = Lint::new(br#"{"aps":{"alert":"x","badge":"1"}}"#).findings();
        assert_eq!(one.len(), 1);
        told.tell(&app, &one);
        told.tell(&app, &one);
        assert_eq!(told.0.lock().len(), 1);
        for number in 0..2 * MOST_TOLD {
            let payload = format!(r#"{{"aps":{{"alert":"x","wrong{number}":1}}}}"#);
            told.tell(&app, &Lint::new(payload.as_bytes()).findings());
        }
        assert_eq!(told.0.lock().len(), MOST_TOLD);
    }
}
