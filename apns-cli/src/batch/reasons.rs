//! How many ended in which way, and why.

use std::collections::BTreeMap;
use std::fmt;

use crate::row::{ORDER, RowView};
use apns_proto::Escaped;

/// How many different reasons are counted apart; what lines say about themselves could be any number of them.
const MOST: usize = 64;

/// Counts rows by outcome and reason.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    counts: BTreeMap<(usize, Option<u16>, String), u64>,
    resumed: u64,
}

impl Reasons {
    /// Counts a row.
    pub(crate) fn add(&mut self, row: &RowView<'_>) {
        self.resumed += u64::from(row.resumed == Some(true));
        let place = ORDER.iter().position(|word| *word == row.outcome).unwrap_or(ORDER.len());
        let why = row.reason.as_deref().or(row.proof.as_deref()).unwrap_or_default();
        let key = (place, row.status, why.to_owned());
        if let Some(count) = self.counts.get_mut(&key) {
            *count += 1;
            return;
        }
        let key = if self.counts.len() < MOST { key } else { (place, None, "for other reasons".to_owned()) };
        *self.counts.entry(key).or_default() += 1;
    }
}

/// A line for each, with the number in front.
impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for ((place, status, why), count) in &self.counts {
            let outcome = ORDER.get(*place).copied().unwrap_or("other").replace('_', " ");
            write!(f, "{gap}{count:>10} {outcome}")?;
            if let Some(status) = status {
                write!(f, " {status}")?;
            }
            if !why.is_empty() {
                // What a line says is not to disturb the terminal.
                write!(f, "{} {}", if status.is_some() { "" } else { "," }, Escaped(why))?;
            }
            gap = "\n";
        }
        if self.resumed > 0 {
            write!(
                f,
                "{gap}{:>10} of these may have been sent twice: they were sent again after a break",
                self.resumed
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_come_in_their_order_with_their_reasons() {
        let mut reasons = Reasons::default();
        assert_eq!(reasons.to_string(), "");
        for json in [
            r#"{"n":1,"outcome":"invalid","reason":"unknown field `\u001b[2J`"}"#,
            r#"{"n":2,"outcome":"rejected","status":400,"reason":"BadDeviceToken"}"#,
            r#"{"n":3,"outcome":"accepted","proof":"confirmed"}"#,
            r#"{"n":4,"outcome":"accepted","proof":"confirmed","resumed":true}"#,
            r#"{"n":5,"outcome":"expired"}"#,
        ] {
            reasons.add(&serde_json::from_str(json).unwrap());
        }
        let expected = [
            "         2 accepted, confirmed",
            "         1 rejected 400 BadDeviceToken",
            "         1 expired",
            "         1 invalid, unknown field `\\u{1b}[2J`",
            "         1 of these may have been sent twice: they were sent again after a break",
        ];
        assert_eq!(reasons.to_string(), expected.join("\n"));
    }

    #[test]
    fn any_number_of_reasons_takes_bounded_room() {
        let mut reasons = Reasons::default();
        for n in 1..1000 {
            let json = format!(r#"{{"n":{n},"outcome":"invalid","reason":"the line is not valid JSON at byte {n}"}}"#);
            reasons.add(&serde_json::from_str(&json).unwrap());
        }
        assert_eq!(reasons.counts.len(), MOST + 1);
        assert_eq!(reasons.counts.values().sum::<u64>(), 999);
        assert!(reasons.to_string().contains("935 invalid, for other reasons"), "{reasons}");
    }
}
