//! The phone: what is seen on a device, as a pure function of what came, what became of it, and the time.
//!
//! It shows what the payload says and no more. What only the app knows (translations, sounds, layouts) is shown by its name.

mod activity;
mod banner;
mod behind;

use std::collections::BTreeMap;
use std::sync::Arc;

use apns_proto::{PushType, WallTime};
use bytes::Bytes;
use serde::Serialize;

use self::activity::{Activities, Applied};
pub(crate) use self::activity::{Activity, Stage};
use self::banner::Banners;
pub(crate) use self::banner::{Banner, Level};
pub(crate) use self::behind::{Row, answer_words};
use crate::names::Names;
use crate::push::Push;
use crate::store::{Device, Fate, Snapshot};

/// How many of each are drawn, the newest first; all are in the list.
const SHOWN: usize = 100;

/// What is seen on a device and behind its screen, the newest first.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Screen {
    /// Live Activities first.
    pub(crate) screen: Vec<Card>,
    /// Accepted, and nothing to see on the lock screen.
    pub(crate) behind: Vec<Row>,
    /// Kept by the service, as the device is away.
    pub(crate) held: Vec<Row>,
    /// What never came as far as the device.
    pub(crate) refused: Vec<Row>,
    /// By bundle id.
    pub(crate) badges: BTreeMap<String, u64>,
    /// How many there are beyond those that are here.
    pub(crate) more: usize,
}

/// Something on the lock screen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Card {
    Activity(Box<Activity>),
    Banner(Box<Banner>),
}

/// Whether a push is one for this device: to its token, or on a channel that it follows.
pub(crate) fn reaches(push: &Push, token: &Bytes, device: Option<&Device>) -> bool {
    match push.channel() {
        Some(channel) => push.accepted() && device.is_some_and(|device| device.follows.contains(channel)),
        None => push.token() == Some(token),
    }
}

impl Screen {
    pub(crate) fn of(token: &Bytes, snapshot: &Snapshot, names: &Names, now: WallTime) -> Self {
        let device = snapshot.devices.get(token);
        let mut screen = Self::default();
        let mut delivered: Vec<(WallTime, &Arc<Push>, Option<Fate>)> = Vec::new();
        for push in snapshot.pushes.iter().filter(|push| reaches(push, token, device)) {
            if !push.accepted() {
                screen.refused.push(Row::refused(push));
                continue;
            }
            match snapshot.fate(token, push.seq) {
                Some(Fate::Held) => screen.held.push(Row::held(push, now)),
                Some(fate @ (Fate::Replaced(_) | Fate::Missed)) => screen.behind.push(Row::undelivered(push, fate)),
                Some(Fate::Late(at)) => delivered.push((at, push, Some(Fate::Late(at)))),
                fate @ (Some(Fate::Expired) | None) => delivered.push((push.at, push, fate)),
            }
        }
        delivered.sort_by_key(|(at, push, _)| (*at, push.seq));

        let followers =
            |channel: &str| snapshot.devices.values().filter(|device| device.follows.contains(channel)).count();
        let (mut banners, mut activities) = (Banners::default(), Activities::default());
        for (at, push, fate) in delivered {
            if fate == Some(Fate::Expired) {
                match push.content().alert {
                    Some(_) if push.push_type() == PushType::Alert => banners.expired(push, names),
                    Some(_) | None => screen.behind.push(Row::undelivered(push, Fate::Expired)),
                }
                continue;
            }
            match push.push_type() {
                PushType::LiveActivity => match activities.apply(push, at) {
                    Applied::Shown => {}
                    Applied::Ignored(why) => screen.behind.push(Row::of(push, at, why)),
                },
                PushType::Alert => {
                    let badge = screen.badge(push);
                    if push.content().alert.is_some() && !push.topic().starts_with("pass.") {
                        banners.show(push, at, badge, fate, names);
                    } else {
                        screen.behind.push(Row::silent_alert(push, at, badge));
                    }
                }
                _ => screen.behind.push(Row::behind(push, at)),
            }
        }
        let (on_screen, left) = activities.split(now, &followers);
        screen.behind.extend(left);
        screen.screen = on_screen.into_iter().map(Box::new).map(Card::Activity).collect();
        screen.screen.extend(banners.grouped().into_iter().map(Box::new).map(Card::Banner));
        for rows in [&mut screen.behind, &mut screen.held, &mut screen.refused] {
            rows.sort_by_key(|row| std::cmp::Reverse((row.at, row.seq)));
            screen.more += rows.len().saturating_sub(SHOWN);
            rows.truncate(SHOWN);
        }
        screen.more += screen.screen.len().saturating_sub(SHOWN);
        screen.screen.truncate(SHOWN);
        screen
    }

    /// Sets the badge. Says from what to what, where the push says something.
    fn badge(&mut self, push: &Push) -> Option<(u64, u64)> {
        let badge = push.content().badge?;
        let before = match badge {
            0 => self.badges.remove(push.app()),
            _ => self.badges.insert(push.app().to_owned(), badge),
        };
        Some((before.unwrap_or(0), badge))
    }
}

#[cfg(test)]
mod tests;
