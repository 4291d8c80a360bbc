use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;

const LINES: u64 = 60;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn results(&self) -> PathBuf {
        self.folder.path().join("results.jsonl")
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("results.jsonl.journal")
    }

    fn open(&self, start: Start) -> Result<(Store, Known), StoreError> {
        self.open_as(start, undertaking())
    }

    fn open_as(&self, start: Start, undertaking: Undertaking) -> Result<(Store, Known), StoreError> {
        Store::open(&self.results(), start, Some(undertaking), |_| {})
    }

    /// A run that handed over ten lines, wrote two rows, and was killed.
    fn broken_off(&self) {
        let (mut store, _) = self.open(Start::Fresh).unwrap();
        for line in 1..=10 {
            store.journal.as_mut().unwrap().cover(line, Instant::now()).unwrap();
        }
        store.results.row(&row(3, "accepted", false));
        store.results.row(&row(1, "rejected", false));
        store.results.flush();
    }
}

fn undertaking() -> Undertaking {
    let batch = vec![b'\n'; LINES as usize];
    Undertaking {
        batch: Fingerprint::of(&mut &*batch).unwrap(),
        protocol: "binary".to_owned(),
        host: "gateway.example".to_owned(),
        on_loss: "report".to_owned(),
    }
}

fn row(n: u64, outcome: &str, resumed: bool) -> serde_json::Value {
    json!({"n": n, "token": null, "outcome": outcome, "proof": null, "status": null, "reason": null, "timestamp": null,
        "resumed": resumed})
}

fn message(result: Result<(Store, Known), StoreError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_killed_run_is_gone_on_with() {
    let place = Place::new();
    place.broken_off();
    let (store, known) = place.open(Start::Resume).unwrap();
    assert_eq!(known.settled.ranges(), [(1, 1), (3, 3)]);
    assert!(known.departures.may_have_left(10) && !known.departures.may_have_left(LINES));
    assert!(store.journal.is_some());
}

#[test]
fn results_that_are_there_are_not_overwritten() {
    let place = Place::new();
    place.broken_off();
    let before = fs::read(place.results()).unwrap();
    assert!(message(place.open(Start::Fresh)).contains("is there already: go on with --resume"));
    assert_eq!(fs::read(place.results()).unwrap(), before);
}

#[test]
fn resuming_nothing_is_a_beginning() {
    let place = Place::new();
    let (_, known) = place.open(Start::Resume).unwrap();
    assert_eq!((known.settled.len(), known.departures.may_have_left(1)), (0, false));
    // Killed between the two files.
    let place = Place::new();
    fs::write(place.results(), "").unwrap();
    let (_, known) = place.open(Start::Resume).unwrap();
    assert!(!known.departures.may_have_left(1));
}

#[test]
fn one_process_at_a_time() {
    let place = Place::new();
    let held = place.open(Start::Fresh).unwrap();
    assert!(message(place.open(Start::Resume)).contains("is being written by another process"));
    drop(held);
    place.open(Start::Resume).unwrap();
}

#[test]
fn one_without_the_other_is_not_guessed() {
    let place = Place::new();
    place.broken_off();
    fs::rename(place.journal(), place.folder.path().join("aside")).unwrap();
    assert!(message(place.open(Start::Resume)).contains("results.jsonl.journal is missing"));
    fs::rename(place.folder.path().join("aside"), place.journal()).unwrap();
    fs::remove_file(place.results()).unwrap();
    for start in [Start::Fresh, Start::Resume] {
        assert!(
            message(place.open(start))
                .contains("results.jsonl.journal, but the results that belong to it are missing: put them")
        );
    }
}

#[test]
fn a_damaged_journal_or_changed_results_are_not_trusted() {
    let place = Place::new();
    place.broken_off();
    drop(place.open(Start::Resume).unwrap());
    let (results, journal) = (fs::read(place.results()).unwrap(), fs::read(place.journal()).unwrap());
    fs::write(place.journal(), &journal[..journal.len() - 1]).unwrap();
    assert!(message(place.open(Start::Resume)).contains("is damaged: it has 12287 bytes in place of 12288"));
    fs::write(place.journal(), &journal).unwrap();
    fs::write(place.results(), &results[..results.len() - 1]).unwrap();
    assert!(message(place.open(Start::Resume)).contains("was changed since it was written"));
    fs::write(place.results(), &results).unwrap();
    place.open(Start::Resume).unwrap();
}

#[test]
fn another_batch_or_another_option_is_refused() {
    let place = Place::new();
    place.broken_off();
    let batch = Fingerprint::of(&mut &b"x"[..]).unwrap();
    let text = message(place.open_as(Start::Resume, Undertaking { batch, ..undertaking() }));
    assert!(text.contains("the batch is not the one") && text.contains("it had 60 bytes, digest"), "{text}");
    let text = message(place.open_as(Start::Resume, Undertaking { on_loss: "resend".to_owned(), ..undertaking() }));
    assert!(text.contains("was begun with --on-loss report, and this is resend: resume with the same"), "{text}");
    let text = message(place.open_as(Start::Resume, Undertaking { protocol: "http2".to_owned(), ..undertaking() }));
    assert!(text.contains("was begun with the protocol binary, and this is http2"), "{text}");
    place.open(Start::Resume).unwrap();
}

#[test]
fn results_are_a_file() {
    let folder = TempDir::new().unwrap();
    let opened = Store::open(folder.path(), Start::Resume, Some(undertaking()), |_| {});
    assert!(message(opened).contains("is no regular file"));
}

#[cfg(unix)]
#[test]
fn results_and_journal_are_the_owners_alone_and_links_are_not_followed() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let place = Place::new();
    let private = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    place.broken_off();
    assert_eq!((private(&place.results()), private(&place.journal())), (0o600, 0o600));
    fs::set_permissions(place.results(), fs::Permissions::from_mode(0o644)).unwrap();
    place.open(Start::Resume).unwrap();
    assert_eq!(private(&place.results()), 0o600, "also where an older run made it");

    // Where the new journal is written before it takes the place of the old one.
    let other = place.folder.path().join("other");
    fs::write(&other, "kept").unwrap();
    let mut new = place.journal().into_os_string();
    new.push(".new");
    symlink(&other, &new).unwrap();
    place.open(Start::Resume).unwrap();
    // In the place of the journal, and in that of the results, whether they lead somewhere or not.
    fs::remove_file(place.journal()).unwrap();
    symlink(&other, place.journal()).unwrap();
    assert!(message(place.open(Start::Resume)).contains("symbolic link"));
    fs::remove_file(place.journal()).unwrap();
    for target in [&*other, Path::new("nowhere")] {
        for start in [Start::Fresh, Start::Resume] {
            drop(fs::remove_file(place.results()));
            symlink(target, place.results()).unwrap();
            assert!(message(place.open(start)).contains("symbolic link"), "{target:?}");
        }
    }
    assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
    assert!(!place.folder.path().join("nowhere").exists());
}

/// What becomes of a batch over several runs, each killed in the middle of a write.
#[derive(Debug)]
struct Life {
    /// How often each line was sent.
    sent: BTreeMap<u64, u32>,
    resend: bool,
}

/// A run: how much of it happens, and what its last write leaves.
#[derive(Debug, Clone)]
struct RunPlan {
    /// How many lines are handed over before it is killed.
    hands: u64,
    /// For each hand-over, which of the lines under way gets its row next, if any.
    answers: Vec<Option<prop::sample::Index>>,
    /// How many of the last rows were still gathered in the process.
    gathered: usize,
    /// Where the last write was broken off.
    cut: prop::sample::Index,
    /// Whether the last write is one of a row and not of the mark.
    tears_row: bool,
    /// It is not killed but asked to stop: what is under way comes back unsent.
    stops: bool,
    /// How fast lines are handed over.
    pause: u64,
}

fn run_plan() -> impl Strategy<Value = RunPlan> {
    let answers = prop::collection::vec(prop::option::weighted(0.7, any::<prop::sample::Index>()), LINES as usize);
    (0..LINES, answers, 0..4_usize, any::<prop::sample::Index>(), any::<bool>(), prop::bool::weighted(0.2), 0..100_u64)
        .prop_map(|(hands, answers, gathered, cut, tears_row, stops, pause)| RunPlan {
            hands,
            answers,
            gathered,
            cut,
            tears_row,
            stops,
            pause,
        })
}

impl Life {
    /// One run, to its end or until it is killed.
    fn run(&mut self, place: &Place, plan: Option<&RunPlan>) {
        let (mut store, known) = place.open(Start::Resume).unwrap();
        let mut journal = store.journal.take().unwrap();
        let mut rows: Vec<Vec<u8>> = Vec::new();
        let mut under_way: Vec<(u64, bool)> = Vec::new();
        let mut now = Instant::now();
        let written = |n, outcome, resumed| format!("{}\n", row(n, outcome, resumed)).into_bytes();
        let mut handed = 0;
        for line in 1..=LINES {
            if known.settled.contains(line) {
                continue;
            }
            let lost = known.departures.may_have_left(line);
            if lost && !self.resend {
                rows.push(written(line, "unknown", false));
                continue;
            }
            if let Some(plan) = plan
                && handed >= plan.hands
            {
                return self.end(place, plan, journal, rows, &under_way, line, now);
            }
            journal.cover(line, now).unwrap();
            *self.sent.entry(line).or_default() += 1;
            under_way.push((line, lost));
            if let Some(plan) = plan {
                now += Duration::from_millis(plan.pause);
                if let Some(index) = &plan.answers[handed as usize] {
                    let (line, resumed) = under_way.swap_remove(index.index(under_way.len()));
                    rows.push(written(line, "accepted", resumed));
                }
            }
            handed += 1;
        }
        rows.extend(under_way.iter().map(|(line, resumed)| written(*line, "accepted", *resumed)));
        append(&place.results(), &rows.concat());
        journal.finish(&LineSet::default()).unwrap();
    }

    /// The end of a run in the middle of the batch.
    #[expect(clippy::too_many_arguments, reason = "all that a run is made of ends here")]
    fn end(
        &mut self,
        place: &Place,
        plan: &RunPlan,
        mut journal: Journal,
        mut rows: Vec<Vec<u8>>,
        under_way: &[(u64, bool)],
        next: u64,
        now: Instant,
    ) {
        if plan.stops {
            append(&place.results(), &rows.concat());
            let returned: LineSet = under_way.iter().map(|(line, _)| *line..=*line).collect();
            for (line, _) in under_way {
                // They never left.
                *self.sent.get_mut(line).unwrap() -= 1;
            }
            return journal.finish(&returned).unwrap();
        }
        rows.truncate(rows.len().saturating_sub(plan.gathered));
        if plan.tears_row {
            let mut bytes = rows.concat();
            let torn = rows.last().map_or(0, Vec::len);
            bytes.truncate(bytes.len() - torn + plan.cut.index(torn + 1));
            append(&place.results(), &bytes);
            return;
        }
        append(&place.results(), &rows.concat());
        let before = fs::read(place.journal()).unwrap();
        journal.cover(next, now).unwrap();
        let after = fs::read(place.journal()).unwrap();
        let cut = plan.cut.index(after.len() + 1);
        fs::write(place.journal(), [&after[..cut], &before[cut..]].concat()).unwrap();
    }
}

fn append(path: &Path, bytes: &[u8]) {
    File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever write a kill breaks off, and wherever: in the end each line has one row, and the rows are true.
    #[test]
    fn no_line_has_two_rows_and_none_is_lost(plans in prop::collection::vec(run_plan(), 1..5), resend in any::<bool>()) {
        let place = Place::new();
        let mut life = Life { sent: BTreeMap::new(), resend };
        for plan in &plans {
            life.run(&place, Some(plan));
        }
        life.run(&place, None);
        let mut rows = BTreeMap::new();
        let text = fs::read_to_string(place.results()).unwrap();
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let n = row["n"].as_u64().unwrap();
            prop_assert!(rows.insert(n, row).is_none(), "two rows for line {}", n);
        }
        prop_assert!(rows.keys().copied().eq(1..=LINES), "{:?}", rows.keys());
        for (line, row) in &rows {
            let sent = life.sent.get(line).copied().unwrap_or_default();
            let is_resumed = row["resumed"] == true;
            if resend {
                prop_assert!(sent >= 1 && (sent == 1 || is_resumed), "line {} was sent {} times: {}", line, sent, row);
            } else {
                prop_assert!(sent <= 1, "line {} was sent {} times", line, sent);
                prop_assert!(sent == 1 || row["outcome"] == "unknown", "line {} was not sent: {}", line, row);
            }
        }
        let (_, known) = place.open(Start::Resume).unwrap();
        prop_assert_eq!(known.settled.ranges(), [(1, LINES)]);
    }
}
