//! Readers of outcomes. One node at a time reads under a name: the one that has the app's lane, where there is one.

use apns_proto::WallTime;

use super::connections::{Link, Trouble};
use super::read::{app_name, limited, parse_record};
use super::{Shared, cursor, millis, time, unsigned};
use crate::AppName;
use crate::outbox::reading::COUNTED;
use crate::outbox::{Backlog, Cursor, OutcomeRecord, ReadFrom, Unread};

/// Where a reader stands, and who else is there.
const LOOK: &str = "SELECT a.number, r.place, p.outcome, r.node, r.incarnation,
        coalesce(r.node = $3 AND r.incarnation = $4, false),
        EXISTS (SELECT 1 FROM node AS n WHERE n.name = r.node AND n.incarnation = r.incarnation
            AND n.until > clock_timestamp()),
        EXISTS (SELECT 1 FROM lane AS l JOIN node AS n ON n.name = l.node AND n.incarnation = l.incarnation
            WHERE l.app = a.number AND n.until > clock_timestamp()
            AND NOT (l.node = $3 AND l.incarnation = $4)),
        EXISTS (SELECT 1 FROM node AS n WHERE n.name = $3 AND n.incarnation = $4 AND n.until > clock_timestamp())
    FROM app AS a JOIN app_place AS p ON p.app = a.number JOIN reader AS r ON r.app = a.number
    WHERE a.name = $1 AND r.name = $2 AND r.used_at IS NOT NULL";

impl Shared {
    pub(super) async fn begin_reading(
        &self,
        link: &Link,
        app: &AppName,
        reader: &str,
        from: ReadFrom,
        now: WallTime,
    ) -> Result<(), Trouble> {
        let number = self.number_of(link, app).await?;
        let note = match from {
            ReadFrom::Newest => {
                "INSERT INTO reader (app, name, place, used_at) SELECT app, $2, outcome, $3 FROM app_place WHERE app = $1
                    ON CONFLICT (app, name) DO UPDATE SET used_at = excluded.used_at"
            }
            ReadFrom::Beginning => {
                "INSERT INTO reader (app, name, place, used_at) SELECT app, $2,
                        coalesce((SELECT min(place) - 1 FROM outcome WHERE app = $1), outcome), $3
                    FROM app_place WHERE app = $1
                    ON CONFLICT (app, name) DO UPDATE SET used_at = excluded.used_at"
            }
        };
        link.run(note, &[&number, &reader.as_bytes(), &millis(now)]).await.map(drop)
    }

    pub(super) async fn unread_outcomes(
        &self,
        link: &Link,
        app: &AppName,
        reader: &str,
        after: i64,
        limit: usize,
    ) -> Result<Option<Unread>, Trouble> {
        let (node, incarnation) = (self.node.name(), self.node.incarnation());
        let found = link.rows(LOOK, &[&app.as_str(), &reader.as_bytes(), &node, &incarnation]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let (number, place, newest): (super::AppNumber, i64, i64) = (row.get(0), row.get(1), row.get(2));
        let (other_node, other_incarnation): (Option<&str>, Option<i64>) = (row.get(3), row.get(4));
        let (ours, held, lane_of_another, alive): (bool, bool, bool, bool) =
            (row.get(5), row.get(6), row.get(7), row.get(8));
        if !alive {
            self.node.renew_now();
            return Ok(None);
        }
        if lane_of_another {
            // The node that delivers the app is to read. Nothing is under way here.
            if ours {
                let leave = "UPDATE reader SET node = NULL, incarnation = NULL
                    WHERE app = $1 AND name = $2 AND node = $3 AND incarnation = $4";
                link.run(leave, &[&number, &reader.as_bytes(), &node, &incarnation]).await?;
            }
            return Ok(None);
        }
        if !ours {
            if held {
                return Ok(None);
            }
            let take = "UPDATE reader SET node = $3, incarnation = $4 WHERE app = $1 AND name = $2
                AND node IS NOT DISTINCT FROM $5 AND incarnation IS NOT DISTINCT FROM $6";
            let taken = link
                .run(take, &[&number, &reader.as_bytes(), &node, &incarnation, &other_node, &other_incarnation])
                .await?;
            if taken == 0 {
                return Ok(None);
            }
            // It may have moved since it was looked at.
            return Box::pin(self.unread_outcomes(link, app, reader, after, limit)).await;
        }
        let after = after.max(place);
        let read = "SELECT place, record FROM outcome WHERE app = $1 AND place > $2 ORDER BY place LIMIT $3";
        let rows = link.rows(read, &[&number, &after, &limited(limit)]).await?;
        let places: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let outcomes: Result<Vec<(Cursor, OutcomeRecord)>, Trouble> =
            rows.iter().map(|row| Ok((cursor(row.get(0)), parse_record(row.get(1))?))).collect();
        let forgotten = forgotten(after, &places, newest).map(cursor);
        Ok(Some(Unread { after: cursor(after), forgotten, outcomes: outcomes? }))
    }
}

/// The last place behind `after` at which nothing is any more. Places of an app have no gaps, and `newest` was handed out
/// before it was looked what is there.
fn forgotten(after: i64, there: &[i64], newest: i64) -> Option<i64> {
    if there.is_empty() {
        return (newest > after).then_some(newest);
    }
    let before = std::iter::once(&after).chain(there);
    before.zip(there).filter(|(before, place)| **place > **before + 1).map(|(_, place)| place - 1).last()
}

pub(super) async fn backlog(link: &Link, app: &AppName, reader: &str) -> Result<Option<Backlog>, Trouble> {
    let count = "SELECT (SELECT count(*) FROM
            (SELECT 1 FROM outcome AS o WHERE o.app = a.number AND o.place > r.place LIMIT $3) AS counted),
            (SELECT at FROM outcome AS o WHERE o.app = a.number AND o.place > r.place ORDER BY o.place LIMIT 1)
        FROM reader AS r JOIN app AS a ON a.number = r.app WHERE a.name = $1 AND r.name = $2 AND r.used_at IS NOT NULL";
    let found = link.rows(count, &[&app.as_str(), &reader.as_bytes(), &COUNTED]).await?;
    let backlog = |row: &tokio_postgres::Row| Backlog {
        outcomes: unsigned(row.get(0)),
        oldest: row.get::<_, Option<i64>>(1).map(time),
    };
    Ok(found.first().map(backlog))
}

pub(super) async fn readers(link: &Link) -> Result<Vec<(AppName, String)>, Trouble> {
    let find = "SELECT a.name, r.name FROM reader AS r JOIN app AS a ON a.number = r.app WHERE r.used_at IS NOT NULL";
    let reader = |row: &tokio_postgres::Row| {
        Ok((app_name(row.get(0))?, String::from_utf8_lossy(row.get::<_, &[u8]>(1)).into_owned()))
    };
    link.rows(find, &[]).await?.iter().map(reader).collect()
}

#[cfg(test)]
mod tests {
    use super::forgotten;

    #[test]
    fn a_place_without_an_outcome_is_one_that_was_forgotten() {
        assert_eq!(forgotten(0, &[], 0), None);
        assert_eq!(forgotten(7, &[], 7), None);
        assert_eq!(forgotten(7, &[], 9), Some(9), "all of them");
        assert_eq!(forgotten(7, &[8, 9], 9), None);
        assert_eq!(forgotten(7, &[12, 13], 13), Some(11), "those in front");
        assert_eq!(forgotten(7, &[8, 11, 12, 14, 15], 15), Some(13), "also where some before them are of the future");
    }
}
