//! The tables, and how a database is made ready.

use tokio_postgres::Row;

use super::connections::{Link, Trouble};
use crate::outbox::{OutboxError, moved};

/// The version of the tables, in `meta`.
const VERSION: i64 = 5;

/// Held by the node that makes or changes the tables.
const MIGRATING: i64 = 0x6170_6e73_6400_0001;

/// Held by the one that forgets what is old.
pub(super) const SWEEPING: i64 = 0x6170_6e73_6400_0002;

/// `pending` has what has no outcome yet: `state` is 0 for waiting and 1 for in flight, `claim` is the epoch of the lane and
/// the number of the claim within it, `send_at` the time before which it is not sent, and `route` says which environment it goes
/// to. `mark` has the [marks](crate::outbox::search) of what is pending and what has ended. The places of an app's outcomes are
/// handed out by its row in `app_place`, which is locked until the commit: so they become visible in their order. Texts of others
/// are kept as bytes, because a text of
/// PostgreSQL cannot hold every character.
///
/// `reader` has places of readers: in `outcome` where `used_at` says when the reader was last there, otherwise in `gone`. Its
/// node is the one that reads.
///
/// `tally` has differences, a row for each app and session, so that sessions do not wait for each other; the sum is the truth.
const TABLES: &str = "
    CREATE SEQUENCE apnsd.pending_row INCREMENT BY 10000 MINVALUE 1;
    CREATE TABLE apnsd.app (number int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
        definition text, paused_at bigint, pause_reason bytea);
    CREATE TABLE apnsd.app_place (app int PRIMARY KEY, outcome bigint NOT NULL DEFAULT 0, gone bigint NOT NULL DEFAULT 0)
        WITH (fillfactor = 10);
    CREATE TABLE apnsd.node (name text PRIMARY KEY, incarnation bigint NOT NULL, until timestamptz NOT NULL,
        version text NOT NULL, wants int[] NOT NULL DEFAULT '{}') WITH (fillfactor = 10);
    CREATE TABLE apnsd.lane (app int PRIMARY KEY, node text, incarnation bigint, epoch bigint NOT NULL DEFAULT 0)
        WITH (fillfactor = 10);
    CREATE TABLE apnsd.pending (
        row bigint PRIMARY KEY,
        app int NOT NULL,
        state smallint NOT NULL DEFAULT 0,
        once boolean NOT NULL,
        claim bigint NOT NULL DEFAULT 0,
        due bigint NOT NULL,
        accepted_at bigint NOT NULL,
        attempts bigint NOT NULL DEFAULT 0,
        replays bigint NOT NULL DEFAULT 0,
        retries bigint NOT NULL DEFAULT 0,
        send_at bigint,
        route smallint NOT NULL DEFAULT 0,
        key bytea,
        body bytea NOT NULL,
        tag bytea
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
    CREATE INDEX pending_waiting ON apnsd.pending (app, route, due, row) WHERE state = 0;
    CREATE INDEX pending_once ON apnsd.pending (app, accepted_at) WHERE state = 0 AND once;
    CREATE INDEX pending_flight ON apnsd.pending (app) WHERE state = 1;
    CREATE TABLE apnsd.outcome (app int NOT NULL, place bigint NOT NULL, row bigint NOT NULL UNIQUE, at bigint NOT NULL,
        record text NOT NULL, PRIMARY KEY (app, place));
    CREATE TABLE apnsd.mark (range bigint NOT NULL, mark bigint NOT NULL, row bigint NOT NULL, PRIMARY KEY (range, mark, row));
    CREATE TABLE apnsd.key (app int NOT NULL, key bytea NOT NULL, row bigint NOT NULL, at bigint NOT NULL, digest bytea,
        PRIMARY KEY (app, key));
    CREATE INDEX key_at ON apnsd.key (at);
    CREATE TABLE apnsd.gone (app int NOT NULL, place bigint NOT NULL, token bytea NOT NULL, topic bytea, since bigint,
        found_at bigint NOT NULL, reason bytea NOT NULL, PRIMARY KEY (app, place));
    CREATE TABLE apnsd.reader (app int NOT NULL, name bytea NOT NULL, place bigint NOT NULL, used_at bigint, node text,
        incarnation bigint, PRIMARY KEY (app, name));
    CREATE TABLE apnsd.batch (id bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
    CREATE TABLE apnsd.tally (app int NOT NULL, writer int NOT NULL, waiting bigint NOT NULL, in_flight bigint NOT NULL,
        bytes bigint NOT NULL, PRIMARY KEY (app, writer)) WITH (fillfactor = 10);
    CREATE FUNCTION apnsd.note() RETURNS trigger LANGUAGE plpgsql SET search_path = apnsd, pg_temp AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO tally AS t SELECT app, pg_backend_pid(), count(*) FILTER (WHERE state = 0),
                    count(*) FILTER (WHERE state = 1), sum(length(body)) FROM came GROUP BY app
                ON CONFLICT (app, writer) DO UPDATE SET waiting = t.waiting + excluded.waiting,
                    in_flight = t.in_flight + excluded.in_flight, bytes = t.bytes + excluded.bytes;
        ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO tally AS t SELECT app, pg_backend_pid(), - count(*) FILTER (WHERE state = 0),
                    - count(*) FILTER (WHERE state = 1), - sum(length(body)) FROM went GROUP BY app
                ON CONFLICT (app, writer) DO UPDATE SET waiting = t.waiting + excluded.waiting,
                    in_flight = t.in_flight + excluded.in_flight, bytes = t.bytes + excluded.bytes;
        ELSE
            INSERT INTO tally AS t SELECT app, pg_backend_pid(), sum(n) FILTER (WHERE state = 0),
                    sum(n) FILTER (WHERE state = 1), 0
                FROM (SELECT app, state, 1 AS n FROM came UNION ALL SELECT app, state, -1 FROM went) AS moved
                GROUP BY app HAVING sum(n) FILTER (WHERE state = 0) <> 0
                ON CONFLICT (app, writer) DO UPDATE SET waiting = t.waiting + excluded.waiting,
                    in_flight = t.in_flight + excluded.in_flight;
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER came AFTER INSERT ON apnsd.pending REFERENCING NEW TABLE AS came
        FOR EACH STATEMENT EXECUTE FUNCTION apnsd.note();
    CREATE TRIGGER went AFTER DELETE ON apnsd.pending REFERENCING OLD TABLE AS went
        FOR EACH STATEMENT EXECUTE FUNCTION apnsd.note();
    CREATE TRIGGER moved AFTER UPDATE ON apnsd.pending REFERENCING OLD TABLE AS went NEW TABLE AS came
        FOR EACH STATEMENT EXECUTE FUNCTION apnsd.note();
";

/// What each version has that the one before did not, from the second on: what a node waits for; readers of outcomes; the
/// route of what waits; tags and marks, which what was accepted before does not have.
const STEPS: [&str; 4] = [
    "ALTER TABLE apnsd.node ADD COLUMN wants int[] NOT NULL DEFAULT '{}'",
    "ALTER TABLE apnsd.reader ADD COLUMN used_at bigint, ADD COLUMN node text, ADD COLUMN incarnation bigint",
    "ALTER TABLE apnsd.pending ADD COLUMN route smallint NOT NULL DEFAULT 0;
     DROP INDEX apnsd.pending_waiting;
     CREATE INDEX pending_waiting ON apnsd.pending (app, route, due, row) WHERE state = 0",
    "ALTER TABLE apnsd.pending ADD COLUMN tag bytea;
     CREATE TABLE apnsd.mark (range bigint NOT NULL, mark bigint NOT NULL, row bigint NOT NULL, PRIMARY KEY (range, mark, row))",
];

/// The names under which the two halves of the key of the marks are kept.
const KEY: [&str; 2] = ["mark_key_0", "mark_key_1"];

/// What all nodes have in common.
pub(super) struct Common {
    /// The random part of all names.
    pub(super) names: i64,
    /// The key of the marks.
    pub(super) key: [i64; 2],
}

fn unusable(why: impl std::fmt::Display) -> Trouble {
    Trouble::Store(OutboxError::Unusable(why.to_string()))
}

/// What the server has to be, so that what is accepted is kept.
pub(super) async fn check(link: &Link) -> Result<(), Trouble> {
    let row = link
        .one(
            "SELECT current_setting('server_version_num')::int, current_setting('fsync') = 'on',
             current_setting('full_page_writes') = 'on',
             pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
             current_setting('server_encoding'), current_setting('synchronous_standby_names') = '',
             (SELECT count(*) FROM pg_stat_replication)",
            &[],
        )
        .await?;
    let version: i32 = row.get(0);
    if version < 150_000 {
        return Err(unusable(format_args!("the server is PostgreSQL {}: 15 or later is needed", version / 10_000)));
    }
    for (column, name) in [(1, "fsync"), (2, "full_page_writes")] {
        if !row.get::<_, bool>(column) {
            return Err(unusable(format_args!("the server has {name} = off: a crash of it loses what was accepted")));
        }
    }
    if row.get(3) {
        return Err(unusable("the server is read-only: it is a standby, or the database or role is set so"));
    }
    let encoding: String = row.get(4);
    if encoding != "UTF8" {
        return Err(unusable(format_args!("the database has the encoding {encoding}: UTF8 is needed")));
    }
    if row.get(5) && row.get::<_, i64>(6) > 0 {
        tracing::warn!(
            "the server has standbys, and none is synchronous (synchronous_standby_names is empty): a fail-over may lose what \
             was accepted"
        );
    }
    Ok(())
}

/// Makes the tables, or brings those of an earlier version up to date.
pub(super) async fn migrate(link: &Link) -> Result<Common, Trouble> {
    link.batch(&format!("SELECT pg_advisory_lock({MIGRATING})")).await?;
    let migrated = migrate_alone(link).await;
    // A session that fails here ends, and its lock with it.
    link.batch(&format!("SELECT pg_advisory_unlock({MIGRATING})")).await?;
    migrated
}

async fn migrate_alone(link: &Link) -> Result<Common, Trouble> {
    let there: bool = link.one("SELECT to_regclass('apnsd.meta') IS NOT NULL", &[]).await?.get(0);
    if !there {
        let tag = random()?;
        link.batch(&format!(
            "BEGIN; CREATE SCHEMA IF NOT EXISTS apnsd;
             CREATE TABLE apnsd.meta (name text PRIMARY KEY, value bigint NOT NULL);
             INSERT INTO apnsd.meta VALUES ('version', {VERSION}), ('tag', {tag}), ('registry', 0), ('probe', 0);
             {TABLES}; COMMIT"
        ))
        .await?;
    }
    let read = async || link.rows("SELECT name, value FROM apnsd.meta", &[]).await;
    let value = |meta: &[Row], name: &str| {
        meta.iter().find(|row| row.get::<_, &str>(0) == name).map(|row| row.get::<_, i64>(1))
    };
    let mut meta = read().await?;
    if let Some(earlier) = value(&meta, "version").filter(|version| (1..VERSION).contains(version)) {
        for (step, to) in STEPS.into_iter().zip(2..).filter(|(_, to)| earlier < *to) {
            link.batch(&format!("BEGIN; {step}; UPDATE apnsd.meta SET value = {to} WHERE name = 'version'; COMMIT"))
                .await?;
        }
        meta = read().await?;
    }
    match value(&meta, "version") {
        Some(VERSION) => {}
        version => {
            let version = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            return Err(unusable(format_args!(
                "the tables in the schema apnsd were made by a later version (their version is {version}, this program knows \
                 {VERSION})"
            )));
        }
    }
    if KEY.iter().any(|name| value(&meta, name).is_none()) {
        let [one, other] = [random()?, random()?];
        let [first, second] = KEY;
        let make = format!(
            "INSERT INTO apnsd.meta VALUES ('{first}', {one}), ('{second}', {other}) ON CONFLICT (name) DO NOTHING"
        );
        link.batch(&make).await?;
        meta = read().await?;
    }
    let number = |name: &str| {
        value(&meta, name).ok_or_else(|| unusable(format_args!("the schema apnsd is damaged: its {name} is missing")))
    };
    Ok(Common { names: number("tag")?, key: [number(KEY[0])?, number(KEY[1])?] })
}

/// A number that is kept under a name.
pub(super) async fn number(link: &Link, name: &str) -> Result<Option<i64>, Trouble> {
    Ok(link.rows("SELECT value FROM meta WHERE name = $1", &[&name]).await?.first().map(|row| row.get(0)))
}

/// Refuses a database whose content is elsewhere, or on its way.
pub(super) async fn ensure_here(link: &Link) -> Result<(), Trouble> {
    let (left, leaving) = (number(link, moved::LEFT).await?, number(link, moved::LEAVING).await?);
    moved::ensure_here(left, leaving).map_err(unusable)
}

/// A number that nobody else has.
pub(in crate::outbox) fn random() -> Result<i64, Trouble> {
    let mut bytes = [0; 8];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| unusable("the system gives no random numbers"))?;
    Ok(i64::from_ne_bytes(bytes))
}
