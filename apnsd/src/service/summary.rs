//! What became of an app's notifications, for the reader of the log of a process that has ended.

use std::collections::BTreeMap;

use crate::delivery::Snapshot;
use crate::outbox::Counts;

/// In words; nothing where there is nothing to tell.
pub(super) fn of(snapshot: &Snapshot, left: Counts) -> Option<String> {
    let nothing = snapshot.taken == 0 && snapshot.ended.is_empty() && left.waiting + left.in_flight == 0;
    (!nothing).then(|| words(snapshot.taken, &snapshot.ended, left))
}

fn words(taken: u64, ended: &BTreeMap<String, u64>, left: Counts) -> String {
    let mut text = format!("{taken} taken since the start; ");
    if ended.is_empty() {
        text.push_str("none ended");
    } else {
        let ended: Vec<String> = ended.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        text.push_str(&format!("ended: {}", ended.join(", ")));
    }
    text.push_str(&format!("; {} wait for the next start", left.waiting));
    if left.in_flight > 0 {
        text.push_str(&format!(", and {} may have left without an answer", left.in_flight));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_was_taken_is_in_it() {
        let left = |waiting, in_flight| Counts { waiting, in_flight, bytes: 0 };
        let ended = BTreeMap::from([("accepted".to_owned(), 5), ("BadDeviceToken".to_owned(), 2)]);
        assert_eq!(
            words(10, &ended, left(2, 1)),
            "10 taken since the start; ended: 2 BadDeviceToken, 5 accepted; 2 wait for the next start, and 1 may have left \
             without an answer"
        );
        assert_eq!(
            words(3, &BTreeMap::new(), left(3, 0)),
            "3 taken since the start; none ended; 3 wait for the next start"
        );
    }
}
