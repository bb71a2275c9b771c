// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests with a proof of possession of a session's key.

use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::covered::{covered_by_proof, name_of, path_of};
use super::known_account::KnownAccount;
use super::known_sessions::Known;
use super::replay::Use;
use super::session_check::{SessionCheck, accept, refuse};
use super::{Answer, Decision, Message};
use crate::config::policy::Policy;
use crate::config::settings::POP_REUSE;
use crate::keys::pop::{make_pop, pop_from_text};
use crate::keys::shared_key::Key;
use crate::reason::Reason;
use crate::records::session::{Account, Session, SignIn, TokenName};
use crate::sip::uri::Aor;
use crate::text::secret::KeyOctets;

/// A Date has whole seconds, so it may be this many seconds ahead, whatever the leeway is.
const LEAST_AHEAD: i64 = 2;
/// Longest digest-string, in octets, that travels to the I/O service.
pub(super) const MAX_OPEN: usize = 16 * 1024;

/// A proof whose session this worker does not know, with what is needed to find the session once the sessions of
/// its address are known.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct OpenProof {
    pop: KeyOctets,
    digest: Vec<u8>,
    instance: String,
    reg_id: u32,
    call_id: Vec<u8>,
    cseq: Vec<u8>,
    path: u64,
}

impl OpenProof {
    /// The name of the proof in comparisons, and the path by which the request came. None when no session of the
    /// account made the proof.
    pub fn names(&self, hash_key: &[u8; 16], account: &Account) -> Option<(u64, u64)> {
        let mut sessions = candidates(account, &self.instance, self.reg_id);
        let key = sessions.find_map(|(_, session)| maker(session, &self.pop.0, &self.digest))?;
        Some((name_of(hash_key, &key.0, (&self.call_id, &self.cseq)), self.path))
    }
}

/// The sessions that a phone may use. A phone that names no instance may use any session. A phone whose instance
/// has sessions may use only these; with any other instance, it may use only sessions without one. Flows of one
/// phone share the key that a code has given. A phone that signs in with a password has a key for each flow
/// (sip-oauth sections 6.1 and 6.2).
fn candidates<'a>(account: &'a Account, instance: &str, reg_id: u32) -> impl Iterator<Item = (usize, &'a Session)> {
    let named = !instance.is_empty() && account.sessions.iter().any(|s| s.instance == instance);
    let fits = move |(_, s): &(usize, &Session)| {
        let same_phone = if named { s.instance == instance } else { instance.is_empty() || s.instance.is_empty() };
        let other_flow = s.sign_in == SignIn::Password && reg_id != 0 && s.reg_id != 0 && s.reg_id != reg_id;
        same_phone && !other_flow
    };
    account.sessions.iter().enumerate().filter(fits)
}

/// A proof, and the session that it belongs to.
pub(super) struct Proven {
    pub answer: Answer,
    pub aor: Aor,
    pub provider: usize,
    account: Arc<KnownAccount>,
    index: usize,
    /// The place of the session's key that made the proof. None for the proof of a registration, if that may be
    /// repeated (`pop_reuse` in the setting allow).
    pub key: Option<usize>,
    date: i64,
    pop: [u8; 32],
}

impl Proven {
    pub fn session(&self) -> &Session {
        &self.account.sessions[self.index]
    }
}

/// The key of the session that made the proof.
fn maker<'a>(session: &'a Session, pop: &[u8; 32], digest: &[u8]) -> Option<&'a KeyOctets> {
    session.keys.iter().find(|key| bool::from(make_pop(&key.0, digest).ct_eq(pop)))
}

impl SessionCheck<'_> {
    /// A request with a proof. `covered` is the message-body of the digest-string; `beside` names the access token that
    /// came with it and was accepted.
    pub(super) fn proof(&self, pop: &str, covered: &[u8], beside: Option<TokenName>) -> Decision {
        let proven = match self.prove(pop, covered) {
            Ok(proven) => proven,
            Err(decision) => return *decision,
        };
        let (answer, session) = (proven.answer.clone(), proven.session());
        let pairs = self.policy.providers[proven.provider].pairs_tokens && session.sign_in.phone_holds_tokens();
        let bound = match beside {
            None if pairs => Err(Reason::TokenMissing),
            Some(name) if !session.tokens.contains(&name) => Err(Reason::TokenUnbound),
            _ => Ok(()),
        };
        if let Err(reason) = bound.and_then(|()| self.may_prove(proven.provider, session, &proven.aor)) {
            return refuse(answer, reason);
        }
        let Some(key) = proven.key else {
            return accept(answer);
        };
        match self.dated(&proven, key) {
            Ok(used) => Decision::NeedComparison(answer, vec![used], None),
            Err(reason) => refuse(answer, reason),
        }
    }

    /// Finds the session whose key made a proof. The error says what must be done or answered instead.
    pub(super) fn prove(&self, pop: &str, covered: &[u8]) -> Result<Proven, Box<Decision>> {
        let request = self.request;
        let stop = |answer, reason| Err(Box::new(refuse(answer, reason)));
        let Some(aor) = Aor::parse(self.request.address()) else {
            return stop(Answer::default(), Reason::AorMissing);
        };
        let Some(pop) = pop_from_text(pop) else {
            return stop(Answer::default(), Reason::PopMalformed);
        };
        // The provider that would have made the session. The session has that provider's spelling of numbers.
        let Some(provider) = self.policy.provider_for_sessions(aor.host()) else {
            return stop(Answer::default(), Reason::SessionUnknown);
        };
        let aor = self.policy.providers[provider].rules.spelled(aor);
        let (digest, date) = match covered_by_proof(self.settings, request, covered) {
            Ok(dated) => dated,
            Err(error) => return stop(Answer::default(), error.reason()),
        };
        let fresh = self.known.is_fresh();
        let fetch = || {
            let open = self.open_proof(&pop, &digest);
            Err(Box::new(Decision::NeedAccount(Answer::default(), aor.as_str().to_owned(), open)))
        };
        let account = match self.known.account(aor.as_str()) {
            Known::Failed => return stop(Answer::default(), Reason::StoreUnavailable),
            Known::NotHere => return fetch(),
            // What is known may be outdated, and nobody should have to sign in again because of that.
            Known::Absent if !fresh => return fetch(),
            Known::Absent => return stop(Answer::default(), Reason::SessionUnknown),
            Known::Found(account) => account,
        };
        let Some((index, key)) = self.prover(&account, &pop, &digest) else {
            return if fresh { stop(Answer::default(), Reason::PopInvalid) } else { fetch() };
        };
        let session = &account.sessions[index];
        let Some(provider) = self.policy.provider_of_session(session) else {
            return stop(Answer::default(), Reason::SessionEnded);
        };
        let answer = Answer { provider: Some(provider), session: Some(account.used(index)), ..Answer::default() };
        Ok(Proven { answer, aor, provider, account, index, key, date, pop })
    }

    /// The use of a proof by the session's key at this place. It is an error if the Date is too far from now.
    pub(super) fn dated(&self, proven: &Proven, key: usize) -> Result<Use, Reason> {
        self.timely_use(&proven.session().keys[key].0, &proven.pop, proven.date, proven.provider)
    }

    fn timely_use(&self, key: &[u8; 32], pop: &[u8; 32], date: i64, provider: usize) -> Result<Use, Reason> {
        self.is_timely(date, provider)?;
        let Message { call_id, cseq, .. } = self.request.message;
        let proof = name_of(&self.settings.hash_key, key, (call_id, cseq));
        Ok(Use { proof, path: self.path(pop), date, now: self.now })
    }

    fn is_timely(&self, date: i64, provider: usize) -> Result<(), Reason> {
        let leeway = self.policy.providers[provider].rules.leeway;
        if is_stale(self.policy, leeway, date, self.now) { Err(Reason::PopStale) } else { Ok(()) }
    }

    /// Checks a proof that came with Digest credentials, which shows that the phone has derived the same
    /// master-key. Digest says that the request is new, but the proof must not serve another request once the
    /// session has this key.
    pub(super) fn fits_master_key(&self, key: &Key, pop: &str, covered: &[u8], provider: usize) -> Result<Use, Reason> {
        let pop = pop_from_text(pop).ok_or(Reason::PopMalformed)?;
        let (digest, date) = covered_by_proof(self.settings, self.request, covered).map_err(|error| error.reason())?;
        if !bool::from(make_pop(&**key, &digest).ct_eq(&pop)) {
            return Err(Reason::PopInvalid);
        }
        self.timely_use(key, &pop, date, provider)
    }

    /// The message-body of the digest-string if the proof is in the body.
    pub(super) fn covered_in_body<'b>(&self, without_pop: &'b [u8]) -> &'b [u8] {
        if self.settings.empty_pop_body { &[] } else { without_pop }
    }

    /// The session that the proof belongs to, and the key that made it. None for the key: the proof is the one of
    /// the registration.
    fn prover(&self, account: &KnownAccount, pop: &[u8; 32], digest: &[u8]) -> Option<(usize, Option<usize>)> {
        // What is repeated is the proof of a REGISTER, so it serves no other method.
        let may_repeat = self.policy.settings.allows(POP_REUSE) && self.request.method == "REGISTER";
        let repeats = |s: &Session| may_repeat && s.proofs.iter().any(|proof| bool::from(proof.0.ct_eq(pop)));
        let message = &self.request.message;
        candidates(account, message.instance, message.reg_id).find_map(|(index, session)| {
            if let Some(key) = account.maker(index, pop, digest) {
                return Some((index, Some(key)));
            }
            repeats(session).then_some((index, None))
        })
    }

    /// What the I/O service needs to compare the proof with those of other proxies. It does so as soon as it knows
    /// the session, so that a request waits only once.
    fn open_proof(&self, pop: &[u8; 32], digest: &[u8]) -> Option<Box<OpenProof>> {
        let message = &self.request.message;
        (self.settings.cluster_replay && digest.len() <= MAX_OPEN).then(|| {
            Box::new(OpenProof {
                pop: KeyOctets(*pop),
                digest: digest.to_vec(),
                instance: message.instance.to_owned(),
                reg_id: message.reg_id,
                call_id: message.call_id.to_vec(),
                cseq: message.cseq.to_vec(),
                path: self.path(pop),
            })
        })
    }

    /// The path of the request with this proof, as in [`path_of`].
    fn path(&self, pop: &[u8; 32]) -> u64 {
        path_of(&self.settings.hash_key, self.request, pop)
    }
}

/// True when the Date of a proof is too far from now. Proofs from the future would outlive the guard's memory at a
/// restart, so into the future only the leeway counts.
pub(super) fn is_stale(policy: &Policy, leeway: i64, date: i64, now: i64) -> bool {
    now - date > i64::from(policy.settings.pop_window) || date - now > leeway.max(LEAST_AHEAD)
}
