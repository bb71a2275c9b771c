// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIP-date (RFC 3261 section 25.1): its canonical form, and the time that it means.

use std::time::{Duration, UNIX_EPOCH};

/// Length of a SIP-date in its canonical form.
pub const LEN: usize = 29;
/// The octets that are the same in every canonical SIP-date. A '_' is a place that differs.
const SHAPE: &[u8; LEN] = b"___, __ ___ ____ __:__:__ GMT";

/// A SIP-date that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipDate {
    /// "Thu, 21 Feb 2002 13:02:03 GMT" with exactly these widths and single spaces.
    pub text: [u8; LEN],
    /// Unix seconds; None when it is not a time since 1970.
    pub seconds: Option<i64>,
}

/// Reads a number of at most `width` digits and at most `most`.
fn number(text: &[u8], width: usize, most: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= width && text.iter().all(u8::is_ascii_digit);
    let value = text.iter().fold(0, |value, digit| value * 10 + u32::from(digit.wrapping_sub(b'0')));
    (digits && value <= most).then_some(value)
}

const DAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Reads a SIP-date in any spacing and case.
pub fn read(date: &[u8]) -> Option<SipDate> {
    // Nearly every phone writes the canonical form.
    date.try_into().ok().and_then(read_canonical).or_else(|| read_any(date))
}

/// Reads a SIP-date that is canonical already; None for any other.
fn read_canonical(text: &[u8; LEN]) -> Option<SipDate> {
    let mut shape = *text;
    let mut digits = [0; 12];
    for (digit, place) in digits.iter_mut().zip([5, 6, 12, 13, 14, 15, 17, 18, 20, 21, 23, 24]) {
        *digit = u32::from(text[place].wrapping_sub(b'0'));
        shape[place] = b'_';
    }
    shape[..3].fill(b'_');
    shape[8..11].fill(b'_');
    let weekday = text.first_chunk::<3>()?;
    let month = text[8..].first_chunk::<3>()?;
    if &shape != SHAPE || digits.iter().any(|digit| *digit > 9) || !DAYS.contains(&weekday) {
        return None;
    }
    let month = MONTHS.iter().position(|m| *m == month)?;
    let pair = |first: usize| digits[first] * 10 + digits[first + 1];
    let (day, year) = (pair(0), pair(2) * 100 + pair(4));
    let (hour, minute, second) = (pair(6), pair(8), pair(10));
    let is_time = (1..=31).contains(&day) && year >= 1000 && hour <= 23 && minute <= 59 && second <= 60;
    is_time.then(|| SipDate { text: *text, seconds: seconds_of(year, month, day, [hour, minute, second]) })
}

fn seconds_of(year: u32, month: usize, day: u32, [hour, minute, second]: [u32; 3]) -> Option<i64> {
    let seconds = days_before(year, month) + i64::from(day) - 1;
    let seconds = ((seconds * 24 + i64::from(hour)) * 60 + i64::from(minute)) * 60 + i64::from(second);
    (year >= 1970 && second < 60).then_some(seconds)
}

fn read_any(date: &[u8]) -> Option<SipDate> {
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
    let mut text = *SHAPE;
    text[..3].copy_from_slice(*weekday);
    text[8..11].copy_from_slice(MONTHS[month]);
    for (place, value) in [(5, day), (12, year / 100), (14, year % 100), (17, hour), (20, minute), (23, second)] {
        text[place] = b'0' + (value / 10) as u8;
        text[place + 1] = b'0' + (value % 10) as u8;
    }
    Some(SipDate { text, seconds: seconds_of(year, month, day, [hour, minute, second]) })
}

/// Days from 1970 to the first of a month of the Gregorian calendar. January is month 0.
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
            proptest::prop_assert_eq!(read_any(text.as_bytes()), Some(date));
        }

        #[test]
        fn the_short_way_leads_to_the_same(
            weekday in "(Mon|Sun|mon|Mo_)", month in "(Jan|Feb|Dec|dec)", numbers in "[0-9/:]{2} [0-9]{4} [0-9 ]{2}:[0-9]{2}:[0-9]{2}"
        ) {
            let (day, rest) = numbers.split_at(2);
            let text = format!("{weekday}, {day} {month}{rest} GMT");
            proptest::prop_assert_eq!(read(text.as_bytes()), read_any(text.as_bytes()));
        }
    }
}
