// SPDX-License-Identifier: MIT OR Apache-2.0
//! Times as people read them. The server does not know the browser's time zone, so what is near is told by how long ago
//! it was, and the script of the page shows the rest in local time.

use crate::texts::{Texts, fill};

/// From so many seconds on, a day says enough.
const DAY: i64 = 86_400;

/// A time for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTime {
    /// In words.
    pub words: String,
    /// RFC 3339, in UTC.
    pub machine: String,
    /// The words are a time of day in UTC, which the script of the page may show in local time.
    pub is_clock: bool,
}

/// Year, month and day of a day since 1970 (the proleptic Gregorian calendar).
fn civil(days: i64) -> (i64, i64, i64) {
    // The year begins in March here, so that the leap day is its last.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn machine(at: i64) -> String {
    let ((year, month, day), second) = (civil(at.div_euclid(86_400)), at.rem_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The day of a time in Unix seconds.
pub fn day(texts: &Texts, at: i64) -> ShownTime {
    let (year, month, day) = civil(at.div_euclid(86_400));
    let words = fill(texts.date, "year", &format!("{year:04}"));
    let words = fill(&fill(&words, "month", &format!("{month:02}")), "day", &format!("{day:02}"));
    ShownTime { words, machine: machine(at), is_clock: false }
}

/// How long ago a time was; both in Unix seconds.
pub fn ago(texts: &Texts, at: i64, now: i64) -> ShownTime {
    let words = match now - at {
        ..60 => texts.just_now.to_owned(),
        seconds @ 60..3600 => fill(texts.minutes_ago, "number", &(seconds / 60).to_string()),
        seconds @ 3600..86_400 => fill(texts.hours_ago, "number", &(seconds / 3600).to_string()),
        _ => return day(texts, at),
    };
    ShownTime { words, machine: machine(at), is_clock: false }
}

/// Until when something holds; both in Unix seconds.
pub fn until(texts: &Texts, at: i64, now: i64) -> ShownTime {
    match at - now {
        ..=0 => ShownTime { words: texts.over.to_owned(), machine: machine(at), is_clock: false },
        1..DAY => clock(at),
        _ => day(texts, at),
    }
}

/// A time of today, in UTC, in Unix seconds.
pub fn clock(at: i64) -> ShownTime {
    let second = at.rem_euclid(86_400);
    ShownTime {
        words: format!("{:02}:{:02} UTC", second / 3600, second / 60 % 60),
        machine: machine(at),
        is_clock: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::Language;

    #[test]
    fn days_of_the_calendar() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(machine(at), text);
        }
    }

    #[test]
    fn words() {
        let (english, german) = (Language::English.texts(), Language::German.texts());
        let words = |texts, before: i64| ago(texts, 1_735_689_599 - before, 1_735_689_599).words;
        assert_eq!(words(english, 5), "just now");
        assert_eq!(words(english, 119), "1 min ago");
        assert_eq!(words(german, 7300), "vor 2 Std.");
        assert_eq!((words(english, 86_400), words(german, 86_400)), ("2024-12-30".into(), "30.12.2024".into()));
        assert_eq!(clock(1_735_689_599).words, "23:59 UTC");
        let left = |seconds: i64| until(english, 1_735_689_599, 1_735_689_599 - seconds).words;
        assert_eq!((left(0), left(1), left(86_399)), ("over".into(), "23:59 UTC".into(), "23:59 UTC".into()));
        assert_eq!(left(86_400), "2024-12-31");
    }
}
