// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checking requests, one worker per process or thread.

use std::borrow::Cow;
use std::ffi::c_char;
use std::time::{Duration, Instant};

use super::config::{conclude, sipoauth_context};
use super::convert::{put_octets, structure, structure_mut, text};
use super::guard::guard;
use super::types::*;
use crate::config::offer::Endpoint;
use crate::engine::check::Request;
use crate::proto::challenge::Challenge;
use crate::proto::credentials::MAX_HEADERS;
use crate::proto::reason::{Outcome, Reason};
use crate::runtime::worker::{Handling, Verdict, Worker, claim_text};

/// One process's or thread's state. Not for two threads at once, not for use across a fork.
pub struct sipoauth_worker {
    worker: Worker,
    /// What the texts of the last result borrow from.
    last: Verdict,
    claim: String,
}

/// The cookies of a request that waits in sipoauth_worker_check_wait; never given to a done function.
pub(super) const WAITING: [u64; 2] = [u64::MAX; 2];

/// Makes a worker. Called after the fork, in the process that uses it. `*out` is NULL on every failure.
///
/// # Safety
/// Pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_new(
    context: *mut sipoauth_context,
    out: *mut *mut sipoauth_worker,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    if out.is_null() {
        return SIPOAUTH_E_ARGUMENT;
    }
    // SAFETY: not NULL, the caller's promise.
    unsafe { out.write(std::ptr::null_mut()) };
    // SAFETY: the caller's promise.
    let Some(context) = (unsafe { context.as_ref() }) else {
        return SIPOAUTH_E_ARGUMENT;
    };
    guard(Some(&context.0), || {
        let made = Worker::new(context.0.clone()).map(|worker| {
            let worker = sipoauth_worker { worker, last: Verdict::default(), claim: String::new() };
            // SAFETY: checked above.
            unsafe { out.write(Box::into_raw(Box::new(worker))) };
        });
        // SAFETY: the caller's promise.
        unsafe { conclude(made, err, err_cap) }
    })
}

/// Frees a worker; NULL is allowed.
///
/// # Safety
/// `worker` comes from sipoauth_worker_new and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_free(worker: *mut sipoauth_worker) {
    super::guard::guard_or(None, (), || {
        if !worker.is_null() {
            // SAFETY: the caller gives back what sipoauth_worker_new returned.
            drop(unsafe { Box::from_raw(worker) });
        }
    });
}

/// The worker, when it belongs to this process, with the guard around what is done with it.
unsafe fn with_worker(worker: *mut sipoauth_worker, run: impl FnOnce(&mut sipoauth_worker) -> i32) -> i32 {
    // SAFETY: the caller's promise: NULL or made by sipoauth_worker_new, used by one thread.
    let Some(worker) = (unsafe { worker.as_mut() }) else {
        return SIPOAUTH_E_ARGUMENT;
    };
    let context = worker.worker.context().clone();
    guard(Some(&context), || if worker.worker.is_own_process() { run(worker) } else { SIPOAUTH_E_PROCESS })
}

/// Checks the Bearer credentials of a request (RFC 8898 sections 2.2 and 2.3). Uses the CPU only.
///
/// `result` says DENIED when the call itself fails. `flags`: SIPOAUTH_CHECK_RESUMED, SIPOAUTH_CHECK_NO_WAIT.
///
/// # Safety
/// `request` and what it points to is valid during the call; `result` is valid and its struct_size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_check(
    worker: *mut sipoauth_worker,
    request: *const sipoauth_request,
    flags: u32,
    result: *mut sipoauth_result,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let Ok(result) = begin(result) else {
            return SIPOAUTH_E_ARGUMENT;
        };
        with_worker(worker, |worker| match check(worker, request, flags) {
            Ok(()) => {
                worker.fill(result);
                SIPOAUTH_OK
            }
            Err(status) => status,
        })
    }
}

/// As sipoauth_worker_check, but a request whose keys must be fetched waits here, at most `timeout_ms`. For programs
/// that may block; needs an I/O service in this or another process.
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
    unsafe {
        let Ok(result) = begin(result) else {
            return SIPOAUTH_E_ARGUMENT;
        };
        with_worker(worker, |worker| {
            if let Err(status) = check(worker, request, 0) {
                return status;
            }
            if let Some(slot) = worker.last.pending {
                if worker.worker.submit(slot, WAITING).is_err() {
                    return SIPOAUTH_E_FULL;
                }
                worker.wait(slot, Duration::from_millis(timeout_ms.into()));
                if let Err(status) = check(worker, request, SIPOAUTH_CHECK_RESUMED) {
                    return status;
                }
            }
            worker.fill(result);
            SIPOAUTH_OK
        })
    }
}

/// Checks a token that did not come in a SIP request: everything but the address-of-record.
///
/// # Safety
/// As for sipoauth_worker_check.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_check_token(
    worker: *mut sipoauth_worker,
    token: sipoauth_str,
    flags: u32,
    result: *mut sipoauth_result,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let Ok(result) = begin(result) else {
            return SIPOAUTH_E_ARGUMENT;
        };
        with_worker(worker, |worker| {
            let token = match text(token) {
                Ok(token) => token,
                Err(status) => return status,
            };
            let handling = Handling {
                no_wait: flags & SIPOAUTH_CHECK_NO_WAIT != 0,
                resumed: flags & SIPOAUTH_CHECK_RESUMED != 0,
                ..Handling::default()
            };
            worker.last = worker.worker.check_token(&token, &handling);
            worker.fill(result);
            SIPOAUTH_OK
        })
    }
}

/// A claim of the token that the last check accepted: strings as they are, everything else as JSON. `path` is dotted
/// ("realm_access.roles"). SIPOAUTH_E_INPUT when there is none. `value` borrows from the worker until its next call.
///
/// # Safety
/// `value` is valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_claim(
    worker: *mut sipoauth_worker,
    path: sipoauth_str,
    value: *mut sipoauth_str,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(value) = value.as_mut() else {
            return SIPOAUTH_E_ARGUMENT;
        };
        *value = sipoauth_str::EMPTY;
        with_worker(worker, |worker| {
            let path = match text(path) {
                Ok(path) => path,
                Err(status) => return status,
            };
            let accepted = worker.last.answer.token.as_ref().filter(|_| worker.last.status == 200);
            match accepted.and_then(|token| claim_text(&token.payload, &path)) {
                None => SIPOAUTH_E_INPUT,
                Some(found) => {
                    worker.claim = found;
                    *value = worker.claim.as_str().into();
                    SIPOAUTH_OK
                }
            }
        })
    }
}

/// Asks the I/O service to fetch what a PENDING request needs. Never blocks. The cookies come back through the done
/// function of sipoauth_io_step when the request can go on, at the latest after pending_timeout.
/// SIPOAUTH_E_FULL: refuse the request now; the last result then says so.
///
/// # Safety
/// `worker` is valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_submit(
    worker: *mut sipoauth_worker,
    job: u64,
    cookie0: u64,
    cookie1: u64,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        with_worker(worker, |worker| match u32::try_from(job) {
            Ok(slot) => match worker.worker.submit(slot, [cookie0, cookie1]) {
                Ok(()) => SIPOAUTH_OK,
                Err(_) => SIPOAUTH_E_FULL,
            },
            Err(_) => SIPOAUTH_E_ARGUMENT,
        })
    }
}

/// The result for a request that is PENDING but was not parked: NOT_NOW, 503.
///
/// # Safety
/// As for sipoauth_worker_check.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_refuse(worker: *mut sipoauth_worker, result: *mut sipoauth_result) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let Ok(result) = begin(result) else {
            return SIPOAUTH_E_ARGUMENT;
        };
        with_worker(worker, |worker| {
            let last = std::mem::take(&mut worker.last);
            worker.last = worker.worker.overloaded(last, false);
            worker.fill(result);
            SIPOAUTH_OK
        })
    }
}

/// Writes the header lines of a challenge, each with CRLF, not NUL-terminated: WWW-Authenticate or
/// Proxy-Authenticate with the Bearer scheme, then Location where the setting `location` asks for it.
/// SIPOAUTH_E_SPACE: `*len` says how many octets are needed.
///
/// # Safety
/// Pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_challenge(
    worker: *mut sipoauth_worker,
    challenge: *const sipoauth_challenge,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        with_worker(worker, |worker| {
            let read = || -> Result<_, i32> {
                let c = structure(challenge)?;
                Ok((role_is_proxy(c.role)?, text(c.realm)?, text(c.domain)?, text(c.error)?, text(c.scope)?))
            };
            let (proxy, realm, domain, error, scope) = match read() {
                Ok(values) => values,
                Err(status) => return status,
            };
            let challenge = Challenge { proxy, realm: &realm, error: &error, scope: &scope, ..Challenge::default() };
            put_octets(worker.worker.challenge(&challenge, &domain).as_bytes(), buf, cap, len)
        })
    }
}

/// Which challenge the configuration offers an endpoint: SIPOAUTH_OFFER_ in `*offer`. Many phones cannot parse a Bearer
/// challenge, even beside a Digest one.
///
/// # Safety
/// Pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_offer(
    worker: *mut sipoauth_worker,
    endpoint: *const sipoauth_endpoint,
    offer: *mut u32,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(offer) = offer.as_mut() else {
            return SIPOAUTH_E_ARGUMENT;
        };
        *offer = SIPOAUTH_OFFER_BEARER;
        with_worker(worker, |worker| {
            let read = || -> Result<_, i32> {
                let e = structure(endpoint)?;
                let port = u16::try_from(e.local_port).map_err(|_| SIPOAUTH_E_ARGUMENT)?;
                Ok((e.transport, port, text(e.user_agent)?, text(e.domain)?, text(e.supported)?))
            };
            let (transport, port, user_agent, domain, supported) = match read() {
                Ok(values) => values,
                Err(status) => return status,
            };
            let endpoint = Endpoint {
                user_agent: &user_agent,
                transport: transport_name(transport),
                domain: &domain,
                port,
                supported: &supported,
            };
            *offer = worker.worker.offer(&endpoint) as u32;
            SIPOAUTH_OK
        })
    }
}

fn role_is_proxy(role: u32) -> Result<bool, i32> {
    match role {
        SIPOAUTH_ROLE_UAS => Ok(false),
        SIPOAUTH_ROLE_PROXY => Ok(true),
        _ => Err(SIPOAUTH_E_ARGUMENT),
    }
}

fn transport_name(transport: u32) -> &'static str {
    match transport {
        SIPOAUTH_TRANSPORT_UDP => "udp",
        SIPOAUTH_TRANSPORT_TCP => "tcp",
        SIPOAUTH_TRANSPORT_TLS => "tls",
        SIPOAUTH_TRANSPORT_SCTP => "sctp",
        SIPOAUTH_TRANSPORT_WS => "ws",
        SIPOAUTH_TRANSPORT_WSS => "wss",
        _ => "",
    }
}

/// Sets a result to DENIED before anything else can happen.
unsafe fn begin<'a>(result: *mut sipoauth_result) -> Result<&'a mut sipoauth_result, i32> {
    // SAFETY: the caller's promise.
    let result = unsafe { structure_mut(result) }?;
    let internal = Reason::Internal;
    *result = sipoauth_result {
        struct_size: result.struct_size,
        verdict: SIPOAUTH_VERDICT_DENIED,
        reason: internal.number(),
        status: 503,
        retry_after: 1,
        cached: 0,
        expires_at: 0,
        job: 0,
        reason_code: internal.code().into(),
        reason_text: internal.text().into(),
        error: sipoauth_str::EMPTY,
        provider: sipoauth_str::EMPTY,
        issuer: sipoauth_str::EMPTY,
        aor: sipoauth_str::EMPTY,
        subject: sipoauth_str::EMPTY,
        client_id: sipoauth_str::EMPTY,
        scope: sipoauth_str::EMPTY,
        kid: sipoauth_str::EMPTY,
        fingerprint: sipoauth_str::EMPTY,
    };
    Ok(result)
}

unsafe fn check(worker: &mut sipoauth_worker, request: *const sipoauth_request, flags: u32) -> Result<(), i32> {
    // SAFETY: the caller's promise.
    let request = unsafe { structure(request) }?;
    let proxy = role_is_proxy(request.role)?;
    if request.credentials.is_null() && request.credentials_count > 0 {
        return Err(SIPOAUTH_E_ARGUMENT);
    }
    // One more than allowed is enough to be refused.
    let count = request.credentials_count.min(MAX_HEADERS + 1);
    let mut texts: Vec<Cow<'_, str>> = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: the caller vouches for credentials_count entries.
        texts.push(unsafe { text(*request.credentials.add(index)) }?);
    }
    let credentials: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    // SAFETY: the caller's promise.
    let [method, from, to, realm, source] = unsafe {
        [
            text(request.method)?,
            text(request.from_uri)?,
            text(request.to_uri)?,
            text(request.realm)?,
            text(request.source_ip)?,
        ]
    };
    let request_view =
        Request { proxy, method: &method, from: &from, to: &to, realm: &realm, credentials: &credentials };
    let handling = Handling {
        resumed: flags & SIPOAUTH_CHECK_RESUMED != 0,
        no_wait: flags & SIPOAUTH_CHECK_NO_WAIT != 0,
        source: &source,
        now: (request.now != 0).then_some(request.now),
        proxy,
    };
    worker.last = worker.worker.check(&request_view, &handling);
    Ok(())
}

impl sipoauth_worker {
    fn fill(&self, result: &mut sipoauth_result) {
        let Verdict { answer, status, retry_after, pending, provider } = &self.last;
        result.provider = provider.as_str().into();
        if let Some(slot) = pending {
            result.verdict = SIPOAUTH_VERDICT_PENDING;
            result.job = u64::from(*slot);
            result.reason_code = "pending".into();
            result.reason_text = "The keys of the authorization server must be fetched first.".into();
        } else {
            let reason = answer.reason();
            result.verdict = match reason.outcome() {
                Outcome::Accepted => SIPOAUTH_VERDICT_ACCEPTED,
                Outcome::NoCredentials => SIPOAUTH_VERDICT_NO_CREDENTIALS,
                Outcome::NotNow => SIPOAUTH_VERDICT_NOT_NOW,
                Outcome::Challenge | Outcome::Forbidden | Outcome::BadRequest => SIPOAUTH_VERDICT_DENIED,
            };
            result.reason = reason.number();
            result.reason_code = reason.code().into();
            result.reason_text = reason.text().into();
            result.error = reason.oauth_error().into();
        }
        result.status = *status;
        result.retry_after = *retry_after;
        result.cached = answer.cached.into();
        if let Some(token) = &answer.token {
            let claims = &token.claims;
            result.issuer = claims.issuer.as_str().into();
            result.subject = claims.subject.as_deref().unwrap_or("").into();
            result.client_id = claims.clients.first().map_or("", String::as_str).into();
            result.scope = claims.scope.as_str().into();
            result.kid = token.kid.as_str().into();
            result.fingerprint = token.fingerprint.as_str().into();
            result.aor = answer.aor.and_then(|i| token.aors.get(i)).map_or("", |a| a.as_str()).into();
            if result.verdict == SIPOAUTH_VERDICT_ACCEPTED {
                result.expires_at = claims.expires_at;
            }
        } else if let Some(seen) = &answer.unverified {
            result.issuer = seen.issuer.as_str().into();
            result.kid = seen.kid.as_str().into();
            result.fingerprint = seen.fingerprint.as_str().into();
        }
    }

    /// Looks every few milliseconds whether the fetch has ended.
    fn wait(&self, slot: u32, timeout: Duration) {
        use std::sync::atomic::Ordering::Relaxed;
        let arena = self.worker.context().arena();
        let Some(slot) = usize::try_from(slot).ok().and_then(|i| arena.slots().get(i)) else {
            return;
        };
        let state = || (slot.fetched_at.load(Relaxed), slot.failures.load(Relaxed), slot.keys.generation());
        let (before, started) = (state(), Instant::now());
        while state() == before && started.elapsed() < timeout {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
