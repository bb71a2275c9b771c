// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIP-date (RFC 3261 section 25.1): its canonical form, and the time that it means.

use std::time::{Duration, UNIX_EPOCH};

/// "Thu, 21 Feb 2002 13:02:03 GMT" with exactly these widths and single spaces.
pub fn canonical(date: &[u8]) -> Option<String> {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = std::str::from_utf8(date).ok()?.trim();
    let (weekday, rest) = text.split_once(',')?;
    let weekday = DAYS.iter().find(|d| d.eq_ignore_ascii_case(weekday.trim()))?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let [day, month, year, time, zone] = fields[..] else {
        return None;
    };
    let month = MONTHS.iter().find(|m| m.eq_ignore_ascii_case(month))?;
    let number = |text: &str, width: usize, max: u32| -> Option<u32> {
        (text.len() <= width && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse().ok())
            .flatten()
            .filter(|n| *n <= max)
    };
    let (day, year) = (number(day, 2, 31).filter(|d| *d > 0)?, number(year, 4, 9999).filter(|y| *y >= 1000)?);
    let clock: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = clock[..] else {
        return None;
    };
    let (hour, minute, second) = (number(hour, 2, 23)?, number(minute, 2, 59)?, number(second, 2, 60)?);
    zone.eq_ignore_ascii_case("GMT")
        .then(|| format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT"))
}

/// Unix seconds of a SIP-date.
pub fn unix_seconds(date: &[u8]) -> Option<i64> {
    let time = httpdate::parse_http_date(&canonical(date)?).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// The SIP-date of Unix seconds from 1970 to 9999.
pub fn from_unix_seconds(seconds: i64) -> Option<String> {
    let seconds = u64::try_from(seconds).ok().filter(|s| *s <= 253_402_300_799)?;
    Some(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        assert_eq!(canonical(b"Thu,  1 feb 2002 3:02:03 gmt").as_deref(), Some("Thu, 01 Feb 2002 03:02:03 GMT"));
        assert_eq!(unix_seconds(b"Thu, 21 Feb 2002 13:02:03 GMT"), Some(1_014_296_523));
        assert_eq!(from_unix_seconds(1_014_296_523).as_deref(), Some("Thu, 21 Feb 2002 13:02:03 GMT"));
        for wrong in ["", "now", "Thu, 21 Feb 2002 13:02:03 CET", "Thu, 41 Feb 2002 13:02:03 GMT"] {
            assert_eq!(unix_seconds(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!((from_unix_seconds(-1), from_unix_seconds(i64::MAX)), (None, None));
    }
}
