//! A proxy that does to bytes what networks do: it cuts, delays, splits and stalls. Threads and blocking sockets, so that
//! it is the same for every transport.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// The most bytes in one write.
    pub(crate) piece: usize,
    /// Before each write.
    pub(crate) delay: Duration,
    /// From this byte on nothing passes, and both sides are gone.
    pub(crate) cut: Option<u64>,
    /// At this byte nothing passes for so long.
    pub(crate) stall: Option<(u64, Duration)>,
    /// At this byte this direction ends in good order, and what comes later is thrown away; the other goes on.
    pub(crate) half_close: Option<u64>,
}

impl Default for Way {
    fn default() -> Self {
        Self { piece: usize::MAX, delay: Duration::ZERO, cut: None, stall: None, half_close: None }
    }
}

/// What happens to one connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plan {
    /// To the service.
    pub(crate) up: Way,
    /// To the client.
    pub(crate) down: Way,
}

/// Stands between a client and a service until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// `plan` says what happens to the connection with this number, from 0.
    pub(crate) fn start(service: SocketAddr, plan: impl Fn(usize) -> Plan + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let over = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let (ends, counts) = (over.clone(), connections.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), Ok(service)) = (client, TcpStream::connect(service)) else { continue };
                let plan = plan(counts.fetch_add(1, Ordering::SeqCst));
                let both = || (client.try_clone().expect("a handle"), service.try_clone().expect("a handle"));
                let ((from, to), (back_to, back_from)) = (both(), both());
                thread::spawn(move || pass(from, to, plan.up));
                thread::spawn(move || pass(back_from, back_to, plan.down));
            }
        });
        Self { address, over, connections }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many came so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        drop(TcpStream::connect(self.address));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, way: Way) {
    let _ = to.set_nodelay(true);
    let (mut passed, mut closed) = (0_u64, false);
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        for piece in bytes[..count].chunks(way.piece.min(count)) {
            if closed {
                continue;
            }
            thread::sleep(way.delay);
            if let Some((_, span)) = way.stall.filter(|(at, _)| (passed..passed + piece.len() as u64).contains(at)) {
                thread::sleep(span);
            }
            let ends = [way.cut, way.half_close].into_iter().flatten().min().unwrap_or(u64::MAX);
            let room = usize::try_from(ends.saturating_sub(passed)).unwrap_or(usize::MAX);
            let some = &piece[..piece.len().min(room)];
            if to.write_all(some).is_err() {
                // The other side is gone; what comes is still read, so that the sender is not held up.
                closed = true;
            }
            passed += some.len() as u64;
            if some.len() < piece.len() {
                if way.cut == Some(ends) {
                    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                    return;
                }
                let _ = to.shutdown(Shutdown::Write);
                closed = true;
            }
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
