// SPDX-License-Identifier: MIT OR Apache-2.0
//! Phones that sign in by Digest with a device password, which the sign-in page has made (RFC 8760, RFC 7616). The host
//! checks nonces, so this is done in two steps: the host is given H(A1), and later says that the credentials are good.
//!
//! Nobody can tell a user name that does not exist from one that does, or from one whose phone was signed out: there is
//! always an H(A1).

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::known_sessions::{Known, KnownSessions};
use super::session_check::{SessionCheck, accept, refuse};
use super::{Answer, Carried, Decision, Request};
use crate::config::policy::Policy;
use crate::keys::shared_key::hmac_sha256;
use crate::reason::Reason;
use crate::records::device::Device;
use crate::sip::digest::DigestAlgorithm;
use crate::sip::digest_credentials::DigestCredentials;
use crate::sip::uri::Aor;
use crate::text::fingerprint::{hex, visible};
use crate::text::secret::SecretText;

/// Longest user name of a device in octets.
const MAX_USERNAME: usize = 64;

/// Where device passwords come from.
pub trait KnownDevices: KnownSessions {
    /// The device password of a user name.
    fn device(&self, username: &str) -> Known<Device>;
}

/// What the host wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum DeviceStep {
    /// H(A1) of the user, before it checks the credentials.
    Account,
    /// Whether the request may pass, after it has found that the nonce is its own and is good.
    Accept,
}

/// Does one step for a request. After the first one the reason is `digest_unchecked`, and the answer has an H(A1).
pub fn check_device(
    policy: &Policy,
    known: &dyn KnownDevices,
    request: &Request<'_>,
    step: DeviceStep,
    now: i64,
) -> Decision {
    let mut decision = decide(policy, known, request, step, now);
    decision.answer_mut().carried = match decision.answer_mut().reason {
        Some(Reason::NoCredentials) => Carried::Nothing,
        _ => Carried::Device,
    };
    decision
}

fn decide(policy: &Policy, known: &dyn KnownDevices, request: &Request<'_>, step: DeviceStep, now: i64) -> Decision {
    let Some(settings) = &policy.sessions else {
        return refuse(Answer::default(), Reason::DevicesNotConfigured);
    };
    let digest = match DigestCredentials::select(request.credentials, request.realm) {
        Ok(digest) => digest,
        Err(reason) => return refuse(Answer::default(), reason),
    };
    let algorithm = digest.algorithm().unwrap_or(DigestAlgorithm::Md5);
    let username = digest.username.as_ref();
    let need = || Decision::NeedDevice(Answer::default(), username.to_owned());
    let found = match if username.len() > MAX_USERNAME { Known::Absent } else { known.device(username) } {
        Known::Failed => return refuse(Answer::default(), Reason::StoreUnavailable),
        Known::NotHere => return need(),
        Known::Absent => None,
        Known::Found(device) => Some(device),
    };
    let elsewhere = found.as_ref().filter(|device| device.realm != digest.realm).map(|device| {
        let (its, asked) = (visible(&device.realm), visible(&digest.realm));
        format!("this device password is for the realm '{its}', and the proxy asks for '{asked}'")
    });
    let found = found.filter(|_| elsewhere.is_none());
    let account = match found.as_ref().map(|device| known.account(&device.aor)) {
        Some(Known::Failed) => return refuse(Answer::default(), Reason::StoreUnavailable),
        Some(Known::NotHere) => return need(),
        Some(Known::Found(account)) => Some(account),
        Some(Known::Absent) | None => None,
    };
    let session = found.as_ref().zip(account.as_ref()).and_then(|(device, account)| {
        let index = account.sessions.iter().position(|session| session.id == device.session)?;
        let provider = policy.provider_of_session(&account.sessions[index])?;
        Some((provider, account, index))
    });
    let check = SessionCheck { policy, settings, known, request, now };
    let ends = |provider, session| match check.alive(provider, session) {
        // Its server is away, or has taken a scope away. Whoever knows the password is told so.
        Ok(()) | Err(Reason::RefreshOverdue | Reason::InsufficientScope) => false,
        Err(_) => true,
    };
    let alive = session.filter(|(provider, account, index)| !ends(*provider, &account.sessions[*index]));
    let ha1 = found.as_ref().zip(alive).and_then(|(device, _)| device.ha1(algorithm)).map(str::to_owned);
    let (Some(ha1), Some(device), Some((provider, account, index))) = (ha1.map(Zeroizing::new), &found, alive) else {
        return match step {
            DeviceStep::Account => {
                let nobody = || "there is no phone with this user name, or it was signed out".to_owned();
                unchecked(nobodys(&settings.unknown_users, username, algorithm), Some(elsewhere.unwrap_or_else(nobody)))
            }
            DeviceStep::Accept => refuse(Answer::default(), Reason::DigestMismatch),
        };
    };
    if step == DeviceStep::Account {
        let wrong = (!digest.fits(&ha1, request.method)).then(|| "the password is another one".to_owned());
        return unchecked(SecretText(ha1.to_string()), wrong);
    }
    let mut answer = Answer { provider: Some(provider), ..Answer::default() };
    // Whatever the script has done before, only somebody who knows the password passes.
    if !digest.fits(&ha1, request.method) {
        return refuse(answer, Reason::DigestMismatch);
    }
    let Some(aor) = Aor::parse(&device.aor) else {
        return refuse(answer, Reason::AorMismatch);
    };
    let session = &account.sessions[index];
    if let Err(reason) = check.may_prove(provider, session, &aor) {
        return refuse(answer, reason);
    }
    answer.session = Some(account.used(index));
    accept(answer)
}

/// The outcome of the first step. `wrong` says why the credentials do not fit, if they do not.
fn unchecked(ha1: SecretText, wrong: Option<String>) -> Decision {
    let (ha1, wrong_digest) = (Some(Box::new(ha1)), wrong.map(String::into_boxed_str));
    Decision::Done(Answer { reason: Some(Reason::DigestUnchecked), ha1, wrong_digest, ..Answer::default() })
}

/// The H(A1) of a user who does not exist. It is the same each time, and only proxies of this store can make it.
fn nobodys(secret: &[u8; 32], username: &str, algorithm: DigestAlgorithm) -> SecretText {
    let made = hmac_sha256(secret, &[b"device\0", algorithm.name().as_bytes(), b"\0", username.as_bytes()]);
    let length = if algorithm == DigestAlgorithm::Md5 { 16 } else { 32 };
    SecretText(hex(&made[..length]))
}
