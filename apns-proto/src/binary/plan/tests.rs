//! The plan against the scenarios of the vector file, and against a list that is searched from end to end.

use proptest::prelude::*;

use super::super::window::Window;
use super::super::{Format, Status};
use super::*;
use crate::Submission;
use crate::testing::notification;

#[path = "../../../tests/vectors/mod.rs"]
mod vectors;

use vectors::{File, ResendScenario, Sent};

/// What became of each notification, by name, in the order of writing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sorted<N> {
    accepted: Vec<N>,
    rejected: Vec<N>,
    resend: Vec<N>,
    indeterminate: Vec<N>,
    lost_range: Option<(u32, u32)>,
}

/// Reads a plan out as lists.
fn sorted<N: Clone>(plan: Plan, window: &Window<()>, names: &[N]) -> Sorted<N> {
    assert_eq!(window.written(), names.len());
    let (accepted, behind) = names.split_at(plan.accepted);
    let (named, rest) = behind.split_at(usize::from(plan.named.is_some()));
    let mut sorted = Sorted {
        accepted: accepted.to_vec(),
        rejected: Vec::new(),
        resend: Vec::new(),
        indeterminate: Vec::new(),
        lost_range: plan.lost_from.and_then(|first| {
            let lost = usize::try_from(window.front().since(first)).expect("a window fits memory");
            (lost > 0).then(|| (first.identifier(), first.plus(lost - 1).identifier()))
        }),
    };
    match plan.named {
        // The lists say whom the gateway named; what follows from a refused topic is the client's business.
        Some(Named::Rejected | Named::CredentialRefused) => sorted.rejected.extend_from_slice(named),
        Some(Named::InDoubt) | None => sorted.indeterminate.extend_from_slice(named),
    }
    match plan.rest {
        Rest::Discarded => sorted.resend.extend_from_slice(rest),
        Rest::Suspected | Rest::Unknown => sorted.indeterminate.extend_from_slice(rest),
    }
    sorted
}

/// The scenarios mix formats on one connection; the window has one. Command 0 takes part by its place alone, so the
/// window of the others serves.
fn window_of(scenario: &ResendScenario) -> Window<()> {
    let (place, first) = (scenario.sent.iter().enumerate())
        .find_map(|(place, sent)| match sent {
            Sent::Identifier(identifier) => Some((place as u64, *identifier)),
            Sent::Simple(_) => None,
        })
        .expect("each scenario has an identifier");
    let mut window = Window::new(Format::Items, usize::MAX, usize::MAX).starting_at(u64::from(first) - place);
    for (number, sent) in scenario.sent.iter().enumerate() {
        if let Sent::Identifier(identifier) = sent {
            assert_eq!(window.next_sequence().identifier(), *identifier, "{}", scenario.name);
        }
        window.push_written(Submission::new((), notification(number as u32)));
    }
    window
}

#[test]
fn every_scenario_of_the_vector_file() {
    let file = File::load();
    assert_eq!(file.resend_scenarios.len(), 18);
    for scenario in &file.resend_scenarios {
        let window = window_of(scenario);
        let plan = scenario.response.map_or(Plan::SILENCE, |response| {
            let response = ErrorResponse { status: Status::from_raw(response.status), identifier: response.identifier };
            Plan::for_response(response, window.place(response.identifier), None, window.written())
        });
        let expected = Sorted {
            accepted: scenario.accepted.clone(),
            rejected: scenario.rejected.clone(),
            resend: scenario.resend.clone(),
            indeterminate: scenario.indeterminate.clone(),
            lost_range: scenario.lost_range,
        };
        assert_eq!(sorted(plan, &window, &scenario.sent), expected, "{}: {}", scenario.name, scenario.note);
    }
}

/// An ending in a million: a connection, what was presumed on it, what was written, and what the gateway said.
#[derive(Debug, Clone)]
struct Ending {
    /// The first sequence on the connection.
    first: u64,
    /// So many left the window as presumed.
    presumed: usize,
    written: usize,
    probed: bool,
    status: u8,
    identifier: u32,
}

fn endings() -> impl Strategy<Value = Ending> {
    let wrap = u64::from(u32::MAX);
    let first = prop_oneof![3 => Just(1), 2 => wrap - 20..wrap + 3, 1 => 2 * wrap - 10..2 * wrap];
    (first, 0..12_usize, 0..12_usize, any::<bool>()).prop_flat_map(move |(first, presumed, written, probed)| {
        let near = (0..30_u64).prop_map(move |distance| {
            let sequence = (first + distance).saturating_sub(3);
            u32::try_from(sequence.saturating_sub(1) % wrap + 1).expect("below the wrap")
        });
        let identifier = prop_oneof![8 => near, 1 => Just(0), 1 => any::<u32>()];
        let status = prop_oneof![
            4 => Just(8_u8), 3 => Just(10), 2 => Just(2), 1 => Just(0), 1 => Just(1), 1 => Just(128), 1 => any::<u8>()
        ];
        (identifier, status).prop_map(move |(identifier, status)| Ending {
            first,
            presumed,
            written,
            probed,
            status,
            identifier,
        })
    })
}

/// Everything ever written on a connection as one list, and the table of section 3.2 and 3.3 word by word.
fn reference(ending: &Ending) -> Sorted<usize> {
    let identifier_of = |place: usize| {
        let mut identifier = 0_u32;
        // Counted, not computed: 1, 2, …, the largest, 1, …
        let from = (ending.first - 1) % u64::from(u32::MAX);
        for step in 0..=place {
            identifier = if step == 0 {
                u32::try_from(from).expect("a remainder of 32 bits") + 1
            } else {
                identifier.checked_add(1).unwrap_or(1)
            };
        }
        identifier
    };
    let all = ending.presumed + ending.written;
    let in_window = |places: std::ops::Range<usize>| -> Vec<usize> {
        places.filter(|place| *place >= ending.presumed).map(|place| place - ending.presumed).collect()
    };
    let empty = Sorted {
        accepted: Vec::new(),
        rejected: Vec::new(),
        resend: Vec::new(),
        indeterminate: Vec::new(),
        lost_range: None,
    };
    let named_probe = ending.probed && ending.identifier == identifier_of(all);
    let unnamed_probe = ending.probed && ending.identifier == 0 && ending.status == 2;
    if named_probe || unnamed_probe {
        return Sorted { accepted: in_window(0..all), ..empty };
    }
    // The latest of this name: identifiers wrap.
    let Some(named) = (0..all).rev().find(|place| identifier_of(*place) == ending.identifier) else {
        return Sorted { indeterminate: in_window(0..all), ..empty };
    };
    let mut sorted = empty;
    if named < ending.presumed {
        let lost = named + 1..ending.presumed;
        sorted.lost_range = (!lost.is_empty()).then(|| (identifier_of(lost.start), identifier_of(lost.end - 1)));
    } else {
        sorted.accepted = in_window(0..named);
        match ending.status {
            10 => sorted.accepted.push(named - ending.presumed),
            0 => sorted.indeterminate.push(named - ending.presumed),
            _ => sorted.rejected.push(named - ending.presumed),
        }
    }
    sorted.resend = in_window(named + 1..all);
    sorted
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_agrees_with_a_list(ending in endings()) {
        let mut window = Window::new(Format::Items, usize::MAX, usize::MAX).starting_at(ending.first);
        for number in 0..ending.presumed + ending.written {
            window.push_written(Submission::new((), notification(number as u32)));
        }
        for _ in 0..ending.presumed {
            window.pop_front();
        }
        let response = ErrorResponse { status: Status::from_raw(ending.status), identifier: ending.identifier };
        let probe = ending.probed.then(|| window.next_sequence().identifier());
        let place = match window.place(ending.identifier) {
            // The reference knows only what was written from `first` on, and the window counts from 1 on.
            Place::Left { first } if first.since(Sequence::FIRST) < ending.first => Place::Nowhere,
            place => place,
        };
        let plan = Plan::for_response(response, place, probe, window.written());
        let names: Vec<usize> = (0..ending.written).collect();
        prop_assert_eq!(sorted(plan, &window, &names), reference(&ending));
    }
}

#[test]
fn a_probe_is_answered_by_its_name_or_by_an_unnamed_missing_token() {
    let answers = |status, identifier| {
        let response = ErrorResponse { status: Status::from_raw(status), identifier };
        Plan::for_response(response, Place::Nowhere, Some(7), 6)
    };
    for status in [0, 1, 2, 5, 8, 9, 128, 255] {
        let plan = answers(status, 7);
        assert!(plan.answers_probe, "status {status}");
        assert_eq!((plan.accepted, plan.named, plan.rest), (6, None, Rest::Discarded), "status {status}");
    }
    let unnamed = answers(2, 0);
    assert!(unnamed.answers_probe);
    assert_eq!(unnamed.accepted, 6);

    // Shutting down with the probe as the last one read: all before it went through, though nothing was answered.
    let shutdown = answers(10, 7);
    assert!(!shutdown.answers_probe);
    assert_eq!((shutdown.accepted, shutdown.rest), (6, Rest::Discarded));

    for (status, identifier) in [(8, 0), (5, 0), (10, 0), (128, 0), (255, 0), (2, 8), (8, 99)] {
        let plan = answers(status, identifier);
        assert!(!plan.answers_probe, "status {status}, identifier {identifier}");
        assert_eq!((plan.accepted, plan.rest), (0, Rest::Suspected), "status {status}, identifier {identifier}");
    }
}
