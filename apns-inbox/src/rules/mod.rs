//! The rules of Apple's that a push keeps and breaks, each with the page it comes from.
//!
//! An answer names one rule at most, and to much the service answers 200 although a device will drop it. Here all are named.

mod page;
mod payload;
mod request;

use std::borrow::Cow;

use serde::Serialize;

pub(crate) use self::page::Page;
use crate::push::{Answer, Push, Source};

/// How a rule was judged.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// The most severe first.
    pub(crate) broken: Vec<Finding>,
    /// What was looked at and holds.
    pub(crate) kept: Vec<&'static str>,
}

impl Judgement {
    /// Whether a rule is broken, and not only something to know.
    pub(crate) fn is_broken(&self) -> bool {
        self.faults() > 0
    }

    /// How many rules are broken.
    pub(crate) fn faults(&self) -> usize {
        self.broken.iter().filter(|finding| finding.kind != Severity::Know).count()
    }
}

/// A rule that is broken, or something that is good to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) kind: Severity,
    /// A name for programs.
    pub(crate) rule: &'static str,
    pub(crate) title: String,
    /// What is wrong and what to do; code stands in backquotes.
    pub(crate) text: String,
    pub(crate) page: Page,
    /// The header or key that it is about.
    pub(crate) field: Option<Cow<'static, str>>,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// The service refuses it.
    Refuse,
    /// The service may refuse it, or the device drops it in silence.
    May,
    /// Neither, but it may not do what is meant.
    Know,
}

/// One rule: what it says of pushes that keep it, and how it is checked.
struct Rule {
    name: &'static str,
    keeps: &'static str,
    page: Page,
    field: Option<&'static str>,
    check: fn(&Push) -> Checked,
}

/// What a check found.
enum Checked {
    /// The rule is about something else.
    Beside,
    Kept,
    Broken(Severity, String, String),
}

/// A rule is kept, or broken in this way.
fn unless(kept: bool, severity: Severity, title: impl Into<String>, text: impl Into<String>) -> Checked {
    if kept { Checked::Kept } else { Checked::Broken(severity, title.into(), text.into()) }
}

/// Judges a push by all rules that are about it.
pub(crate) fn judge(push: &Push) -> Judgement {
    let mut judgement = Judgement::default();
    let tables: [&[Rule]; 2] = match &push.source {
        Source::Request(_) => [&request::HTTP2, &payload::RULES],
        Source::Frame(_) => [&request::BINARY, &payload::RULES],
        Source::Unreadable(_) => [&request::BINARY[..1], &[]],
    };
    for rule in tables.into_iter().flatten() {
        match (rule.check)(push) {
            Checked::Beside => {}
            Checked::Kept => judgement.kept.push(rule.keeps),
            Checked::Broken(kind, title, text) => {
                let page = if push.is_broadcast() && rule.page == Page::Request { Page::Broadcast } else { rule.page };
                let field = rule.field.map(Cow::Borrowed);
                judgement.broken.push(Finding { kind, rule: rule.name, title, text, page, field });
            }
        }
    }
    if !matches!(push.source, Source::Unreadable(_)) {
        let found = payload::lint(push);
        if found.iter().all(|finding| finding.kind == Severity::Know) {
            judgement.kept.push("The payload is what Apple documents for its push type");
        }
        judgement.broken.extend(found);
    }
    judgement.broken.extend(answer(push, &judgement));
    judgement.broken.sort_by_key(|finding| finding.kind);
    judgement
}

/// What the answer itself says, where no rule here says it already.
fn answer(push: &Push, judgement: &Judgement) -> Option<Finding> {
    if push.armed() {
        return Some(Finding {
            kind: Severity::Know,
            rule: "armed",
            title: "A bad day by hand".to_owned(),
            text: "What the service did was armed here, or by a test. The push itself is not at fault.".to_owned(),
            page: Page::Answers,
            field: None,
        });
    }
    let Answer::Refused(status, reason) = push.answer() else { return None };
    let reason = reason.unwrap_or("no reason");
    if judgement.broken.iter().any(|finding| finding.title.contains(reason) || finding.text.contains(reason)) {
        return None;
    }
    let explanation = push.explanation()?;
    Some(Finding {
        kind: Severity::Refuse,
        rule: "answer",
        title: format!("{} → {status} {reason}", explanation.happened.trim_end_matches('.')),
        text: explanation.to_do.to_owned(),
        page: if push.request().is_some() { Page::Answers } else { Page::Binary },
        field: None,
    })
}

#[cfg(test)]
mod tests;
