use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::time::Duration;

use apns_proto::{DeviceToken, Payload};
use futures_util::FutureExt;

use super::*;

fn job() -> Job {
    let token = DeviceToken::from_bytes([7; 32]).expect("32 bytes are a token");
    let (reply, _) = Reply::one();
    Job { notification: Notification::new(token, Payload::alert("Tea is ready")), reply }
}

fn full(capacity: usize, consumers: usize) -> Queue {
    let queue: Queue = Queue::new(capacity, consumers);
    (0..capacity).for_each(|_| assert!(queue.try_push(job()).is_ok()));
    queue
}

fn pop(queue: &Queue, consumer: usize, most: usize) -> usize {
    let mut jobs = VecDeque::new();
    queue.pop(consumer, most, &mut jobs);
    jobs.len()
}

fn is_ready<F: Future>(future: &mut Pin<Box<F>>) -> bool {
    future.as_mut().now_or_never().is_some()
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// As the task of a session does it before it sleeps.
fn offer_all_room(queue: &Queue) {
    for turn in 0.. {
        if !queue.offer_room() {
            return;
        }
        assert!(turn < 1000, "it must come to an end");
    }
}

#[test]
fn the_end_is_told_when_everything_that_was_left_is_settled() {
    let queue: Queue = Queue::new(10, 1);
    let (mut finished, mut proven) = (Box::pin(queue.finished()), Box::pin(queue.prove(None)));
    assert_eq!((finished.as_mut().now_or_never(), proven.as_mut().now_or_never()), (None, None));
    // Between these two the session settles what was left.
    assert!(queue.leave(0).is_empty());
    assert_eq!((finished.as_mut().now_or_never(), proven.as_mut().now_or_never()), (None, None));
    queue.gone(0);
    assert_eq!((finished.now_or_never(), proven.now_or_never()), (Some(()), Some(())));
}

#[test]
fn a_caller_that_was_told_of_room_and_left_keeps_it_from_nobody() {
    for (capacity, idlers) in [(1, 1), (1, 5), (3, 2), (4, 20)] {
        let queue = full(capacity, 1);
        // Polled once, so they wait; and then kept, and never polled again.
        let mut idle: Vec<_> = (0..idlers).map(|_| Box::pin(queue.push(job()))).collect();
        idle.iter_mut().for_each(|push| assert!(!is_ready(push)));
        let mut active = Box::pin(queue.push(job()));
        assert!(!is_ready(&mut active));
        assert_eq!(pop(&queue, 0, 1), 1);
        // Woken, and not merely lucky to be polled.
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let mut active = active;
        if active.as_mut().poll(&mut cx).is_pending() {
            offer_all_room(&queue);
            assert!(count.0.load(Ordering::Relaxed) > 0, "{idlers} in front of it");
            assert!(active.as_mut().poll(&mut cx).is_ready());
        }
        drop(idle);
    }
}

#[test]
fn a_listener_of_a_bulk_run_that_was_told_and_left_keeps_room_from_nobody() {
    let queue = full(2, 1);
    let kept = queue.room();
    let mut active = Box::pin(queue.push(job()));
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    assert!(active.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(pop(&queue, 0, 2), 2);
    offer_all_room(&queue);
    assert!(count.0.load(Ordering::Relaxed) > 0);
    assert!(is_ready(&mut active));
    drop(kept);
}

#[test]
fn a_caller_that_was_told_of_room_and_goes_passes_it_on() {
    let queue = full(1, 1);
    let mut first = Box::pin(queue.push(job()));
    let mut second = Box::pin(queue.push(job()));
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    assert!(!is_ready(&mut first));
    assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(pop(&queue, 0, 1), 1);
    drop(first);
    assert!(count.0.load(Ordering::Relaxed) > 0);
    assert!(is_ready(&mut second));
}

#[test]
fn one_that_waits_for_a_proof_or_the_end_and_is_left_keeps_it_from_nobody() {
    let queue: Queue = Queue::new(10, 1);
    let mut left = (Box::pin(queue.prove(None)), Box::pin(queue.finished()));
    assert!(!is_ready(&mut left.0) && !is_ready(&mut left.1));
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    let (mut proven, mut finished) = (Box::pin(queue.prove(None)), Box::pin(queue.finished()));
    assert!(proven.as_mut().poll(&mut cx).is_pending() && finished.as_mut().poll(&mut cx).is_pending());
    let proof = queue.proof_due(0).expect("nothing waits");
    queue.proof_done(0, proof);
    assert_eq!(count.0.load(Ordering::Relaxed), 2, "both look again");
    assert!(is_ready(&mut proven) && !is_ready(&mut finished));
    assert!(finished.as_mut().poll(&mut cx).is_pending());
    queue.leave(0);
    queue.gone(0);
    assert!(is_ready(&mut finished));
}

#[test]
fn a_session_learns_that_another_one_took_the_last_job_before_a_mark() {
    let queue = full(3, 2);
    let mut proven = Box::pin(queue.prove(None));
    assert!(!is_ready(&mut proven));
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    queue.register(1, &Context::from_waker(&waker));
    assert_eq!(queue.proof_due(1), None, "three still wait");
    assert_eq!(pop(&queue, 0, 3), 3);
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    let proofs = [0, 1].map(|consumer| queue.proof_due(consumer).expect("nothing waits any more"));
    queue.proof_done(0, proofs[0]);
    assert!(!is_ready(&mut proven));
    queue.proof_done(1, proofs[1]);
    assert!(is_ready(&mut proven));
}

#[test]
fn a_proof_covers_what_came_before_it_and_nothing_else() {
    let queue: Queue = Queue::new(10, 1);
    assert!((0..2).all(|_| queue.try_push(job()).is_ok()));
    let mut proven = Box::pin(queue.prove(None));
    assert!(!is_ready(&mut proven));
    // Later ones are taken at once, and not before the session was told where the mark is.
    assert!((0..3).all(|_| queue.try_push(job()).is_ok()));
    assert_eq!(pop(&queue, 0, 10), 2);
    assert_eq!(pop(&queue, 0, 10), 0);
    let proof = queue.proof_due(0).expect("what it concerns was handed out");
    assert_eq!(pop(&queue, 0, 10), 3);
    queue.proof_done(0, proof);
    assert!(is_ready(&mut proven));
}

#[test]
fn jobs_that_come_back_are_proven_by_whoever_takes_them_next() {
    let queue = full(2, 2);
    let mut proven = Box::pin(queue.prove(None));
    assert!(!is_ready(&mut proven));
    let mut jobs = VecDeque::new();
    queue.pop(0, 2, &mut jobs);
    let proofs = [0, 1].map(|consumer| queue.proof_due(consumer).expect("nothing waits"));
    queue.proof_done(1, proofs[1]);
    queue.take_back(jobs.drain(..));
    queue.proof_done(0, proofs[0]);
    assert!(!is_ready(&mut proven), "they wait again");
    assert_eq!(queue.proof_due(1), None);
    assert_eq!(pop(&queue, 1, 2), 2);
    for consumer in [0, 1] {
        let proof = queue.proof_due(consumer).expect("once more");
        queue.proof_done(consumer, proof);
    }
    assert!(is_ready(&mut proven));
}

#[test]
fn what_waits_for_a_proof_whose_time_is_over_comes_out() {
    let queue = full(3, 1);
    let now = Instant::now();
    let deadline = now + Duration::from_secs(1);
    let mut proven = Box::pin(queue.prove(Some(deadline)));
    assert!(!is_ready(&mut proven));
    assert_eq!(pop(&queue, 0, 1), 1);
    assert!(queue.try_push(job()).is_ok());
    assert_eq!(queue.next_deadline(0), Some(deadline));
    assert!(queue.overdue(now).is_empty());
    assert_eq!(queue.overdue(deadline).len(), 2);
    assert_eq!(queue.len(), 1, "the one behind the mark stays");
    let proof = queue.proof_due(0).expect("nothing waits before the mark");
    assert_eq!((proof.deadline, queue.next_deadline(0)), (Some(deadline), None));
    queue.proof_done(0, proof);
    assert!(is_ready(&mut proven));
}

#[test]
fn proofs_of_the_same_are_one() {
    let queue: Queue = Queue::new(10, 1);
    let mut proofs: Vec<_> = (0..100).map(|_| Box::pin(queue.prove(None))).collect();
    proofs.iter_mut().for_each(|proof| assert!(!is_ready(proof)));
    let proof = queue.proof_due(0).expect("nothing waits");
    assert_eq!(queue.proof_due(0), None);
    queue.proof_done(0, proof);
    assert!(proofs.iter_mut().all(is_ready));
    assert!(queue.lock().proofs.is_empty());
}
