//! Dates in header fields (RFC 9110 section 5.6.7).

use crate::WallTime;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const SECONDS_A_DAY: u64 = 86_400;

/// Reads a date in any of the three forms that a recipient must accept. The name of the day is not compared.
///
/// A year of two digits is taken as 1970 to 2069.
///
/// ```
/// use apns_proto::WallTime;
/// use apns_proto::http2::parse_http_date;
///
/// assert_eq!(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(WallTime::from_secs(784_111_777)));
/// ```
#[must_use]
pub fn parse_http_date(text: &str) -> Option<WallTime> {
    let text = text.trim_matches([' ', '\t']);
    if !text.is_ascii() {
        return None;
    }
    match text.split_once(',') {
        // IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT"; RFC 850: "Sunday, 06-Nov-94 08:49:37 GMT".
        Some((_, rest)) => {
            let mut words = rest.split([' ', '-']).filter(|word| !word.is_empty());
            let (day, month, year) = (words.next()?, words.next()?, words.next()?);
            let (time, zone) = (words.next()?, words.next()?);
            if words.next().is_some() || !matches!(zone, "GMT" | "UTC") {
                return None;
            }
            date(year, month, day, time)
        }
        // asctime: "Sun Nov  6 08:49:37 1994".
        None => {
            let mut words = text.split(' ').filter(|word| !word.is_empty());
            let (_, month, day) = (words.next()?, words.next()?, words.next()?);
            let (time, year) = (words.next()?, words.next()?);
            if words.next().is_some() {
                return None;
            }
            date(year, month, day, time)
        }
    }
}

/// Writes a date in the one form that a sender may use.
///
/// ```
/// use apns_proto::WallTime;
/// use apns_proto::http2::format_http_date;
///
/// assert_eq!(format_http_date(WallTime::from_secs(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
#[must_use]
pub fn format_http_date(time: WallTime) -> String {
    let seconds = time.as_secs();
    let (days, rest) = (seconds / SECONDS_A_DAY, seconds % SECONDS_A_DAY);
    let name = DAYS[(days % 7) as usize];
    let (mut year, mut left) = (1970 + days / 146_097 * 400, days % 146_097);
    while left >= days_in_year(year) {
        left -= days_in_year(year);
        year += 1;
    }
    let mut month = 0;
    while left >= days_in_month(year, month) {
        left -= days_in_month(year, month);
        month += 1;
    }
    format!(
        "{name}, {:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        left + 1,
        MONTHS[month],
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

fn date(year: &str, month: &str, day: &str, time: &str) -> Option<WallTime> {
    let year = match (number(year)?, year.len()) {
        (short, 2) if short >= 70 => 1900 + short,
        (short, 2) => 2000 + short,
        (long, 4) => long,
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let day = number(day)?;
    if year < 1970 || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let mut parts = time.split(':');
    let (hour, minute, second) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    // 60 is a leap second.
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = (1970..year).map(days_in_year).sum::<u64>()
        + (0..month).map(|month| days_in_month(year, month)).sum::<u64>()
        + (day - 1);
    Some(WallTime::from_secs(days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second))
}

/// One to four digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

/// Months count from 0.
const fn days_in_month(year: u64, month: usize) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_forms_are_the_same_time() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            " Sun, 06 nov 1994 08:49:37 UTC ",
        ] {
            assert_eq!(parse_http_date(text), Some(WallTime::from_secs(784_111_777)), "{text}");
        }
        assert_eq!(parse_http_date("Thu, 29 Feb 2024 23:59:60 GMT"), Some(WallTime::from_secs(1_709_251_200)));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "3",
            "tomorrow",
            "Sun, 06 Nov 1994 08:49:37 PST",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Thu, 29 Feb 2023 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1969 00:00:00 GMT",
            "Sun, 06 Nov 99999999999999999999 00:00:00 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT GMT",
            "Sün, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_http_date(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0..253_402_300_800_u64) {
            let time = WallTime::from_secs(seconds);
            prop_assert_eq!(parse_http_date(&format_http_date(time)), Some(time));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = parse_http_date(&text);
        }
    }
}
