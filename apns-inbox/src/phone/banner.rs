//! Banners: alerts on the lock screen, collapsed, grouped and in order.

use apns_proto::WallTime;
use apns_proto::payload::InterruptionLevel;
use serde::Serialize;

use crate::content::{Sound, Text};
use crate::names::Names;
use crate::push::{Push, Source};
use crate::store::Fate;

/// An alert as a phone shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Banner {
    pub(crate) seq: u64,
    pub(crate) app: String,
    /// When it was delivered.
    #[serde(serialize_with = "crate::api::millis")]
    pub(crate) at: WallTime,
    pub(crate) level: Level,
    pub(crate) title: Option<Text>,
    pub(crate) subtitle: Option<Text>,
    pub(crate) body: Option<Text>,
    /// The titles of the category's buttons, as far as they are named.
    pub(crate) actions: Vec<String>,
    pub(crate) category: Option<String>,
    pub(crate) thread: Option<String>,
    /// Earlier ones of the same thread, the newest first.
    pub(crate) earlier: Vec<Banner>,
    /// How many earlier ones with the same collapse id it took the place of.
    pub(crate) replaced: u64,
    #[serde(skip)]
    pub(crate) collapse_id: Option<String>,
    /// From what to what.
    pub(crate) badge: Option<(u64, u64)>,
    pub(crate) sound: Option<Sound>,
    /// An extension of the app may change it before it is shown.
    pub(crate) mutable: bool,
    /// It wakes the app as well.
    pub(crate) wakes: bool,
    pub(crate) relevance: Option<f64>,
    pub(crate) filter: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) launch_image: Option<String>,
    pub(crate) summary: Option<(Option<String>, Option<u64>)>,
    /// It was never shown: its time was over, in seconds since 1970, while the device was away.
    pub(crate) expired_at: Option<u64>,
    /// It waited at the service while the device was away.
    pub(crate) late: bool,
    /// The command of the binary protocol it came by.
    pub(crate) command: Option<u8>,
}

/// How strongly it asks for attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    Passive,
    Active,
    TimeSensitive,
    Critical,
}

impl Banner {
    fn new(push: &Push, at: WallTime, names: &Names) -> Self {
        let content = push.content();
        let alert = content.alert.clone().unwrap_or_default();
        let sound = content.sound.clone();
        let critical_sound = sound.as_ref().is_some_and(|sound| sound.critical);
        let level = match content.level {
            _ if critical_sound => Level::Critical,
            Some(InterruptionLevel::Critical) => Level::Critical,
            Some(InterruptionLevel::TimeSensitive) => Level::TimeSensitive,
            Some(InterruptionLevel::Passive) => Level::Passive,
            _ => Level::Active,
        };
        let mut actions = match &content.category {
            Some(category) => names.actions(push.topic(), category).to_vec(),
            None => Vec::new(),
        };
        actions.extend(alert.action);
        Self {
            seq: push.seq,
            app: push.app().to_owned(),
            at,
            level,
            title: alert.title,
            subtitle: alert.subtitle,
            body: alert.body,
            actions,
            category: content.category.clone(),
            thread: content.thread.clone(),
            earlier: Vec::new(),
            replaced: 0,
            collapse_id: push.collapse_id().map(str::to_owned),
            badge: None,
            sound,
            mutable: content.mutable,
            wakes: content.content_available,
            relevance: content.relevance,
            filter: content.filter.clone(),
            target: content.target.clone(),
            launch_image: alert.launch_image,
            summary: alert.summary,
            expired_at: None,
            late: false,
            command: match &push.source {
                Source::Frame(record) => Some(record.format.command()),
                Source::Request(_) | Source::Unreadable(_) => None,
            },
        }
    }
}

/// All banners of a device, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Banners(Vec<Banner>);

impl Banners {
    /// Shows one. It takes the place of the one with the same collapse id.
    pub(super) fn show(
        &mut self,
        push: &Push,
        at: WallTime,
        badge: Option<(u64, u64)>,
        fate: Option<Fate>,
        names: &Names,
    ) {
        let mut banner = Banner::new(push, at, names);
        banner.badge = badge;
        banner.late = matches!(fate, Some(Fate::Late(_)));
        if banner.collapse_id.is_some() {
            let same = |one: &Banner| {
                one.app == banner.app && one.collapse_id == banner.collapse_id && one.expired_at.is_none()
            };
            if let Some(place) = self.0.iter().position(same) {
                banner.replaced = self.0.remove(place).replaced + 1;
            }
        }
        self.0.push(banner);
    }

    /// One that was never shown.
    pub(super) fn expired(&mut self, push: &Push, names: &Names) {
        let mut banner = Banner::new(push, push.at, names);
        banner.expired_at = push.expiration();
        self.0.push(banner);
    }

    /// The newest first, those of one thread behind their newest.
    pub(super) fn grouped(self) -> Vec<Banner> {
        let mut shown: Vec<Banner> = Vec::new();
        let mut threads: std::collections::HashMap<(String, String), usize> = std::collections::HashMap::new();
        for banner in self.0.into_iter().rev() {
            let Some(thread) = banner.thread.clone().filter(|_| banner.expired_at.is_none()) else {
                shown.push(banner);
                continue;
            };
            let key = (banner.app.clone(), thread);
            match threads.get(&key) {
                Some(place) => shown[*place].earlier.push(banner),
                None => {
                    threads.insert(key, shown.len());
                    shown.push(banner);
                }
            }
        }
        shown
    }
}
