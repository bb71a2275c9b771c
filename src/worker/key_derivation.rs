// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Key-Derivation scheme. Each request costs some HMACs; no key is ever derived here.

use super::session_view::SessionView;
use sipoauth_core::check::key_derivation_check::{GivenAccount, check_key_derivation, is_looked_up_as_written};
use sipoauth_core::check::{Answer, Decision, Request};
use sipoauth_core::keys::verifier::{NOBODYS, Verifier};
use sipoauth_core::reason::Reason;

/// Where the account of a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountSource<'a> {
    /// From the store.
    Store,
    /// The caller has looked it up: a verifier's line, or an empty text when there is no such user.
    Given(&'a str),
}

/// Decides about the Key-Derivation credentials of a request.
pub(super) fn decide(known: &SessionView<'_>, request: &Request<'_>, account: AccountSource<'_>) -> Decision {
    let refuse = |reason| Decision::Done(Answer { reason: Some(reason), ..Answer::default() });
    let (policy, now) = (known.policy, known.now / 1000);
    let domain = request.domain();
    let realms = [request.realm, policy.settings.realm.as_str(), domain.as_str()];
    let realm = realms.into_iter().find(|realm| !realm.is_empty()).unwrap_or_default();
    let mut random = [0; 16];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return refuse(Reason::Internal);
    }
    let line = match account {
        AccountSource::Store => {
            return check_key_derivation(policy, known, request, realm, &random, now);
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
    check_key_derivation(policy, &GivenAccount(given), request, realm, &random, now)
}
