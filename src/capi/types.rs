// SPDX-License-Identifier: MIT OR Apache-2.0
//! The types and numbers that cross the ABI. Enumerations travel as integers, so that a wrong value is an error
//! and not undefined behavior.
//!
//! Numbers are never reused. Structures grow only at their end.

use std::ffi::{c_char, c_void};

/// The call did what it says.
pub const SIPOAUTH_OK: i32 = 0;
/// A pointer is NULL, a length is larger than 16 MiB, a structure is too small, or a number has no meaning.
pub const SIPOAUTH_E_ARGUMENT: i32 = -1;
/// The configuration is wrong; the error text says where and what to write.
pub const SIPOAUTH_E_CONFIG: i32 = -2;
/// An internal error was caught and logged with its place. Answer 503 and report it; handles stay usable.
pub const SIPOAUTH_E_PANIC: i32 = -3;
/// The handle was made in another process (before a fork). Make one in this process.
pub const SIPOAUTH_E_PROCESS: i32 = -4;
/// The caller's buffer is too small; `*len` says how much is needed.
pub const SIPOAUTH_E_SPACE: i32 = -5;
/// Too many requests wait already. Answer 503 now.
pub const SIPOAUTH_E_FULL: i32 = -6;
/// The input cannot be read or is empty.
pub const SIPOAUTH_E_INPUT: i32 = -7;
/// The operating system refused memory, a thread or a socket.
pub const SIPOAUTH_E_SYSTEM: i32 = -8;
/// The handle is in use by another thread, or by the call that made this callback. Or there is an I/O service
/// already.
pub const SIPOAUTH_E_BUSY: i32 = -9;
/// The proof of possession, or the mark of a dialog, does not match.
pub const SIPOAUTH_E_MISMATCH: i32 = -10;
/// The session store cannot be read or written. Answer 503.
pub const SIPOAUTH_E_STORE: i32 = -11;
/// The call names a check that is not the last one of this worker, so its outcome is gone. Since ABI version 5.
pub const SIPOAUTH_E_STALE: i32 = -12;
/// The call does not fit how the check ended (it was not accepted, or was of another kind), how the worker was
/// made, or the configuration (there is no store). Since ABI version 5.
pub const SIPOAUTH_E_STATE: i32 = -13;
/// What was asked for is not there. Since ABI version 5.
pub const SIPOAUTH_E_ABSENT: i32 = -14;

/// The credentials do not allow the request. Answer with the result's status, and add a challenge to 401 and 407.
pub const SIPOAUTH_VERDICT_DENIED: u32 = 0;
/// The request may go on.
pub const SIPOAUTH_VERDICT_ACCEPTED: u32 = 1;
/// The request has no credentials that the library reads. Answer with a challenge.
pub const SIPOAUTH_VERDICT_NO_CREDENTIALS: u32 = 2;
/// The request cannot be decided now. Answer 503 with Retry-After, never a challenge.
pub const SIPOAUTH_VERDICT_NOT_NOW: u32 = 3;
/// Something must be fetched first. Park the request, pass the job to `sipoauth_worker_submit`, and check again
/// when the job is done.
pub const SIPOAUTH_VERDICT_PENDING: u32 = 4;

/// The credentials are refused for a reason that has no class of its own. Since ABI version 5.
pub const SIPOAUTH_CLASS_DENIED: u32 = 0;
/// The request is accepted. Since ABI version 5.
pub const SIPOAUTH_CLASS_ACCEPTED: u32 = 1;
/// The request has no credentials that the library reads. Since ABI version 5.
pub const SIPOAUTH_CLASS_NO_CREDENTIALS: u32 = 2;
/// The request cannot be decided now. Since ABI version 5.
pub const SIPOAUTH_CLASS_NOT_NOW: u32 = 3;
/// Something must be fetched first. Since ABI version 5.
pub const SIPOAUTH_CLASS_PENDING: u32 = 4;
/// The token, session or connection was good and has ended. Since ABI version 5.
pub const SIPOAUTH_CLASS_EXPIRED: u32 = 5;
/// The Date of a proof is too far from the present time. Since ABI version 5.
pub const SIPOAUTH_CLASS_STALE: u32 = 6;
/// A proof was used before. Since ABI version 5.
pub const SIPOAUTH_CLASS_REPLAYED: u32 = 7;
/// The credentials are another user's. Since ABI version 5.
pub const SIPOAUTH_CLASS_OTHER_USER: u32 = 8;
/// A scope is missing. Since ABI version 5.
pub const SIPOAUTH_CLASS_NO_SCOPE: u32 = 9;
/// The request cannot be authenticated as it is written. Since ABI version 5.
pub const SIPOAUTH_CLASS_MALFORMED: u32 = 10;

/// Flag of sipoauth_worker_new: the worker's process or thread may wait for networks; it handles no SIP. Since ABI
/// version 5.
pub const SIPOAUTH_WORKER_MAY_WAIT: u32 = 1;

/// sipoauth_worker_refuse: the request is PENDING and could not be parked. Since ABI version 5.
pub const SIPOAUTH_REFUSE_FULL: u32 = 1;
/// sipoauth_worker_refuse: the host cannot parse the request. Since ABI version 5.
pub const SIPOAUTH_REFUSE_MALFORMED: u32 = 2;
/// sipoauth_worker_refuse: the host has failed. Since ABI version 5.
pub const SIPOAUTH_REFUSE_FAILED: u32 = 3;

/// Registrar or user agent server: Authorization, 401 (RFC 8898 section 2.2).
pub const SIPOAUTH_ROLE_UAS: u32 = 0;
/// Proxy: Proxy-Authorization, 407 (RFC 8898 section 2.3).
pub const SIPOAUTH_ROLE_PROXY: u32 = 1;

/// The transport is not known.
pub const SIPOAUTH_TRANSPORT_UNKNOWN: u32 = 0;
/// UDP
pub const SIPOAUTH_TRANSPORT_UDP: u32 = 1;
/// TCP
pub const SIPOAUTH_TRANSPORT_TCP: u32 = 2;
/// TLS
pub const SIPOAUTH_TRANSPORT_TLS: u32 = 3;
/// SCTP
pub const SIPOAUTH_TRANSPORT_SCTP: u32 = 4;
/// WebSocket
pub const SIPOAUTH_TRANSPORT_WS: u32 = 5;
/// WebSocket over TLS
pub const SIPOAUTH_TRANSPORT_WSS: u32 = 6;

/// A bug or an outage.
pub const SIPOAUTH_LOG_ERROR: u32 = 1;
/// Something the operator should change, or a request answered with 503.
pub const SIPOAUTH_LOG_WARN: u32 = 2;
/// Refusals and changes of state.
pub const SIPOAUTH_LOG_INFO: u32 = 3;
/// Details.
pub const SIPOAUTH_LOG_DEBUG: u32 = 4;

/// Flag of the check functions: the request was parked once and is never PENDING again.
pub const SIPOAUTH_CHECK_RESUMED: u32 = 1;
/// Flag of the check functions: the host cannot park the request, so the verdict is NOT_NOW instead of PENDING.
pub const SIPOAUTH_CHECK_NO_WAIT: u32 = 2;
/// Flag of sipoauth_worker_key_derivation: the caller gives the account, or says that there is none.
pub const SIPOAUTH_CHECK_GIVEN_ACCOUNT: u32 = 4;

/// The request carried nothing that the library reads.
pub const SIPOAUTH_GRANT_NONE: u32 = 0;
/// An access token (RFC 8898).
pub const SIPOAUTH_GRANT_TOKEN: u32 = 1;
/// An authorization code in the body (3rd-party-authentication section 2.1.1).
pub const SIPOAUTH_GRANT_CODE: u32 = 2;
/// A proof of possession, in the body or in the header (3rd-party-authentication section 2.1.3, sip-oauth-01 3.7).
pub const SIPOAUTH_GRANT_POP: u32 = 3;
/// No credentials. Those sent earlier on the same connection counted instead (setting connection_auth).
pub const SIPOAUTH_GRANT_CONNECTION: u32 = 4;
/// Digest credentials, with a request for tokens (sip-oauth-01 section 4.3). Since ABI version 4.
pub const SIPOAUTH_GRANT_PASSWORD: u32 = 5;
/// A refresh token that the phone holds (sip-oauth-01 section 4.5). Since ABI version 4.
pub const SIPOAUTH_GRANT_REFRESH: u32 = 6;
/// An access token and a proof of possession (sip-oauth-01 section 4.6). Since ABI version 4.
pub const SIPOAUTH_GRANT_TOKEN_POP: u32 = 7;
/// Credentials of the Key-Derivation scheme (draft-yusef-sipcore-key-derivation-00). Since ABI version 4.
pub const SIPOAUTH_GRANT_KEY_DERIVATION: u32 = 8;

/// Digest credentials with a device password (RFC 7616, RFC 8760). Since ABI version 5.
pub const SIPOAUTH_GRANT_DEVICE: u32 = 9;

/// sipoauth_worker_check_device: H(A1) of the user, for a host that then checks the credentials.
pub const SIPOAUTH_DEVICE_ACCOUNT: u32 = 1;
/// sipoauth_worker_check_device: the host has found that the nonce is its own and good; may the request pass?
pub const SIPOAUTH_DEVICE_ACCEPT: u32 = 2;

/// PBKDF2-HMAC-SHA-256
pub const SIPOAUTH_KDF_SHA256: u32 = 1;
/// PBKDF2-HMAC-SHA-512
pub const SIPOAUTH_KDF_SHA512: u32 = 2;

/// sipoauth_worker_require: the name of a level of service, an item of the setting `services`.
pub const SIPOAUTH_REQUIRE_SERVICE: u32 = 1;
/// sipoauth_worker_require: scopes, separated by a space.
pub const SIPOAUTH_REQUIRE_SCOPE: u32 = 2;

/// sipoauth_worker_refer: a proxy lets the request pass.
pub const SIPOAUTH_REFER_CHECK: u32 = 1;
/// sipoauth_worker_refer: the host answers a REFER itself.
pub const SIPOAUTH_REFER_ACCEPT: u32 = 2;
/// sipoauth_worker_refer: a SUBSCRIBE for the events of a REFER.
pub const SIPOAUTH_REFER_SUBSCRIBE: u32 = 3;
/// sipoauth_worker_refer: a PUBLISH about a REFER.
pub const SIPOAUTH_REFER_PUBLISH: u32 = 4;
/// sipoauth_worker_refer: the REFER goes on to a phone that does not know explicitsub.
pub const SIPOAUTH_REFER_FOLLOW: u32 = 5;
/// sipoauth_worker_refer: would the REFER be accepted or followed?
pub const SIPOAUTH_REFER_LOOK: u32 = 6;

/// sipoauth_refer_conform: take explicitsub and nosub out of Require.
pub const SIPOAUTH_CONFORM_WITHOUT_TAGS: u32 = 1;

/// The request is no REFER that can be read.
pub const SIPOAUTH_SUBSCRIBING_UNKNOWN: u32 = 0;
/// The REFER creates a subscription (RFC 3515).
pub const SIPOAUTH_SUBSCRIBING_IMPLICIT: u32 = 1;
/// Its sender subscribes by itself: explicitsub (RFC 7614).
pub const SIPOAUTH_SUBSCRIBING_EXPLICIT: u32 = 2;
/// Its sender does not want to know more: nosub (RFC 7614).
pub const SIPOAUTH_SUBSCRIBING_NONE: u32 = 3;

/// Offer a Bearer challenge.
pub const SIPOAUTH_OFFER_BEARER: u32 = 1;
/// Offer a Digest challenge only.
pub const SIPOAUTH_OFFER_DIGEST: u32 = 2;
/// Offer both, Bearer last.
pub const SIPOAUTH_OFFER_BOTH: u32 = 3;

/// from-tag, to-tag, call-id without separator (the draft's text).
pub const SIPOAUTH_KEY_ORDER_DRAFT: u32 = 0;
/// call-id, from-tag, to-tag with '|' between (the IETF 100 slides).
pub const SIPOAUTH_KEY_ORDER_SLIDES: u32 = 1;

/// H(A1) enters the master-key as lower-case hex text.
pub const SIPOAUTH_HA1_HEX: u32 = 0;
/// H(A1) enters the master-key as raw octets.
pub const SIPOAUTH_HA1_RAW: u32 = 1;

/// There are no keys yet.
pub const SIPOAUTH_KEYS_NONE: u32 = 0;
/// The keys were fetched as planned.
pub const SIPOAUTH_KEYS_FRESH: u32 = 1;
/// The last fetch failed; the earlier keys are still used.
pub const SIPOAUTH_KEYS_STALE: u32 = 2;
/// The keys are older than key_max_stale and are not used.
pub const SIPOAUTH_KEYS_TOO_OLD: u32 = 3;
/// The keys are configured; nothing is fetched.
pub const SIPOAUTH_KEYS_STATIC: u32 = 4;
/// No keys are needed, because the authorization server is asked about each token.
pub const SIPOAUTH_KEYS_NOT_NEEDED: u32 = 5;

/// In place of a provider's index: the keys that decrypt tokens. Since ABI version 3.
pub const SIPOAUTH_DECRYPTION_KEYS: u32 = u32::MAX;

/// Flag of sipoauth_command_host: the process handles SIP requests, which wait while a command runs. A command that takes
/// long by itself is refused then. Since ABI version 5.
pub const SIPOAUTH_COMMAND_HANDLES_SIP: u32 = 1;

/// sipoauth_command_argument_flags: the command does nothing without this argument. Since ABI version 5.
pub const SIPOAUTH_ARGUMENT_REQUIRED: u32 = 1;
/// sipoauth_command_argument_flags: only a text counts. A host whose interface tells numbers from texts leaves a number
/// out, because it may have lost zeros. Since ABI version 5.
pub const SIPOAUTH_ARGUMENT_TEXT: u32 = 2;

/// Octets that the other side owns, not NUL-terminated, at most 16 MiB. NULL with length 0 is empty; NULL with
/// another length is an error. Texts of SIP messages need not be UTF-8, but a text that is not UTF-8 cannot match
/// anything.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_str {
    /// First octet.
    pub ptr: *const c_char,
    /// Number of octets.
    pub len: usize,
}

impl sipoauth_str {
    /// No octets.
    pub const EMPTY: sipoauth_str = sipoauth_str { ptr: std::ptr::null(), len: 0 };

    /// A text that lives as long as the program.
    pub(super) const fn of(text: &'static str) -> sipoauth_str {
        sipoauth_str { ptr: text.as_ptr().cast(), len: text.len() }
    }
}

impl From<&str> for sipoauth_str {
    fn from(text: &str) -> sipoauth_str {
        sipoauth_str { ptr: text.as_ptr().cast(), len: text.len() }
    }
}

/// Takes one log line (`len` octets of UTF-8, no line end, no NUL, no secret; valid during the call). `level` is a
/// SIPOAUTH_LOG_ number. It is called in the thread that called the library, never in one of the library's own. It
/// must return (no longjmp, no C++ exception) and must not use the handle whose call it is in.
pub type sipoauth_log_fn = Option<extern "C" fn(user: *mut c_void, level: u32, line: *const c_char, len: usize)>;

/// Takes the two cookies of a parked request that can go on. It is called within sipoauth_io_step, in the thread
/// of that call. It must return (no longjmp, no C++ exception). It may use workers, but not the I/O service.
pub type sipoauth_done_fn = Option<extern "C" fn(user: *mut c_void, cookie0: u64, cookie1: u64)>;

/// Gives the certificate that the client of a TLS or WSS connection used in the handshake (RFC 8705), as DER or
/// PEM text; empty when the client showed none. It is called at most once within the check, in the thread of the
/// check, and only when the token is bound to a certificate. What it returns must stay valid until the check
/// returns. It must return (no longjmp, no C++ exception) and must not use the library.
pub type sipoauth_certificate_fn = Option<extern "C" fn(user: *mut c_void) -> sipoauth_str>;

/// Fills in the members of a request that the host left out. It returns SIPOAUTH_OK, or an error number, which the
/// library's function then returns, too. It is called in the thread of that function, and may be called more than once. It
/// must return (no longjmp, no C++ exception) and must not use the worker.
pub type sipoauth_complete_fn = Option<extern "C" fn(user: *mut c_void) -> i32>;

/// The fields of a SIP request (RFC 3261) that are looked at. Everything is borrowed for the call only.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_request {
    /// sizeof(sipoauth_request)
    pub struct_size: u32,
    /// SIPOAUTH_ROLE_
    pub role: u32,
    /// SIPOAUTH_TRANSPORT_
    pub transport: u32,
    /// The sender's port, 0 to 65535; 0: not known.
    pub source_port: u32,
    /// Unix seconds; 0: the library reads the clock. Another value is for hosts that have read the clock already,
    /// and for tests.
    pub now: i64,
    /// The method as written, for example "REGISTER". The address-of-record of a REGISTER is its To; for other
    /// methods it is From.
    pub method: sipoauth_str,
    /// The Request-URI, exactly as in the request line that the host received. Two requests with the same proof
    /// count as the same request only when they have the same Request-URI. With the setting dialect = request_uri
    /// proofs cover it.
    pub request_uri: sipoauth_str,
    /// addr-spec of From: without display name, brackets and header parameters.
    pub from_uri: sipoauth_str,
    /// addr-spec of To.
    pub to_uri: sipoauth_str,
    /// Call-ID
    pub call_id: sipoauth_str,
    /// The sender's address as text. Limits apply to its network (an IPv4 address, an IPv6 /64).
    pub source_ip: sipoauth_str,
    /// The protection domain; may be empty.
    pub realm: sipoauth_str,
    /// Bodies of all Authorization (UAS) or Proxy-Authorization (proxy) header fields of every scheme, in order,
    /// without the field names. NULL when there are none.
    pub credentials: *const sipoauth_str,
    /// Number of `credentials`. Requests with more than 16 are refused.
    pub credentials_count: usize,
    /// Body of Content-Type; empty when there is none.
    pub content_type: sipoauth_str,
    /// The message body, exactly as on the wire.
    pub body: sipoauth_str,
    /// Tag of From, raw.
    pub from_tag: sipoauth_str,
    /// Body of CSeq: number and method.
    pub cseq: sipoauth_str,
    /// Body of Date; empty when there is none.
    pub date: sipoauth_str,
    /// addr-spec of the first Contact, "*" when that is its value (RFC 3261 section 10.2.2), or empty when there
    /// is no Contact. A proof covers which of the three it is.
    pub contact_uri: sipoauth_str,
    /// `+sip.instance` of that Contact without quotes (RFC 5626 section 4.1), for example "<urn:uuid:…>"; or empty.
    pub instance: sipoauth_str,
    /// branch of the topmost Via. With the rest of the message it distinguishes a retransmission from a replay.
    pub branch: sipoauth_str,
    /// The To tag that the host's final answer to this request will have, if it is known; else empty.
    pub reply_to_tag: sipoauth_str,
    /// Number of Contact values in all Contact header fields; "*" counts as one. It is 2 when a value cannot be
    /// read. A proof covers only the first Contact, so a request with more than one cannot be proved, and neither
    /// can one whose number does not fit contact_uri.
    pub contact_count: u32,
    /// Number of the TCP, TLS or WebSocket connection on which the request came. It must be the same in every
    /// process as long as the connection lasts. 0: there is no connection, or the request has come through another
    /// proxy (more than one Via), which may share its connection among phones. With the setting connection_auth
    /// accepted credentials bind the connection, and later requests on it may come without credentials. The source
    /// address and port also identify the connection.
    pub connection: u64,
    /// `reg-id` of the first Contact (RFC 5626 section 4.2); 0: none. Since ABI version 4.
    pub reg_id: u32,
    /// Gives the certificate of the client of the connection, if the request came on it straight from the phone.
    /// NULL: the host cannot tell, and tokens that are bound to a certificate (RFC 8705) are refused. Since ABI
    /// version 5.
    pub client_certificate: sipoauth_certificate_fn,
    /// The argument for client_certificate.
    pub client_certificate_user: *mut c_void,
    /// The whole request as it was received, from the request line to the end of the body; or empty. A copy of a
    /// request with a proof is a retransmission only when it is the same octet for octet (RFC 3261 section 17.1).
    /// When this is empty, only the other members are compared. Since ABI version 5.
    pub message: sipoauth_str,
    /// Bodies of all Via header fields (RFC 3261 section 20.42) as they came, in order, without the field names;
    /// each may have several values. They tell who sent a request to the proxies of the setting trusted_hops; NULL
    /// where that does not matter. Only the first 16 are read. Since ABI version 5.
    pub vias: *const sipoauth_str,
    /// Number of `vias`.
    pub vias_count: usize,
    /// For hosts that want to read a request only as far as needed. If the same request was accepted before (the same
    /// token, method, From and To, and nothing else that decides), sipoauth_worker_check needs these members only: role,
    /// transport, connection, now, method, from_uri, to_uri, credentials and body. A host may set just these, and this
    /// function, which fills in the other members of this structure when the library needs them. NULL: all members are set.
    /// Since ABI version 5.
    pub complete: sipoauth_complete_fn,
    /// The argument of `complete`.
    pub complete_user: *mut c_void,
    /// Body of User-Agent; empty when there is none. Users see it beside their phones at the sign-in page. Since ABI
    /// version 5.
    pub user_agent: sipoauth_str,
}

/// The outcome of a check. All texts are UTF-8 and borrow from the worker until its next call; empty texts are
/// NULL or have length 0. When the check function fails, the verdict is DENIED, reason_class
/// SIPOAUTH_CLASS_NOT_NOW and the status 503. Before a call set everything to zero, and then struct_size, because
/// nothing is written when struct_size is too small.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_result {
    /// The caller sets sizeof(sipoauth_result).
    pub struct_size: u32,
    /// SIPOAUTH_VERDICT_
    pub verdict: u32,
    /// Stable number of the reason; 0: ok. While PENDING it is that of an internal error.
    pub reason: u32,
    /// Suggested SIP status: 200, 302, 400, 401, 403, 407, 415 or 503. While PENDING it is 503, for hosts that do
    /// not park.
    pub status: u32,
    /// Seconds for Retry-After with status 503, else 0.
    pub retry_after: u32,
    /// 1: the signature was verified earlier. The token's times were judged now. Issuer, audience, scope and owner
    /// were judged now, too, unless the request is like one that was accepted since keys and configuration last
    /// changed.
    pub cached: u32,
    /// `exp` of an accepted token, or the end of an accepted session's tokens, in Unix seconds; else 0.
    pub expires_at: i64,
    /// While PENDING the job for sipoauth_worker_submit, else 0.
    pub job: u64,
    /// Stable code of the reason, for example "token_expired".
    pub reason_code: sipoauth_str,
    /// The reason in one sentence, without secrets.
    pub reason_text: sipoauth_str,
    /// Error for the challenge (RFC 8898 section 4): "invalid_token", "invalid_scope" or empty.
    pub error: sipoauth_str,
    /// Name of the provider; empty when it is not known.
    pub provider: sipoauth_str,
    /// `iss`; of a refused token, what the token says.
    pub issuer: sipoauth_str,
    /// The address-of-record, in canonical form, that the request uses of an accepted token, session or account.
    pub aor: sipoauth_str,
    /// `sub` of a token whose signature is valid, also when the token was refused for its claims.
    pub subject: sipoauth_str,
    /// Client (`azp`, `client_id`, `appid` or `cid`) of such a token.
    pub client_id: sipoauth_str,
    /// Scopes of such a token, separated by a space.
    pub scope: sipoauth_str,
    /// `kid`; of a refused token, what the token says.
    pub kid: sipoauth_str,
    /// 16 hex digits that name the token in logs.
    pub fingerprint: sipoauth_str,
    /// SIPOAUTH_GRANT_: what the request carried.
    pub grant: u32,
    /// 1: the answer completes a sign-in with a code or a password. When the final answer to this request is
    /// built, and before it leaves, the host calls sipoauth_worker_answered with `ticket` and the status and To
    /// tag of that answer.
    pub confirm: u32,
    /// The session of an accepted code or proof: 32 hex digits.
    pub session: sipoauth_str,
    /// `+sip.instance` of the session, or empty.
    pub instance: sipoauth_str,
    /// With confirm = 1, the ticket for sipoauth_worker_answered, at most 4 KiB. It may be kept in any process and
    /// holds no secret.
    pub ticket: sipoauth_str,
    /// The levels of service (setting `services`) that an accepted token or session gives, separated by a comma.
    pub services: sipoauth_str,
    /// All scopes that a token needs for this, for sipoauth_challenge.scope (RFC 8898 section 4). Set with reason
    /// "insufficient_scope", and with NO_CREDENTIALS when the method needs scopes of its own.
    pub needed_scope: sipoauth_str,
    /// For an accepted REGISTER, the most seconds that its bindings may be granted, at least 1; 0: no limit. A
    /// smaller expiry that the phone asked for stays, in particular 0.
    pub expires_limit: u32,
    /// 1: the 2xx must carry what sipoauth_worker_token_response gives. Since ABI version 4.
    pub token_response: u32,
    /// SIPOAUTH_CLASS_ of the reason; SIPOAUTH_CLASS_NOT_NOW when the check function fails. Since ABI version 5.
    pub reason_class: u32,
    /// Names this check in later calls of this worker, until its next check; 0 when the check function failed.
    /// Since ABI version 5.
    pub check: u64,
    /// After SIPOAUTH_DEVICE_ACCOUNT: H(A1) as 32 (MD5) or 64 (SHA-256) lower-case hex digits, a secret; else empty. Since
    /// ABI version 5.
    pub ha1: sipoauth_str,
}

/// An authorization code that the library did not read from a SIP request itself (RFC 6749 section 4.1.3,
/// 3rd-party-authentication section 2.1.1). Everything is borrowed for the call only. Since ABI version 5.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_code {
    /// sizeof(sipoauth_code)
    pub struct_size: u32,
    /// SIPOAUTH_TRANSPORT_ on which the code came. Short codes are accepted over TLS and WSS only.
    pub transport: u32,
    /// The sender's port, 0 to 65535; 0: not known.
    pub source_port: u32,
    /// `reg-id` (RFC 5626 section 4.2); 0: none.
    pub reg_id: u32,
    /// Unix seconds; 0: the library reads the clock.
    pub now: i64,
    /// The code, decoded, at most 8 KiB.
    pub code: sipoauth_str,
    /// The PKCE verifier (RFC 7636), 43 to 128 characters; or empty.
    pub code_verifier: sipoauth_str,
    /// redirect_uri of the authorization request, at most 1 KiB; empty: the one of the provider.
    pub redirect_uri: sipoauth_str,
    /// The address-of-record that signs in, a SIP URI. The code's user must own it.
    pub aor: sipoauth_str,
    /// SIP URI of the user who registers the address-of-record; empty: the address-of-record itself.
    pub from_uri: sipoauth_str,
    /// From tag that the shared key is made of (3rd-party-authentication section 2.1.2), not empty.
    pub from_tag: sipoauth_str,
    /// Call-ID that the shared key is made of, not empty.
    pub call_id: sipoauth_str,
    /// The To tag that the shared key is made of. With a store in a folder it may be empty, and the host then
    /// passes the tag to sipoauth_worker_answered.
    pub to_tag: sipoauth_str,
    /// `+sip.instance` of the phone, without quotes; or empty.
    pub instance: sipoauth_str,
    /// The sender's address as text. Limits apply to its network (an IPv4 address, an IPv6 /64). Until the first
    /// answer has left, the code may come again only from that network. Empty: only the very same call may come
    /// again.
    pub source_ip: sipoauth_str,
}

/// The answer to a request that was not accepted. Texts borrow from the worker until its next call. Since ABI
/// version 5.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_reply {
    /// The caller sets sizeof(sipoauth_reply).
    pub struct_size: u32,
    /// SIP status; 0: no answer is to be sent (ACK and CANCEL cannot be challenged, RFC 3261 section 22.1).
    pub status: u32,
    /// Reason-Phrase.
    pub phrase: sipoauth_str,
    /// Header lines, each with CRLF; may be empty.
    pub headers: sipoauth_str,
}

/// One session, for displays. Texts borrow from the library during the callback.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_session_state {
    /// sizeof(sipoauth_session_state), set by the library.
    pub struct_size: u32,
    /// Number of shared keys of the session.
    pub key_count: u32,
    /// 1: there is a refresh token.
    pub renewable: u32,
    /// 1: the session was made from a short code.
    pub weak: u32,
    /// The user signed in at this time, Unix seconds.
    pub created_at: i64,
    /// The tokens are valid until this time, Unix seconds.
    pub valid_until: i64,
    /// The session ends at this time, Unix seconds.
    pub ends_at: i64,
    /// 32 hex digits.
    pub id: sipoauth_str,
    /// The address-of-record, canonical.
    pub aor: sipoauth_str,
    /// `+sip.instance`, or empty.
    pub instance: sipoauth_str,
    /// Name of the provider.
    pub provider: sipoauth_str,
    /// `sub`
    pub subject: sipoauth_str,
    /// Granted scopes.
    pub scope: sipoauth_str,
    /// What the user calls the phone, if it was added at the sign-in page.
    pub name: sipoauth_str,
    /// User name of its device password; or empty.
    pub device: sipoauth_str,
    /// For sipoauth_binding_ends. It is opaque, and empty for a session that goes on.
    pub bindings: sipoauth_str,
}

/// Takes one session. It is called within the call that it was passed to. It must return and must not call the
/// library.
pub type sipoauth_session_fn = Option<extern "C" fn(user: *mut c_void, session: *const sipoauth_session_state)>;

/// Takes one session that has ended. `reason_code` is NUL-terminated and static: "session_ended" (its server does not refresh
/// the tokens), "session_revoked" (an operator), "signed_out" (its user, at the sign-in page), "logged_out" (Back-Channel
/// Logout) or "displaced" (another of its address needed its place). `why` is a sentence for people. Texts borrow from the library during the callback. It must return. Within
/// sipoauth_io_ended it may call sipoauth_binding_ends only. Since ABI version 5.
pub type sipoauth_ended_fn = Option<
    extern "C" fn(
        user: *mut c_void,
        session: *const sipoauth_session_state,
        reason_code: *const c_char,
        why: sipoauth_str,
    ),
>;

/// What becomes of a request about a REFER, see sipoauth_worker_refer. Texts are valid until the worker's next call of
/// that function. Since ABI version 5.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_refer {
    /// sizeof(sipoauth_refer)
    pub struct_size: u32,
    /// SIP status of the answer; 0: the request is good and not answered here (SIPOAUTH_REFER_CHECK).
    pub status: u32,
    /// SIPOAUTH_SUBSCRIBING_ for a REFER that can be read, else SIPOAUTH_SUBSCRIBING_UNKNOWN.
    pub subscribing: u32,
    /// 1: the request is refused, for `reason`.
    pub refused: u32,
    /// Reason-Phrase of the answer.
    pub phrase: sipoauth_str,
    /// Header lines of the answer, each with CRLF; may be empty.
    pub headers: sipoauth_str,
    /// Stable code of the reason, snake_case; empty when the request is not refused.
    pub reason: sipoauth_str,
    /// A sentence for the operator.
    pub reason_text: sipoauth_str,
    /// Name of the state: 40 hex digits, a secret that lets anybody see it. Empty when there is none.
    pub id: sipoauth_str,
    /// URI of Refer-To.
    pub refer_to: sipoauth_str,
    /// Call-ID of Target-Dialog (RFC 4538); empty when there is none.
    pub target_call_id: sipoauth_str,
    /// Its local-tag.
    pub target_local_tag: sipoauth_str,
    /// Its remote-tag.
    pub target_remote_tag: sipoauth_str,
    /// URI at which a SUBSCRIBE sees the state, as Refer-Events-At has it: a secret. Empty when there is none.
    pub events_uri: sipoauth_str,
    /// URI at which a PUBLISH changes the state: a secret for the user agent that acts on the REFER. Empty when there is
    /// none.
    pub publish_uri: sipoauth_str,
}

/// A NOTIFY that the host sends (RFC 3515 section 2.4.5, RFC 6665 section 4.2.2). Texts borrow from the library during
/// the callback. Since ABI version 5.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_notify {
    /// sizeof(sipoauth_notify), set by the library.
    pub struct_size: u32,
    /// Number of CSeq.
    pub cseq: u32,
    /// For sipoauth_worker_refer_notified.
    pub subscription: u64,
    /// What the host gave sipoauth_worker_refer as `socket`.
    pub socket: u64,
    /// Call-ID.
    pub call_id: sipoauth_str,
    /// Tag of From.
    pub local_tag: sipoauth_str,
    /// Tag of To.
    pub remote_tag: sipoauth_str,
    /// URI of From.
    pub local_uri: sipoauth_str,
    /// URI of To.
    pub remote_uri: sipoauth_str,
    /// Request-URI.
    pub target: sipoauth_str,
    /// Route set: values separated by commas; may be empty. It is empty when there is a destination.
    pub routes: sipoauth_str,
    /// SIP URI to which the request is sent whatever its target is; empty: where target and route set lead.
    pub destination: sipoauth_str,
    /// All further header lines, each with CRLF, but Content-Length.
    pub headers: sipoauth_str,
    /// The body.
    pub body: sipoauth_str,
}

/// Sends one NOTIFY. Returns SIPOAUTH_OK, or another value when it cannot be sent: the subscription has then ended. It
/// is called within the call that it was passed to, and must not call the library with the same handle. Since ABI
/// version 5.
pub type sipoauth_notify_fn = Option<extern "C" fn(user: *mut c_void, notify: *const sipoauth_notify) -> i32>;

/// Takes the end of one REFER: its name (40 hex digits), the address-of-record of its sender, canonical or empty, and
/// the status with which it ended, 200 to 699. Texts borrow from the library during the callback. It must return and
/// must not call the library with the same handle. Since ABI version 5.
pub type sipoauth_refer_ended_fn =
    Option<extern "C" fn(user: *mut c_void, id: sipoauth_str, owner: sipoauth_str, status: u32)>;

/// A change of a message that passes, see sipoauth_refer_conform. Since ABI version 5.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_edit {
    /// Where it begins in the message, in octets.
    pub at: usize,
    /// How many octets go.
    pub length: usize,
    /// What takes their place; static, may be empty.
    pub text: sipoauth_str,
}

/// One account of the Key-Derivation scheme, for displays. Texts borrow from the library during the callback.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_account_state {
    /// sizeof(sipoauth_account_state), set by the library.
    pub struct_size: u32,
    /// SIPOAUTH_KDF_
    pub kdf: u32,
    /// Iterations of PBKDF2.
    pub iterations: u32,
    /// Length of the key in bits.
    pub key_size: u32,
    /// The address-of-record, canonical.
    pub aor: sipoauth_str,
    /// 1 when a challenge shows anybody that the account exists, else 0. Users who do not exist seem to have the
    /// parameters of new accounts, so an account stands out when its kdf, its iterations, its key_size or the
    /// length of its salt (16 octets in new accounts) is another one. It was made with earlier settings or
    /// elsewhere, and it stands out until it is written again. Since ABI version 5.
    pub stands_out: u32,
}

/// Takes one account. It is called within the call that it was passed to. It must return and must not call the
/// library.
pub type sipoauth_account_fn = Option<extern "C" fn(user: *mut c_void, account: *const sipoauth_account_state)>;

/// What a command needs of its host (sipoauth_context_command): a way to take the answer, and the location table.
///
/// An answer is one line, or it consists of items. An item has fields with different names, which follow it in their
/// order. Names are snake_case, NUL-terminated and static; other texts are UTF-8 without a NUL and valid during the
/// callback. A callback that takes a part of the answer returns 0. If it returns another number, the answer ends there,
/// because the host has no more room, but the command does the rest of its work. All callbacks are called in the thread of
/// the call and must return (no longjmp, no C++ exception). remove_bindings and ended may use the library, the others must
/// not. Since ABI version 5.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_command_host {
    /// sizeof(sipoauth_command_host)
    pub struct_size: u32,
    /// SIPOAUTH_COMMAND_, added up.
    pub flags: u32,
    /// The argument of all callbacks.
    pub user: *mut c_void,
    /// Begins an item. Not NULL.
    pub item: Option<extern "C" fn(user: *mut c_void) -> i32>,
    /// Adds a text to the item; it may be empty. Not NULL.
    pub text: Option<extern "C" fn(user: *mut c_void, name: *const c_char, value: sipoauth_str) -> i32>,
    /// Adds a number to the item. Not NULL.
    pub number: Option<extern "C" fn(user: *mut c_void, name: *const c_char, value: u64) -> i32>,
    /// Gives an answer that is one line. Not NULL.
    pub line: Option<extern "C" fn(user: *mut c_void, line: sipoauth_str) -> i32>,
    /// Removes those bindings of the session's address-of-record for which sipoauth_binding_ends says 1. Returns how many it
    /// has removed. NULL: the host has no location table.
    pub remove_bindings: Option<extern "C" fn(user: *mut c_void, session: *const sipoauth_session_state) -> u32>,
    /// Takes a session that the command has ended, after its bindings. NULL: the host does not want to know.
    pub ended: sipoauth_ended_fn,
}

/// The contents of a challenge (RFC 8898 section 4). An empty text means the configured value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_challenge {
    /// sizeof(sipoauth_challenge)
    pub struct_size: u32,
    /// SIPOAUTH_ROLE_: a UAS sends WWW-Authenticate, a proxy Proxy-Authenticate.
    pub role: u32,
    /// The protection domain; empty: the configured realm, or else `domain`.
    pub realm: sipoauth_str,
    /// Domain of the address-of-record. It selects one of several providers.
    pub domain: sipoauth_str,
    /// "invalid_token", "invalid_scope" or empty.
    pub error: sipoauth_str,
    /// Scopes; empty: the provider's.
    pub scope: sipoauth_str,
    /// The method of the request, because ACK and CANCEL are not challenged. Empty: the method is not looked at.
    /// Since ABI version 5.
    pub method: sipoauth_str,
}

/// What is known of an endpoint that is about to be challenged.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_endpoint {
    /// sizeof(sipoauth_endpoint)
    pub struct_size: u32,
    /// SIPOAUTH_TRANSPORT_
    pub transport: u32,
    /// The local port on which the request came, 0 to 65535.
    pub local_port: u32,
    /// Body of User-Agent.
    pub user_agent: sipoauth_str,
    /// Domain of the address-of-record.
    pub domain: sipoauth_str,
    /// Body of Supported.
    pub supported: sipoauth_str,
}

/// The parts of a message that a digest-string covers (RFC 4474 section 9), raw octets.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_digest_parts {
    /// sizeof(sipoauth_digest_parts)
    pub struct_size: u32,
    /// addr-spec of From, not empty: the URI between the brackets, without header parameters.
    pub from_uri: sipoauth_str,
    /// addr-spec of To, not empty.
    pub to_uri: sipoauth_str,
    /// Call-ID, not empty.
    pub call_id: sipoauth_str,
    /// Body of CSeq: number and method. The digest-string has it with one space and without leading zeros.
    pub cseq: sipoauth_str,
    /// Body of Date. The digest-string has it in the canonical form of a SIP-date.
    pub date: sipoauth_str,
    /// addr-spec of Contact, "*" when that is its value, or empty when there is no Contact. For a proxy with
    /// dialect = empty_star it is empty also when the value is "*".
    pub contact_uri: sipoauth_str,
    /// The message body, exactly as on the wire.
    pub body: sipoauth_str,
    /// Empty for the digest-string of RFC 4474. For a proxy with dialect = request_uri it is the Request-URI,
    /// exactly as in the request line. The digest-string then has it after the method and one space. Since ABI
    /// version 5.
    pub request_uri: sipoauth_str,
}

/// The state of one provider, as a copy. Texts are NUL-terminated and cut to the size of their array.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_provider_state {
    /// The caller sets sizeof(sipoauth_provider_state).
    pub struct_size: u32,
    /// Number of keys, usable and refused ones together.
    pub key_count: u32,
    /// SIPOAUTH_KEYS_
    pub state: u32,
    /// Failed fetches since the last successful one.
    pub failures: u32,
    /// Unix seconds of the last successful fetch; 0: never.
    pub fetched_at: i64,
    /// Unix seconds of the next planned fetch; 0: none.
    pub next_fetch_at: i64,
    /// Number of fetches since start.
    pub fetches: u64,
    /// Name of the provider.
    pub name: [c_char; 64],
    /// Issuer of the provider.
    pub issuer: [c_char; 256],
    /// Where the keys came from.
    pub jwks_uri: [c_char; 256],
    /// The last error; empty after a success.
    pub last_error: [c_char; 256],
    /// How its tokens are checked: jwt, opaque, or jwt_and_introspection.
    pub tokens: [c_char; 32],
}

/// One key of a provider, or one key that decrypts tokens, as a copy.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sipoauth_key_state {
    /// The caller sets sizeof(sipoauth_key_state).
    pub struct_size: u32,
    /// 1: the key verifies signatures or decrypts tokens.
    pub usable: u32,
    /// Key id.
    pub kid: [c_char; 128],
    /// RSA, EC, OKP or oct.
    pub kty: [c_char; 16],
    /// The only algorithm with which the key is used (for a secret that decrypts, it may also be an encryption);
    /// empty: any that fits its type.
    pub alg: [c_char; 16],
    /// Why the key is not used; empty when it is.
    pub note: [c_char; 128],
}
