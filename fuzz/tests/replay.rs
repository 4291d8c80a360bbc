//! Every committed input holds, on the stable toolchain: seeds, and inputs that once found something.

use std::fs;
use std::path::{Path, PathBuf};

use apns_fuzz::TARGETS;

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target)
}

/// The inputs in a folder, which may not be there.
fn inputs(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    paths.sort();
    paths
}

fn replay(kind: &str) -> usize {
    let mut replayed = 0;
    for (name, body) in TARGETS {
        for path in inputs(&folder(kind, name)) {
            let bytes = fs::read(&path).expect("an input can be read");
            if std::panic::catch_unwind(|| body(&bytes)).is_err() {
                panic!("cargo run --manifest-path fuzz/Cargo.toml --bin {name} {}", path.display());
            }
            replayed += 1;
        }
    }
    replayed
}

#[test]
fn every_seed_holds() {
    assert!(replay("corpus") > 0, "the seeds are not there");
}

#[test]
fn what_was_found_once_stays_mended() {
    replay("regressions");
}

#[test]
fn every_target_has_a_program_a_seed_and_nothing_else_has() {
    let mut names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let programs = inputs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets"));
    let programs: Vec<_> = programs.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(programs, names);
    for name in names {
        assert!(!inputs(&folder("corpus", name)).is_empty(), "{name} has no seeds");
    }
    for kind in ["corpus", "regressions"] {
        for path in inputs(&Path::new(env!("CARGO_MANIFEST_DIR")).join(kind)) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(TARGETS.iter().any(|(target, _)| *target == name), "{} belongs to no target", path.display());
        }
    }
}

/// Bodies hold for what is not an input of theirs at all.
#[test]
fn every_target_takes_the_seeds_of_every_other() {
    for (target, _) in TARGETS {
        for path in inputs(&folder("corpus", target)).iter().take(5) {
            let bytes = fs::read(path).expect("an input can be read");
            for (name, body) in TARGETS {
                if std::panic::catch_unwind(|| body(&bytes)).is_err() {
                    panic!("cargo run --manifest-path fuzz/Cargo.toml --bin {name} {}", path.display());
                }
            }
        }
    }
}
