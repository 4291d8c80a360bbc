//! The middle pane as a list of the connections that failed: clients that did not come as far as a push.

use maud::{Markup, html};

use super::Scene;
use super::icons::icon;
use crate::clock;

pub(super) fn draw(scene: &Scene<'_>) -> Markup {
    let failures = &scene.snapshot.failures;
    html! {
        section.pane.mid.many #phone aria-label="Failed connections" {
            div.who {
                div {
                    h2 { "Failed connections" }
                    p { (failures.count) " handshakes failed since the start; the last " (failures.last.len()) " are here." }
                }
                a.button href="?" { "To the pushes" }
            }
            ul.lines {
                @for failure in failures.last.iter().rev() {
                    li {
                        div.line {
                            (icon("no"))
                            span.one { b { (failure.service) } }
                            span.ends { time { (clock::exact(failure.at, scene.now)) } }
                            span.does {
                                (failure.why)
                                @if let Some(peer) = failure.peer { " · from " (peer) }
                            }
                        }
                    }
                }
            }
        }
    }
}
