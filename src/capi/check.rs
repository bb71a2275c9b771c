// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks requests and tokens. The result says "denied" before anything else can happen.

use std::borrow::Cow;
use std::ffi::c_void;
use std::time::{Duration, Instant};

use smallvec::{SmallVec, smallvec};
use zeroize::Zeroizing;

use super::convert::{Place, borrowed, lossy, octets, structure, text, utf8};
use super::guard::Status;
use super::types::*;
use super::worker::{State, WAITING, port, role_is_proxy, sipoauth_worker, transport_name, with_worker};
use crate::worker::grants::{Demand, gives_tokens};
use crate::worker::repeats::{Recognized, Repeated};
use crate::worker::result::CheckResult;
use crate::worker::{Handling, Worker};
use sipoauth_core::check::device::DeviceStep;
use sipoauth_core::check::known_token::RequestKey;
use sipoauth_core::check::peer_certificate::PeerCertificate;
use sipoauth_core::check::session_check::DigestUser;
use sipoauth_core::check::{Carried, Message, Request};
use sipoauth_core::keys::master_key::is_ha1;
use sipoauth_core::oauth::grant::CodeRequest;
use sipoauth_core::reason::{Outcome, Reason};
use sipoauth_core::rules::claims::NO_END;
use sipoauth_core::sip::credentials::MAX_HEADERS;

/// The end of the year 9999, in Unix seconds.
const LAST_SECOND: i64 = 253_402_300_799;

/// A list that has room, without allocation, for as many items as a request usually has.
type Few<T> = SmallVec<[T; 2]>;

/// Checks the Bearer credentials of a request (RFC 8898 sections 2.2 and 2.3; signature RFC 7515, claims RFC 7519 and
/// RFC 9068). Uses the CPU only, never blocks.
///
/// `flags`: SIPOAUTH_CHECK_RESUMED, SIPOAUTH_CHECK_NO_WAIT. Returns SIPOAUTH_OK when `result` holds an answer, whatever
/// it is; else SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC, and `result` says DENIED.
///
/// # Safety
/// `worker` is NULL or valid; `request` and what it points to is valid during the call; `result` is NULL or valid and
/// its struct_size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_check(
    worker: *mut sipoauth_worker,
    request: *const sipoauth_request,
    flags: u32,
    result: *mut sipoauth_result,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { judge(worker, result, |state| check(state, request, flags)) }
}

/// As sipoauth_worker_check, but a request whose keys must be fetched waits here, at most `timeout_ms` milliseconds;
/// the verdict is never PENDING. Never in a SIP server's worker: needs a worker that may wait (SIPOAUTH_WORKER_MAY_WAIT)
/// and an I/O service in another thread or process. When max_pending is reached, it does not wait, and the verdict is
/// NOT_NOW.
///
/// Returns as sipoauth_worker_check, and SIPOAUTH_E_STATE when the worker may not wait.
///
/// # Safety
/// As for sipoauth_worker_check.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_check_wait(
    worker: *mut sipoauth_worker,
    request: *const sipoauth_request,
    timeout_ms: u32,
    result: *mut sipoauth_result,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { judge(worker, result, |state| waiting(state, timeout_ms, |state, flags| check(state, request, flags))) }
}

/// Exchanges an authorization code for the tokens of its user at the provider that serves the address-of-record's
/// domain (RFC 6749 section 4.1.3), and makes a session of it. The rules are those of sipoauth_worker_check for a
/// code in the body of a REGISTER. A code is sent to the provider once. The same code again, from the same phone
/// (code_verifier, instance, source), gives the same session; from another phone it is refused. The user must own
/// the address. Never blocks. When the verdict is PENDING, as with sipoauth_worker_check, call
/// sipoauth_worker_submit, and then this function again with SIPOAUTH_CHECK_RESUMED.
///
/// `source_ip`, `instance` and a verifier distinguish the owner of a code from a thief. For a host that does not
/// give them, only the very same call may be repeated.
///
/// When the code is accepted, `result` says whose the session is. The phone's key is sipoauth_shared_key of the
/// code, from_tag, call_id and a To tag. The host passes that tag, with `ticket`, to sipoauth_worker_answered,
/// which stores the key. Since ABI version 5.
///
/// Flags and return values are as for sipoauth_worker_check, and SIPOAUTH_E_INPUT when `to_tag` is empty although
/// the store is Redis, because there the key is stored together with the exchange.
///
/// # Safety
/// `worker` is NULL or valid; `code` and what it points to is valid during the call; `result` is NULL or valid and its
/// struct_size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_exchange(
    worker: *mut sipoauth_worker,
    code: *const sipoauth_code,
    flags: u32,
    result: *mut sipoauth_result,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { judge(worker, result, |state| exchange(state, code, flags)) }
}

/// Like sipoauth_worker_exchange, but waits here for the authorization server, at most `timeout_ms` milliseconds;
/// the verdict is never PENDING. When the time is over, the verdict is NOT_NOW and the exchange goes on; the same
/// call later finds its outcome. Which worker may wait, and the return values, are as for
/// sipoauth_worker_check_wait. Since ABI version 5.
///
/// # Safety
/// As for sipoauth_worker_exchange.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_exchange_wait(
    worker: *mut sipoauth_worker,
    code: *const sipoauth_code,
    timeout_ms: u32,
    result: *mut sipoauth_result,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { judge(worker, result, |state| waiting(state, timeout_ms, |state, flags| exchange(state, code, flags))) }
}

/// Checks a REGISTER that asks for tokens with `grant_type=password` (sip-oauth-01 section 4.3). Its Digest
/// credentials for `realm` must be among `credentials`. The host must have issued their nonce and found it valid,
/// as it does for every Digest authentication. The library checks the rest of the credentials with `ha1`, derives
/// the master-key, has tokens issued and keeps the session. The user of the tokens must own the address-of-record,
/// and a `pop` in the body must be right. The verdict can be PENDING, as for sipoauth_worker_check. Without such a
/// body, or without Digest credentials, the verdict is NO_CREDENTIALS. When the request is accepted, the 2xx must
/// carry what sipoauth_worker_token_response gives. Since ABI version 4.
///
/// `ha1` is H(A1) of the user as 32 or 64 hex digits: MD5 or SHA-256 of user name, realm and password. `password`
/// is for password_grant = password, else empty. It is sent to the authorization server and kept nowhere. Flags
/// and return values are as for sipoauth_worker_check, and SIPOAUTH_E_INPUT when `ha1` is not an H(A1).
///
/// # Safety
/// As for sipoauth_worker_check; `ha1` and `password` are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_check_password(
    worker: *mut sipoauth_worker,
    request: *const sipoauth_request,
    ha1: sipoauth_str,
    password: sipoauth_str,
    flags: u32,
    result: *mut sipoauth_result,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        judge(worker, result, |state| {
            let (ha1, password) = (text(ha1)?, text(password)?);
            if !is_ha1(&ha1) {
                return Err(SIPOAUTH_E_INPUT);
            }
            let user = DigestUser { ha1: &ha1, password: &password };
            answer_to(state, request, flags, |worker, request, handling| worker.check_password(request, user, handling))
        })
    }
}

/// Checks a request whose sender has a device password of the sign-in page, by Digest (RFC 7616, RFC 8760: MD5 or SHA-256,
/// `qop=auth`), in two steps. The Digest credentials for `realm` must be among `credentials`.
///
/// With SIPOAUTH_DEVICE_ACCOUNT the verdict is NO_CREDENTIALS with reason "digest_unchecked", and `ha1` is that of the user
/// name. The host checks the credentials with it, in particular that the nonce is its own and not used up. A user name that
/// nobody has, or whose phone was signed out, has an `ha1` that no password gives, so nobody can tell which names there are.
/// Without Digest credentials the reason is "no_credentials".
///
/// With SIPOAUTH_DEVICE_ACCEPT the verdict is ACCEPTED if somebody who knows the password has made the credentials for this
/// method, and the phone may use the address-of-record and the method. The verdict can be PENDING at the first step, as for
/// sipoauth_worker_check, with a store that proxies share. A host that did not wait there need not wait at the second.
/// Uses the CPU only, never blocks. Since ABI version 5.
///
/// Flags and return values are as for sipoauth_worker_check, and SIPOAUTH_E_ARGUMENT for another `step`.
///
/// # Safety
/// As for sipoauth_worker_check.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_check_device(
    worker: *mut sipoauth_worker,
    request: *const sipoauth_request,
    step: u32,
    flags: u32,
    result: *mut sipoauth_result,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        judge(worker, result, |state| {
            let step = match step {
                SIPOAUTH_DEVICE_ACCOUNT => DeviceStep::Account,
                SIPOAUTH_DEVICE_ACCEPT => DeviceStep::Accept,
                _ => return Err(SIPOAUTH_E_ARGUMENT),
            };
            answer_to(state, request, flags, |worker, request, handling| worker.check_device(request, step, handling))
        })
    }
}

/// Checks a token that did not come in a SIP request. The check covers everything but the address-of-record. Flags
/// and return values are as for sipoauth_worker_check; `token` is the bare token without "Bearer". It counts as a
/// token that came without TLS and without a proof, so it is denied with pop_missing where the provider has
/// `token_pop=required`.
///
/// Limits count the token for the sender of `request`, as its source_ip, source_port, transport and vias tell. Nothing
/// else of the request is looked at. If `request` is NULL, the sender is not known, and all such tokens count for one
/// sender. Changed in ABI version 5.
///
/// # Safety
/// `worker` is NULL or valid; `request` is NULL, or it and what it points to is valid during the call; `token` is valid
/// for its length; `result` as for sipoauth_worker_check.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_check_token(
    worker: *mut sipoauth_worker,
    request: *const sipoauth_request,
    token: sipoauth_str,
    flags: u32,
    result: *mut sipoauth_result,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { judge(worker, result, |state| check_token(state, request, token, flags)) }
}

/// Gives the result for a request that the host could not handle. `why` is SIPOAUTH_REFUSE_FULL for the request of
/// the worker's last result, which is PENDING with this `job` and could not be parked (NOT_NOW, "overloaded",
/// 503). It is SIPOAUTH_REFUSE_MALFORMED for a request that the host cannot parse (DENIED, "malformed_request",
/// 400), and SIPOAUTH_REFUSE_FAILED for an error of the host (NOT_NOW, "internal_error", 503). An error of the
/// host counts as that reason but not as a request, because the request may have been counted already. `job` is 0
/// except with SIPOAUTH_REFUSE_FULL.
///
/// Returns as sipoauth_worker_check, and SIPOAUTH_E_STALE when the last result is not PENDING with this job; the
/// last result then stays. `result` says 503 also when the call fails, and when `worker` is NULL.
///
/// Changed in ABI version 5.
///
/// # Safety
/// `worker` is NULL or valid, `result` as for sipoauth_worker_check.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_refuse(
    worker: *mut sipoauth_worker,
    why: u32,
    job: u64,
    result: *mut sipoauth_result,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        answer_of(worker, result, |state| {
            *state.last = match why {
                SIPOAUTH_REFUSE_FULL if state.last.pending.is_none() || job != state.job => {
                    return Err(SIPOAUTH_E_STALE);
                }
                SIPOAUTH_REFUSE_FULL => state.worker.conclusion().overloaded(std::mem::take(&mut state.last)),
                SIPOAUTH_REFUSE_MALFORMED => state.worker.conclusion().malformed(),
                SIPOAUTH_REFUSE_FAILED => state.worker.conclusion().failed(),
                _ => return Err(SIPOAUTH_E_ARGUMENT),
            };
            state.next_check();
            Ok(())
        })
    }
}

/// Requires more of the request that a check accepted. `check` comes from the worker's last result and stays
/// valid. `what` is SIPOAUTH_REQUIRE_SERVICE or SIPOAUTH_REQUIRE_SCOPE, `name` the service or the scopes. The
/// verdict is then ACCEPTED, or DENIED with reason "insufficient_scope", `needed_scope` and the status of the
/// setting `scope_status`, or with 403 when the provider has no such service. What the check accepted stays as it
/// was: identity, services, expiry, claims and token. A denial counts as that reason, not as a denied request. The
/// function may be called again for the same check.
///
/// Returns SIPOAUTH_OK when `result` holds an answer; SIPOAUTH_E_STALE; SIPOAUTH_E_STATE when the check was not
/// accepted; SIPOAUTH_E_INPUT when `name` names nothing; else as sipoauth_worker_check. After a failure `result`
/// says DENIED.
///
/// Changed in ABI version 5.
///
/// # Safety
/// `worker` is NULL or valid, `name` valid for its length, `result` as for sipoauth_worker_check.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_require(
    worker: *mut sipoauth_worker,
    check: u64,
    what: u32,
    name: sipoauth_str,
    result: *mut sipoauth_result,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        answer_of(worker, result, |state| {
            let name = text(name)?.into_owned();
            let demand = match what {
                SIPOAUTH_REQUIRE_SERVICE => Demand::Service(&name),
                SIPOAUTH_REQUIRE_SCOPE => Demand::Scope(&name),
                _ => return Err(SIPOAUTH_E_ARGUMENT),
            };
            state.is_last(check)?;
            if state.last.granted.is_none() {
                return Err(SIPOAUTH_E_STATE);
            }
            if state.worker.grants().require(&mut state.last, demand) { Ok(()) } else { Err(SIPOAUTH_E_INPUT) }
        })
    }
}

/// Begins a new check: sets the result to DENIED, calls `run`, and writes the outcome.
///
/// # Safety
/// `worker` is NULL or valid; `result` is NULL or valid and its struct_size set.
pub(super) unsafe fn judge(
    worker: *mut sipoauth_worker,
    result: *mut sipoauth_result,
    run: impl FnOnce(&mut State) -> Status,
) -> i32 {
    let checked = |state: &mut State| {
        state.next_check();
        run(state)
    };
    // SAFETY: the caller's promise.
    unsafe { answer_of(worker, result, checked) }
}

/// Like [`judge`], but without a new check: the answer belongs to the worker's last check.
///
/// # Safety
/// As for [`judge`].
unsafe fn answer_of(
    worker: *mut sipoauth_worker,
    result: *mut sipoauth_result,
    run: impl FnOnce(&mut State) -> Status,
) -> i32 {
    let mut size = 0;
    // SAFETY: the caller's promise.
    let result = unsafe {
        Place::structure(result, |struct_size| {
            size = struct_size;
            denied(struct_size)
        })
    };
    let result = match result {
        Ok(result) => result,
        Err(status) => return status,
    };
    let finish = |state: &mut State| {
        run(state)?;
        if state.last.pending.is_some() {
            state.job += 1;
        }
        result.put(answer(denied(size), state));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { with_worker(worker, finish) }
}

/// Asks, waits for what is pending, and then asks once more.
fn waiting(state: &mut State, timeout_ms: u32, mut ask: impl FnMut(&mut State, u32) -> Status) -> Status {
    if !state.may_wait {
        return Err(SIPOAUTH_E_STATE);
    }
    // The texts of the last answer may be among the inputs of both questions, so it lives until the end.
    let _last = std::mem::take(&mut *state.last);
    ask(state, 0)?;
    let Some(work) = state.last.pending.take() else {
        return Ok(());
    };
    let place = state.worker.context().arena().shared().waits.begin();
    if state.worker.waits().submit(work, &[], [WAITING, place]).is_err() {
        let last = std::mem::take(&mut *state.last);
        *state.last = state.worker.conclusion().overloaded(last);
        return Ok(());
    }
    let waits = &state.worker.context().arena().shared().waits;
    let until = Instant::now() + Duration::from_millis(timeout_ms.into());
    while !waits.is_over(place) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
    ask(state, SIPOAUTH_CHECK_RESUMED)
}

/// # Safety
/// A non-NULL `code` and what it points to is valid.
unsafe fn exchange(state: &mut State, code: *const sipoauth_code, flags: u32) -> Status {
    // The texts of the last answer may be among the inputs, so it lives until the end.
    let _last = std::mem::take(&mut *state.last);
    // SAFETY: the caller's promise.
    unsafe {
        let c = structure(code)?;
        let (transport, source_port) = (transport_name(c.transport)?, port(c.source_port)?);
        if !(0..=LAST_SECOND).contains(&c.now) {
            return Err(SIPOAUTH_E_ARGUMENT);
        }
        let [aor, from, source, instance] = [text(c.aor)?, text(c.from_uri)?, text(c.source_ip)?, text(c.instance)?];
        let (secret, verifier, redirect_uri) = (utf8(c.code)?, utf8(c.code_verifier)?, utf8(c.redirect_uri)?);
        let (from_tag, call_id, to_tag) = (octets(c.from_tag)?, octets(c.call_id)?, octets(c.to_tag)?);
        if to_tag.is_empty() && !state.worker.context().stores_itself() {
            return Err(SIPOAUTH_E_INPUT);
        }
        let code = match (secret, verifier, redirect_uri) {
            (Some(code), Some(verifier), Some(redirect_uri)) => CodeRequest::new(code, verifier, redirect_uri),
            _ => Err(Reason::BodyMalformed),
        };
        // By these parts a repeated call is recognized as the same one.
        let mut body = Zeroizing::new(Vec::new());
        for part in [octets(c.code)?, call_id, to_tag] {
            body.extend_from_slice(&part.len().to_be_bytes());
            body.extend_from_slice(part);
        }
        let request = Request {
            method: "REGISTER",
            from: if from.is_empty() { &aor } else { &from },
            to: &aor,
            transport,
            source: (&source, source_port),
            message: Message {
                from_tag,
                call_id,
                instance: &instance,
                body: &body,
                reply_to_tag: to_tag,
                reg_id: c.reg_id,
                ..Message::default()
            },
            ..Request::default()
        };
        let handling = Handling { now: (c.now != 0).then_some(c.now), source: &source, ..handling(flags)? };
        *state.last = state.worker.exchange(&request, code, &handling);
    }
    Ok(())
}

/// # Safety
/// `token` and a non-NULL `request` and what they point to are valid.
unsafe fn check_token(state: &mut State, request: *const sipoauth_request, token: sipoauth_str, flags: u32) -> Status {
    // The texts of the last answer may be among the inputs, so it lives until the end.
    let _last = std::mem::take(&mut *state.last);
    // SAFETY: the caller's promise.
    unsafe {
        let (token, handling) = (text(token)?, handling(flags)?);
        if request.is_null() {
            *state.last = state.worker.check_token(&token, &handling);
            return Ok(());
        }
        let given = whole(request)?;
        let (transport, source_port) = (transport_name(given.transport)?, port(given.source_port)?);
        let (source, vias) = (lossy(octets(given.source_ip)?), vias(&given)?);
        let vias: Few<Cow<'_, str>> = vias.iter().map(|body| lossy(body)).collect();
        let vias: Few<&str> = vias.iter().map(AsRef::as_ref).collect();
        let sender = Request { transport, source: (&source, source_port), vias: &vias, ..Request::default() };
        *state.last = state.worker.check_token_of(&sender, &token, &Handling { source: &source, ..handling });
    }
    Ok(())
}

/// # Safety
/// A non-NULL `request` and what it points to is valid.
unsafe fn check(state: &mut State, request: *const sipoauth_request, flags: u32) -> Status {
    let State { worker, last, spare, .. } = state;
    // SAFETY: the caller's promise.
    let mut core = match unsafe { borrowed(request).and_then(|request| Core::read(request, flags)) } {
        Ok(core) => core,
        Err(status) => {
            **last = CheckResult::default();
            return Err(status);
        }
    };
    let begun = worker.begin(&core.handling);
    core.handling.begun = Some(begun);
    let sent = match worker.recognize(&core.repeated, &core.handling, spare) {
        Recognized::Accepted => {
            // The texts of the last answer may be among the inputs, so they live until here.
            std::mem::swap(last, spare);
            spare.clear();
            return Ok(());
        }
        Recognized::Text(sent) => Some(sent),
        Recognized::Not => None,
    };
    // SAFETY: the caller's promise.
    unsafe {
        answer_to(state, request, flags, |worker, request, handling| {
            worker.check_closely(request, sent, &Handling { begun: Some(begun), ..*handling })
        })
    }
}

/// A request with all its members.
///
/// # Safety
/// A non-NULL `request` is valid.
#[inline]
pub(super) unsafe fn whole(request: *const sipoauth_request) -> Result<sipoauth_request, i32> {
    // SAFETY: the caller's promise.
    unsafe {
        let given = structure(request)?;
        match given.complete.map_or(SIPOAUTH_OK, |complete| complete(given.complete_user)) {
            SIPOAUTH_OK => structure(request),
            error => Err(error),
        }
    }
}

/// Asks the worker about a request and keeps the answer as the last one. Whatever happens, no earlier token stays
/// in the last answer.
///
/// # Safety
/// A non-NULL `request` and what it points to is valid.
pub(super) unsafe fn answer_to(
    state: &mut State,
    request: *const sipoauth_request,
    flags: u32,
    ask: impl FnOnce(&mut Worker, &Request<'_>, &Handling<'_>) -> CheckResult,
) -> Status {
    // SAFETY: the caller's promise.
    let fields = unsafe { Fields::read(request, flags) }.inspect_err(|_| *state.last = CheckResult::default())?;
    fields.ask(state, ask);
    Ok(())
}

/// Runs a function with the caller's request, which is no check.
///
/// # Safety
/// A non-NULL `request` and what it points to is valid.
pub(super) unsafe fn with_request<T>(
    request: *const sipoauth_request,
    run: impl FnOnce(&Request<'_>, &Handling<'_>) -> T,
) -> Result<T, i32> {
    // SAFETY: the caller's promise.
    Ok(unsafe { Fields::read(request, 0) }?.with(run))
}

/// The part of the caller's request that decides about a bare token. It was checked, so every pointer and number
/// in it is valid.
struct Core<'a> {
    handling: Handling<'static>,
    repeated: Repeated<'a>,
    credentials: Few<&'a [u8]>,
    body: &'a [u8],
}

impl<'a> Core<'a> {
    /// # Safety
    /// What `request` points to is valid during `'a`.
    #[inline]
    unsafe fn read(request: &sipoauth_request, flags: u32) -> Result<Core<'a>, i32> {
        let handling = handling(flags)?;
        let (proxy, transport) = (role_is_proxy(request.role)?, transport_name(request.transport)?);
        if !(0..=LAST_SECOND).contains(&request.now) {
            return Err(SIPOAUTH_E_ARGUMENT);
        }
        // SAFETY: the caller's promise.
        unsafe {
            let credentials = credentials(request)?;
            let body = octets(request.body)?;
            let repeated = Repeated {
                asking: RequestKey {
                    method: octets(request.method)?,
                    from: octets(request.from_uri)?,
                    to: octets(request.to_uri)?,
                },
                credentials: match credentials[..] {
                    [one] => one,
                    _ => &[],
                },
                has_body: !body.is_empty(),
                transport,
                connection: request.connection,
            };
            let handling = Handling { now: (request.now != 0).then_some(request.now), proxy, ..handling };
            Ok(Core { handling, repeated, credentials, body })
        }
    }
}

/// The caller's function that gives the client's certificate, and its argument.
#[derive(Clone, Copy)]
struct Certificate {
    read: sipoauth_certificate_fn,
    user: *mut c_void,
}

impl Certificate {
    /// The certificate that the caller gives; None when there is none.
    fn read(self) -> Option<Vec<u8>> {
        let given = self.read?(self.user);
        // SAFETY: the caller's promise: what its function returns is valid until the check returns.
        unsafe { octets(given) }.ok().map(<[u8]>::to_vec)
    }
}

/// The caller's whole request, after the same checks as [`Core`].
struct Fields<'a> {
    core: Core<'a>,
    source_port: u16,
    realm: &'a [u8],
    source: &'a [u8],
    vias: Few<&'a [u8]>,
    content_type: &'a [u8],
    instance: &'a [u8],
    user_agent: &'a [u8],
    certificate: Certificate,
    uri: &'a [u8],
    octets: &'a [u8],
    /// Content-Type, instance and User-Agent are empty here, because `ask` converts them to text.
    message: Message<'a>,
}

impl<'a> Fields<'a> {
    /// # Safety
    /// A non-NULL `request` and what it points to is valid during `'a`.
    #[inline]
    unsafe fn read(request: *const sipoauth_request, flags: u32) -> Result<Fields<'a>, i32> {
        // SAFETY: the caller's promise.
        unsafe {
            let r = whole(request)?;
            let core = Core::read(&r, flags)?;
            let message = Message {
                content_type: "",
                body: core.body,
                from_tag: octets(r.from_tag)?,
                call_id: octets(r.call_id)?,
                cseq: octets(r.cseq)?,
                date: octets(r.date)?,
                contact: octets(r.contact_uri)?,
                instance: "",
                user_agent: "",
                branch: octets(r.branch)?,
                reply_to_tag: octets(r.reply_to_tag)?,
                contacts: r.contact_count,
                reg_id: r.reg_id,
            };
            Ok(Fields {
                core,
                source_port: port(r.source_port)?,
                realm: octets(r.realm)?,
                source: octets(r.source_ip)?,
                vias: vias(&r)?,
                content_type: octets(r.content_type)?,
                instance: octets(r.instance)?,
                user_agent: octets(r.user_agent)?,
                certificate: Certificate { read: r.client_certificate, user: r.client_certificate_user },
                uri: octets(r.request_uri)?,
                octets: octets(r.message)?,
                message,
            })
        }
    }

    fn ask(self, state: &mut State, ask: impl FnOnce(&mut Worker, &Request<'_>, &Handling<'_>) -> CheckResult) {
        // The texts of the last answer may be among the inputs, so it lives until the end.
        let _last = std::mem::take(&mut *state.last);
        *state.last = self.with(|request, handling| ask(&mut state.worker, request, handling));
    }

    fn with<T>(self, run: impl FnOnce(&Request<'_>, &Handling<'_>) -> T) -> T {
        let Core { handling, repeated, credentials, .. } = self.core;
        let credentials: Few<Cow<'_, str>> = credentials.iter().map(|body| lossy(body)).collect();
        let credentials: Few<&str> = credentials.iter().map(AsRef::as_ref).collect();
        let RequestKey { method, from, to } = repeated.asking;
        let [method, from, to, realm] = [method, from, to, self.realm].map(lossy);
        let [source, content_type, instance, user_agent] =
            [self.source, self.content_type, self.instance, self.user_agent].map(lossy);
        let certificate = || self.certificate.read();
        let vias: Few<Cow<'_, str>> = self.vias.iter().map(|body| lossy(body)).collect();
        let vias: Few<&str> = vias.iter().map(AsRef::as_ref).collect();
        let request = Request {
            method: &method,
            uri: self.uri,
            octets: self.octets,
            from: &from,
            to: &to,
            realm: &realm,
            credentials: &credentials,
            transport: repeated.transport,
            connection: repeated.connection,
            source: (&source, self.source_port),
            certificate: PeerCertificate::new(&certificate),
            vias: &vias,
            message: Message {
                content_type: &content_type,
                instance: &instance,
                user_agent: &user_agent,
                ..self.message
            },
        };
        run(&request, &Handling { source: &source, ..handling })
    }
}

/// The most Via header fields that are looked at.
const MAX_VIAS: usize = 16;

/// # Safety
/// A non-NULL `vias` points to as many texts as `vias_count` says.
unsafe fn vias<'a>(request: &sipoauth_request) -> Result<Few<&'a [u8]>, i32> {
    let count = request.vias_count;
    if count > 0 && (request.vias.is_null() || !request.vias.is_aligned()) {
        return Err(SIPOAUTH_E_ARGUMENT);
    }
    // SAFETY: the caller's promise; the pointer is neither NULL nor unaligned.
    (0..count.min(MAX_VIAS)).map(|i| unsafe { octets(*request.vias.add(i)) }).collect()
}

/// # Safety
/// A non-NULL `credentials` points to as many texts as `credentials_count` says.
#[inline]
unsafe fn credentials<'a>(request: &sipoauth_request) -> Result<Few<&'a [u8]>, i32> {
    let count = request.credentials_count;
    if count > 0 && (request.credentials.is_null() || !request.credentials.is_aligned()) {
        return Err(SIPOAUTH_E_ARGUMENT);
    }
    if count > MAX_HEADERS {
        // So many credentials are refused anyway, so none of them is read.
        return Ok(smallvec![&[][..]; MAX_HEADERS + 1]);
    }
    let mut bodies = Few::new();
    for index in 0..count {
        // SAFETY: not NULL and aligned; the caller vouches for the number.
        bodies.push(unsafe { octets(request.credentials.add(index).read()) }?);
    }
    Ok(bodies)
}

fn handling<'a>(flags: u32) -> Result<Handling<'a>, i32> {
    if flags & !(SIPOAUTH_CHECK_RESUMED | SIPOAUTH_CHECK_NO_WAIT) != 0 {
        return Err(SIPOAUTH_E_ARGUMENT);
    }
    Ok(Handling {
        resumed: flags & SIPOAUTH_CHECK_RESUMED != 0,
        no_wait: flags & SIPOAUTH_CHECK_NO_WAIT != 0,
        ..Handling::default()
    })
}

const DENIED: sipoauth_result = sipoauth_result {
    struct_size: 0,
    verdict: SIPOAUTH_VERDICT_DENIED,
    reason: 0,
    status: 503,
    retry_after: 1,
    cached: 0,
    expires_at: 0,
    job: 0,
    reason_code: sipoauth_str::EMPTY,
    reason_text: sipoauth_str::EMPTY,
    error: sipoauth_str::EMPTY,
    provider: sipoauth_str::EMPTY,
    issuer: sipoauth_str::EMPTY,
    aor: sipoauth_str::EMPTY,
    subject: sipoauth_str::EMPTY,
    client_id: sipoauth_str::EMPTY,
    scope: sipoauth_str::EMPTY,
    kid: sipoauth_str::EMPTY,
    fingerprint: sipoauth_str::EMPTY,
    grant: SIPOAUTH_GRANT_NONE,
    confirm: 0,
    session: sipoauth_str::EMPTY,
    instance: sipoauth_str::EMPTY,
    ticket: sipoauth_str::EMPTY,
    services: sipoauth_str::EMPTY,
    needed_scope: sipoauth_str::EMPTY,
    expires_limit: 0,
    token_response: 0,
    reason_class: SIPOAUTH_CLASS_NOT_NOW,
    check: 0,
    ha1: sipoauth_str::EMPTY,
};

fn denied(struct_size: u32) -> sipoauth_result {
    let internal = Reason::Internal;
    sipoauth_result {
        struct_size,
        reason: internal.number(),
        reason_code: internal.code().into(),
        reason_text: internal.text().into(),
        ..DENIED
    }
}

/// The result of the last check. Its texts borrow from the state.
fn answer(first: sipoauth_result, state: &State) -> sipoauth_result {
    let (verdict, job) = (&*state.last, state.job);
    let CheckResult { answer, status, retry_after, pending, session, ticket, .. } = verdict;
    let grant = match answer.carried {
        Carried::Nothing => SIPOAUTH_GRANT_NONE,
        Carried::Token => SIPOAUTH_GRANT_TOKEN,
        Carried::Code => SIPOAUTH_GRANT_CODE,
        Carried::Proof => SIPOAUTH_GRANT_POP,
        Carried::Connection => SIPOAUTH_GRANT_CONNECTION,
        Carried::KeyDerivation => SIPOAUTH_GRANT_KEY_DERIVATION,
        Carried::Device => SIPOAUTH_GRANT_DEVICE,
        Carried::Password => SIPOAUTH_GRANT_PASSWORD,
        Carried::Refresh => SIPOAUTH_GRANT_REFRESH,
        Carried::TokenAndProof => SIPOAUTH_GRANT_TOKEN_POP,
    };
    let shown = verdict.shown();
    let mut result = sipoauth_result {
        provider: verdict.provider().into(),
        cached: answer.cached.into(),
        grant,
        check: state.check,
        ..first
    };
    if pending.is_some() {
        result.verdict = SIPOAUTH_VERDICT_PENDING;
        result.reason_class = SIPOAUTH_CLASS_PENDING;
        result.job = job;
        result.reason_code = "pending".into();
        result.reason_text = "The authorization server or the session store must be asked first.".into();
    } else {
        let reason = answer.reason();
        result.verdict = match reason.outcome() {
            Outcome::Accepted => SIPOAUTH_VERDICT_ACCEPTED,
            Outcome::NoCredentials => SIPOAUTH_VERDICT_NO_CREDENTIALS,
            Outcome::NotNow => SIPOAUTH_VERDICT_NOT_NOW,
            Outcome::Challenge | Outcome::Forbidden | Outcome::BadRequest | Outcome::UnsupportedMedia => {
                SIPOAUTH_VERDICT_DENIED
            }
        };
        result.status = *status;
        result.retry_after = *retry_after;
        result.reason = reason.number();
        result.reason_class = reason.class() as u32;
        result.reason_code = reason.code().into();
        result.reason_text = reason.text().into();
        result.error = reason.oauth_error().into();
        result.needed_scope = verdict.needed_scope.as_str().into();
        result.ha1 = answer.ha1.as_ref().map_or("", |ha1| &ha1.0).into();
        if verdict.granted.is_some() {
            result.services = shown.map_or_else(|| verdict.services(), |shown| shown.services).into();
            result.expires_limit = verdict.expires_limit();
        }
    }
    if let Some(used) = &answer.session {
        result.aor = used.aor.as_str().into();
        result.subject = used.subject.as_str().into();
        result.client_id = used.client_id.as_str().into();
        result.scope = used.scope.as_str().into();
        result.instance = used.instance.as_str().into();
        result.session = session.as_str().into();
        if verdict.granted.is_some() {
            result.expires_at = used.valid_until;
        }
        if result.verdict == SIPOAUTH_VERDICT_ACCEPTED {
            result.confirm = u32::from(!ticket.is_empty());
            result.ticket = ticket.as_str().into();
            result.token_response = gives_tokens(answer).into();
        }
    }
    if let Some(account) = answer.account.as_ref().filter(|_| verdict.granted.is_some()) {
        result.aor = (**account).into();
    }
    if let Some(shown) = shown {
        result.issuer = shown.issuer.into();
        result.subject = shown.subject.into();
        result.client_id = shown.client_id.into();
        result.scope = shown.scope.into();
        result.kid = shown.kid.into();
        result.fingerprint = shown.fingerprint.into();
        if verdict.granted.is_some() {
            result.aor = shown.aor.into();
            result.expires_at = Some(shown.expires_at).filter(|end| *end != NO_END).unwrap_or(0);
        }
    } else if let Some(seen) = &answer.unverified {
        result.issuer = seen.issuer.as_str().into();
        result.kid = seen.kid.as_str().into();
        result.fingerprint = seen.fingerprint.as_str().into();
    }
    result
}
