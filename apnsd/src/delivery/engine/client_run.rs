//! One client of an engine, from its start until there is another order: what is claimed goes in, outcomes come out, and what
//! they mean is written to the outbox.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use apns_proto::{CloseReason, LinkId, NotSentCause, Notification, Outcome, Rejection, UnknownCause, WallTime};
use apns_tokio::{Client, ClientEvent, CloseReport, Delivery, SendAll};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::side::Side;
use super::{Asked, Engine, Order, STORE_RETRY, asked};
use crate::NotificationId;
use crate::delivery::Health;
use crate::delivery::attempts::Attempts;
use crate::delivery::clocks::now;
use crate::delivery::feedback::read_feedback;
use crate::delivery::judge::{Judge, Ticket};
use crate::delivery::router::TokenKey;
use crate::outbox::{Change, Claim, Cursor, Lane, Left, OutboxError, OutcomeRecord, Route};

/// How much is claimed in one go.
const CLAIM: usize = 1000;
/// So many that wait are work for one more connection.
const CROWD: u64 = 256;
/// After so many answers of status 500 and above in a row the service cannot be used for now.
const ERRORS: u32 = 3;
/// How many changes share one message to the outbox.
const CHANGES: usize = 4000;
/// How long what is under way may take when an app is replaced.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);

type Source = futures_util::stream::Unfold<
    mpsc::Receiver<(Ticket, Notification)>,
    fn(mpsc::Receiver<(Ticket, Notification)>) -> Received,
    Received,
>;
type Received =
    Pin<Box<dyn Future<Output = Option<((Ticket, Notification), mpsc::Receiver<(Ticket, Notification)>)>> + Send>>;

fn receive(mut receiver: mpsc::Receiver<(Ticket, Notification)>) -> Received {
    Box::pin(async move { receiver.recv().await.map(|item| (item, receiver)) })
}

/// A client at work, and what is under way with it.
pub(super) struct ClientRun<'a> {
    pub(super) side: Side<'a>,
    engine: &'a Engine,
    lane: &'a dyn Lane,
    pub(super) judge: Judge<'a>,
    client: Client,
    events: apns_tokio::Events,
    events_over: bool,
    /// To the client; `None` when no more is handed to it.
    pub(super) feed: Option<mpsc::Sender<(Ticket, Notification)>>,
    outcomes: Pin<Box<SendAll<Source, Ticket>>>,
    /// Handed to the client, and no outcome yet.
    pub(super) under_way: usize,
    /// What waits for the answer to another notification for the same device token.
    pub(super) behind: HashMap<TokenKey, Vec<(Ticket, Notification)>>,
    /// How many these are.
    pub(super) waits_behind: usize,
    links: HashSet<(usize, LinkId)>,
    /// How many may be with the client without one of them waiting in it. What is claimed is in doubt after a crash, so no
    /// more is claimed than can be written.
    capacity: usize,
    /// There may be something new to claim.
    pub(super) hungry: bool,
    /// Something waits whose time has come.
    more: bool,
    /// The service has answered something since there was no connection.
    answered: bool,
    /// How many answers in a row said that the service has a problem of its own.
    errors_in_a_row: u32,
    pub(super) attempts: Attempts<'a>,
    /// So many connections were ordered since one came or went, or began to take more or less.
    ordered: usize,
    claiming: Asked<'a, Claim>,
    /// It looks for those that wait for a guess.
    claims_guesses: bool,
    pub(super) changes: Vec<Change>,
    changing: Asked<'a, Vec<(Cursor, OutcomeRecord)>>,
    /// What is being written, in case the store fails.
    written: Vec<Change>,
    /// What the service refused for the time being, where a caller wants to hear of it once it waits again.
    refused: HashMap<NotificationId, Rejection>,
    next_due: Pin<Box<Sleep>>,
    due_set: bool,
    /// Until the app may send more.
    paced: Option<Pin<Box<Sleep>>>,
    /// Until the next guess may be made.
    next_guess: Option<(std::time::Instant, Pin<Box<Sleep>>)>,
    store_rests: Option<Pin<Box<Sleep>>>,
    closing: Option<Pin<Box<dyn Future<Output = CloseReport> + Send + 'a>>>,
    /// When what is left is given up.
    deadline: Option<Instant>,
    leaving: Pin<Box<dyn Future<Output = Left> + Send + 'a>>,
    /// The lane has to be left, and its next holder looks for what is left in flight.
    left: bool,
}

impl<'a> ClientRun<'a> {
    pub(super) fn new(side: Side<'a>, client: Client) -> Self {
        let Side { engine, lane, app, to, .. } = side;
        let (feed, source) = mpsc::channel(app.in_flight);
        let source: Source = futures_util::stream::unfold(source, receive as fn(_) -> _);
        let noting = lane.clone();
        let sending =
            client.send_all(source).before_leaving(|ticket: &Ticket| ticket.id, move |ids| noting.leaving(ids));
        Self {
            side,
            engine,
            lane: &**lane,
            judge: Judge { name: &engine.name, app, environment: to.environment },
            events: client.events(),
            events_over: false,
            outcomes: Box::pin(sending),
            client,
            feed: Some(feed),
            attempts: Attempts::new(engine, &**lane),
            under_way: 0,
            behind: HashMap::new(),
            waits_behind: 0,
            links: HashSet::new(),
            capacity: 0,
            hungry: true,
            more: false,
            answered: false,
            errors_in_a_row: 0,
            ordered: 0,
            claiming: None,
            claims_guesses: false,
            changes: Vec::new(),
            changing: None,
            written: Vec::new(),
            refused: HashMap::new(),
            next_due: Box::pin(sleep(Duration::ZERO)),
            due_set: false,
            paced: None,
            next_guess: None,
            store_rests: None,
            closing: None,
            deadline: None,
            leaving: lane.left(),
            left: false,
        }
    }

    /// Runs until there is another order, or the lane has to be left. Says whether it has to.
    pub(super) async fn run(mut self, orders: &mut watch::Receiver<Order>) -> bool {
        let mut feedback = Box::pin(read_feedback(self.engine, self.judge.app));
        loop {
            self.advance();
            if self.is_over() {
                self.standing_connected(0);
                return self.left;
            }
            let side = self.side;
            let (client, capacity) = (self.client.clone(), self.capacity);
            tokio::select! {
                biased;
                event = self.events.next(), if !self.events_over => match event {
                    Some(event) => self.on_event(&event),
                    None => {
                        self.events_over = true;
                        self.wind_down(REPLACED_WITHIN);
                    }
                },
                changed = orders.changed(), if self.feed.is_some() => {
                    // Looked at again by the caller.
                    orders.mark_changed();
                    let within = match &*orders.borrow() {
                        Order::Run(_) if changed.is_ok() => REPLACED_WITHIN,
                        Order::Run(_) => Duration::ZERO,
                        Order::Stop { deadline } => deadline.saturating_duration_since(Instant::now()),
                    };
                    self.wind_down(within);
                    // From here on nothing that is ordered changes what is done.
                    self.finish_up(orders).await;
                    return self.left;
                }
                left = &mut self.leaving, if self.feed.is_some() => {
                    self.left = true;
                    self.wind_down(left.within());
                    self.finish_up(orders).await;
                    return true;
                }
                outcome = self.outcomes.next(), if self.under_way > 0 => self.on_outcome(outcome),
                claim = asked(&mut self.claiming) => self.on_claim(claim),
                changed = asked(&mut self.changing) => self.on_changed(changed),
                ended = self.attempts.ended() => self.on_attempts_ended(ended),
                () = optional(&mut self.store_rests) => self.store_rests = None,
                () = optional(&mut self.paced) => self.paced = None,
                () = self.next_due.as_mut(), if self.due_set => {
                    self.due_set = false;
                    self.hungry = true;
                }
                () = next_guess(&mut self.next_guess) => {
                    self.next_guess = None;
                    self.hungry = true;
                }
                () = side.woken() => self.hungry = true,
                () = side.mended() => self.client.credential_changed(),
                capacity = client.capacity_changed(capacity) => {
                    self.capacity = capacity;
                    self.ordered = 0;
                }
                _report = report(&mut self.closing) => {}
                () = &mut feedback => {}
            }
        }
    }

    /// Goes on until everything that is under way has ended, or the time is over.
    async fn finish_up(&mut self, orders: &watch::Receiver<Order>) {
        // One that hears of each order once more.
        let mut orders = orders.clone();
        loop {
            self.advance();
            if self.is_over() {
                self.standing_connected(0);
                return;
            }
            // A stop that comes while an app is being replaced may leave less time.
            let stopping = match &*orders.borrow_and_update() {
                Order::Stop { deadline } => {
                    self.deadline = Some(self.deadline.map_or(*deadline, |earlier| earlier.min(*deadline)));
                    true
                }
                Order::Run(_) => false,
            };
            let deadline = self.deadline.unwrap_or_else(Instant::now) + STORE_RETRY;
            tokio::select! {
                outcome = self.outcomes.next(), if self.under_way > 0 => self.on_outcome(outcome),
                claim = asked(&mut self.claiming) => self.on_claim(claim),
                changed = asked(&mut self.changing) => self.on_changed(changed),
                ended = self.attempts.ended() => self.on_attempts_ended(ended),
                () = optional(&mut self.store_rests) => self.store_rests = None,
                _report = report(&mut self.closing) => {}
                Ok(()) = orders.changed() => {}
                left = &mut self.leaving, if !self.left => {
                    self.left = true;
                    let deadline = Instant::now() + left.within();
                    self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
                }
                // What is left stays in flight in the outbox, where the next holder finds it. Where the app goes on, nobody
                // would look for it there, and a store that takes no outcomes gives out nothing new either.
                () = sleep_until(deadline), if stopping || self.left => return,
            }
        }
    }

    fn is_over(&self) -> bool {
        self.feed.is_none()
            && self.under_way == 0
            && self.waits_behind == 0
            && self.claiming.is_none()
            && self.changing.is_none()
            && !self.attempts.are_ending()
            && self.changes.is_empty()
            && self.closing.is_none()
    }

    /// Asks the store for what is wanted of it.
    fn advance(&mut self) {
        if self.store_rests.is_some() {
            return;
        }
        self.attempts.end(|| self.side.routes_in_vain());
        let idle = self.changing.is_none();
        if idle && !self.changes.is_empty() {
            let rest = self.changes.split_off(self.changes.len().min(CHANGES));
            self.written = std::mem::replace(&mut self.changes, rest);
            self.changing = Some(self.lane.change(self.written.clone()));
        }
        if self.feed.is_none() {
            return;
        }
        // Behind the changes, whose places become free with them; what is answered and not kept yet is in doubt as well.
        let window = self.capacity.min(self.judge.app.in_flight);
        let room = window.saturating_sub(self.under_way + self.waits_behind + self.changes.len()).min(CLAIM);
        // With the changes, which share their sync, or when it is worth one of its own.
        let worthwhile = idle || room >= (window / 4).clamp(1, CLAIM);
        // Without room it is only asked whether anything waits: then a connection is needed.
        let allowed = self.side.shared.pace.lock().allows(room, std::time::Instant::now());
        if room > 0 && allowed == 0 && (self.hungry || self.more) {
            // Looked at again when there is a step's worth.
            if self.paced.is_none() {
                self.paced = self.side.shared.pace.lock().wait().map(|wait| Box::pin(sleep(wait)));
            }
            self.order_connections();
            return;
        }
        let room = allowed;
        let wanted = match room {
            0 => self.hungry && !self.more && window == 0,
            _ => (self.hungry || self.more) && worthwhile,
        };
        // Somebody stopped it by hand: what waits waits on, and what is with the client ends.
        let paused = self.engine.standing.is_paused();
        if wanted && !paused && self.claiming.is_none() {
            self.hungry = false;
            let shares = self.side.shares(room);
            self.claims_guesses = shares.iter().any(|share| share.routes.has(Route::Probe));
            if self.claims_guesses {
                self.side.router().held_back = false;
            }
            self.claiming = Some(self.lane.claim_from(shares, now()));
        }
        let next = self.side.next_guess();
        if next != self.next_guess.as_ref().map(|(at, _)| *at) {
            self.next_guess = next.map(|at| (at, Box::pin(sleep_until(at.into()))));
        }
        self.order_connections();
    }

    /// Nothing is claimed before it can be written, so connections are opened before anything is handed to the client: the
    /// first for whatever waits, and each of the others for a crowd, once the service takes something over those there are.
    fn order_connections(&mut self) {
        let wanted = match () {
            () if !self.more || self.engine.standing.is_paused() => 0,
            () if self.engine.standing.works(self.side.to.environment) && self.lane.waiting() >= CROWD => {
                (self.links.len() + 1).min(self.judge.app.connections)
            }
            () => 1,
        };
        if std::mem::replace(&mut self.ordered, wanted) != wanted {
            self.client.connect(wanted);
        }
    }

    /// Hands nothing more to the client, and has it settle what it has.
    fn wind_down(&mut self, within: Duration) {
        self.feed = None;
        self.put_back_all_behind();
        if self.closing.is_none() && self.deadline.is_none() {
            self.deadline = Some(Instant::now() + within);
            let client = self.client.clone();
            self.closing = Some(Box::pin(async move { client.close(within).await }));
        }
    }

    fn on_claim(&mut self, claim: Result<Claim, OutboxError>) {
        let may_wait = claim.as_ref().map_or(true, |claim| claim.waits.has(Route::Probe));
        if std::mem::take(&mut self.claims_guesses) && may_wait {
            self.side.guesses_wait();
        }
        let claim = match claim {
            Ok(claim) => claim,
            Err(_) => return self.on_store_failure(),
        };
        let now = now();
        self.side.shared.pace.lock().spend(claim.entries.len());
        for claimed in claim.entries {
            let (ticket, notification) = Ticket::issue(claimed);
            self.take(ticket, notification, now);
        }
        self.more = claim.next_due.is_some_and(|due| due <= now);
        match claim.next_due {
            Some(due) if due <= now => {}
            Some(due) => self.set_due(now, due),
            None => {}
        }
    }

    fn set_due(&mut self, now: WallTime, due: WallTime) {
        // The wall clock may jump: look again after a minute at the latest.
        let wait = due.saturating_since(now).min(Duration::from_secs(60));
        self.next_due.as_mut().reset(Instant::now() + wait);
        self.due_set = true;
    }

    /// One outcome, and all others that are there already: they share one sync.
    fn on_outcome(&mut self, first: Option<(Ticket, Delivery)>) {
        let now = now();
        let before = self.changes.len();
        let mut next = first;
        while let Some((ticket, delivery)) = next.take() {
            self.under_way -= 1;
            self.note_health(&delivery);
            let judged = self.judged(&ticket, &delivery, now);
            if let (Change::Postpone(again), Outcome::Rejected(rejection), false) =
                (&judged.change, &delivery.outcome, judged.asks_on)
                && self.engine.announcer.waiters.is_attended(again.id)
            {
                self.refused.insert(again.id, rejection.clone());
            }
            self.changes.push(judged.change);
            self.go_on_behind(&ticket, now);
            if self.changes.len() < CHANGES && self.under_way > 0 {
                next = self.outcomes.next().now_or_never().flatten();
            }
        }
        self.lane.changing(&self.changes[before..]);
    }

    /// A peer that takes connections and says nothing is no service.
    fn note_silence(&self) {
        if !self.answered {
            let why = format!("{} takes connections and does not answer", self.side.to.endpoint);
            self.side.note(Health::Failing { why });
        }
    }

    fn note_working(&mut self) {
        self.errors_in_a_row = 0;
        self.side.note(Health::Working);
    }

    fn note_health(&mut self, delivery: &Delivery) {
        self.answered |= matches!(delivery.outcome, Outcome::Accepted { .. } | Outcome::Rejected(_));
        match &delivery.outcome {
            Outcome::Accepted { .. } => self.note_working(),
            // Somebody who is let in and told off has a credential that works.
            Outcome::Rejected(Rejection::Provider(rejection)) if rejection.status() < 500 => self.note_working(),
            Outcome::Rejected(rejection @ Rejection::Provider(_)) => {
                self.errors_in_a_row = self.errors_in_a_row.saturating_add(1);
                // One now and then is nothing unusual.
                if self.errors_in_a_row >= ERRORS
                    || self.engine.standing.health_in(self.side.to.environment) == Health::Untried
                {
                    self.side.note_trouble(&format_args!(
                        "the service answers {} {}",
                        rejection.status(),
                        apns_proto::Escaped(rejection.reason())
                    ));
                }
            }
            Outcome::Unknown { cause: UnknownCause::NoAnswer } => self.note_silence(),
            _ => {}
        }
    }

    fn on_changed(&mut self, changed: Result<Vec<(Cursor, OutcomeRecord)>, OutboxError>) {
        let written = std::mem::take(&mut self.written);
        match changed {
            Ok(settled) => {
                self.engine.announcer.publish(&settled);
                // What waits again has a time of its own, which the next claim tells.
                self.hungry |= written.iter().any(|change| matches!(change, Change::Postpone(_)));
                self.tell_of_routes(&written);
                if !self.refused.is_empty() {
                    for (id, rejection) in written.iter().filter_map(|change| self.refused.remove_entry(&change.id())) {
                        self.engine.announcer.waiters.refused(id, &rejection);
                    }
                }
            }
            Err(_) => {
                self.changes.splice(0..0, written);
                self.on_store_failure();
            }
        }
    }

    fn on_attempts_ended(&mut self, ended: Result<Vec<(Cursor, OutcomeRecord)>, OutboxError>) {
        match ended {
            Ok(settled) if settled.is_empty() => {}
            Ok(settled) => {
                self.engine.announcer.publish(&settled);
                // A connection is wanted only where something else waits.
                (self.more, self.hungry) = (false, true);
            }
            Err(_) => self.on_store_failure(),
        }
    }

    fn on_store_failure(&mut self) {
        self.engine.store_doubt.notify_one();
        self.hungry = true;
        self.store_rests = Some(Box::pin(sleep(STORE_RETRY)));
    }

    /// The service refuses the credential, or the server is not the one that is meant. What was with the client comes back;
    /// nothing is claimed before the client has a connection again, and then one.
    fn on_pause(&self, cause: &NotSentCause, retry_in: Duration) {
        let why = match cause.credential_refusal() {
            Some(refusal) => {
                // A pause that is cut short is no refusal.
                if !retry_in.is_zero() {
                    self.engine.standing.refused(refusal.reason().unwrap_or("tls"));
                }
                let explanation = refusal.explain();
                format!("{refusal}: {} {}", explanation.happened, explanation.to_do)
            }
            None => cause.to_string(),
        };
        self.side.note(Health::Failing { why });
    }

    fn standing_connected(&self, open: usize) {
        self.engine.standing.connected(self.side.to.environment, open);
    }

    fn on_event(&mut self, event: &ClientEvent) {
        if matches!(event, ClientEvent::DialFailed { .. }) && self.links.is_empty() {
            self.attempts.was_in_vain();
        }
        match event {
            ClientEvent::Connected { session, link } => {
                self.answered &= !self.links.is_empty();
                self.links.insert((*session, *link));
                self.ordered = 0;
            }
            ClientEvent::Closed { session, report } => {
                if matches!(report.reason, CloseReason::NoAnswer | CloseReason::WriteStalled) {
                    self.note_silence();
                }
                self.links.remove(&(*session, report.link));
                self.ordered = 0;
                // One that was wanted and ended before anything was answered was none.
                let wanted = self.more || self.under_way > 0;
                // Where somebody has to act, the pause says so.
                let says_more = report.reason.is_fatal() || report.reason.credential_refusal().is_some();
                if self.links.is_empty() && !self.answered && wanted && !says_more {
                    self.side.note_trouble(&report.reason);
                }
            }
            ClientEvent::DialFailed { failure, .. } if failure.fatal => {
                self.side.note(Health::Failing { why: failure.to_string() });
            }
            ClientEvent::DialFailed { failure, .. } => self.side.note_trouble(failure),
            ClientEvent::GaveUp { why, .. } => self.side.note_trouble(why),
            ClientEvent::Paused { cause, retry_in, .. } => self.on_pause(cause, *retry_in),
            ClientEvent::Resumed { .. } => self.side.note(Health::Working),
            ClientEvent::TokenWanted { .. } => {
                self.side.note_trouble(&"the token source has no provider token");
            }
            ClientEvent::Warning { warning, .. } => {
                tracing::warn!("app {}: {warning}", self.engine.name);
            }
            ClientEvent::Missed { .. } | ClientEvent::Dialling { .. } => {}
            // An event of a later kind changes nothing that is known here.
            _ => {}
        }
        self.standing_connected(self.links.len());
    }
}

async fn optional(sleep: &mut Option<Pin<Box<Sleep>>>) {
    match sleep {
        Some(sleep) => sleep.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn next_guess(sleep: &mut Option<(std::time::Instant, Pin<Box<Sleep>>)>) {
    match sleep {
        Some((_, sleep)) => sleep.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn report(closing: &mut Option<Pin<Box<dyn Future<Output = CloseReport> + Send + '_>>>) {
    match closing {
        // Everything in the report was told through the outcomes as well.
        Some(closed) => drop(closed.await),
        None => std::future::pending().await,
    }
    *closing = None;
}
