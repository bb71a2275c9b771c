// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIP-date (RFC 3261 section 25.1): its canonical form, and the time that it means.

use std::time::{Duration, UNIX_EPOCH};

/// Length of a SIP-date in its canonical form.
pub const LEN: usize = 29;

/// A SIP-date that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipDate {
    /// "Thu, 21 Feb 2002 13:02:03 GMT" with exactly these widths and single spaces.
    pub text: [u8; LEN],
    /// Unix seconds; None when it is not a time since 1970.
    pub seconds: Option<i64>,
}

/// A number of at most so many digits.
fn number(text: &[u8], width: usize, most: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= width && text.iter().all(u8::is_ascii_digit);
    let value = text.iter().fold(0, |value, digit| value * 10 + u32::from(digit.wrapping_sub(b'0')));
    (digits && value <= most).then_some(value)
}

/// Reads a SIP-date in any spacing and case.
pub fn read(date: &[u8]) -> Option<SipDate> {
    const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let date = date.trim_ascii();
    let comma = date.iter().position(|octet| *octet == b',')?;
    let weekday = DAYS.iter().find(|d| d.eq_ignore_ascii_case(date[..comma].trim_ascii()))?;
    let mut fields = date[comma + 1..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let (day, month, year, clock, zone) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month))?;
    let day = number(day, 2, 31).filter(|day| *day > 0)?;
    let year = number(year, 4, 9999).filter(|year| *year >= 1000)?;
    let mut clock = clock.split(|octet| *octet == b':');
    let (hour, minute) = (number(clock.next()?, 2, 23)?, number(clock.next()?, 2, 59)?);
    let second = number(clock.next()?, 2, 60)?;
    if clock.next().is_some() || fields.next().is_some() || !zone.eq_ignore_ascii_case(b"GMT") {
        return None;
    }
    let mut text = *b"___, __ ___ ____ __:__:__ GMT";
    text[..3].copy_from_slice(weekday);
    text[8..11].copy_from_slice(MONTHS[month]);
    for (place, value) in [(5, day), (12, year / 100), (14, year % 100), (17, hour), (20, minute), (23, second)] {
        text[place] = b'0' + (value / 10) as u8;
        text[place + 1] = b'0' + (value % 10) as u8;
    }
    let seconds = days_before(year, month) + i64::from(day) - 1;
    let seconds = ((seconds * 24 + i64::from(hour)) * 60 + i64::from(minute)) * 60 + i64::from(second);
    Some(SipDate { text, seconds: (year >= 1970 && second < 60).then_some(seconds) })
}

/// Days from 1970 to the first of a month, January being 0; years as they are counted today.
fn days_before(year: u32, month: usize) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let past = i64::from(year) - 1;
    let leap_days = past / 4 - past / 100 + past / 400 - 477;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    (past - 1969) * 365 + leap_days + BEFORE[month] + i64::from(is_leap && month > 1)
}

/// Unix seconds of a SIP-date.
pub fn unix_seconds(date: &[u8]) -> Option<i64> {
    read(date)?.seconds
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
        let canonical = read(b" Thu,  1 feb 2002 3:02:03 gmt ").map(|date| date.text);
        assert_eq!(canonical, Some(*b"Thu, 01 Feb 2002 03:02:03 GMT"));
        assert_eq!(unix_seconds(b"Thu, 21 Feb 2002 13:02:03 GMT"), Some(1_014_296_523));
        assert_eq!(from_unix_seconds(1_014_296_523).as_deref(), Some("Thu, 21 Feb 2002 13:02:03 GMT"));
        for wrong in [
            "",
            "now",
            "Thu, 21 Feb 2002 13:02:03 CET",
            "Thu, 41 Feb 2002 13:02:03 GMT",
            "Thu, 21 Feb 2002 13:02 GMT",
            "Thu, 21 Feb 2002 13:02:03:04 GMT",
            "Thu, 21 Feb 2002 13:02:03 GMT x",
            "Thu, 21 Feb 02002 13:02:03 GMT",
            "Thu, +1 Feb 2002 13:02:03 GMT",
            "Thu, 21 Feb 1969 13:02:03 GMT",
            "Thu, 21 Feb 2002 13:02:60 GMT",
        ] {
            assert_eq!(unix_seconds(wrong.as_bytes()), None, "{wrong}");
        }
        assert!(read(b"Thu, 21 Feb 1969 13:02:60 GMT").is_some());
        assert_eq!((from_unix_seconds(-1), from_unix_seconds(i64::MAX)), (None, None));
    }

    proptest::proptest! {
        #[test]
        fn every_time_comes_back(seconds in 0i64..=253_402_300_799) {
            let text = from_unix_seconds(seconds).unwrap();
            let date = read(text.as_bytes()).unwrap();
            proptest::prop_assert_eq!((date.seconds, &date.text[..]), (Some(seconds), text.as_bytes()));
        }
    }
}
