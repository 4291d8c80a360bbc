//! From `submit` to an outcome.

use apnsd::{Health, Service};

use crate::support::{SOON, World, shop, submit};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_submitted_is_delivered_and_has_an_outcome() {
    let world = World::new().await;
    let service = Service::start(&world.config("")).await.unwrap();
    let ids = submit(&service, 100).await;
    let records = service.wait_all(&ids, SOON).await.unwrap();
    for (id, record) in ids.iter().zip(&records) {
        let record = record.as_ref().expect("each has an outcome");
        assert_eq!((record.id, &*record.outcome), (*id, "accepted"), "{record:?}");
        assert_eq!(record.apns_id.as_deref(), Some(&*id.to_string()));
    }
    assert_eq!(world.simulator.counts().requests, 100);
    assert_eq!(service.snapshot(&shop()).unwrap().health, Health::Working);
    let counts = service.total().await.unwrap();
    assert_eq!((counts.waiting, counts.in_flight, counts.bytes), (0, 0, 0));
    service.stop(SOON).await;
}
