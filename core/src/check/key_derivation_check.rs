// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests of phones that prove a password without sending it (draft-yusef-sipcore-key-derivation-00).
//!
//! Nobody can tell a user who does not exist from one who does. There is always an account to challenge with and
//! to compare with, and the same steps are taken for both.

use super::covered::{covered_by_proof, path_of};
use super::known_sessions::Known;
use super::proof::{MAX_OPEN, is_stale};
use super::replay::{Use, hash_of};
use super::{Answer, Carried, Decision, Request};
use crate::config::domains::is_mixed_up;
use crate::config::policy::Policy;
use crate::config::sessions::Sessions;
use crate::keys::pbkdf2::{DEFAULT_SALT, MasterKey, Parameters};
use crate::keys::shared_key::hmac_sha256;
use crate::keys::verifier::Verifier;
use crate::reason::Reason;
use crate::sip::digest_string::{DigestError, split_cseq};
use crate::sip::key_derivation::{KeyChallenge, KeyResponse};
use crate::sip::uri::Aor;
use crate::text::secret::KeyOctets;
use serde::{Deserialize, Serialize};

/// Where accounts come from.
pub trait KnownAccounts {
    /// The account of a canonical address-of-record.
    fn verifier(&self, aor: &str) -> Known<Verifier>;
    /// True when what is known is what is stored now, not what was stored a moment ago.
    fn is_fresh(&self) -> bool;
}

/// The account that the caller has looked up itself; None if there is no such user.
pub struct GivenAccount(pub Option<Verifier>);

/// True when the request writes its user as callers look users up. With other spellings of the same address, the
/// challenges for a user who exists would differ from each other, and those for a user who does not would not.
pub fn is_looked_up_as_written(request: &Request<'_>) -> bool {
    let is_plain = |text: &str| {
        let user = text.split_once(':').and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user);
        Aor::parse(text).is_none_or(|aor| aor.is_plain() && user == Some(aor.user()))
    };
    is_plain(request.from) && is_plain(request.address())
}

impl KnownAccounts for GivenAccount {
    fn verifier(&self, _: &str) -> Known<Verifier> {
        self.0.clone().map_or(Known::Absent, Known::Found)
    }

    fn is_fresh(&self) -> bool {
        true
    }
}

/// A proof whose account this worker does not know, with what is needed to judge whether the proof is correct and
/// new once the account is known.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct OpenKeyProof {
    digest: Vec<u8>,
    nonce: Option<String>,
    pop: KeyOctets,
    /// The names of the proof in comparisons, each with the path by which the request came.
    pub names: Vec<(u64, u64)>,
}

impl OpenKeyProof {
    /// True when the key of this account made the proof.
    pub fn is_by(&self, verifier: &Verifier) -> bool {
        let nonce = self.nonce.as_deref().map(Into::into);
        let response = KeyResponse { username: None, realm: None, nonce, pop: self.pop.0 };
        response.is_from_holder(&verifier.key, &self.digest)
    }
}

/// Checks a request. An answer of 401 or 407 has the challenge, which names `realm` and has a nonce made from
/// `random`.
pub fn check_key_derivation(
    policy: &Policy,
    known: &dyn KnownAccounts,
    request: &Request<'_>,
    realm: &str,
    random: &[u8; 16],
    now: i64,
) -> Decision {
    let Some(settings) = &policy.sessions else {
        return Decision::Done(Answer::refuse(Reason::KeyDerivationNotConfigured));
    };
    let asked = match RequestFacts::read(settings, request) {
        Ok(asked) => asked,
        Err(reason) => return Decision::Done(Answer::refuse(reason)),
    };
    // No user may use this address, because the location service would take it for another one.
    if policy.settings.location_folds_case && asked.aor.has_upper_case() {
        return Decision::Done(Answer::refuse(Reason::AorMismatch));
    }
    if is_mixed_up(policy, asked.aor.host()) {
        return Decision::Done(Answer::refuse(Reason::DomainMismatch));
    }
    let need = || Decision::NeedKeyAccount(Answer::default(), asked.aor.as_str().to_owned(), asked.open_proof());
    let unknown = unknown_user(policy, settings, asked.aor.as_str());
    let found = match known.verifier(asked.aor.as_str()) {
        Known::Failed => return Decision::Done(Answer::refuse(Reason::StoreUnavailable)),
        Known::NotHere => return need(),
        Known::Absent => None,
        Known::Found(verifier) => Some(verifier),
    };
    let exists = found.is_some();
    let Verifier { parameters, key } = found.unwrap_or(unknown);
    let refuse = |carried, reason, challenge| {
        Decision::Done(Answer { carried, reason: Some(reason), challenge, ..Answer::default() })
    };
    let challenge = || Some(Box::new(KeyChallenge::new(realm, parameters.clone(), &key, &asked.digest, random)));
    let Some(response) = &asked.response else {
        return refuse(Carried::Nothing, Reason::NoCredentials, challenge());
    };
    let carried = Carried::KeyDerivation;
    if !(response.is_from_holder(&key, &asked.digest) & exists) {
        // The known account may be outdated, and nobody should have to enter a password again because of that.
        return if known.is_fresh() { refuse(carried, Reason::PopInvalid, challenge()) } else { need() };
    }
    if is_stale(policy, policy.settings.leeway.into(), asked.date, now) {
        return refuse(carried, Reason::PopStale, None);
    }
    let answer = Answer { carried, account: Some(asked.aor.as_str().into()), ..Answer::default() };
    Decision::NeedComparison(answer, asked.uses(now), None)
}

/// What a request says, as far as the account is not needed to read it.
struct RequestFacts<'a> {
    settings: &'a Sessions,
    response: Option<KeyResponse<'a>>,
    aor: Aor,
    digest: Vec<u8>,
    date: i64,
    names: Vec<(u64, u64)>,
}

impl<'a> RequestFacts<'a> {
    fn read(settings: &'a Sessions, request: &Request<'a>) -> Result<RequestFacts<'a>, Reason> {
        let response = match KeyResponse::select(request.credentials, request.realm) {
            Ok(response) => Some(response),
            Err(Reason::NoCredentials) => None,
            Err(reason) => return Err(reason),
        };
        let aor = Aor::parse(request.address()).ok_or(Reason::AorMissing)?;
        if request.is_register() && Aor::parse(request.from).as_ref() != Some(&aor) {
            return Err(Reason::ThirdPartyRegistration);
        }
        let named = response.as_ref().and_then(|response| response.username.as_deref());
        if named.is_some_and(|username| !is_user_of(username, &aor)) {
            return Err(Reason::AorMismatch);
        }
        let covered = covered_by_proof(settings, request, request.message.body);
        let (digest, date) = covered.map_err(|error| match error {
            DigestError::Date => Reason::DateMissing,
            error => error.reason(),
        })?;
        let names =
            response.as_ref().map_or_else(Vec::new, |response| names(settings, request, aor.as_str(), response));
        Ok(RequestFacts { settings, response, aor, digest, date, names })
    }

    fn uses(&self, now: i64) -> Vec<Use> {
        self.names.iter().map(|(proof, path)| Use { proof: *proof, path: *path, date: self.date, now }).collect()
    }

    /// What the I/O service needs to compare the proof with those of other proxies. It does so as soon as it knows
    /// the account, so that a request waits only once.
    fn open_proof(&self) -> Option<Box<OpenKeyProof>> {
        let response =
            self.response.as_ref().filter(|_| self.settings.cluster_replay && self.digest.len() <= MAX_OPEN)?;
        Some(Box::new(OpenKeyProof {
            digest: self.digest.clone(),
            nonce: response.nonce.as_deref().map(str::to_owned),
            pop: KeyOctets(response.pop),
            names: self.names.clone(),
        }))
    }
}

/// The names that must not be seen twice, each with the path by which the request came: the phone's nonce, which
/// belongs to one request, and the request itself. A proof with a nonce needs the second name, too. If a part of
/// the nonce is moved to the end of the body, the proof still fits, but with another nonce.
fn names(settings: &Sessions, request: &Request<'_>, aor: &str, response: &KeyResponse<'_>) -> Vec<(u64, u64)> {
    let hash_key = &settings.hash_key;
    let path = path_of(hash_key, request, &response.pop);
    let nonce = response.nonce.as_deref();
    let identity = (request.message.call_id, split_cseq(request.message.cseq));
    let of_request = (hash_of(hash_key, ("key-derivation request", aor, identity)), path);
    let of_nonce = nonce
        .map(|nonce| (hash_of(hash_key, ("key-derivation nonce", aor, nonce)), hash_of(hash_key, (path, identity))));
    of_nonce.into_iter().chain([of_request]).collect()
}

/// "alice", "alice@example.com" and the address itself name the user of sip:alice@example.com.
fn is_user_of(username: &str, aor: &Aor) -> bool {
    let domain = aor.host();
    [format!("sip:{username}@{domain}"), format!("sip:{username}"), username.to_owned()]
        .iter()
        .filter_map(|text| Aor::parse(text))
        .any(|named| named.user() == aor.user() && named.host() == domain)
}

/// Makes the account of a user who does not exist. It is the same each time, and only proxies of this store can
/// make it.
fn unknown_user(policy: &Policy, settings: &Sessions, aor: &str) -> Verifier {
    let part = |label: &[u8]| hmac_sha256(&*settings.unknown_users, &[label, aor.as_bytes()]);
    let defaults = &policy.new_accounts;
    let salt = part(b"salt\0")[..DEFAULT_SALT].to_vec();
    let parameters = Parameters::new(defaults.kdf, defaults.iterations, salt, defaults.key_size);
    let mut key = [*part(b"first half\0"), *part(b"second half\0")].concat();
    key.truncate(defaults.key_size as usize / 8);
    Verifier {
        parameters: parameters.expect("the settings were checked"),
        key: MasterKey::from_octets(key).expect("the settings were checked"),
    }
}
