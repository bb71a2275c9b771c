// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part of a worker for the Key-Derivation scheme. Each request costs some HMACs; no key is ever derived here.

use super::session_view::SessionView;
use super::{CheckResult, Handling, Worker};
use sipoauth_core::check::key_derivation_check::{GivenAccount, check_key_derivation, is_looked_up_as_written};
use sipoauth_core::check::{Answer, Decision, Request};
use sipoauth_core::keys::verifier::{NOBODYS, Verifier};
use sipoauth_core::reason::Reason;
use sipoauth_core::sip::challenge::may_be_challenged;

/// Where the account of a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountSource<'a> {
    /// From the store.
    Store,
    /// The caller has looked it up: a verifier's line, or an empty text when there is no such user.
    Given(&'a str),
}

impl Worker {
    /// Checks the Key-Derivation credentials of a request. A result with status 401 or 407 has the challenge.
    pub fn check_key_derivation(
        &mut self,
        request: &Request<'_>,
        account: AccountSource<'_>,
        handling: &Handling<'_>,
    ) -> CheckResult {
        let now = self.prepare(handling.now);
        let handling = &self.sent_by(request, handling);
        let decision = self.look_at_account(request, account, handling, now);
        let mut result = self.conclude(decision, request, handling, now);
        if !may_be_challenged(request.method) {
            result.answer.challenge = None;
        }
        result
    }

    fn look_at_account(
        &self,
        request: &Request<'_>,
        account: AccountSource<'_>,
        handling: &Handling<'_>,
        now: i64,
    ) -> Decision {
        let refuse = |reason| Decision::Done(Answer { reason: Some(reason), ..Answer::default() });
        let policy = &self.placed.policy;
        let domain = request.domain();
        let realms = [request.realm, policy.settings.realm.as_str(), domain.as_str()];
        let realm = realms.into_iter().find(|realm| !realm.is_empty()).unwrap_or_default();
        let mut random = [0; 16];
        if aws_lc_rs::rand::fill(&mut random).is_err() {
            return refuse(Reason::Internal);
        }
        let line = match account {
            AccountSource::Store => {
                let known = SessionView::new(&self.context, policy, handling, now);
                return check_key_derivation(policy, &known, request, realm, &random, now / 1000);
            }
            AccountSource::Given(line) => line,
        };
        if !is_looked_up_as_written(request) {
            return refuse(Reason::AorMismatch);
        }
        // A user who does not exist costs the same work as one who does.
        let Ok(verifier) = Verifier::parse(if line.is_empty() { NOBODYS } else { line }) else {
            return refuse(Reason::AccountMalformed);
        };
        let given = (!line.is_empty()).then_some(verifier);
        check_key_derivation(policy, &GivenAccount(given), request, realm, &random, now / 1000)
    }
}
