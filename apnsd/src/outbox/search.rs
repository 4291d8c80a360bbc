//! Finding notifications by what a caller knows of them.
//!
//! Each row has *marks*: keyed hashes of its device token, tag, collapse id and `apns-id`. They are written once, when it is
//! accepted, and are taken away with its outcome. A device token is a secret, so it is not kept beside an outcome; its mark says
//! nothing without the key, which the store made for itself.

use std::sync::Arc;

use apns_proto::{ApnsId, CollapseId, DeviceToken, Notification, WallTime};
use ring::hmac;
use serde::Deserialize;

use super::{Cursor, OutboxError, OutcomeRecord, State, Tracked};
use crate::{AppName, Tag};

/// Which notifications of an app are meant: those for which every condition that is set holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Search {
    /// To this device.
    pub token: Option<DeviceToken>,
    /// With this collapse id.
    pub collapse_id: Option<CollapseId>,
    /// With this tag.
    pub tag: Option<Tag>,
    /// With this `apns-id`: the caller's own, or the one that was made of the notification's name.
    pub apns_id: Option<ApnsId>,
    /// Those that ended at this time or later, or have not ended and were accepted then.
    pub since: Option<WallTime>,
    /// Those that ended before this time, or have not ended and were accepted before.
    pub until: Option<WallTime>,
    /// In this state.
    pub stage: Option<Stage>,
    /// With this outcome, by its word.
    pub outcome: Option<Arc<str>>,
    /// With this reason in the outcome.
    pub reason: Option<Arc<str>>,
}

/// Where a notification stands, as a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It waits for its turn.
    Waiting,
    /// It may have left.
    InFlight,
    /// It ended.
    Settled,
}

/// A page of what [`search`](super::Outbox::search) found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// With a device token, a collapse id, a tag or an `apns-id`, the one that was accepted last comes first; without, what has not
    /// ended comes first, and then what ended last.
    pub notifications: Vec<Tracked>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// Marks of rows whose numbers are equal without these bits lie together: so what is written at a time changes few pages, and a
/// search looks at each such range for itself.
pub(super) const RANGE_BITS: u32 = 12;

/// So many ranges are looked at in one step.
pub(super) const RANGES: i64 = 4096;

/// So many rows are looked at in one step.
pub(super) const LOOK: i64 = 2000;

/// Makes marks, with the key of one store.
#[derive(Debug, Clone)]
pub(super) struct Marker {
    key: hmac::Key,
    /// Whether device tokens get one.
    tokens: bool,
}

/// What a mark is of.
#[derive(Clone, Copy)]
enum Kind {
    Token = 1,
    Tag = 2,
    CollapseId = 3,
    ApnsId = 4,
}

impl Marker {
    pub(super) fn new(key: [i64; 2], tokens: bool) -> Self {
        let bytes = [key[0].to_be_bytes(), key[1].to_be_bytes()].concat();
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &bytes), tokens }
    }

    fn mark(&self, app: &AppName, kind: Kind, value: &[u8]) -> i64 {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[kind as u8]);
        context.update(&(app.as_str().len() as u64).to_be_bytes());
        context.update(app.as_str().as_bytes());
        context.update(value);
        let tag = context.sign();
        i64::from_be_bytes(tag.as_ref()[..8].try_into().expect("an HMAC of SHA-256 has 32 bytes"))
    }

    /// The marks of a notification.
    pub(super) fn of(&self, app: &AppName, notification: &Notification, tag: Option<&Tag>) -> Vec<i64> {
        let token = self.tokens.then(|| self.mark(app, Kind::Token, notification.token().as_bytes()));
        let tag = tag.map(|tag| self.mark(app, Kind::Tag, tag.as_str().as_bytes()));
        let collapse_id = notification.collapse_id().map(|id| self.mark(app, Kind::CollapseId, id.as_str().as_bytes()));
        let apns_id = notification.apns_id().map(|id| self.mark(app, Kind::ApnsId, id.as_bytes()));
        [token, tag, collapse_id, apns_id].into_iter().flatten().collect()
    }

    /// What to look for.
    ///
    /// # Errors
    ///
    /// Where device tokens get no marks.
    pub(super) fn plan(&self, app: &AppName, search: Search) -> Result<Plan, OutboxError> {
        if search.token.is_some() && !self.tokens {
            return Err(OutboxError::TokensNotKept);
        }
        let mark = |kind, value: Option<&[u8]>| value.map(|value| self.mark(app, kind, value));
        // The first leads to the fewest.
        let marks = [
            mark(Kind::ApnsId, search.apns_id.as_ref().map(|id| id.as_bytes().as_slice())),
            mark(Kind::Token, search.token.as_ref().map(DeviceToken::as_bytes)),
            mark(Kind::CollapseId, search.collapse_id.as_ref().map(|id| id.as_str().as_bytes())),
            mark(Kind::Tag, search.tag.as_ref().map(|tag| tag.as_str().as_bytes())),
        ];
        Ok(Plan { marks: marks.into_iter().flatten().collect(), search })
    }
}

/// A search, made ready for a store.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// All of these, of which the first leads to the fewest.
    marks: Vec<i64>,
    search: Search,
}

impl Plan {
    /// Where the search begins, or goes on.
    ///
    /// # Errors
    ///
    /// A cursor that no search made.
    pub(super) fn spot(&self, after: &Cursor) -> Result<Spot, OutboxError> {
        let text = after.as_str();
        let begin = if self.search.apns_id.is_some() { Spot::Named } else { self.behind_named() };
        let place = |text: &str| text.parse().ok().filter(|place| *place >= 0);
        let read = || match text.split_at_checked(1)? {
            ("m", rest) => place(rest).map(Spot::Marked),
            ("p", rest) => place(rest).map(Spot::Pending),
            ("e", rest) => place(rest).map(Spot::Ended),
            _ => None,
        };
        if text.is_empty() {
            return Ok(begin);
        }
        read().ok_or_else(|| OutboxError::Cursor { cursor: text.chars().take(40).collect() })
    }

    const fn behind_named(&self) -> Spot {
        if self.marks.is_empty() { Spot::Pending(i64::MAX) } else { Spot::Marked(i64::MAX) }
    }

    /// Where to go on behind a part.
    pub(super) const fn behind(&self, spot: Spot) -> Option<Spot> {
        match spot {
            Spot::Named => Some(self.behind_named()),
            Spot::Pending(_) => Some(Spot::Ended(i64::MAX)),
            Spot::Marked(_) | Spot::Ended(_) => None,
        }
    }

    /// The mark that leads to the fewest, and the others; `None` where none leads anywhere.
    pub(super) fn marks(&self) -> Option<(i64, &[i64])> {
        self.marks.split_first().map(|(first, others)| (*first, others))
    }

    /// The `apns-id` that may be a notification's own name.
    pub(super) const fn name(&self) -> Option<ApnsId> {
        self.search.apns_id
    }

    /// The marks of what has this name: it has none of its `apns-id`.
    pub(super) fn marks_of_named(&self) -> &[i64] {
        self.marks().map_or(&[], |(_, others)| others)
    }

    pub(super) const fn since(&self) -> Option<WallTime> {
        self.search.since
    }

    pub(super) const fn until(&self) -> Option<WallTime> {
        self.search.until
    }

    fn is_in_time(&self, time: WallTime) -> bool {
        self.search.since.is_none_or(|since| time >= since) && self.search.until.is_none_or(|until| time < until)
    }

    /// Whether what has not ended may be meant.
    pub(super) fn wants_pending(&self) -> bool {
        self.search.outcome.is_none() && self.search.reason.is_none() && self.search.stage != Some(Stage::Settled)
    }

    /// Whether what has ended may be meant.
    pub(super) const fn wants_ended(&self) -> bool {
        matches!(self.search.stage, None | Some(Stage::Settled))
    }

    /// Whether this one is meant, which has not ended.
    pub(super) fn takes_pending(&self, state: &State) -> bool {
        let (stage, accepted_at) = match state {
            State::Waiting { accepted_at, .. } => (Stage::Waiting, *accepted_at),
            State::InFlight { accepted_at, .. } => (Stage::InFlight, *accepted_at),
            State::Settled(_) => return false,
        };
        self.wants_pending() && self.search.stage.is_none_or(|wanted| wanted == stage) && self.is_in_time(accepted_at)
    }

    /// Whether this one is meant, which ended at this time, as far as is known without its record.
    pub(super) fn takes_ended(&self, settled_at: WallTime) -> bool {
        self.wants_ended() && self.is_in_time(settled_at)
    }

    /// Whether its record is meant as well.
    pub(super) fn takes_record(&self, record: &OutcomeRecord) -> bool {
        self.search.outcome.as_deref().is_none_or(|word| word == record.outcome)
            && self.search.reason.as_deref().is_none_or(|reason| Some(reason) == record.reason.as_deref())
    }
}

/// How far a search has come: what has the name; then what has the marks, or else what has not ended and what has. Within each,
/// below this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    Named,
    Marked(i64),
    Pending(i64),
    Ended(i64),
}

impl Spot {
    pub(super) fn cursor(self) -> Cursor {
        match self {
            Self::Named => Cursor::default(),
            Self::Marked(below) => Cursor::new(format!("m{below}")),
            Self::Pending(below) => Cursor::new(format!("p{below}")),
            Self::Ended(below) => Cursor::new(format!("e{below}")),
        }
    }

    /// Where to go on within this part.
    pub(super) const fn below(self, place: i64) -> Self {
        match self {
            Self::Named => self,
            Self::Marked(_) => Self::Marked(place),
            Self::Pending(_) => Self::Pending(place),
            Self::Ended(_) => Self::Ended(place),
        }
    }
}

/// The ranges of one step, from the first to the last: those of rows below this place, where the first and the last row that
/// there are have these numbers.
pub(super) fn ranges(below: i64, (least, most): (i64, i64)) -> Option<(i64, i64)> {
    let from = most.min(below.checked_sub(1)?) >> RANGE_BITS;
    let least = least >> RANGE_BITS;
    (from >= least).then(|| (from, least.max(from - RANGES + 1)))
}

/// What a step looked at, and below which place it goes on; `None` at the end of the part.
pub(super) type Looked<T> = (Vec<T>, Option<i64>);

/// The first of these that are meant, at most so many, and below which place to go on.
pub(super) fn first<T, E>(
    (rows, below): Looked<T>,
    limit: usize,
    place: impl Fn(&T) -> i64,
    mut meant: impl FnMut(T) -> Result<Option<Tracked>, E>,
) -> Result<Looked<Tracked>, E> {
    let mut found = Vec::new();
    for row in rows {
        let place = place(&row);
        found.extend(meant(row)?);
        if found.len() >= limit {
            return Ok((found, Some(place)));
        }
    }
    Ok((found, below))
}

#[cfg(test)]
mod tests {
    use apns_proto::Payload;

    use super::*;

    #[test]
    fn a_mark_is_of_one_key_one_app_and_one_kind() {
        let app = |name: &str| AppName::new(name).unwrap();
        let token = DeviceToken::from_bytes([7; 32]).unwrap();
        let notification = Notification::new(token, Payload::alert("Tea")).with_collapse_id("tea".parse().unwrap());
        let tag = "tea".parse().ok();
        let of = |key, name: &str| Marker::new(key, true).of(&app(name), &notification, tag.as_ref());
        let marks = of([1, 2], "shop");
        assert_eq!(marks, of([1, 2], "shop"));
        let mut all = [marks, of([1, 3], "shop"), of([1, 2], "bank")].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 9, "the same text means something else");
        assert_eq!(Marker::new([1, 2], false).of(&app("shop"), &notification, None).len(), 1);
        let by_token = Search { token: Some(notification.token().clone()), ..Search::default() };
        let refused = Marker::new([1, 2], false).plan(&app("shop"), by_token.clone()).unwrap_err();
        assert_eq!(refused, OutboxError::TokensNotKept);
        let plan = Marker::new([1, 2], true).plan(&app("shop"), by_token).unwrap();
        assert_eq!(plan.marks(), Some((of([1, 2], "shop")[0], &[][..])));
    }

    #[test]
    fn ranges_go_down_to_the_first_row_and_no_further() {
        let range = 1 << RANGE_BITS;
        assert_eq!(ranges(i64::MAX, (range + 5, 3 * range)), Some((3, 1)));
        assert_eq!(ranges(range, (1, 3 * range)), Some((0, 0)));
        assert_eq!(ranges(0, (1, 3 * range)), None);
        assert_eq!(ranges(range, (range, 3 * range)), None);
        assert_eq!(ranges(i64::MAX, (1, 9000 * range)), Some((9000, 9000 - RANGES + 1)));
    }

    #[test]
    fn a_cursor_that_nobody_made_is_refused() {
        let plan = Marker::new([1, 2], true).plan(&AppName::new("shop").unwrap(), Search::default()).unwrap();
        for spot in [Spot::Marked(17), Spot::Pending(17), Spot::Ended(0)] {
            assert_eq!(plan.spot(&spot.cursor()), Ok(spot));
        }
        for text in ["p", "x1", "p-1", "é", "17", "e99999999999999999999"] {
            assert!(plan.spot(&Cursor::new(text)).is_err(), "{text}");
        }
    }
}
