// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run of `refer send` comes to: the exit code and one sentence. When there are several results, the one with the
//! highest exit code counts.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::send_options::SubscriptionKind;
use super::subscription::Subscription;
use super::{REFERRED_FAILED, RULE_BROKEN};
use crate::message::Response;
use crate::outcome::{self, ACCEPTED, NOT_NOW, SIGN_IN, SentRequest};

/// The result.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The exit code.
    pub exit: u8,
    /// A word or two for programs.
    pub result: &'static str,
    /// One sentence for people.
    pub sentence: String,
}

/// Everything that a run has found.
pub struct Findings<'a> {
    /// How the sender wanted to hear of it.
    pub kind: SubscriptionKind,
    /// The final answer to REFER.
    pub answer: &'a Response,
    /// The URI of Refer-Events-At.
    pub events_at: Option<&'a str>,
    /// The subscriptions.
    pub subscriptions: &'a [Subscription],
    /// The rules that were broken outside of them.
    pub broken: &'a [String],
    /// The number of retransmissions over UDP.
    pub sent_again: u32,
}

impl Findings<'_> {
    /// Judges the run.
    pub fn verdict(&self) -> Verdict {
        if self.answer.status >= 300 {
            return refused("REFER", self.answer);
        }
        let of_subscriptions = self.subscriptions.iter().flat_map(of_subscription);
        let rules = self.broken.iter().map(|rule| broken(rule));
        // Of several with one code the first counts, because what follows may be its consequence.
        let worst =
            rules.chain(of_subscriptions).reduce(|worst, next| if next.exit > worst.exit { next } else { worst });
        worst.unwrap_or_else(|| {
            let more = if self.kind == SubscriptionKind::None { ", and no NOTIFY came" } else { "" };
            Verdict {
                exit: ACCEPTED,
                result: "accepted",
                sentence: format!("accepted: {}{more}", self.answer.status_line()),
            }
        })
    }

    /// The run as JSON.
    pub fn object(&self, verdict: &Verdict) -> Value {
        json!({
            "result": verdict.result,
            "exit_code": verdict.exit,
            "message": verdict.sentence,
            "status": self.answer.status,
            "reason": self.answer.reason,
            "refer_events_at": self.events_at,
            "broken": self.broken,
            "retransmissions": self.sent_again,
            "subscriptions": self.subscriptions.iter().map(subscription).collect::<Vec<_>>(),
        })
    }
}

fn subscription(subscription: &Subscription) -> Value {
    let notifications = &subscription.notifications;
    let notifies = notifications.told.iter().map(|told| {
        json!({
            "status_line": told.status.as_ref().map(ToString::to_string),
            "subscription_state": told.state,
            "cseq": told.cseq,
        })
    });
    json!({
        "number": subscription.number,
        "notifies": notifies.collect::<Vec<_>>(),
        "broken": notifications.broken,
        "remarks": notifications.remarks,
    })
}

/// What one subscription comes to.
fn of_subscription(subscription: &Subscription) -> Vec<Verdict> {
    let notifications = &subscription.notifications;
    let mut all: Vec<Verdict> = notifications.broken.iter().map(|rule| broken(rule)).collect();
    match &subscription.refused {
        // A refresh may cross the last NOTIFY.
        Some(answer) if !notifications.ended => all.push(refused("SUBSCRIBE", answer)),
        _ if notifications.told.is_empty() => {}
        _ => all.push(of_status(subscription)),
    }
    if subscription.number > 1 {
        let number = subscription.number;
        all.iter_mut().for_each(|verdict| verdict.sentence = format!("{} (subscription {number})", verdict.sentence));
    }
    all
}

fn of_status(subscription: &Subscription) -> Verdict {
    let failed = |sentence| Verdict { exit: REFERRED_FAILED, result: "failed", sentence };
    match subscription.notifications.last_status() {
        Some(status) if status.is_success() => {
            let sentence = format!("the referred request succeeded: {status}");
            Verdict { exit: ACCEPTED, result: "succeeded", sentence }
        }
        Some(status) if status.is_final() => failed(format!("the referred request failed: {status}")),
        _ if subscription.notifications.leaving => {
            Verdict { exit: ACCEPTED, result: "unsubscribed", sentence: "unsubscribed before the end".into() }
        }
        Some(status) => failed(format!("the end of the referred request was not told; the last was {status}")),
        None => failed("no status of the referred request was told".into()),
    }
}

fn broken(rule: &str) -> Verdict {
    Verdict { exit: RULE_BROKEN, result: "broken", sentence: format!("a rule was broken: {rule}") }
}

/// The verdict on an answer that is not 2xx.
fn refused(method: &str, answer: &Response) -> Verdict {
    let asked = SentRequest { register: false, contact: "", expires: 0, refusal: None };
    let outcome = outcome::judge(answer, &asked, SystemTime::now());
    let status = answer.status_line();
    let text = |name: &str| String::from_utf8_lossy(answer.header(name).unwrap_or_default()).into_owned();
    let sentence = match (outcome.exit, answer.status) {
        (SIGN_IN, _) => {
            format!(
                "sign-in needed: {method} got {status}; use --token-file ('sipoauth register' shows where to sign in)"
            )
        }
        (NOT_NOW, _) => format!("not now: {method} got {status}; try again later"),
        (_, 420) => format!("refused: {method} got {status}; not supported: {}", text("Unsupported")),
        (_, 421) => format!("refused: {method} got {status}; it wants Require: {}", text("Require")),
        (_, 423) => format!("refused: {method} got {status}; ask for --expires {}", text("Min-Expires")),
        _ => format!("refused: {method} got {status}"),
    };
    Verdict { exit: outcome.exit, result: outcome.result, sentence }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(answer: &str, broken: &[String]) -> Verdict {
        let answer = Response::parse(format!("SIP/2.0 {answer}\r\n\r\n").as_bytes()).unwrap();
        let kind = SubscriptionKind::None;
        Findings { kind, answer: &answer, events_at: None, subscriptions: &[], broken, sent_again: 0 }.verdict()
    }

    #[test]
    fn every_answer_has_an_exit_code() {
        for (answer, exit, part) in [
            ("200 OK", 0, "no NOTIFY came"),
            ("401 Unauthorized", 2, "--token-file"),
            ("403 Forbidden", 3, "refused: REFER got 403 Forbidden"),
            ("420 Bad Extension\r\nUnsupported: explicitsub", 3, "not supported: explicitsub"),
            ("421 Extension Required\r\nRequire: nosub", 3, "wants Require: nosub"),
            ("503 Service Unavailable", 4, "try again"),
        ] {
            let verdict = verdict(answer, &[]);
            assert_eq!(verdict.exit, exit, "{answer}");
            assert!(verdict.sentence.contains(part), "{}", verdict.sentence);
        }
    }

    #[test]
    fn a_broken_rule_counts_more_than_success() {
        let verdict = verdict("200 OK", &["first".into(), "second".into()]);
        assert_eq!((verdict.exit, verdict.sentence.as_str()), (RULE_BROKEN, "a rule was broken: first"));
    }
}
