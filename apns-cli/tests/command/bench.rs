//! The benchmark measures what it says. How fast it was is nobody's business here.

use std::fs;

use serde_json::Value;

use crate::support::run;

#[test]
fn every_measurement_is_a_row_of_the_table_and_of_the_file() {
    let json = std::env::temp_dir().join(format!("apns-bench-test-{}.jsonl", std::process::id()));
    let arguments = "bench --count 300 --payload 100 --connections 1,2 --latency 20 --memory --json";
    let run = run(arguments.split(' ').map(Into::into).chain([json.clone().into_os_string()])).expect(0);
    let rows: Vec<Value> =
        fs::read_to_string(&json).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    fs::remove_file(&json).unwrap();

    let done: Vec<_> = rows
        .iter()
        .map(|row| {
            let task = &row["task"];
            assert_eq!(row["accepted"], task["count"], "{row}");
            assert!(row["seconds"].as_f64().unwrap() > 0.0 && row["cpu_ns"].as_u64().unwrap() > 0, "{row}");
            let text = |name: &str| task[name].as_str().unwrap().to_owned();
            (text("protocol"), text("what"), task["count"].as_u64().unwrap(), task["connections"].as_u64().unwrap())
        })
        .collect();
    let expected = |protocol: &str, latency: bool| {
        let row = |what: &str, count, connections| (protocol.to_owned(), what.to_owned(), count, connections);
        let mut rows = vec![row("throughput", 300, 1), row("throughput", 300, 2)];
        rows.extend(latency.then(|| row("latency", 20, 1)));
        rows.extend([300, 3000, 300, 3000].map(|count| row("memory", count, 1)));
        rows
    };
    assert_eq!(done, [expected("binary", false), expected("http2", true)].concat());
    assert_eq!(run.stdout.lines().count(), 1 + rows.len(), "{}", run.stdout);
}
