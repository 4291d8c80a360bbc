//! The pictures: lines in a square of 16, as symbols that are used by name.

use maud::{Markup, html};

/// Name and path of each.
const ICONS: &[(&str, &str)] = &[
    ("bell", "M8 2a4 4 0 0 0-4 4v3l-1.5 2.5h11L12 9V6a4 4 0 0 0-4-4zM6.5 14h3"),
    ("phone", "M5 1.8h6a1 1 0 0 1 1 1v10.4a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V2.8a1 1 0 0 1 1-1zM7 12h2"),
    ("sound", "M2.5 6v4h2.5l3.5 3V3L5 6zM11 6a3 3 0 0 1 0 4M12.8 4a6 6 0 0 1 0 8"),
    (
        "call",
        "M3.5 2.5h2.5l1.2 3-1.6 1.2a8 8 0 0 0 3.7 3.7l1.2-1.6 3 1.2v2.5a1 1 0 0 1-1 1A10 10 0 0 1 2.5 3.5a1 1 0 0 1 1-1z",
    ),
    ("moon", "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5z"),
    ("clock", "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.8V8l2.2 1.6"),
    ("warn", "M8 2 1.8 13.2h12.4zM8 6.5v3M8 11.5v.1"),
    ("stack", "M8 2 2 5l6 3 6-3zM2 8l6 3 6-3M2 11l6 3 6-3"),
    ("swap", "M3 6h9L9.5 3.5M13 10H4l2.5 2.5"),
    ("edit", "M3 13l.6-2.6L10.8 3.2l2 2L5.6 12.4zM9.5 4.5l2 2"),
    ("badge", "M4.5 3h5M3 4.5v7A1.5 1.5 0 0 0 4.5 13h7a1.5 1.5 0 0 0 1.5-1.5V7M12.5 2a1.5 1.5 0 1 0 .01 0z"),
    ("widget", "M2.5 2.5h4.5v4.5H2.5zM9.5 2.5h4v4.5h-4zM2.5 9.5h11v4h-11z"),
    ("toggle", "M5 4.5h6a3.5 3.5 0 0 1 0 7H5a3.5 3.5 0 0 1 0-7zM11 6.5a1.5 1.5 0 1 0 .01 0z"),
    ("talk", "M8 2a2 2 0 0 0-2 2v3.5a2 2 0 0 0 4 0V4a2 2 0 0 0-2-2zM3.8 7.5a4.2 4.2 0 0 0 8.4 0M8 11.7V14"),
    ("pin", "M8 14s4.5-4.2 4.5-7.5a4.5 4.5 0 0 0-9 0C3.5 9.8 8 14 8 14zM8 5.2a1.4 1.4 0 1 0 .01 0z"),
    (
        "gear",
        "M8 5.5a2.5 2.5 0 1 0 .01 0zM8 1.8v2M8 12.2v2M1.8 8h2M12.2 8h2M3.6 3.6 5 5M11 11l1.4 1.4M3.6 12.4 5 11M11 5l1.4-1.4",
    ),
    (
        "watch",
        "M5.5 4.5h5a1 1 0 0 1 1 1v5a1 1 0 0 1-1 1h-5a1 1 0 0 1-1-1v-5a1 1 0 0 1 1-1zM6 4.5 6.5 1.8h3l.5 2.7M6 11.5l.5 2.7h3l.5-2.7",
    ),
    ("folder", "M2 4a1 1 0 0 1 1-1h3l1.5 1.8H13a1 1 0 0 1 1 1V12a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1z"),
    (
        "cast",
        "M8 7.2a.8.8 0 1 0 .01 0zM5.3 10.8a4 4 0 0 1 0-5.6M10.7 5.2a4 4 0 0 1 0 5.6M3.3 12.8a6.8 6.8 0 0 1 0-9.6M12.7 3.2a6.8 6.8 0 0 1 0 9.6",
    ),
    ("no", "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM5.5 5.5l5 5M10.5 5.5l-5 5"),
    ("yes", "M3 8.5 6.5 12 13 4.5"),
    ("storm", "M4.5 10.5a3 3 0 0 1 0-6 4 4 0 0 1 7.5 1 2.5 2.5 0 0 1 0 5M8.5 7.5 6.5 11h3l-2 3.5"),
    ("bin", "M3 4.5h10M6 4.5V3h4v1.5M4.5 4.5l.6 9h5.8l.6-9"),
    ("down", "M8 2.5v8M4.8 7.5 8 10.7l3.2-3.2M3 13.5h10"),
    ("doc", "M4 2h5.5L12 4.5V14H4zM6 7.5h4M6 10h4"),
    ("link", "M7 5.5 8.5 4a2.5 2.5 0 0 1 3.5 3.5L10.5 9M9 10.5 7.5 12A2.5 2.5 0 0 1 4 8.5L5.5 7M6.5 9.5l3-3"),
    ("search", "M7 2.5a4.5 4.5 0 1 0 .01 0zM10.3 10.3l3.2 3.2"),
];

/// One of them.
pub(super) fn icon(name: &str) -> Markup {
    html! { svg.i aria-hidden="true" { use href={ "#i-" (name) } {} } }
}

/// All of them, unseen.
pub(super) fn sprite() -> Markup {
    html! {
        svg.sprite aria-hidden="true" {
            @for (name, path) in ICONS {
                symbol id={ "i-" (name) } viewBox="0 0 16 16" { path d=(path) {} }
            }
        }
    }
}

/// The inbox's own mark.
pub(super) fn logo() -> Markup {
    html! {
        svg viewBox="0 0 26 26" aria-hidden="true" {
            rect width="26" height="26" rx="7" fill="#2a56c6" {}
            path d="M5 14.5h4.5a3.5 3.5 0 0 0 7 0H21V19a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2z" fill="#fff" {}
            rect x="6.5" y="5" width="13" height="6" rx="2.5" fill="#fff" opacity=".8" {}
        }
    }
}
