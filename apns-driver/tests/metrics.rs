//! What the documentation says of the metrics.

#[test]
fn every_metric_is_in_the_table_of_the_documentation() {
    let table = include_str!("../../docs/observability.md");
    let source = include_str!("../src/stats/figures.rs");
    let names: Vec<_> = source
        .split('"')
        .filter(|text| {
            text.starts_with("apns_") && text.len() > 5 && text.chars().all(|c| c == '_' || c.is_ascii_lowercase())
        })
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(table.contains(&format!("`{name}`")), "{name} is not in docs/observability.md");
    }
}
