// SPDX-License-Identifier: MIT OR Apache-2.0
//! Phones sign in: everything that the I/O service stores when it exchanges a code, without the authorization server.

use sipoauth::process::context::Context;
use sipoauth::store::sessions::SessionStore;
use sipoauth_core::check::registration::{CodeId, Registration};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::oauth::grant::{CodeRequest, TokenGrant};
use sipoauth_core::records::redemption::{Claim, Redemption, RedemptionFacts};
use sipoauth_core::records::session::{CodeRecord, CodeState};
use sipoauth_core::text::secret::SecretText;

use super::phones::{Phone, RefreshToken};
use super::site::{ISSUER, now, sessions};

/// Sign-ins in a second of the proxy's time: a million users come in the course of a morning.
pub const SIGN_INS_PER_SECOND: u64 = 50;
/// Sign-ins between two rounds of upkeep.
const PER_UPKEEP: u64 = 500;
/// Tokens of the sessions are good for so long, seconds: none is due while the bench runs.
pub const TOKEN_LIFE: i64 = 2_000_000;

/// Signs in the phones with the numbers from 0, in the seconds before now; what was kept of their codes has gone at the
/// end. `tell` hears of each.
pub fn sign_in(context: &Context, phones: u64, refresh: RefreshToken, tell: &dyn Fn()) -> Result<(), String> {
    let store = sessions(context)?;
    let policy = context.policy().map_err(|e| e.0)?.policy;
    let code_lifetime = i64::from(policy.settings.code_lifetime);
    // Redis drops by its own clock what has ended.
    let is_local = context.sessions().is_some_and(|access| access.is_local());
    let before = if is_local { code_lifetime + 2 + (phones / SIGN_INS_PER_SECOND) as i64 } else { 0 };
    let begin = now() - before;
    for number in 0..phones {
        let at = begin * 1000 + (number * 1000 / SIGN_INS_PER_SECOND) as i64;
        sign_in_one(&store, &policy, &Phone::new(number), refresh, at).map_err(|e| format!("phone {number}: {e}"))?;
        if number % PER_UPKEEP == PER_UPKEEP - 1 {
            upkeep(&store, at)?;
        }
        tell();
    }
    let end = begin.max(now()) + 2 + (phones / SIGN_INS_PER_SECOND) as i64 + code_lifetime;
    while upkeep(&store, end * 1000)? > 0 {}
    Ok(())
}

fn upkeep(store: &SessionStore, now: i64) -> Result<u64, String> {
    store.store().upkeep(now).map_err(|e| e.to_string())
}

/// `now` in Unix milliseconds.
fn sign_in_one(
    store: &SessionStore,
    policy: &Policy,
    phone: &Phone,
    refresh: RefreshToken,
    now: i64,
) -> Result<(), String> {
    let text = |e: sipoauth_core::ports::store::StoreError| e.to_string();
    let code = phone.code();
    let id = CodeId::of_code(ISSUER, &code);
    let [from_tag, call_id, to_tag] = phone.first_dialog();
    let claim =
        Claim::new(&[7; 16], &id.0, &RedemptionFacts { instance: &phone.instance(), ..RedemptionFacts::default() });
    let redemption = Some(Redemption::first(claim));
    let record = |state| CodeRecord { provider: "corp".into(), state, redemption };
    let lifetime = i64::from(policy.settings.code_lifetime) * 1000;
    let in_flight = record(CodeState::InFlight(now + 25_000));
    if !store.put_code(&id, &in_flight, None, now + lifetime, now).map_err(text)? {
        return Err("its code is claimed already".into());
    }
    let (_, in_flight) = store.code(&id, now).map_err(text)?.ok_or("the claim has gone")?;
    let expires_at = now / 1000 + TOKEN_LIFE;
    let granted = phone.granted(refresh, now / 1000, expires_at);
    let request = CodeRequest { code: SecretText(code), code_verifier: None, redirect_uri: None };
    let kept = store.keep_granted(policy, 0, &TokenGrant::Code(request), granted, expires_at, now).map_err(text)?;
    let done = record(CodeState::Done(Box::new(kept)));
    if !store.put_code(&id, &done, Some(&in_flight), now + lifetime, now).map_err(text)? {
        return Err("the claim is not its own".into());
    }
    let registration = Registration {
        code: id.0,
        method: "REGISTER".into(),
        aor: phone.aor(),
        from: phone.aor(),
        instance: phone.instance(),
        reg_id: 0,
        from_tag,
        call_id,
        weak: false,
        spelling: String::new(),
        claim: Some(claim),
        arrived: now,
        tagged: true,
        digest: None,
    };
    store.bind(policy, &registration, to_tag.as_bytes(), now).map_err(|e| format!("{e:?}"))
}

/// Reads every session once, so that what is on the disk is in memory.
pub fn read_all(context: &Context, phones: u64) -> Result<(), String> {
    let store = sessions(context)?;
    for number in 0..phones {
        let found = store.account(&Phone::new(number).aor(), now() * 1000).map_err(|e| e.to_string())?;
        if found.is_none_or(|account| account.sessions.len() != 1) {
            return Err(format!("phone {number} has no session"));
        }
    }
    Ok(())
}
