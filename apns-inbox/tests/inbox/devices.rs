//! Devices: what is seen on them, and what a person or a test says of them.

use apns_tokio::proto::PushType;

use crate::support::{World, alert, collapsing, hex, of_type, sent};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_shows_what_a_phone_would() {
    let world = World::new().await;
    let client = world.client();
    drop(sent(&client, collapsing(1, "Order 17 is cooking", "order-17")).await);
    drop(sent(&client, collapsing(1, "Order 17 is ready", "order-17")).await);
    drop(
        sent(&client, of_type(1, PushType::Alert, r#"{"aps":{"alert":{"loc-key":"FMT","loc-args":["a"]},"badge":3}}"#))
            .await,
    );
    drop(sent(&client, of_type(1, PushType::Voip, r#"{"call":1}"#)).await);
    world.pushes(4, "").await;
    let phone = world.get(&format!("/v1/devices/{}", hex(1))).await.json();
    assert_eq!((&phone["state"], &phone["badges"]["com.example.app"]), (&"online".into(), &3.into()));
    let screen = phone["screen"].as_array().unwrap();
    assert_eq!(screen.len(), 2);
    assert_eq!((&screen[0]["kind"], &screen[0]["body"]["key"]), (&"banner".into(), &"FMT".into()));
    assert_eq!(screen[0]["badge"], serde_json::json!([0, 3]));
    assert_eq!((&screen[1]["title"], &screen[1]["replaced"]), (&"Order 17 is ready".into(), &1.into()));
    assert_eq!(phone["behind"][0]["type"], "voip");
    let devices = world.get("/v1/devices").await.json();
    assert_eq!((&devices["devices"][0]["token"], &devices["devices"][0]["pushes"]), (&hex(1).into(), &4.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_goes_away_and_comes_back() {
    let world = World::new().await;
    let client = world.client();
    let device = format!("/v1/devices/{}", hex(1));
    let away = world.json("PATCH", &device, r#"{"online": false, "name": "Test phone"}"#).await.json();
    assert_eq!((&away["state"], &away["name"]), (&"offline".into(), &"Test phone".into()));
    drop(sent(&client, alert(1, "first")).await);
    drop(sent(&client, alert(1, "second")).await);
    world.pushes(2, "").await;
    let phone = world.get(&device).await.json();
    assert_eq!((phone["screen"].as_array().unwrap().len(), phone["held"].as_array().unwrap().len()), (0, 1));
    let phone = world.json("PATCH", &device, r#"{"online": true}"#).await.json();
    let screen = phone["screen"].as_array().unwrap();
    assert_eq!((screen.len(), &screen[0]["title"], &screen[0]["late"]), (1, &"second".into(), &true.into()));
    let phone = world.json("PATCH", &device, r#"{"name": null}"#).await.json();
    assert_eq!(phone["name"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_said_of_a_device_is_named() {
    let world = World::new().await;
    let device = format!("/v1/devices/{}", hex(1));
    assert_eq!(world.json("PATCH", &device, r#"{"nam": "x"}"#).await.problem(), "#invalid");
    assert_eq!(world.json("PATCH", &device, "{").await.problem(), "#invalid");
    assert_eq!(
        world.json("PATCH", &device, &format!(r#"{{"name": "{}"}}"#, "x".repeat(201))).await.problem(),
        "#invalid"
    );
    let many: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    let many = serde_json::json!({ "follows": many }).to_string();
    assert_eq!(world.json("PATCH", &device, &many).await.problem(), "#too-many");
    assert_eq!(world.json("PATCH", "/v1/devices/xyz", "{}").await.problem(), "#invalid");
    assert_eq!(world.get("/v1/devices/0").await.problem(), "#invalid");
    let large = format!(r#"{{"name": "{}"}}"#, "x".repeat(5 * 1024 * 1024));
    assert_eq!(world.json("PATCH", &device, &large).await.problem(), "#body-too-large");
}
