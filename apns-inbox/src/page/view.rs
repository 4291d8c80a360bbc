//! What is looked at: all of it stands in the address.

use form_urlencoded::Serializer;

use crate::filter::{Filter, pairs};

/// What an address asks for. What it does not know is left alone: an old link still leads somewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) filter: Filter,
    /// The list in the place of the phone.
    pub(super) list: bool,
    /// All devices, although there is only one.
    pub(super) all: bool,
    /// Pushes before this one, the newest of them first.
    pub(super) before: Option<u64>,
    /// Pushes behind this one, the oldest of them.
    pub(super) after: Option<u64>,
    /// The push on the right.
    pub(super) push: Option<u64>,
    /// Every device in the list of devices.
    pub(super) all_devices: bool,
    /// The connections that failed.
    pub(super) failures: bool,
    /// For pictures: natural height, nothing live.
    pub(super) still: bool,
}

impl View {
    pub(super) fn read(query: &str) -> Self {
        let mut view = Self::default();
        for (name, value) in pairs(query) {
            match name.as_str() {
                "view" => (view.list, view.all) = (value == "list", value == "list" || value == "all"),
                "before" => view.before = value.parse().ok(),
                "after" => view.after = value.parse().ok(),
                "push" => view.push = value.parse().ok(),
                "devices" => view.all_devices = value == "all",
                "connections" => view.failures = value == "failed",
                "still" => view.still = true,
                _ => {
                    let _ = view.filter.take(&name, &value);
                }
            }
        }
        view
    }

    /// Whether a phone is wanted: a device and nothing else that filters.
    pub(super) fn wants_phone(&self) -> bool {
        !self.list && self.filter.is_device_alone()
    }

    /// Whether nothing at all is asked for.
    pub(super) fn is_plain(&self) -> bool {
        Self { still: false, ..self.clone() } == Self::default()
    }

    /// The query, without the question mark.
    pub(super) fn query(&self) -> String {
        let mut query = Serializer::new(String::new());
        for (name, value) in self.filter.pairs() {
            query.append_pair(name, value);
        }
        if self.list {
            query.append_pair("view", "list");
        } else if self.all {
            query.append_pair("view", "all");
        }
        let numbers = [("before", self.before), ("after", self.after), ("push", self.push)];
        for (name, number) in numbers {
            if let Some(number) = number {
                query.append_pair(name, &number.to_string());
            }
        }
        if self.all_devices {
            query.append_pair("devices", "all");
        }
        if self.failures {
            query.append_pair("connections", "failed");
        }
        if self.still {
            query.append_pair("still", "");
        }
        query.finish()
    }

    /// A link to this view.
    pub(super) fn href(&self) -> String {
        format!("?{}", self.query())
    }

    /// This view with a push on the right.
    pub(super) fn with_push(&self, seq: u64) -> String {
        let view = Self { push: Some(seq), ..self.clone() };
        format!("{}#push", view.href())
    }

    /// The lock screen of a device.
    pub(super) fn of_device(&self, token: &str) -> Self {
        Self {
            filter: Filter { device: Some(token.to_owned()), ..Filter::default() },
            all_devices: self.all_devices,
            still: self.still,
            ..Self::default()
        }
    }

    /// The list of what fits a filter.
    pub(super) fn listing(&self, filter: Filter) -> Self {
        Self { filter, list: true, still: self.still, all_devices: self.all_devices, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_all_of_a_view() {
        let query = "device=00fc&app=com.example.app&q=%C3%A9+%26x&view=list&before=7&push=5&devices=all&still=";
        let view = View::read(query);
        assert_eq!((view.push, view.before, view.filter.q.as_deref()), (Some(5), Some(7), Some("é &x")));
        assert_eq!(View::read(&view.query()), view);
        assert_eq!(View::read("unknown=1&push=x"), View::default());
    }

    #[test]
    fn a_phone_is_wanted_for_a_device_alone() {
        assert!(View::read("device=00").wants_phone() && View::read("").wants_phone());
        assert!(!View::read("device=00&q=x").wants_phone() && !View::read("device=00&view=list").wants_phone());
    }
}
