// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests without credentials on a connection whose phone has signed in. They are judged as if the phone had
//! sent its token or proof again, by the current configuration, keys, sessions and time.

use super::known_sessions::Known;
use super::session_check::SessionCheck;
use super::token_cache::KnownTokens;
use super::token_check::check_token;
use super::{Answer, Carried, Decision, Knowledge, Request, beside_proof, check_user};
use crate::config::policy::Policy;
use crate::reason::Reason;
use crate::records::bound_identity::BoundIdentity;
use crate::records::session::SessionId;
use crate::sip::uri::Aor;

/// Checks a request without credentials by the identity that its connection is bound to. None means that the
/// request must be treated as if its connection were not bound.
pub fn check_connection(
    policy: &Policy,
    known: Knowledge<'_>,
    tokens: &mut dyn KnownTokens,
    request: &Request<'_>,
    bound: &BoundIdentity,
    now: i64,
) -> Option<Decision> {
    let mut decision = match bound {
        BoundIdentity::Token { token, domain } => {
            let checked = check_token(policy, known, tokens, &token.0, request.usage(domain), now);
            match check_user(policy, checked, request) {
                Decision::Done(answer) if answer.reason == Some(Reason::Ok) => {
                    beside_proof(policy, known.sessions, request, answer, None, now)
                }
                decision => decision,
            }
        }
        BoundIdentity::Session { id, aor } => {
            let settings = policy.sessions.as_ref()?;
            by_session(&SessionCheck { policy, settings, known: known.sessions, request, now }, id, aor)
        }
    };
    let answer = decision.answer_mut();
    answer.carried = Carried::Connection;
    if answer.reason == Some(Reason::TokenExpired) {
        answer.reason = Some(Reason::ConnectionExpired);
    }
    let other = [Reason::AorMismatch, Reason::ThirdPartyRegistration, Reason::DomainMismatch];
    // A sign-in begins with a REGISTER without credentials, so another user of the same phone is asked for a
    // token.
    let begins = request.is_register() && answer.reason.is_some_and(|reason| other.contains(&reason));
    (!begins).then_some(decision)
}

fn by_session(look: &SessionCheck<'_>, id: &SessionId, aor: &str) -> Decision {
    let fetch = || Decision::NeedAccount(Answer::default(), aor.to_owned(), None);
    let decide = |answer: Answer, reason| Decision::Done(Answer { reason: Some(reason), ..answer });
    let fresh = look.known.is_fresh();
    let session = match look.known.account(aor) {
        Known::Failed => return decide(Answer::default(), Reason::StoreUnavailable),
        Known::NotHere => return fetch(),
        Known::Absent => None,
        Known::Found(account) => {
            let index = account.sessions.iter().position(|s| s.id == *id);
            index.map(|index| (account, index))
        }
    };
    let Some((account, index)) = session else {
        // What is known may be outdated, and nobody should have to sign in again because of that.
        return if fresh { decide(Answer::default(), Reason::SessionEnded) } else { fetch() };
    };
    let session = &account.sessions[index];
    let provider = look.policy.provider_of_session(session);
    let answer = Answer { provider, session: Some(account.used(index)), ..Answer::default() };
    let (Some(provider), Some(owned)) = (provider, Aor::parse(aor)) else {
        return decide(answer, Reason::SessionEnded);
    };
    let judged = look.may_prove(provider, session, &owned);
    decide(answer, judged.err().unwrap_or(Reason::Ok))
}
