//! Connections that go wrong, byte by byte.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod support;

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::{Duration, Instant};

use apns_proto::binary::Status;
use apns_sim::{
    ClientAuth, Cut, CutHow, Entry, Faults, HandshakeFault, Junk, Script, Simulator, Stall, TlsVersion, TokenPattern,
};
use support::{
    Identity, PATIENCE, PAYLOAD, emitted, gateway, notification, notifications, probe, response, seen, tls, token,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn with(faults: Faults) -> Simulator {
    Simulator::builder().script(Script::default().gateway_faults(faults)).start().await.unwrap()
}

#[tokio::test]
async fn a_cut_falls_on_the_very_byte() {
    let one = notifications([1]).len() as u64;
    for how in [CutHow::Reset, CutHow::End] {
        // Before, on, and behind the edge of the second notification.
        for (after, whole) in [(2 * one - 1, 1), (2 * one, 2), (2 * one + 1, 2)] {
            let simulator = with(Faults::default().connection(1).cut(Cut::after_read(after).how(how))).await;
            let mut client = gateway(&simulator).await;
            client.write(&notifications(1..=4)).await;
            let (heard, end) = client.read_to_end().await;
            assert_eq!(heard, b"");
            let kind = end.expect_err("TLS had no goodbye").kind();
            assert!(
                matches!(kind, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof),
                "{how:?}: {kind:?}"
            );
            assert_eq!(simulator.counts().notifications, whole, "after {after} bytes");

            // The fault is that of the first connection only.
            let mut client = gateway(&simulator).await;
            client.write(&notifications(1..=4)).await;
            client.write(&probe(5)).await;
            assert_eq!(response(&client.read_all().await), (2, 5));
        }
    }
}

#[tokio::test]
async fn a_cut_leaves_no_time_to_answer() {
    // The culprit ends at the byte where the cut is.
    let bytes = notifications([1]);
    let faults = Faults::default().cut(Cut::after_read(bytes.len() as u64).how(CutHow::End));
    let script = Script::default().invalid_token("*".parse::<TokenPattern>().unwrap()).gateway_faults(faults);
    let simulator = Simulator::builder().script(script).start().await.unwrap();
    let mut client = gateway(&simulator).await;
    client.write(&bytes).await;
    assert_eq!(client.read_to_end().await.0, b"");
    assert_eq!(simulator.counts().refused, 1, "it was read and judged all the same");
}

#[tokio::test]
async fn an_error_response_can_be_cut_anywhere() {
    for length in 0..6 {
        let simulator = with(Faults::default().cut(Cut::after_written(length))).await;
        let mut client = gateway(&simulator).await;
        client.write(&probe(7)).await;
        let (heard, end) = client.read_to_end().await;
        assert_eq!(heard, &emitted(Status::MISSING_DEVICE_TOKEN, 7)[..length as usize]);
        assert_eq!(end.expect_err("TLS had no goodbye").kind(), std::io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn an_error_response_can_come_in_slow_pieces() {
    let one_byte = NonZeroUsize::new(1).unwrap();
    let simulator = with(Faults::default().write_pieces(one_byte).write_delay_ms(10)).await;
    let mut client = gateway(&simulator).await;
    client.write(&probe(7)).await;
    let begun = Instant::now();
    let mut heard = Vec::new();
    let mut buffer = [0; 16];
    loop {
        let count = timeout(PATIENCE, client.stream.read(&mut buffer)).await.unwrap().unwrap();
        if count == 0 {
            break;
        }
        heard.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(response(&heard), (2, 7));
    assert!(begun.elapsed() >= Duration::from_millis(60), "six pieces, each of which waits");
}

#[tokio::test]
async fn the_gateway_closes_after_so_many() {
    for taken in [0, 1, 3] {
        let simulator = with(Faults::default().close_after(taken)).await;
        let mut client = gateway(&simulator).await;
        // With 0 the close may be there before the write is over.
        let _ = client.stream.write_all(&notifications(1..=5)).await;
        let _ = client.stream.flush().await;
        assert_eq!(client.read_all().await, b"", "an orderly end without a word");
        let counts = simulator.counts();
        assert_eq!((counts.notifications, counts.accepted), (taken, taken));
    }
}

#[tokio::test]
async fn a_stalled_gateway_stops_the_writer_until_it_goes_on() {
    let one = notification(1, &token(1), &[b' '; 2000]);
    let plenty = 8 * 1024 * 1024 / one.len();
    let stall = Stall::after_read(2 * one.len() as u64 + 5).for_ms(400);
    let simulator = with(Faults::default().stall(stall)).await;
    let client = gateway(&simulator).await;
    let (mut reader, mut writer) = tokio::io::split(client.stream);

    let begun = Instant::now();
    let all = one.repeat(plenty);
    let writing = tokio::spawn(async move {
        writer.write_all(&all).await.unwrap();
        writer.write_all(&probe(2)).await.unwrap();
        writer.flush().await.unwrap();
        begun.elapsed()
    });
    seen(&simulator, |log| log.counts().notifications == 2).await;
    let took = timeout(PATIENCE, writing).await.unwrap().unwrap();
    assert!(took >= Duration::from_millis(400), "buffers took all of it: {took:?}");
    let mut heard = Vec::new();
    timeout(PATIENCE, reader.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert_eq!(response(&heard), (2, 2));
    assert_eq!(simulator.counts().accepted, plenty as u64);
}

#[tokio::test]
async fn a_stall_may_last_for_ever_and_still_answer() {
    // Refused is the second; of the third nothing is read.
    let two = notifications(1..=2);
    let faults = Faults::default().stall(Stall::after_read(two.len() as u64));
    let script = Script::default().invalid_token(TokenPattern::exact(token(2))).gateway_faults(faults);
    let simulator = Simulator::builder().script(script).start().await.unwrap();
    let client = gateway(&simulator).await;
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    let writing = tokio::spawn(async move {
        let more = notification(3, &token(3), &[b' '; 2000]).repeat(10_000);
        let _ = writer.write_all(&two).await;
        writer.write_all(&more).await
    });
    let mut heard = [0; 6];
    timeout(PATIENCE, reader.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(response(&heard), (8, 2));
    assert!(!writing.is_finished(), "20 MB do not fit into any buffer");
    assert_eq!(simulator.counts().notifications, 2);
    simulator.stop().await;
    // The writer is set free by the end of the connection.
    assert!(timeout(PATIENCE, writing).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn junk_of_any_length_comes_instead_of_the_protocol() {
    for length in [1, 100_000] {
        let simulator = with(Faults::default().junk(Junk::Bytes(NonZeroU64::new(length).unwrap()))).await;
        let mut client = gateway(&simulator).await;
        client.write(&notifications(1..=2)).await;
        let heard = client.read_all().await;
        assert_eq!(heard.len() as u64, length);
        assert_ne!(heard[0], 8);
        assert_eq!(simulator.counts().notifications, 0);
    }
}

#[tokio::test]
async fn a_gigabyte_of_junk_is_made_while_it_is_read() {
    let simulator = with(Faults::default().junk(Junk::Bytes(NonZeroU64::new(1 << 30).unwrap()))).await;
    let mut client = gateway(&simulator).await;
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..100 {
        timeout(PATIENCE, client.stream.read_exact(&mut buffer)).await.unwrap().unwrap();
    }
    drop(client);
    seen(&simulator, |log| log.counts().closed == 1).await;
}

#[tokio::test]
async fn chosen_bytes_can_come_instead_of_the_protocol() {
    let simulator = with(Faults::default().junk(Junk::Hex("080800".parse().unwrap()))).await;
    let mut client = gateway(&simulator).await;
    assert_eq!(client.read_all().await, [8, 8, 0]);
}

#[tokio::test]
async fn junk_can_come_in_the_place_of_tls() {
    let simulator = with(Faults::default().junk(Junk::BytesBeforeTls(NonZeroU64::new(1000).unwrap()))).await;
    assert!(tls(&simulator, simulator.gateway_address(), Identity::Given).await.is_err());
    let mut tcp = TcpStream::connect(simulator.gateway_address()).await.unwrap();
    let mut heard = Vec::new();
    timeout(PATIENCE, tcp.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard.len(), 1000);
}

#[tokio::test]
async fn a_handshake_may_never_end() {
    let simulator = with(Faults::default().connection(1).handshake(HandshakeFault::Never)).await;
    let mut tcp = TcpStream::connect(simulator.gateway_address()).await.unwrap();
    tcp.write_all(&[0x16, 3, 1]).await.unwrap();
    let heard = timeout(Duration::from_millis(200), tcp.read_u8()).await;
    assert!(heard.is_err(), "not a byte, and not the end: {heard:?}");
    drop(tcp);
    seen(&simulator, |log| log.counts().failed_handshakes == 1).await;
    gateway(&simulator).await;
}

#[tokio::test]
async fn a_slow_handshake_ends_in_time() {
    let simulator = with(Faults::default().handshake_delay_ms(150)).await;
    let begun = Instant::now();
    gateway(&simulator).await;
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn client_certificates_are_refused_in_the_words_of_tls() {
    let cases = [
        (HandshakeFault::RefuseRevoked, "CertificateRevoked"),
        (HandshakeFault::RefuseExpired, "CertificateExpired"),
        (HandshakeFault::RefuseUnknownAuthority, "UnknownCA"),
    ];
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        for (fault, alert) in cases {
            let script = Script::default().gateway_faults(Faults::default().handshake(fault));
            let simulator = Simulator::builder().highest_tls(version).script(script).start().await.unwrap();
            let error = match tls(&simulator, simulator.gateway_address(), Identity::Given).await {
                // With TLS 1.3 the client's handshake is over by then.
                Ok(mut client) => {
                    let _ = client.stream.write_all(&notifications(1..=3)).await;
                    client.read_to_end().await.1.unwrap_err()
                }
                Err(error) => error,
            };
            assert!(error.to_string().contains(alert), "{version:?}, {fault:?}: {error}");
            seen(&simulator, |log| log.counts().failed_handshakes == 1).await;
            assert_eq!(simulator.counts().notifications, 0);
        }
    }
}

#[tokio::test]
async fn clients_need_a_certificate_unless_none_is_asked_for() {
    let simulator = Simulator::builder().highest_tls(TlsVersion::V1_2).start().await.unwrap();
    assert!(tls(&simulator, simulator.gateway_address(), Identity::None).await.is_err());

    let simulator = Simulator::builder().client_auth(ClientAuth::NotAsked).start().await.unwrap();
    for identity in [Identity::None, Identity::Given] {
        let mut client = tls(&simulator, simulator.gateway_address(), identity).await.unwrap();
        client.write(&probe(1)).await;
        assert_eq!(response(&client.read_all().await), (2, 1));
    }

    // One that another simulator's authority issued is no good.
    let (one, other) = (Simulator::start().await.unwrap(), Simulator::start().await.unwrap());
    assert!(tls(&one, other.gateway_address(), Identity::Given).await.is_err());
}

#[tokio::test]
async fn either_version_of_tls_is_spoken() {
    for (version, name) in [(TlsVersion::V1_2, "1.2"), (TlsVersion::V1_3, "1.3")] {
        let simulator = Simulator::builder().highest_tls(version).start().await.unwrap();
        let mut client = gateway(&simulator).await;
        client.write(&notification(1, &token(1), PAYLOAD)).await;
        client.write(&probe(2)).await;
        assert_eq!(response(&client.read_all().await), (2, 2));
        let spoken = simulator.inspect(|log| {
            log.entries().iter().find_map(|entry| match entry {
                Entry::Connected { tls, .. } => Some(*tls),
                _ => None,
            })
        });
        assert_eq!(spoken, Some(name));
    }
}
