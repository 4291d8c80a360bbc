//! The outbox: what every store does, any sequence of what can happen to one compared with a model that is as plain as can
//! be, and what is particular to each.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

#[cfg(feature = "postgres")]
mod broken;
mod contract;
mod finding;
mod home;
mod model;
#[cfg(feature = "postgres")]
mod nodes;
#[cfg(feature = "postgres")]
#[path = "../support/postgres.rs"]
mod postgres;
mod sqlite;
#[cfg(feature = "postgres")]
mod transfer;

use std::sync::Arc;

use apns_proto::{DeviceToken, Notification, Outcome, Payload, Proof, WallTime};
use apnsd::outbox::{
    Change, ClaimNumber, Claimed, Lane, NewEntry, Outbox, OutboxError, OutcomeRecord, Postponement, Route, Settlement,
    Tries,
};
use apnsd::{AppName, NotificationId};

use crate::home::Home;

fn app(name: &str) -> AppName {
    name.parse().unwrap()
}

fn at(milliseconds: u64) -> WallTime {
    WallTime::from_millis(milliseconds)
}

fn entry(number: u8, key: Option<u8>, time: u64) -> NewEntry {
    let token = DeviceToken::from_bytes([number; 32]).unwrap();
    let notification = Notification::new(token, Payload::alert("Tea is ready"));
    let key = key.map(|key| format!("key {key}").into());
    NewEntry {
        notification,
        idempotency_key: key,
        digest: None,
        tag: None,
        at: at(time),
        send_at: None,
        route: Route::Default,
    }
}

async fn hold(outbox: &Arc<dyn Outbox>, app: &AppName) -> Arc<dyn Lane> {
    again(async || outbox.clone().hold(app).await).await
}

/// Asks again where the store failed: its connections may have been cut.
async fn again<T>(mut ask: impl AsyncFnMut() -> Result<T, OutboxError>) -> T {
    for _ in 0..20 {
        match ask().await {
            Ok(answer) => return answer,
            Err(OutboxError::Failed(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    ask().await.unwrap()
}

fn settle(id: NotificationId, claim: ClaimNumber, app: &AppName, tries: Tries, now: u64) -> Change {
    let outcome = Outcome::accepted(Proof::Confirmed);
    let record = OutcomeRecord::new(id, app.clone(), &outcome, at(0), at(now)).with_tries(tries);
    Change::Settle(Box::new(Settlement { record, gone: None, claim }))
}

fn postpone(claimed: &Claimed, due: u64, tries: Tries) -> Postponement {
    Postponement { id: claimed.id, due: at(due), route: claimed.route, tries, claim: claimed.claim }
}

/// A test for each item of the contract, in each store.
macro_rules! each_store {
    ($($name:ident),* $(,)?) => {
        mod in_a_folder {
            $(#[tokio::test]
            async fn $name() {
                crate::contract::$name(&crate::Home::folder()).await;
            })*
        }

        #[cfg(feature = "postgres")]
        mod in_a_database {
            $(#[tokio::test]
            async fn $name() {
                let Some(home) = crate::Home::database().await else { return };
                crate::contract::$name(&home).await;
            })*
        }
    };
}

each_store!(
    tokens_that_are_gone_are_kept_with_their_time_and_read_by_place,
    outcomes_and_keys_are_forgotten_in_their_time,
    a_clock_that_is_set_back_keeps_nothing_waiting,
    outcomes_of_a_clock_that_was_set_back_are_in_nobodys_way,
    what_was_accepted_before_the_clock_was_set_back_does_not_wait_for_it,
    what_is_left_of_an_app_is_settled_in_steps_and_what_is_under_way_as_unknown,
    a_key_stands_for_one_notification,
    what_waits_is_withdrawn_step_by_step,
    a_pause_is_kept_until_it_is_taken_back,
    what_had_its_one_attempt_ends_while_it_waits,
    outcomes_are_bounded_by_their_bytes,
    definitions_are_kept_and_shown_to_nobody,
    a_change_counts_for_its_own_claim,
    what_is_to_be_sent_later_waits_for_its_time_whatever_the_clock_did,
    a_reader_is_told_every_outcome_or_that_some_were_forgotten,
    a_reader_has_its_place_until_it_is_not_used_for_long,
    each_route_is_claimed_for_itself_and_what_moves_waits_on_its_new_one,
    what_waits_and_what_ended_is_found_by_what_a_caller_knows,
    a_search_over_many_goes_on_where_it_ended,
    a_time_is_found_without_a_look_at_all,
    without_device_tokens_the_rest_is_found,
    what_is_forgotten_is_found_no_more,
    what_has_a_tag_is_withdrawn_by_it,
);
