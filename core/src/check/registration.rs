// SPDX-License-Identifier: MIT OR Apache-2.0
//! A registration with a code, or another sign-in that can be redeemed once: what is kept of it, and who may use its
//! result.

use super::Request;
use super::covered::path_of;
use crate::config::policy::Policy;
use crate::config::sessions::Sessions;
use crate::config::settings::FLOWS_WITHOUT_VERIFIER;
use crate::keys::shared_key::shared_key;
use crate::oauth::typed_code;
use crate::reason::Reason;
use crate::records::redemption::{Claim, Differs, When};
use crate::records::session::{CodeRecord, CodeState, Exchanged, Identity, SignIn};
use crate::rules::token_rules::TokenRules;
use crate::sip::uri::Aor;
use crate::text::fingerprint::secret_name;
use crate::text::secret::KeyOctets;

/// Names a code, or another grant that can be redeemed once, without revealing it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CodeId(pub String);

impl CodeId {
    /// The id of a code of this issuer.
    pub fn of_code(issuer: &str, code: &str) -> CodeId {
        CodeId::new("code", issuer, &[code])
    }

    /// The id of a code that the sign-in page has made for this address. The address is part of it, so a code counts for
    /// no other.
    pub fn of_typed_code(aor: &str, code: &str) -> CodeId {
        CodeId::new("typed", aor, &[code])
    }

    /// `kind` is part of the id, because the sender chooses the text of a code, which must not give the id of
    /// another kind of grant.
    pub(super) fn new(kind: &str, issuer: &str, parts: &[&str]) -> CodeId {
        CodeId(secret_name(&[&[kind, issuer], parts].concat()))
    }
}

/// A registration with a code, or another sign-in, as far as its session is concerned. Only `digest` may hold a
/// secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Registration {
    /// The id of the code's record.
    pub code: String,
    /// The request's method.
    pub method: String,
    /// The address-of-record, canonical.
    pub aor: String,
    /// addr-spec of From, which names who registers the address.
    pub from: String,
    /// `+sip.instance`
    pub instance: String,
    /// `reg-id`
    pub reg_id: u32,
    /// The From tag, raw octets. A request whose tag is not valid UTF-8 is refused.
    pub from_tag: String,
    /// The Call-ID.
    pub call_id: String,
    /// The code was short.
    pub weak: bool,
    /// How a typed code was typed ([`typed_code::spelling`]).
    pub spelling: String,
    /// What the sender has shown besides the code; None for a grant that everybody who has it may use.
    pub claim: Option<Claim>,
    /// When the request arrived, Unix milliseconds.
    pub arrived: i64,
    /// True when its key is made from the To tag of its answer.
    pub tagged: bool,
    /// The digest-string of the request, if proofs may be repeated (`pop_reuse` in the setting allow).
    pub digest: Option<String>,
}

/// Names a request that has arrived. The name stays the same however often the request is checked. Nobody else may
/// be able to compute it.
pub fn arrival_of(hash_key: &[u8; 16], request: &Request<'_>) -> u64 {
    path_of(hash_key, request, b"")
}

/// Decides whether a registration may use the result of a code. `now` in Unix milliseconds.
pub fn admit(policy: &Policy, record: &CodeRecord, registration: &Registration, now: i64) -> Result<(), Differs> {
    // The setting is not for Digest credentials. They have no verifier, and whoever has seen them has all of them.
    let is_password = matches!(&record.state, CodeState::Done(done) if done.sign_in == SignIn::Password);
    let without_verifier = policy.settings.allows(FLOWS_WITHOUT_VERIFIER) && !is_password;
    match (&record.redemption, &registration.claim) {
        (Some(redemption), Some(claim)) => {
            // A check counts in whole seconds, so the request may have arrived after `now`.
            let arrived = registration.arrived;
            redemption.admit(claim, When { arrived, now: now.max(arrived), without_verifier })
        }
        (None, None) => Ok(()),
        _ => Err(Differs::Unproved),
    }
}

/// True when the server has judged what this registration shows.
pub fn asks_the_same(record: &CodeRecord, registration: &Registration) -> bool {
    let both = record.redemption.zip(registration.claim);
    both.is_none_or(|(redemption, claim)| redemption.claim.asks_the_same(&claim))
}

/// True when the code still belongs to its owner, and this registration is not by the phone that has tried it.
pub(super) fn is_strangers(record: &CodeRecord, registration: &Registration) -> bool {
    let both = record.redemption.zip(registration.claim);
    both.is_some_and(|(redemption, claim)| redemption.ownerless && !redemption.is_by(&claim))
}

/// Whether a user may register this address with a code, or use it with a token from elsewhere. The key proves the
/// address in other requests too, so a rule about third parties is not enough here.
pub fn may_register(rules: &TokenRules, user: &Identity, registration: &Registration) -> Result<(), Reason> {
    let owned: Vec<Aor> = user.aors.iter().filter_map(|aor| Aor::parse(aor)).collect();
    let method = registration.method.as_str();
    let index = rules.check_owner(&owned, method, &registration.from, &registration.aor)?;
    if owned[index].as_str() != registration.aor {
        return Err(Reason::ThirdPartyRegistration);
    }
    rules.scopes.check_method(method, &user.scope)
}

/// The key that a registration gives, once its To tag is known. A key that was given to phone and proxy takes
/// precedence over one that they make.
pub fn key_of(
    settings: &Sessions,
    exchanged: &Exchanged,
    registration: &Registration,
    to_tag: &[u8],
) -> Option<KeyOctets> {
    if exchanged.master_key.is_some() || exchanged.sign_in != SignIn::Code {
        return exchanged.master_key.clone();
    }
    if to_tag.is_empty() {
        return None;
    }
    let code = typed_code::respelled(&exchanged.code.0, &registration.spelling);
    let from_tag = registration.from_tag.as_bytes();
    let key = shared_key(settings.key_order, code.as_bytes(), from_tag, to_tag, registration.call_id.as_bytes());
    Some(KeyOctets(*key))
}
