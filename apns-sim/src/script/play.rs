//! A script while it is played: what of it has been used up.

use std::collections::HashSet;

use apns_proto::binary::Status;

use super::{Action, Kind, Rule, Script, TokenPattern};

/// Something that arrived at the gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) kind: Kind,
    pub(crate) connection: u64,
    /// Place among all notifications, from 1.
    pub(crate) number: u64,
    /// Place among the notifications of the connection, from 1.
    pub(crate) number_in_connection: u64,
    pub(crate) identifier: Option<u32>,
    pub(crate) token: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// A script, prepared for looking up.
#[derive(Debug)]
pub(crate) struct Play {
    script: Script,
    /// How often each rule applied.
    used: Vec<u64>,
    exact: HashSet<Box<[u8]>>,
    patterns: Vec<TokenPattern>,
}

impl Play {
    pub(crate) fn new(script: Script) -> Self {
        let exact = script.invalid_tokens.iter().filter_map(TokenPattern::as_exact).map(Box::from).collect();
        let patterns = script.invalid_tokens.iter().filter(|one| one.as_exact().is_none()).cloned().collect();
        Self { used: vec![0; script.gateway.rules.len()], exact, patterns, script }
    }

    /// Goes on with a changed script. A rule that stays at its place keeps its count.
    pub(crate) fn change(&mut self, script: Script) {
        let kept = self.script.gateway.rules.iter().zip(&script.gateway.rules).take_while(|(old, new)| old == new);
        let kept = kept.count();
        let used = std::mem::take(&mut self.used);
        *self = Self::new(script);
        self.used[..kept].copy_from_slice(&used[..kept]);
    }

    pub(crate) const fn script(&self) -> &Script {
        &self.script
    }

    /// What the script says about it; `None` where it says nothing.
    pub(crate) fn decide(&mut self, arrival: &Arrival<'_>) -> Option<Action> {
        let seed = self.script.seed;
        let rules = self.script.gateway.rules.iter().zip(&mut self.used).enumerate();
        for (place, (rule, used)) in rules {
            if rule.times.is_none_or(|limit| *used < limit) && fits(rule, seed, place, arrival) {
                *used += 1;
                return Some(rule.then.clone());
            }
        }
        let unknown = arrival.kind == Kind::Notification && self.is_invalid(arrival.token);
        unknown.then(|| Action::refuse(Status::INVALID_TOKEN))
    }

    pub(crate) fn is_invalid(&self, token: &[u8]) -> bool {
        (!self.exact.is_empty() && self.exact.contains(token)) || self.patterns.iter().any(|one| one.matches(token))
    }
}

fn fits(rule: &Rule, seed: u64, place: usize, arrival: &Arrival<'_>) -> bool {
    let when = &rule.when;
    when.kind == arrival.kind
        && when.connection.is_none_or(|number| number == arrival.connection)
        && when.arrival.is_none_or(|number| number == arrival.number)
        && when.arrival_in_connection.is_none_or(|number| number == arrival.number_in_connection)
        && when.every.is_none_or(|n| n != 0 && arrival.number.is_multiple_of(n))
        && when.identifier.is_none_or(|identifier| Some(identifier) == arrival.identifier)
        && when.token.as_ref().is_none_or(|pattern| pattern.matches(arrival.token))
        && when.payload_contains.as_ref().is_none_or(|text| contains(arrival.payload, text.as_bytes()))
        && when.probability.is_none_or(|probability| chance(seed, place as u64, arrival.number) < probability)
}

pub(super) fn contains(payload: &[u8], text: &[u8]) -> bool {
    text.is_empty() || payload.windows(text.len()).any(|window| window == text)
}

/// A number from 0 to below 1 that looks random and is the same for the same arguments.
pub(super) fn chance(seed: u64, place: u64, number: u64) -> f64 {
    let mixed = mix(mix(mix(seed) ^ place) ^ number);
    // The 53 bits that such a number has room for.
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finaliser of SplitMix64: each bit of the result depends on all bits of `value`.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::Condition;
    use super::*;

    fn arrival(number: u64) -> Arrival<'static> {
        Arrival {
            kind: Kind::Notification,
            connection: 1,
            number,
            number_in_connection: number,
            identifier: Some(number as u32),
            token: &[0xaa, 0xbb],
            payload: br#"{"aps":{"alert":"hi"}}"#,
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
        let hit = |when: Condition, arrival: Arrival<'_>| fits(when).decide(&arrival).is_some();
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
