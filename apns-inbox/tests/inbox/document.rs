//! The description of the API and the API are the same.

use std::collections::BTreeSet;

use crate::support::{World, alert, call, hex, sent};

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_every_route_and_nothing_else() {
    let world = World::new().await;
    let client = world.client();
    assert!(sent(&client, alert(1, "hello")).await.is_accepted());
    world.pushes(1, "").await;
    let document = world.get("/openapi.json").await.json();
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let real = path.replace("{seq}", "1").replace("{token}", &hex(1));
        for method in ["get", "put", "post", "delete", "patch"] {
            let there = operations.get(method).is_some();
            if there && (method, path.as_str()) == ("delete", "/v1/pushes") {
                // Last: the others need a push.
                described.insert(format!("{method} {path}"));
                continue;
            }
            let headers = "Content-Type: application/json\r\n";
            let answer = call(world.address(), &method.to_ascii_uppercase(), &real, headers, "{}").await;
            assert_eq!(answer.status != 405, there, "{method} {path}: {answer:?}");
            assert!(answer.status < 500, "{method} {path}: {answer:?}");
            if there {
                let said = &operations[method]["responses"][answer.status.to_string()];
                assert!(said.is_object(), "{method} {path} answers {} and does not say so", answer.status);
                described.insert(format!("{method} {path}"));
            }
        }
    }
    let routes = include_str!("../../src/api/mod.rs");
    let routed = routes.matches("get(").count()
        + [".put(", ".delete(", ".patch(", "post("].iter().map(|verb| routes.matches(verb).count()).sum::<usize>();
    assert_eq!(described.len(), routed, "{described:?}");
    assert_eq!(call(world.address(), "DELETE", "/v1/pushes", "", "").await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_schemas_lead_somewhere_and_answers_have_what_they_require() {
    let world = World::new().await;
    let (client, binary) = (world.client(), world.binary_client());
    assert!(sent(&client, alert(1, "hello")).await.is_accepted());
    drop(sent(&binary, alert(1, "hello")).await);
    world.pushes(2, "").await;
    let document = world.get("/openapi.json").await.json();
    let text = document.to_string();
    let mut references = 0;
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        references += 1;
    }
    assert!(references > 10, "{references}");

    let schema = |name: &str| document["components"]["schemas"][name].clone();
    let compare = |name: &str, value: &serde_json::Value| {
        let schema = schema(name);
        let value = value.as_object().unwrap();
        for required in schema["required"].as_array().unwrap() {
            assert!(value.contains_key(required.as_str().unwrap()), "{name}: {required} is not there: {value:?}");
        }
        for key in value.keys() {
            assert!(schema["properties"].get(key).is_some(), "{name}: {key} is not described");
        }
    };
    for push in world.get("/v1/pushes").await.json()["pushes"].as_array().unwrap() {
        compare("Push", push);
        for finding in push["broken"].as_array().unwrap() {
            compare("Finding", finding);
        }
    }
    compare("Device", &world.get("/v1/devices").await.json()["devices"][0]);
    let phone = world.get(&format!("/v1/devices/{}", hex(1))).await.json();
    compare("Banner", &phone["screen"][0]);
    let parameters = document["paths"]["/v1/pushes"]["get"]["parameters"].as_array().unwrap();
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap();
        let answer = world.get(&format!("/v1/pushes?{name}=1")).await;
        assert!(!answer.body.contains("no such parameter"), "{name}: {answer:?}");
    }
    assert_eq!(parameters.len(), 12);
}

#[test]
fn what_is_in_the_folder_of_documents_is_the_same() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/inbox-openapi.json");
    assert_eq!(std::fs::read_to_string(folder).unwrap(), include_str!("../../src/api/openapi.json"));
}
