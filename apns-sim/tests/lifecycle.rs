//! Start, stop, certificates, and large numbers.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use apns_sim::{Entry, Keep, Script, Simulator, StartError, TokenPattern};
use support::{PAYLOAD, feedback, gateway, notification, notifications, probe, response, seen, token};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

#[tokio::test]
async fn a_dropped_simulator_leaves_no_listener_and_no_task() {
    let before = Handle::current().metrics().num_alive_tasks();
    let simulator = Simulator::start().await.unwrap();
    let (at, and_at) = (simulator.gateway_address(), simulator.feedback_address());
    let mut client = gateway(&simulator).await;
    let _silent = TcpStream::connect(at).await.unwrap();
    client.write(&notifications(1..=3)).await;
    seen(&simulator, |log| log.counts().accepted == 3).await;
    drop(simulator);

    // The sockets are closed before the drop is over.
    assert!(TcpStream::connect(at).await.is_err());
    assert!(TcpStream::connect(and_at).await.is_err());
    let (heard, _) = client.read_to_end().await;
    assert_eq!(heard, b"");
    while Handle::current().metrics().num_alive_tasks() > before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn stopping_waits_until_all_is_over() {
    let before = Handle::current().metrics().num_alive_tasks();
    let simulator = Simulator::start().await.unwrap();
    let at = simulator.gateway_address();
    let _one = gateway(&simulator).await;
    let _other = feedback(&simulator).await;
    simulator.stop().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
    assert!(TcpStream::connect(at).await.is_err());
    // The port is free for the next one.
    let next = Simulator::builder().gateway_address(at).start().await.unwrap();
    assert_eq!(next.gateway_address(), at);
    let taken = Simulator::builder().gateway_address(at).start().await.unwrap_err();
    assert!(matches!(taken, StartError::Bind { address, .. } if address == at), "{taken}");
}

#[tokio::test]
async fn the_provider_api_listens_at_several_addresses_and_counts_together() {
    let any = "127.0.0.1:0".parse().unwrap();
    let simulator = Simulator::builder().http2_addresses([any, any, any]).start().await.unwrap();
    let addresses = simulator.http2_addresses().to_vec();
    assert_eq!((addresses.len(), simulator.http2_address()), (3, addresses[0]));
    for address in &addresses {
        let _client = support::tls_offering(&simulator, *address, support::Identity::Given, &[b"h2"]).await.unwrap();
    }
    seen(&simulator, |log| log.counts().http2_connections == 3).await;
    let numbers: Vec<u64> = simulator.inspect(|log| {
        let connected = log.entries().iter().filter_map(|entry| match entry {
            Entry::Connected { connection, .. } => Some(*connection),
            _ => None,
        });
        connected.collect()
    });
    assert_eq!(numbers, [1, 2, 3]);
    let taken = Simulator::builder().http2_addresses([any, addresses[1]]).start().await.unwrap_err();
    assert!(matches!(taken, StartError::Bind { address, .. } if address == addresses[1]), "{taken}");
}

#[tokio::test]
async fn connections_can_be_cut_from_outside() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = gateway(&simulator).await;
    client.write(&notifications(1..=2)).await;
    seen(&simulator, |log| log.counts().accepted == 2).await;
    simulator.cut_connections();
    assert!(client.read_to_end().await.1.is_err());
    let mut client = gateway(&simulator).await;
    client.write(&probe(1)).await;
    assert_eq!(response(&client.read_all().await), (2, 1));
}

#[tokio::test]
async fn certificates_can_be_written() {
    let simulator = Simulator::builder().topics(["com.example.other"]).start().await.unwrap();
    let directory = std::env::temp_dir().join(format!("apns-sim-{}", std::process::id())).join("nested");
    simulator.write_certificates(&directory).unwrap();
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    assert_eq!(read("ca.pem"), simulator.ca_pem());
    assert_eq!(read("client.pem"), simulator.client_certificate_pem());
    assert_eq!(read("client.key"), simulator.client_key_pem());
    assert_eq!(read("AuthKey_SIMULATOR0.p8"), simulator.signing_key_pem());
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 5, "the server's key stays where it is");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(directory.join("client.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "for nobody else");
    }
    std::fs::remove_dir_all(directory.parent().unwrap()).unwrap();
}

/// Writes `count` notifications to as many tokens, in large pieces, and has them proven.
async fn write_many(simulator: &Simulator, count: u32) {
    let client = gateway(simulator).await;
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    let writing = tokio::spawn(async move {
        let mut piece = Vec::new();
        for identifier in 1..=count {
            piece.extend(notification(identifier, &token(identifier), PAYLOAD));
            if piece.len() > 256 * 1024 {
                writer.write_all(&piece).await.unwrap();
                piece.clear();
            }
        }
        piece.extend(probe(count + 1));
        writer.write_all(&piece).await.unwrap();
        writer.flush().await.unwrap();
    });
    let mut heard = [0; 6];
    tokio::io::AsyncReadExt::read_exact(&mut reader, &mut heard).await.unwrap();
    assert_eq!(response(&heard), (2, count + 1));
    writing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_are_kept() {
    let simulator = Simulator::start().await.unwrap();
    write_many(&simulator, 100_000).await;
    let received = simulator.received();
    assert_eq!(received.len(), 100_000);
    assert!(received.iter().zip(1..).all(|(record, place)| record.seq == place && record.accepted()));
    assert_eq!(simulator.inspect(|log| log.accepted_for(&token(77_777))), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_enough_for_many_more() {
    let told = Arc::new(AtomicU64::new(0));
    let tell = told.clone();
    let builder = Simulator::builder().keep(Keep::TokenCounts).on_entry(move |entry| {
        tell.fetch_add(u64::from(matches!(entry, Entry::Notification(_))), Ordering::Relaxed);
    });
    let simulator = builder.script(Script::default().invalid_token(TokenPattern::exact([1]))).start().await.unwrap();
    write_many(&simulator, 200_000).await;
    write_many(&simulator, 50_000).await;
    assert_eq!(simulator.counts().accepted, 250_000);
    assert_eq!(told.load(Ordering::Relaxed), 250_000);
    simulator.inspect(|log| {
        assert_eq!(log.entries().len(), 0);
        assert_eq!(log.accepted_by_token().count(), 200_000);
        assert_eq!((log.accepted_for(&token(1)), log.accepted_for(&token(200_000))), (2, 1));
        assert!(log.accepted_by_token().map(|(_, count)| count).sum::<u64>() == 250_000);
    });
}
