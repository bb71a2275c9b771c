// SPDX-License-Identifier: MIT OR Apache-2.0
//! The course of events that the accepting side makes up: one status after the other, the last one final.

use std::time::Duration;

use super::sipfrag::Status;

/// More would only make a long NOTIFY wait.
const MAX_STEPS: usize = 32;

/// The statuses in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course(Vec<Status>);

impl Course {
    /// Reads statuses separated by commas, such as "180 Ringing,200 OK".
    pub fn parse(text: &str) -> Result<Course, String> {
        let read =
            |part: &str| Status::parse(part.trim()).ok_or_else(|| format!("{part:?} is not a status such as 200 OK"));
        let all = text.split(',').map(read).collect::<Result<Vec<_>, _>>()?;
        if text.chars().any(char::is_control) || all.len() > MAX_STEPS {
            return Err(format!("at most {MAX_STEPS} statuses without control characters"));
        }
        if all.iter().position(Status::is_final) != Some(all.len() - 1) {
            return Err("the last status must be final, and no other may be; for example 180 Ringing,200 OK".into());
        }
        Ok(Course(all))
    }

    /// The status after this time. Until the first one it is 100.
    pub fn status(&self, elapsed: Duration, step: Duration) -> Status {
        let passed = (1..=self.0.len()).rev().find(|count| self.time_of(*count, step) <= elapsed);
        passed.map_or(Status { code: 100, reason: "Trying".into() }, |count| self.0[count - 1].clone())
    }

    /// When the next status begins, counted from the start as well.
    pub fn next_change(&self, elapsed: Duration, step: Duration) -> Option<Duration> {
        (1..=self.0.len()).map(|count| self.time_of(count, step)).find(|time| *time > elapsed)
    }

    /// When the final status begins.
    pub fn end(&self, step: Duration) -> Duration {
        self.time_of(self.0.len(), step)
    }

    fn time_of(&self, count: usize, step: Duration) -> Duration {
        step * u32::try_from(count).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_from_status_to_status() {
        let (course, step) = (Course::parse("180 Ringing, 200 OK").unwrap(), Duration::from_millis(100));
        let at = |millis| course.status(Duration::from_millis(millis), step).code;
        assert_eq!([at(0), at(99), at(100), at(199), at(200), at(9999)], [100, 100, 180, 180, 200, 200]);
        let next = |millis| course.next_change(Duration::from_millis(millis), step).map(|time| time.as_millis());
        assert_eq!([next(0), next(100), next(200)], [Some(100), Some(200), None]);
        assert_eq!(course.end(step).as_millis(), 200);
        assert_eq!(course.status(Duration::ZERO, Duration::ZERO).code, 200);
    }

    #[test]
    fn exactly_the_last_is_final() {
        for wrong in ["", "180 Ringing", "200 OK,180 Ringing", "200 OK,486 Busy", "abc", "200 OK,", "200 O\nK"] {
            assert!(Course::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Course::parse(&"180 Ringing,".repeat(MAX_STEPS)).is_err());
        assert!(Course::parse("486 Busy Here").is_ok());
    }
}
