//! The tests that every transport has to pass over real sockets and TLS, against the simulator.
//!
//! Each test is an asynchronous function that is generic over the [`Runtime`], and panics if the transport does not behave
//! as it has to. [`tests!`] defines a `#[test]` of the same name for each of them. The transports of this project use it, and
//! so can a transport of yours, in its `tests/conformance.rs`:
//!
//! ```
//! # fn main() {}
//! fn block_on(behaviour: impl Future<Output = ()>) {
//!     tokio::runtime::Runtime::new().unwrap().block_on(behaviour);
//! }
//!
//! // In the place of `Tokio`, your implementation of `Runtime`, which implements `Default` too.
//! apns_conformance::tests!(apns_tokio::Tokio, block_on);
//! ```
//!
//! The simulator runs on its own thread, so that it is the same for every transport. [`COUNT`] is the number of tests.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod cases;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use apns_driver::Runtime;
pub use cases::common;
use futures_util::future::{Either, select};

/// Longer than any behaviour takes; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// The behaviour, or a panic when it takes too long.
///
/// # Panics
///
/// As the behaviour does.
pub async fn in_time<R: Runtime + Default>(behaviour: impl Future<Output = ()>) {
    let runtime = R::default();
    let patience = runtime.sleep_until(runtime.now().instant + PATIENCE);
    match select(pin!(behaviour), pin!(patience)).await {
        Either::Left(_) => {}
        Either::Right(_) => panic!("it hangs"),
    }
}

/// Names the behaviours, and makes of them what [`tests!`] needs. What is not named here is dead code.
macro_rules! behaviours {
    ($d:tt $($subject:ident { $($name:ident,)* })*) => {
        $(
            /// Behaviours of one subject.
            pub mod $subject {
                $(pub use crate::cases::$subject::$name;)*
            }
        )*

        /// How many behaviours there are.
        pub const COUNT: usize = [$($(stringify!($name),)*)*].len();

        /// A test of each behaviour, for a runtime, run by a function that blocks until a future is done.
        #[macro_export]
        macro_rules! tests {
            ($d runtime:ty, $d block_on:path) => {
                $(
                    mod $subject {
                        $(
                            #[test]
                            fn $name() {
                                $d block_on($crate::in_time::<$d runtime>($crate::$subject::$name::<$d runtime>()));
                            }
                        )*
                    }
                )*
            };
        }
    };
}

behaviours! {
    $
    bad_network {
        a_bad_network_to_a_gateway_never_makes_an_outcome_false,
        a_bad_network_to_the_provider_api_never_makes_an_outcome_false,
    }
    binary {
        a_hundred_thousand_with_one_bad_in_a_hundred_agree_with_the_gateway,
        a_million_that_share_one_payload_are_all_confirmed,
        cut_at_every_byte_and_reported,
        cut_at_every_byte_and_sent_again,
        p15_one_notification_takes_a_round_trip_and_is_proven,
        silence_for_the_quiet_time_is_a_presumption,
        p7_a_peer_that_stops_reading_ends_in_time_with_an_outcome_for_all,
        a_gigabyte_of_junk_ends_at_its_first_byte,
        p8_session_tickets_do_not_end_the_connection,
        tls_1_2_works_as_well,
        p10_many_callers_share_the_first_connection,
        several_connections_share_one_queue,
        b22_the_reason_is_read_while_a_write_is_pending,
        b121_a_full_queue_is_said_and_not_grown,
        b122_closing_leaves_no_task,
        dropping_the_last_handle_sends_what_was_taken_and_leaves_no_task,
        closing_ends_at_its_deadline_with_a_report,
    }
    channels {
        a_channel_is_made_read_listed_and_deleted_with_either_credential,
        many_requests_at_a_time_share_one_connection,
        a_broadcast_reaches_its_channel,
        broadcasts_have_retries_pools_and_runs_as_notifications_do,
        a_refusal_is_told_as_it_came,
        what_a_server_did_not_process_is_asked_again_once_on_another_connection,
        b59_after_an_expired_provider_token_one_more_try_with_a_new_one,
        b58_a_request_without_an_answer_is_unknown_after_its_time,
        b47_credentials_for_the_other_environment_are_named,
        b53_what_the_service_may_have_seen_is_unknown_whatever_ends_the_connection,
        a_refused_client_certificate_is_known_by_either_version_of_tls,
        no_connection_is_an_error_that_says_which_step_failed,
        a_server_that_never_finishes_the_handshake_is_left_in_time,
        b122_the_connection_ends_with_the_last_handle,
    }
    deadlines {
        a_service_that_never_answers_holds_up_no_deadline,
        a_service_that_allows_one_stream_holds_up_no_deadline,
        a_service_that_never_finishes_the_handshake_holds_up_no_deadline,
        a_gateway_that_never_reads_holds_up_no_deadline,
        a_gateway_that_never_finishes_the_handshake_holds_up_no_deadline,
        a_held_retry_of_one_caller_keeps_no_other_waiting,
        a_proof_keeps_no_other_caller_waiting,
        a_run_that_waits_for_room_and_is_not_polled_keeps_room_from_nobody,
        a_window_that_never_opens_ends_the_request_in_its_time,
        the_span_of_an_expiration_begins_at_the_hand_over,
        any_span_can_be_configured,
    }
    expiry {
        b84_a_certificate_is_judged_at_every_connection,
    }
    feedback {
        records_are_read_once_and_then_gone,
        ten_thousand_records_are_all_read,
        p11_the_end_inside_a_record_keeps_the_whole_ones_and_says_truncated,
        b25_a_service_that_never_closes_ends_after_the_idle_time,
        no_connection_is_an_error_that_says_which_step_failed,
        a_refused_client_certificate_is_said,
    }
    leaving {
        what_is_about_to_leave_is_named_before_it_does,
    }
    pool {
        the_windows_of_all_connections_become_full_and_are_proven,
        idle_sessions_join_when_there_is_work_for_more,
        one_session_tries_a_refused_credential_for_all,
    }
    provider {
        both_credentials_are_taken,
        twenty_thousand_with_one_bad_in_a_hundred_agree_with_the_service,
        an_unregistered_token_comes_with_its_time,
        b60_a_refusal_for_the_time_being_is_sent_again_where_asked,
        a_goaway_in_the_middle_loses_nothing,
        b58_no_answer_is_unknown_after_its_time,
        b47_credentials_for_the_other_environment_are_named,
        b87_two_credentials_never_share_a_connection,
        b108_two_with_the_same_apns_id_at_once_are_told_apart,
        b92_only_hexadecimal_digits_reach_the_path,
        a_cut_connection_ends_what_was_under_way_and_a_new_one_follows,
        tls_1_2_works_as_well,
        closing_waits_for_what_is_under_way,
    }
    proxies {
        everything_passes_each_kind_of_proxy,
        a_proxy_restarted_in_the_middle_makes_no_outcome_false,
        credentials_of_the_proxy_are_none_of_the_service,
        what_waits_is_sent_once_the_proxy_lets_it_through,
        a_proxy_that_cannot_be_reached_is_said,
        tls_with_the_proxy_that_fails_is_said,
        a_proxy_that_wants_a_client_certificate_does_not_speak_for_the_service,
        a_refusal_of_the_proxy_is_said_with_its_words,
        a_proxy_that_never_answers_is_left_in_time,
        a_tunnel_that_ends_is_told_apart_from_a_proxy_that_refuses,
        the_service_behind_the_proxy_is_verified,
        certificates_that_were_given_are_trusted_through_a_tunnel,
        every_address_of_the_proxy_is_tried,
        a_host_that_no_proxy_takes_is_refused_before_the_first_connection,
    }
    reaching {
        b114_every_address_is_tried_and_found_afresh_for_each_connection,
        b118_two_environments_never_mix,
        b62_a_refused_connection_is_tried_at_growing_intervals,
        an_unknown_name_is_said,
        p9_a_handshake_that_never_ends_is_given_up,
        junk_in_the_place_of_the_handshake_is_not_trusted,
    }
    stats {
        the_numbers_add_up,
    }
    trust {
        the_authorities_of_the_system_do_not_vouch_for_the_simulator,
        an_authority_can_be_added_to_those_of_the_system,
        b85_an_untrusted_server_is_told_apart,
        an_expired_server_is_told_apart,
        a_server_that_is_not_valid_yet_is_told_apart,
        a_server_by_another_name_is_told_apart,
        a_refused_client_certificate_is_told_apart,
        a_missing_client_certificate_is_told_apart,
        a_server_with_other_protocols_is_told_apart,
        b115_a_server_without_h2_is_told_apart,
        an_identity_from_pkcs12_is_taken,
        every_kind_of_key_is_taken,
        what_is_no_certificate_is_refused_before_the_first_connection,
        an_expired_client_certificate_is_refused_before_the_first_connection,
        n4_a_server_whose_certificate_was_given_is_trusted_as_it_stands,
        n4_a_server_whose_certificate_was_given_has_its_name_and_its_dates_checked,
        n5_the_own_certificate_is_for_the_server_to_judge,
        n6_a_key_that_tls_does_not_sign_with_is_refused_before_the_first_connection,
        n7_a_certificate_for_signing_code_is_refused_before_the_first_connection,
    }
}

/// Runs the program of this crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
