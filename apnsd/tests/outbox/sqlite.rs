//! What is particular to the store in one file.

use std::path::PathBuf;

use apns_proto::DeviceToken;
use apnsd::outbox::sqlite::SqliteOutbox;
use apnsd::outbox::{Bounds, Cursor, Outbox as _, Search};

use crate::home::Folder;
use crate::{app, entry};

/// A thousand callers do not cost a thousand syncs. The writer takes what waits while it commits, so that the number of
/// commits is far below the number of callers however fast the disk is.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_share_syncs() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default());
    let app = app("one");
    outbox.accept(&app, vec![entry(0, None, 1)]).await.unwrap();
    let before = outbox.commits();
    // All ask before any is answered.
    let asked: Vec<_> = (0..1000).map(|_| outbox.accept(&app, vec![entry(1, None, 1)])).collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().len(), 1);
    }
    let commits = outbox.commits() - before;
    assert!(commits <= 100, "{commits} commits");
    assert_eq!(outbox.counts(&app).await.unwrap().waiting, 1001);
    outbox.close().await.unwrap();
}

/// A file of a later version is not touched.
#[tokio::test]
async fn a_later_version_is_left_alone() {
    let folder = Folder::new();
    folder.open(Bounds::default()).close().await.unwrap();
    let connection = rusqlite::Connection::open(folder.0.join("outbox.sqlite3")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = SqliteOutbox::open(&folder.0, Bounds::default()).unwrap_err();
    assert!(error.to_string().contains("later version"), "{error}");
}

/// What each version of the tables has that the one before did not, undone: the latest first.
const UNDONE: [&str; 8] = [
    "DROP TABLE mark; ALTER TABLE pending DROP COLUMN tag; DELETE FROM meta WHERE name LIKE 'mark_key_%';
     PRAGMA user_version = 8",
    "DROP INDEX pending_waiting; ALTER TABLE pending DROP COLUMN route;
     CREATE INDEX pending_waiting ON pending (app, due, row) WHERE state = 0; PRAGMA user_version = 7",
    "ALTER TABLE reader DROP COLUMN used_at; ALTER TABLE app DROP COLUMN forgotten; PRAGMA user_version = 6",
    "ALTER TABLE pending DROP COLUMN send_at; PRAGMA user_version = 5",
    "ALTER TABLE pending DROP COLUMN claim; PRAGMA user_version = 4",
    "ALTER TABLE app DROP COLUMN paused_at; ALTER TABLE app DROP COLUMN pause_reason; PRAGMA user_version = 3",
    "DROP INDEX pending_once; ALTER TABLE pending DROP COLUMN once; PRAGMA user_version = 2",
    "ALTER TABLE key DROP COLUMN digest; PRAGMA user_version = 1",
];

#[tokio::test]
async fn files_of_all_versions_before_go_on() {
    for steps in 1..=UNDONE.len() {
        let folder = Folder::new();
        let outbox = folder.open(Bounds::default());
        let app = app("one");
        let first = outbox.accept(&app, vec![entry(1, Some(1), 1000)]).await.unwrap().swap_remove(0);
        outbox.close().await.unwrap();
        let connection = rusqlite::Connection::open(folder.0.join("outbox.sqlite3")).unwrap();
        UNDONE[..steps].iter().for_each(|undo| connection.execute_batch(undo).unwrap());
        drop(connection);
        let outbox = folder.open(Bounds::default());
        let again = outbox.accept(&app, vec![entry(1, Some(1), 1100)]).await.unwrap().swap_remove(0);
        assert_eq!((again.id, again.duplicate), (first.id, true));
        assert_eq!(outbox.pauses().await.unwrap(), []);
        // What comes from now on is found.
        let later = outbox.accept(&app, vec![entry(2, None, 1200)]).await.unwrap().swap_remove(0);
        let search = Search { token: Some(DeviceToken::from_bytes([2; 32]).unwrap()), ..Search::default() };
        let found = outbox.search(&app, search, &Cursor::default(), 9).await.unwrap();
        assert_eq!(found.notifications.iter().map(|one| one.id).collect::<Vec<_>>(), [later.id]);
        outbox.close().await.unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_for_their_owner_alone_whatever_the_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode_of = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set_mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let files = |folder: &Folder| -> Vec<PathBuf> {
        std::fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().path()).collect()
    };
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).unwrap();
    set_mode(&folder.0, 0o755);
    let outbox = folder.open(Bounds::default());
    outbox.accept(&app("one"), vec![entry(1, None, 1000)]).await.unwrap();
    let made = files(&folder);
    assert!(made.len() >= 4, "file, log, index of the log and lock: {made:?}");
    made.iter().for_each(|file| assert_eq!(mode_of(file), 0o600, "{file:?}"));
    // As a kill leaves them, and open to others, as an earlier version made them.
    let copy = Folder::new();
    std::fs::create_dir_all(&copy.0).unwrap();
    for file in made {
        let to = copy.0.join(file.file_name().unwrap());
        std::fs::copy(&file, &to).unwrap();
        set_mode(&to, 0o644);
    }
    outbox.close().await.unwrap();
    let outbox = copy.open(Bounds::default());
    assert_eq!(outbox.total().await.unwrap().waiting, 1);
    files(&copy).iter().for_each(|file| assert_eq!(mode_of(file), 0o600, "{file:?}"));
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn after_a_close_the_main_file_has_everything() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default());
    let entries = (0..100).map(|number| entry(number, None, 1000)).collect();
    outbox.accept(&app("one"), entries).await.unwrap();
    outbox.lookup(Vec::new()).await.unwrap();
    outbox.close().await.unwrap();
    let copy = Folder::new();
    std::fs::create_dir_all(&copy.0).unwrap();
    std::fs::copy(folder.0.join("outbox.sqlite3"), copy.0.join("outbox.sqlite3")).unwrap();
    let outbox = copy.open(Bounds::default());
    assert_eq!(outbox.total().await.unwrap().waiting, 100);
    outbox.close().await.unwrap();
}
