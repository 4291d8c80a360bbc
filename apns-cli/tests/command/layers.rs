//! The modules of the command stand on each other, and none on one above it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The modules, each with those that it names. What belongs to one subcommand is one of them.
fn modules(folder: &Path, parent: &[String], found: &mut BTreeMap<String, BTreeSet<String>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let place: Vec<String> = if stem == "mod" { parent.to_vec() } else { [parent, &[stem]].concat() };
        if path.is_dir() {
            modules(&path, &place, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap().lines().filter(|line| !line.trim().starts_with("//"));
        let code: String = code.collect::<Vec<_>>().join(" ");
        let named = found.entry(place[..place.len().min(2)].join("::")).or_default();
        let above = &place[..place.len().saturating_sub(1)];
        for (start, from) in [("crate::", &[][..]), ("super::", above)] {
            for rest in code.split(start).skip(1) {
                let end = rest.find(|c: char| !c.is_alphanumeric() && !"_:".contains(c)).unwrap_or(rest.len());
                let names = rest[..end].split("::").filter(|name| !name.is_empty()).map(str::to_owned);
                named.insert(from.iter().cloned().chain(names).collect::<Vec<_>>().join("::"));
            }
        }
    }
}

#[test]
fn no_module_stands_on_one_above_it() {
    let mut found = BTreeMap::new();
    modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[], &mut found);
    assert!(found.len() > 30, "{found:?}");
    let known: BTreeSet<String> = found.keys().cloned().collect();
    let module = |name: &str| {
        let mut parts: Vec<&str> = name.split("::").take(2).collect();
        while !parts.is_empty() && !known.contains(&parts.join("::")) {
            parts.pop();
        }
        parts.join("::")
    };
    let mut left: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, named) in &found {
        let below = named.iter().map(|named| module(named)).filter(|below| !below.is_empty() && below != name);
        left.insert(name.clone(), below.collect());
    }
    // A folder stands on what is in it.
    for name in &known {
        if let Some((folder, _)) = name.split_once("::") {
            left.entry(folder.to_owned()).or_default().insert(name.clone());
        }
    }
    // What stands on nothing that is left is taken away, until nothing is left.
    while !left.is_empty() {
        let ready: Vec<String> =
            left.iter().filter(|(_, below)| below.is_empty()).map(|(name, _)| name.clone()).collect();
        assert!(!ready.is_empty(), "these stand on each other: {left:#?}");
        left.retain(|name, _| !ready.contains(name));
        left.values_mut().for_each(|below| below.retain(|name| !ready.contains(name)));
    }
    let batch = |name: &String| name.starts_with("batch");
    let above = ["command", "draft", "line", "reading", "report", "settings", "connection"];
    for (name, named) in found.iter().filter(|(name, _)| batch(name)) {
        assert!(!named.iter().any(|named| above.iter().any(|above| named.starts_with(above))), "{name}: {named:?}");
    }
}
