//! A script while it is played: what of it has been used up.

use std::collections::HashSet;

use apns_proto::binary::Status;

use super::condition::Used;
use super::{Action, Arrival, Kind, Script, TokenPattern};

/// A script, prepared for looking up.
#[derive(Debug)]
pub(crate) struct Play {
    script: Script,
    used: Used,
    exact: HashSet<Box<[u8]>>,
    patterns: Vec<TokenPattern>,
}

impl Play {
    pub(crate) fn new(script: Script) -> Self {
        let exact = script.invalid_tokens.iter().filter_map(TokenPattern::as_exact).map(Box::from).collect();
        let patterns = script.invalid_tokens.iter().filter(|one| one.as_exact().is_none()).cloned().collect();
        Self { used: Used::none(&script.gateway.rules), exact, patterns, script }
    }

    /// Goes on with a changed script. A rule that stays at its place keeps its count.
    pub(crate) fn change(&mut self, script: Script) {
        let used = std::mem::take(&mut self.used).kept(&self.script.gateway.rules, &script.gateway.rules);
        *self = Self { used, ..Self::new(script) };
    }

    pub(crate) const fn script(&self) -> &Script {
        &self.script
    }

    /// What the script says about it; `None` where it says nothing.
    pub(crate) fn decide(&mut self, arrival: &Arrival<'_, Kind>) -> Option<Action> {
        let decided = self.used.decide(&self.script.gateway.rules, self.script.seed, arrival);
        if decided.is_some() {
            return decided;
        }
        let unknown = arrival.kind == Kind::Notification && self.is_invalid(arrival.token);
        unknown.then(|| Action::refuse(Status::INVALID_TOKEN))
    }

    pub(crate) fn is_invalid(&self, token: &[u8]) -> bool {
        (!self.exact.is_empty() && self.exact.contains(token)) || self.patterns.iter().any(|one| one.matches(token))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Condition, Rule};
    use super::*;

    fn arrival(number: u64) -> Arrival<'static, Kind> {
        Arrival {
            kind: Kind::Notification,
            connection: 1,
            number,
            number_in_connection: number,
            identifier: Some(number as u32),
            token: &[0xaa, 0xbb],
            payload: br#"{"aps":{"alert":"hi"}}"#,
            ..Arrival::default()
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides_until_it_is_used_up() {
        let mut play = Play::new(
            Script::default()
                .invalid_token(TokenPattern::exact([0xaa, 0xbb]))
                .rule(Rule::new(Condition::default().identifier(9), Action::FallSilent))
                .rule(Rule::new(Condition::default(), Action::Close).times(2)),
        );
        assert_eq!(play.decide(&arrival(9)), Some(Action::FallSilent));
        assert_eq!(play.decide(&arrival(1)), Some(Action::Close));
        assert_eq!(play.decide(&arrival(2)), Some(Action::Close));
        assert_eq!(play.decide(&arrival(3)), Some(Action::refuse(Status::INVALID_TOKEN)));
        assert_eq!(play.decide(&Arrival { token: &[0xaa], ..arrival(4) }), None);
        let probe = Arrival { kind: Kind::Probe, ..arrival(5) };
        assert_eq!(play.decide(&probe), None, "rules are about notifications unless they say otherwise");
    }

    #[test]
    fn each_condition_counts() {
        let fits = |when: Condition| Play::new(Script::default().rule(Rule::new(when, Action::Close)));
        let hit = |when: Condition, arrival: Arrival<'_, Kind>| fits(when).decide(&arrival).is_some();
        let any = Condition::default;
        assert!(hit(any().token("aa*".parse::<TokenPattern>().unwrap()), arrival(1)));
        assert!(!hit(any().token("ab*".parse::<TokenPattern>().unwrap()), arrival(1)));
        assert!(hit(any().payload_contains("\"alert\":\"hi\""), arrival(1)));
        assert!(!hit(any().payload_contains("\"alert\":\"ho\""), arrival(1)));
        assert!(hit(any().connection(2), Arrival { connection: 2, ..arrival(1) }));
        assert!(!hit(any().connection(2), arrival(1)));
        assert!(hit(any().arrival(3), arrival(3)) && !hit(any().arrival(3), arrival(4)));
        assert!(hit(any().arrival_in_connection(3), Arrival { number: 9, number_in_connection: 3, ..arrival(1) }));
        assert!(!hit(any().arrival_in_connection(3), Arrival { number: 3, number_in_connection: 9, ..arrival(1) }));
        assert!(hit(any().every(5), arrival(10)) && !hit(any().every(5), arrival(11)));
        assert!(hit(any().kind(Kind::Probe), Arrival { kind: Kind::Probe, ..arrival(1) }));
        assert!(!hit(any().identifier(1), Arrival { identifier: None, ..arrival(1) }));
    }

    #[test]
    fn chance_is_fair_and_can_be_repeated() {
        let hits = |seed| {
            let rule = Rule::new(Condition::default().probability(0.1), Action::Close);
            let mut play = Play::new(Script::default().seed(seed).rule(rule));
            (1..=10_000).filter(|number| play.decide(&arrival(*number)).is_some()).collect::<Vec<_>>()
        };
        let first = hits(1);
        assert!((800..1200).contains(&first.len()), "{}", first.len());
        assert_eq!(first, hits(1));
        assert_ne!(first, hits(2));
    }

    #[test]
    fn a_rule_that_stays_keeps_its_count() {
        let once = |when| Rule::new(when, Action::Close).times(1);
        let script = Script::default().rule(once(Condition::default()));
        let mut play = Play::new(script.clone());
        assert!(play.decide(&arrival(1)).is_some());
        play.change(script.clone().rule(once(Condition::default().arrival(3))));
        assert!(play.decide(&arrival(2)).is_none(), "used up");
        assert!(play.decide(&arrival(3)).is_some(), "new");
        play.change(Script::default().rule(once(Condition::default().connection(1))));
        assert!(play.decide(&arrival(4)).is_some(), "another rule in its place");
    }
}
