//! Live Activities: cards that start, change and end.
//!
//! Source: Apple, "Starting and updating Live Activities with ActivityKit push notifications": an activity leaves the lock
//! screen at its dismissal date, at most four hours behind its end; what is older than the last update is ignored.

use apns_proto::WallTime;
use serde::Serialize;
use serde_json::{Map, Value};

use super::behind::Row;
use crate::clock;
use crate::push::Push;

/// How long an activity that ended stays at most, in seconds.
const STAYS: u64 = 4 * 60 * 60;

/// How many events of one activity are told apart.
const STEPS: usize = 200;

/// A Live Activity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Activity {
    /// The last push that changed it.
    pub(crate) seq: u64,
    pub(crate) app: String,
    /// The name of the attributes' structure, where the start named it.
    #[serde(rename = "type")]
    pub(crate) attributes_type: Option<String>,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) state: Map<String, Value>,
    pub(crate) events: Vec<Step>,
    /// What happened before the first of `events`.
    pub(crate) more_events: u64,
    pub(crate) now: Stage,
    /// In seconds since 1970, as the other dates here.
    pub(crate) stale_at: Option<u64>,
    pub(crate) ended_at: Option<u64>,
    pub(crate) leaves_at: Option<u64>,
    /// The channel whose broadcasts it listens to.
    pub(crate) channel: Option<String>,
    /// How many devices follow the channel.
    pub(crate) followers: usize,
    /// Whether the last push rang and lit the screen.
    pub(crate) alerted: bool,
    pub(crate) sound: Option<String>,
    /// Updates that were older than the one before, and ignored.
    pub(crate) ignored: u64,
    /// Asks the app for a token of its own.
    pub(crate) asks_token: bool,
    pub(crate) relevance: Option<f64>,
    #[serde(skip)]
    timestamp: u64,
}

/// Something that happened to an activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    pub(crate) event: &'static str,
    #[serde(serialize_with = "crate::api::millis")]
    pub(crate) at: WallTime,
    pub(crate) seq: u64,
}

/// What an activity is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Active,
    Stale,
    Ended,
}

/// What a push did.
pub(super) enum Applied {
    Shown,
    Ignored(String),
}

/// All activities of a device, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Activities(Vec<Activity>);

impl Activities {
    pub(super) fn apply(&mut self, push: &Push, at: WallTime) -> Applied {
        let ignored = |why: &str| Applied::Ignored(why.to_owned());
        let content = push.content();
        let Some(live) = &content.live else {
            return ignored("Ignored: the payload has neither an event nor a content state.");
        };
        let event = match live.event.as_deref() {
            Some("start") if push.is_broadcast() => {
                return ignored("Ignored: a broadcast updates and ends activities and cannot start one.");
            }
            Some("start") if content.alert.is_none() => {
                return ignored("Dropped in silence: a start needs an alert, although it was answered 200.");
            }
            Some("start") if live.attributes_type.is_none() => {
                return ignored("Dropped: a start names its attributes-type.");
            }
            Some("start") => "start",
            Some("update") => "update",
            Some("end") => "end",
            _ => return ignored("Ignored: the event is none of start, update and end."),
        };
        let place = if event == "start" { None } else { self.find(push) };
        if let Some(place) = place {
            let activity = &mut self.0[place];
            if activity.ended_at.is_some() {
                return ignored("Ignored: the activity has ended. Unless the app itself has begun another one.");
            }
            if live.timestamp.is_some_and(|timestamp| timestamp < activity.timestamp) {
                activity.ignored += 1;
                return ignored("Ignored: its timestamp is older than that of the update before.");
            }
        }
        let place = place.unwrap_or_else(|| {
            self.0.push(Activity::new(push));
            self.0.len() - 1
        });
        self.0[place].take(push, event, at);
        Applied::Shown
    }

    /// The last activity of the app; for a broadcast the last one that listens to the channel.
    fn find(&self, push: &Push) -> Option<usize> {
        let fits = |activity: &Activity| {
            activity.app == push.app()
                && push.channel().is_none_or(|channel| activity.channel.as_deref() == Some(channel))
        };
        let open = self.0.iter().rposition(|activity| fits(activity) && activity.ended_at.is_none());
        open.or_else(|| self.0.iter().rposition(fits))
    }

    /// Those on the screen, the last that changed first, and rows for those that have left it.
    pub(super) fn split(self, now: WallTime, followers: &dyn Fn(&str) -> usize) -> (Vec<Activity>, Vec<Row>) {
        let (mut on_screen, mut left) = (Vec::new(), Vec::new());
        for mut activity in self.0 {
            let passed = |date: Option<u64>| date.is_some_and(|date| date <= now.as_secs());
            activity.now = match activity.ended_at {
                Some(_) => Stage::Ended,
                None if passed(activity.stale_at) => Stage::Stale,
                None => Stage::Active,
            };
            activity.followers = activity.channel.as_deref().map_or(0, followers);
            if passed(activity.leaves_at) {
                let at = activity.events.last().map_or(WallTime::EPOCH, |step| step.at);
                let gone = WallTime::from_secs(activity.leaves_at.unwrap_or_default());
                left.push(Row::left(&activity, at, format!("It has left the screen at {}.", clock::short(gone, now))));
            } else {
                on_screen.push(activity);
            }
        }
        on_screen.sort_by_key(|activity| std::cmp::Reverse(activity.seq));
        (on_screen, left)
    }
}

impl Activity {
    fn new(push: &Push) -> Self {
        Self {
            seq: push.seq,
            app: push.app().to_owned(),
            attributes_type: None,
            attributes: Map::new(),
            state: Map::new(),
            events: Vec::new(),
            more_events: 0,
            now: Stage::Active,
            stale_at: None,
            ended_at: None,
            leaves_at: None,
            channel: push.channel().map(str::to_owned),
            followers: 0,
            alerted: false,
            sound: None,
            ignored: 0,
            asks_token: false,
            relevance: None,
            timestamp: 0,
        }
    }

    fn take(&mut self, push: &Push, event: &'static str, at: WallTime) {
        let content = push.content();
        let Some(live) = &content.live else { return };
        self.seq = push.seq;
        self.timestamp = live.timestamp.unwrap_or(self.timestamp);
        if event == "start" {
            self.attributes_type.clone_from(&live.attributes_type);
            self.attributes.clone_from(&live.attributes);
            self.channel.clone_from(&live.input_channel);
            self.asks_token = live.input_token;
        }
        if let Some(state) = &live.state {
            self.state.clone_from(state);
        }
        self.stale_at = live.stale;
        self.relevance = content.relevance.or(self.relevance);
        self.alerted = content.alert.is_some();
        self.sound = content.sound.as_ref().map(|sound| sound.name.clone());
        if event == "end" {
            let ended = at.as_secs();
            let latest = ended.saturating_add(STAYS);
            self.ended_at = Some(ended);
            self.leaves_at = Some(live.dismissal.map_or(latest, |wanted| wanted.min(latest)));
        }
        self.events.push(Step { event, at, seq: push.seq });
        if self.events.len() > STEPS {
            self.events.remove(1);
            self.more_events += 1;
        }
    }
}
