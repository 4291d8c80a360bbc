//! When feedback counts as read.

use apns_sim::Simulator;
use axum::body::to_bytes;
use http_body_util::BodyExt as _;

use super::*;
use crate::config::Config;
use crate::outbox::Outbox;
use crate::outbox::sqlite::SqliteOutbox;

#[tokio::test]
async fn feedback_is_told_again_when_its_answer_did_not_leave() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = Simulator::builder().start().await.unwrap();
    simulator.write_certificates(folder.path()).unwrap();
    let text = "data = \"data\"\n[apps.shop]\nenvironment = \"sandbox\"\ncertificate = \"client.pem\"\n\
                key = \"client.key\"\nhost = \"localhost\"\nport = 1\nca = \"ca.pem\"\n";
    let config = Config::parse(text, folder.path()).unwrap();
    let outbox = Arc::new(SqliteOutbox::open(&config.data, config.bounds.clone()).unwrap());
    let service = Service::start_with(&config, outbox.clone()).await.unwrap();
    let pyapns = Pyapns::new(service.clone(), Limits::default(), PyapnsConfig::new(None, None));

    let app: AppName = "shop".parse().unwrap();
    let gone = |number: u64, since: Option<u64>| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        GoneToken {
            token: apns_proto::DeviceToken::from_bytes(bytes).unwrap(),
            topic: None,
            since: since.map(WallTime::from_secs),
            found_at: WallTime::from_secs(2_000_000_000),
            reason: "Unregistered".into(),
        }
    };
    // More than one page, and one that nobody is told of.
    let count = FEEDBACK_PAGE as u64 + 10;
    let all = std::iter::once(gone(u64::MAX, None)).chain((0..count).map(|number| gone(number, Some(number))));
    outbox.note_gone(&app, all.collect()).await.unwrap();

    let told = pyapns.feedback(&app).await.unwrap();
    assert_eq!(told.tokens.len(), FEEDBACK_PAGE + 10);
    assert!(told.tokens.is_sorted_by_key(|one| one.since), "oldest first");
    let answer = pyapns.clearing_answer(app.clone(), "text/plain", "told".to_owned(), told.upto);
    let mut body = answer.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "tol");
    drop(body);
    let again = pyapns.feedback(&app).await.unwrap();
    assert_eq!(again.tokens.len(), FEEDBACK_PAGE + 10);
    let answer = pyapns.clearing_answer(app.clone(), "text/plain", "told".to_owned(), again.upto);
    assert_eq!(answer.headers()[header::CONTENT_LENGTH], "4");
    assert_eq!(to_bytes(answer.into_body(), 100).await.unwrap(), "told");
    let nothing = pyapns.feedback(&app).await.unwrap();
    assert!(nothing.tokens.is_empty());

    // What cannot be kept as read is not told to its end.
    service.stop(Duration::ZERO).await;
    let answer = pyapns.clearing_answer(app, "text/plain", "told".to_owned(), nothing.upto);
    assert!(to_bytes(answer.into_body(), 100).await.is_err());
}

#[test]
fn each_token_is_told_once_with_what_was_found_out_last() {
    let gone = |token: &str, since| Gone { token: token.to_owned(), since: WallTime::from_secs(since) };
    let told = latest_of_each(vec![gone("aa", 1), gone("bb", 2), gone("aa", 3), gone("cc", 4), gone("bb", 5)]);
    let told: Vec<_> = told.iter().map(|gone| (&*gone.token, gone.since.as_secs())).collect();
    assert_eq!(told, [("aa", 3), ("cc", 4), ("bb", 5)]);
}
