/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * sipoauth: OAuth 2.0 and OpenID Connect sign-in for SIP servers (RFC 8898).
 *
 * Generated from src/capi by cbindgen: do not edit, run 'make header'.
 *
 * Order of calls: sipoauth_config_new, _set, _provider_add, sipoauth_context_new; fork; in each process
 * sipoauth_worker_new, then sipoauth_worker_check per request; in one process sipoauth_io_new, then
 * sipoauth_io_step in a loop. Functions return SIPOAUTH_OK or a negative SIPOAUTH_E_ number.
 *
 * Processes: a configuration and a context are made before the fork; a worker and the I/O service belong to the
 * process that made them. Threads: a context may be used by all at once, every other handle by one at a time. Texts
 * that the caller gives are copied or used during the call only.
 *
 * Structures: set struct_size to sizeof, everything unused to zero (memset). They only grow at their end.
 */

#ifndef SIPOAUTH_H
#define SIPOAUTH_H

#include <stddef.h>
#include <stdint.h>

/*
 Version of the ABI. It grows when a structure or the meaning of a function changes. Structures grow only at
 their end, and their struct_size tells the library which members the caller knows.
 */
#define SIPOAUTH_ABI_VERSION 5

/*
 The call did what it says.
 */
#define SIPOAUTH_OK 0

/*
 A pointer is NULL, a length is larger than 16 MiB, a structure is too small, or a number has no meaning.
 */
#define SIPOAUTH_E_ARGUMENT -1

/*
 The configuration is wrong; the error text says where and what to write.
 */
#define SIPOAUTH_E_CONFIG -2

/*
 An internal error was caught and logged with its place. Answer 503 and report it; handles stay usable.
 */
#define SIPOAUTH_E_PANIC -3

/*
 The handle was made in another process (before a fork). Make one in this process.
 */
#define SIPOAUTH_E_PROCESS -4

/*
 The caller's buffer is too small; `*len` says how much is needed.
 */
#define SIPOAUTH_E_SPACE -5

/*
 Too many requests wait already. Answer 503 now.
 */
#define SIPOAUTH_E_FULL -6

/*
 The input cannot be read or is empty.
 */
#define SIPOAUTH_E_INPUT -7

/*
 The operating system refused memory, a thread or a socket.
 */
#define SIPOAUTH_E_SYSTEM -8

/*
 The handle is in use by another thread, or by the call that made this callback. Or there is an I/O service
 already.
 */
#define SIPOAUTH_E_BUSY -9

/*
 The proof of possession, or the mark of a dialog, does not match.
 */
#define SIPOAUTH_E_MISMATCH -10

/*
 The session store cannot be read or written. Answer 503.
 */
#define SIPOAUTH_E_STORE -11

/*
 The call names a check that is not the last one of this worker, so its outcome is gone. Since ABI version 5.
 */
#define SIPOAUTH_E_STALE -12

/*
 The call does not fit how the check ended (it was not accepted, or was of another kind), how the worker was
 made, or the configuration (there is no store). Since ABI version 5.
 */
#define SIPOAUTH_E_STATE -13

/*
 What was asked for is not there. Since ABI version 5.
 */
#define SIPOAUTH_E_ABSENT -14

/*
 The credentials do not allow the request. Answer with the result's status, and add a challenge to 401 and 407.
 */
#define SIPOAUTH_VERDICT_DENIED 0

/*
 The request may go on.
 */
#define SIPOAUTH_VERDICT_ACCEPTED 1

/*
 The request has no credentials that the library reads. Answer with a challenge.
 */
#define SIPOAUTH_VERDICT_NO_CREDENTIALS 2

/*
 The request cannot be decided now. Answer 503 with Retry-After, never a challenge.
 */
#define SIPOAUTH_VERDICT_NOT_NOW 3

/*
 Something must be fetched first. Park the request, pass the job to `sipoauth_worker_submit`, and check again
 when the job is done.
 */
#define SIPOAUTH_VERDICT_PENDING 4

/*
 The credentials are refused for a reason that has no class of its own. Since ABI version 5.
 */
#define SIPOAUTH_CLASS_DENIED 0

/*
 The request is accepted. Since ABI version 5.
 */
#define SIPOAUTH_CLASS_ACCEPTED 1

/*
 The request has no credentials that the library reads. Since ABI version 5.
 */
#define SIPOAUTH_CLASS_NO_CREDENTIALS 2

/*
 The request cannot be decided now. Since ABI version 5.
 */
#define SIPOAUTH_CLASS_NOT_NOW 3

/*
 Something must be fetched first. Since ABI version 5.
 */
#define SIPOAUTH_CLASS_PENDING 4

/*
 The token, session or connection was good and has ended. Since ABI version 5.
 */
#define SIPOAUTH_CLASS_EXPIRED 5

/*
 The Date of a proof is too far from the present time. Since ABI version 5.
 */
#define SIPOAUTH_CLASS_STALE 6

/*
 A proof was used before. Since ABI version 5.
 */
#define SIPOAUTH_CLASS_REPLAYED 7

/*
 The credentials are another user's. Since ABI version 5.
 */
#define SIPOAUTH_CLASS_OTHER_USER 8

/*
 A scope is missing. Since ABI version 5.
 */
#define SIPOAUTH_CLASS_NO_SCOPE 9

/*
 The request cannot be authenticated as it is written. Since ABI version 5.
 */
#define SIPOAUTH_CLASS_MALFORMED 10

/*
 Flag of sipoauth_worker_new: the worker's process or thread may wait for networks; it handles no SIP. Since ABI
 version 5.
 */
#define SIPOAUTH_WORKER_MAY_WAIT 1

/*
 sipoauth_worker_refuse: the request is PENDING and could not be parked. Since ABI version 5.
 */
#define SIPOAUTH_REFUSE_FULL 1

/*
 sipoauth_worker_refuse: the host cannot parse the request. Since ABI version 5.
 */
#define SIPOAUTH_REFUSE_MALFORMED 2

/*
 sipoauth_worker_refuse: the host has failed. Since ABI version 5.
 */
#define SIPOAUTH_REFUSE_FAILED 3

/*
 Registrar or user agent server: Authorization, 401 (RFC 8898 section 2.2).
 */
#define SIPOAUTH_ROLE_UAS 0

/*
 Proxy: Proxy-Authorization, 407 (RFC 8898 section 2.3).
 */
#define SIPOAUTH_ROLE_PROXY 1

/*
 The transport is not known.
 */
#define SIPOAUTH_TRANSPORT_UNKNOWN 0

/*
 UDP
 */
#define SIPOAUTH_TRANSPORT_UDP 1

/*
 TCP
 */
#define SIPOAUTH_TRANSPORT_TCP 2

/*
 TLS
 */
#define SIPOAUTH_TRANSPORT_TLS 3

/*
 SCTP
 */
#define SIPOAUTH_TRANSPORT_SCTP 4

/*
 WebSocket
 */
#define SIPOAUTH_TRANSPORT_WS 5

/*
 WebSocket over TLS
 */
#define SIPOAUTH_TRANSPORT_WSS 6

/*
 A bug or an outage.
 */
#define SIPOAUTH_LOG_ERROR 1

/*
 Something the operator should change, or a request answered with 503.
 */
#define SIPOAUTH_LOG_WARN 2

/*
 Refusals and changes of state.
 */
#define SIPOAUTH_LOG_INFO 3

/*
 Details.
 */
#define SIPOAUTH_LOG_DEBUG 4

/*
 Flag of the check functions: the request was parked once and is never PENDING again.
 */
#define SIPOAUTH_CHECK_RESUMED 1

/*
 Flag of the check functions: the host cannot park the request, so the verdict is NOT_NOW instead of PENDING.
 */
#define SIPOAUTH_CHECK_NO_WAIT 2

/*
 Flag of sipoauth_worker_key_derivation: the caller gives the account, or says that there is none.
 */
#define SIPOAUTH_CHECK_GIVEN_ACCOUNT 4

/*
 The request carried nothing that the library reads.
 */
#define SIPOAUTH_GRANT_NONE 0

/*
 An access token (RFC 8898).
 */
#define SIPOAUTH_GRANT_TOKEN 1

/*
 An authorization code in the body (3rd-party-authentication section 2.1.1).
 */
#define SIPOAUTH_GRANT_CODE 2

/*
 A proof of possession, in the body or in the header (3rd-party-authentication section 2.1.3, sip-oauth-01 3.7).
 */
#define SIPOAUTH_GRANT_POP 3

/*
 No credentials. Those sent earlier on the same connection counted instead (setting connection_auth).
 */
#define SIPOAUTH_GRANT_CONNECTION 4

/*
 Digest credentials, with a request for tokens (sip-oauth-01 section 4.3). Since ABI version 4.
 */
#define SIPOAUTH_GRANT_PASSWORD 5

/*
 A refresh token that the phone holds (sip-oauth-01 section 4.5). Since ABI version 4.
 */
#define SIPOAUTH_GRANT_REFRESH 6

/*
 An access token and a proof of possession (sip-oauth-01 section 4.6). Since ABI version 4.
 */
#define SIPOAUTH_GRANT_TOKEN_POP 7

/*
 Credentials of the Key-Derivation scheme (draft-yusef-sipcore-key-derivation-00). Since ABI version 4.
 */
#define SIPOAUTH_GRANT_KEY_DERIVATION 8

/*
 Digest credentials with a device password (RFC 7616, RFC 8760). Since ABI version 5.
 */
#define SIPOAUTH_GRANT_DEVICE 9

/*
 sipoauth_worker_check_device: H(A1) of the user, for a host that then checks the credentials.
 */
#define SIPOAUTH_DEVICE_ACCOUNT 1

/*
 sipoauth_worker_check_device: the host has found that the nonce is its own and good; may the request pass?
 */
#define SIPOAUTH_DEVICE_ACCEPT 2

/*
 PBKDF2-HMAC-SHA-256
 */
#define SIPOAUTH_KDF_SHA256 1

/*
 PBKDF2-HMAC-SHA-512
 */
#define SIPOAUTH_KDF_SHA512 2

/*
 sipoauth_worker_require: the name of a level of service, an item of the setting `services`.
 */
#define SIPOAUTH_REQUIRE_SERVICE 1

/*
 sipoauth_worker_require: scopes, separated by a space.
 */
#define SIPOAUTH_REQUIRE_SCOPE 2

/*
 sipoauth_worker_refer: a proxy lets the request pass.
 */
#define SIPOAUTH_REFER_CHECK 1

/*
 sipoauth_worker_refer: the host answers a REFER itself.
 */
#define SIPOAUTH_REFER_ACCEPT 2

/*
 sipoauth_worker_refer: a SUBSCRIBE for the events of a REFER.
 */
#define SIPOAUTH_REFER_SUBSCRIBE 3

/*
 sipoauth_worker_refer: a PUBLISH about a REFER.
 */
#define SIPOAUTH_REFER_PUBLISH 4

/*
 sipoauth_worker_refer: the REFER goes on to a phone that does not know explicitsub.
 */
#define SIPOAUTH_REFER_FOLLOW 5

/*
 sipoauth_worker_refer: would the REFER be accepted or followed?
 */
#define SIPOAUTH_REFER_LOOK 6

/*
 sipoauth_refer_conform: take explicitsub and nosub out of Require.
 */
#define SIPOAUTH_CONFORM_WITHOUT_TAGS 1

/*
 The request is no REFER that can be read.
 */
#define SIPOAUTH_SUBSCRIBING_UNKNOWN 0

/*
 The REFER creates a subscription (RFC 3515).
 */
#define SIPOAUTH_SUBSCRIBING_IMPLICIT 1

/*
 Its sender subscribes by itself: explicitsub (RFC 7614).
 */
#define SIPOAUTH_SUBSCRIBING_EXPLICIT 2

/*
 Its sender does not want to know more: nosub (RFC 7614).
 */
#define SIPOAUTH_SUBSCRIBING_NONE 3

/*
 Offer a Bearer challenge.
 */
#define SIPOAUTH_OFFER_BEARER 1

/*
 Offer a Digest challenge only.
 */
#define SIPOAUTH_OFFER_DIGEST 2

/*
 Offer both, Bearer last.
 */
#define SIPOAUTH_OFFER_BOTH 3

/*
 from-tag, to-tag, call-id without separator (the draft's text).
 */
#define SIPOAUTH_KEY_ORDER_DRAFT 0

/*
 call-id, from-tag, to-tag with '|' between (the IETF 100 slides).
 */
#define SIPOAUTH_KEY_ORDER_SLIDES 1

/*
 H(A1) enters the master-key as lower-case hex text.
 */
#define SIPOAUTH_HA1_HEX 0

/*
 H(A1) enters the master-key as raw octets.
 */
#define SIPOAUTH_HA1_RAW 1

/*
 There are no keys yet.
 */
#define SIPOAUTH_KEYS_NONE 0

/*
 The keys were fetched as planned.
 */
#define SIPOAUTH_KEYS_FRESH 1

/*
 The last fetch failed; the earlier keys are still used.
 */
#define SIPOAUTH_KEYS_STALE 2

/*
 The keys are older than key_max_stale and are not used.
 */
#define SIPOAUTH_KEYS_TOO_OLD 3

/*
 The keys are configured; nothing is fetched.
 */
#define SIPOAUTH_KEYS_STATIC 4

/*
 No keys are needed, because the authorization server is asked about each token.
 */
#define SIPOAUTH_KEYS_NOT_NEEDED 5

/*
 In place of a provider's index: the keys that decrypt tokens. Since ABI version 3.
 */
#define SIPOAUTH_DECRYPTION_KEYS UINT32_MAX

/*
 Flag of sipoauth_command_host: the process handles SIP requests, which wait while a command runs. A command that takes
 long by itself is refused then. Since ABI version 5.
 */
#define SIPOAUTH_COMMAND_HANDLES_SIP 1

/*
 sipoauth_command_argument_flags: the command does nothing without this argument. Since ABI version 5.
 */
#define SIPOAUTH_ARGUMENT_REQUIRED 1

/*
 sipoauth_command_argument_flags: only a text counts. A host whose interface tells numbers from texts leaves a number
 out, because it may have lost zeros. Since ABI version 5.
 */
#define SIPOAUTH_ARGUMENT_TEXT 2

/*
 A configuration that is being collected. Used by one thread at a time.
 */
typedef struct sipoauth_config sipoauth_config;

/*
 What all processes share. It is made before the fork. After the fork all processes and threads may use it at
 the same time.
 */
typedef struct sipoauth_context sipoauth_context;

/*
 The service that does the network work of all processes. Only one thread at a time may use it, in the process
 that made it.
 */
typedef struct sipoauth_io sipoauth_io;

/*
 The state of one process or thread. Two threads must not use it at once, and a child must not use it after a
 fork.
 */
typedef struct sipoauth_worker sipoauth_worker;

/*
 Octets that the other side owns, not NUL-terminated, at most 16 MiB. NULL with length 0 is empty; NULL with
 another length is an error. Texts of SIP messages need not be UTF-8, but a text that is not UTF-8 cannot match
 anything.
 */
typedef struct sipoauth_str {
  /*
   First octet.
   */
  const char *ptr;
  /*
   Number of octets.
   */
  size_t len;
} sipoauth_str;

/*
 One account of the Key-Derivation scheme, for displays. Texts borrow from the library during the callback.
 */
typedef struct sipoauth_account_state {
  /*
   sizeof(sipoauth_account_state), set by the library.
   */
  uint32_t struct_size;
  /*
   SIPOAUTH_KDF_
   */
  uint32_t kdf;
  /*
   Iterations of PBKDF2.
   */
  uint32_t iterations;
  /*
   Length of the key in bits.
   */
  uint32_t key_size;
  /*
   The address-of-record, canonical.
   */
  struct sipoauth_str aor;
  /*
   1 when a challenge shows anybody that the account exists, else 0. Users who do not exist seem to have the
   parameters of new accounts, so an account stands out when its kdf, its iterations, its key_size or the
   length of its salt (16 octets in new accounts) is another one. It was made with earlier settings or
   elsewhere, and it stands out until it is written again. Since ABI version 5.
   */
  uint32_t stands_out;
} sipoauth_account_state;

/*
 Takes one account. It is called within the call that it was passed to. It must return and must not call the
 library.
 */
typedef void (*sipoauth_account_fn)(void *user, const struct sipoauth_account_state *account);

/*
 Gives the certificate that the client of a TLS or WSS connection used in the handshake (RFC 8705), as DER or
 PEM text; empty when the client showed none. It is called at most once within the check, in the thread of the
 check, and only when the token is bound to a certificate. What it returns must stay valid until the check
 returns. It must return (no longjmp, no C++ exception) and must not use the library.
 */
typedef struct sipoauth_str (*sipoauth_certificate_fn)(void *user);

/*
 Fills in the members of a request that the host left out. It returns SIPOAUTH_OK, or an error number, which the
 library's function then returns, too. It is called in the thread of that function, and may be called more than once. It
 must return (no longjmp, no C++ exception) and must not use the worker.
 */
typedef int32_t (*sipoauth_complete_fn)(void *user);

/*
 The fields of a SIP request (RFC 3261) that are looked at. Everything is borrowed for the call only.
 */
typedef struct sipoauth_request {
  /*
   sizeof(sipoauth_request)
   */
  uint32_t struct_size;
  /*
   SIPOAUTH_ROLE_
   */
  uint32_t role;
  /*
   SIPOAUTH_TRANSPORT_
   */
  uint32_t transport;
  /*
   The sender's port, 0 to 65535; 0: not known.
   */
  uint32_t source_port;
  /*
   Unix seconds; 0: the library reads the clock. Another value is for hosts that have read the clock already,
   and for tests.
   */
  int64_t now;
  /*
   The method as written, for example "REGISTER". The address-of-record of a REGISTER is its To; for other
   methods it is From.
   */
  struct sipoauth_str method;
  /*
   The Request-URI, exactly as in the request line that the host received. Two requests with the same proof
   count as the same request only when they have the same Request-URI. With the setting dialect = request_uri
   proofs cover it.
   */
  struct sipoauth_str request_uri;
  /*
   addr-spec of From: without display name, brackets and header parameters.
   */
  struct sipoauth_str from_uri;
  /*
   addr-spec of To.
   */
  struct sipoauth_str to_uri;
  /*
   Call-ID
   */
  struct sipoauth_str call_id;
  /*
   The sender's address as text. Limits apply to its network (an IPv4 address, an IPv6 /64).
   */
  struct sipoauth_str source_ip;
  /*
   The protection domain; may be empty.
   */
  struct sipoauth_str realm;
  /*
   Bodies of all Authorization (UAS) or Proxy-Authorization (proxy) header fields of every scheme, in order,
   without the field names. NULL when there are none.
   */
  const struct sipoauth_str *credentials;
  /*
   Number of `credentials`. Requests with more than 16 are refused.
   */
  size_t credentials_count;
  /*
   Body of Content-Type; empty when there is none.
   */
  struct sipoauth_str content_type;
  /*
   The message body, exactly as on the wire.
   */
  struct sipoauth_str body;
  /*
   Tag of From, raw.
   */
  struct sipoauth_str from_tag;
  /*
   Body of CSeq: number and method.
   */
  struct sipoauth_str cseq;
  /*
   Body of Date; empty when there is none.
   */
  struct sipoauth_str date;
  /*
   addr-spec of the first Contact, "*" when that is its value (RFC 3261 section 10.2.2), or empty when there
   is no Contact. A proof covers which of the three it is.
   */
  struct sipoauth_str contact_uri;
  /*
   `+sip.instance` of that Contact without quotes (RFC 5626 section 4.1), for example "<urn:uuid:…>"; or empty.
   */
  struct sipoauth_str instance;
  /*
   branch of the topmost Via. With the rest of the message it distinguishes a retransmission from a replay.
   */
  struct sipoauth_str branch;
  /*
   The To tag that the host's final answer to this request will have, if it is known; else empty.
   */
  struct sipoauth_str reply_to_tag;
  /*
   Number of Contact values in all Contact header fields; "*" counts as one. It is 2 when a value cannot be
   read. A proof covers only the first Contact, so a request with more than one cannot be proved, and neither
   can one whose number does not fit contact_uri.
   */
  uint32_t contact_count;
  /*
   Number of the TCP, TLS or WebSocket connection on which the request came. It must be the same in every
   process as long as the connection lasts. 0: there is no connection, or the request has come through another
   proxy (more than one Via), which may share its connection among phones. With the setting connection_auth
   accepted credentials bind the connection, and later requests on it may come without credentials. The source
   address and port also identify the connection.
   */
  uint64_t connection;
  /*
   `reg-id` of the first Contact (RFC 5626 section 4.2); 0: none. Since ABI version 4.
   */
  uint32_t reg_id;
  /*
   Gives the certificate of the client of the connection, if the request came on it straight from the phone.
   NULL: the host cannot tell, and tokens that are bound to a certificate (RFC 8705) are refused. Since ABI
   version 5.
   */
  sipoauth_certificate_fn client_certificate;
  /*
   The argument for client_certificate.
   */
  void *client_certificate_user;
  /*
   The whole request as it was received, from the request line to the end of the body; or empty. A copy of a
   request with a proof is a retransmission only when it is the same octet for octet (RFC 3261 section 17.1).
   When this is empty, only the other members are compared. Since ABI version 5.
   */
  struct sipoauth_str message;
  /*
   Bodies of all Via header fields (RFC 3261 section 20.42) as they came, in order, without the field names;
   each may have several values. They tell who sent a request to the proxies of the setting trusted_hops; NULL
   where that does not matter. Only the first 16 are read. Since ABI version 5.
   */
  const struct sipoauth_str *vias;
  /*
   Number of `vias`.
   */
  size_t vias_count;
  /*
   For hosts that want to read a request only as far as needed. If the same request was accepted before (the same
   token, method, From and To, and nothing else that decides), sipoauth_worker_check needs these members only: role,
   transport, connection, now, method, from_uri, to_uri, credentials and body. A host may set just these, and this
   function, which fills in the other members of this structure when the library needs them. NULL: all members are set.
   Since ABI version 5.
   */
  sipoauth_complete_fn complete;
  /*
   The argument of `complete`.
   */
  void *complete_user;
  /*
   Body of User-Agent; empty when there is none. Users see it beside their phones at the sign-in page. Since ABI
   version 5.
   */
  struct sipoauth_str user_agent;
} sipoauth_request;

/*
 The outcome of a check. All texts are UTF-8 and borrow from the worker until its next call; empty texts are
 NULL or have length 0. When the check function fails, the verdict is DENIED, reason_class
 SIPOAUTH_CLASS_NOT_NOW and the status 503. Before a call set everything to zero, and then struct_size, because
 nothing is written when struct_size is too small.
 */
typedef struct sipoauth_result {
  /*
   The caller sets sizeof(sipoauth_result).
   */
  uint32_t struct_size;
  /*
   SIPOAUTH_VERDICT_
   */
  uint32_t verdict;
  /*
   Stable number of the reason; 0: ok. While PENDING it is that of an internal error.
   */
  uint32_t reason;
  /*
   Suggested SIP status: 200, 302, 400, 401, 403, 407, 415 or 503. While PENDING it is 503, for hosts that do
   not park.
   */
  uint32_t status;
  /*
   Seconds for Retry-After with status 503, else 0.
   */
  uint32_t retry_after;
  /*
   1: the signature was verified earlier. The token's times were judged now. Issuer, audience, scope and owner
   were judged now, too, unless the request is like one that was accepted since keys and configuration last
   changed.
   */
  uint32_t cached;
  /*
   `exp` of an accepted token, or the end of an accepted session's tokens, in Unix seconds; else 0.
   */
  int64_t expires_at;
  /*
   While PENDING the job for sipoauth_worker_submit, else 0.
   */
  uint64_t job;
  /*
   Stable code of the reason, for example "token_expired".
   */
  struct sipoauth_str reason_code;
  /*
   The reason in one sentence, without secrets.
   */
  struct sipoauth_str reason_text;
  /*
   Error for the challenge (RFC 8898 section 4): "invalid_token", "invalid_scope" or empty.
   */
  struct sipoauth_str error;
  /*
   Name of the provider; empty when it is not known.
   */
  struct sipoauth_str provider;
  /*
   `iss`; of a refused token, what the token says.
   */
  struct sipoauth_str issuer;
  /*
   The address-of-record, in canonical form, that the request uses of an accepted token, session or account.
   */
  struct sipoauth_str aor;
  /*
   `sub` of a token whose signature is valid, also when the token was refused for its claims.
   */
  struct sipoauth_str subject;
  /*
   Client (`azp`, `client_id`, `appid` or `cid`) of such a token.
   */
  struct sipoauth_str client_id;
  /*
   Scopes of such a token, separated by a space.
   */
  struct sipoauth_str scope;
  /*
   `kid`; of a refused token, what the token says.
   */
  struct sipoauth_str kid;
  /*
   16 hex digits that name the token in logs.
   */
  struct sipoauth_str fingerprint;
  /*
   SIPOAUTH_GRANT_: what the request carried.
   */
  uint32_t grant;
  /*
   1: the answer completes a sign-in with a code or a password. When the final answer to this request is
   built, and before it leaves, the host calls sipoauth_worker_answered with `ticket` and the status and To
   tag of that answer.
   */
  uint32_t confirm;
  /*
   The session of an accepted code or proof: 32 hex digits.
   */
  struct sipoauth_str session;
  /*
   `+sip.instance` of the session, or empty.
   */
  struct sipoauth_str instance;
  /*
   With confirm = 1, the ticket for sipoauth_worker_answered, at most 4 KiB. It may be kept in any process and
   holds no secret.
   */
  struct sipoauth_str ticket;
  /*
   The levels of service (setting `services`) that an accepted token or session gives, separated by a comma.
   */
  struct sipoauth_str services;
  /*
   All scopes that a token needs for this, for sipoauth_challenge.scope (RFC 8898 section 4). Set with reason
   "insufficient_scope", and with NO_CREDENTIALS when the method needs scopes of its own.
   */
  struct sipoauth_str needed_scope;
  /*
   For an accepted REGISTER, the most seconds that its bindings may be granted, at least 1; 0: no limit. A
   smaller expiry that the phone asked for stays, in particular 0.
   */
  uint32_t expires_limit;
  /*
   1: the 2xx must carry what sipoauth_worker_token_response gives. Since ABI version 4.
   */
  uint32_t token_response;
  /*
   SIPOAUTH_CLASS_ of the reason; SIPOAUTH_CLASS_NOT_NOW when the check function fails. Since ABI version 5.
   */
  uint32_t reason_class;
  /*
   Names this check in later calls of this worker, until its next check; 0 when the check function failed.
   Since ABI version 5.
   */
  uint64_t check;
  /*
   After SIPOAUTH_DEVICE_ACCOUNT: H(A1) as 32 (MD5) or 64 (SHA-256) lower-case hex digits, a secret; else empty. Since
   ABI version 5.
   */
  struct sipoauth_str ha1;
} sipoauth_result;

/*
 An authorization code that the library did not read from a SIP request itself (RFC 6749 section 4.1.3,
 3rd-party-authentication section 2.1.1). Everything is borrowed for the call only. Since ABI version 5.
 */
typedef struct sipoauth_code {
  /*
   sizeof(sipoauth_code)
   */
  uint32_t struct_size;
  /*
   SIPOAUTH_TRANSPORT_ on which the code came. Short codes are accepted over TLS and WSS only.
   */
  uint32_t transport;
  /*
   The sender's port, 0 to 65535; 0: not known.
   */
  uint32_t source_port;
  /*
   `reg-id` (RFC 5626 section 4.2); 0: none.
   */
  uint32_t reg_id;
  /*
   Unix seconds; 0: the library reads the clock.
   */
  int64_t now;
  /*
   The code, decoded, at most 8 KiB.
   */
  struct sipoauth_str code;
  /*
   The PKCE verifier (RFC 7636), 43 to 128 characters; or empty.
   */
  struct sipoauth_str code_verifier;
  /*
   redirect_uri of the authorization request, at most 1 KiB; empty: the one of the provider.
   */
  struct sipoauth_str redirect_uri;
  /*
   The address-of-record that signs in, a SIP URI. The code's user must own it.
   */
  struct sipoauth_str aor;
  /*
   SIP URI of the user who registers the address-of-record; empty: the address-of-record itself.
   */
  struct sipoauth_str from_uri;
  /*
   From tag that the shared key is made of (3rd-party-authentication section 2.1.2), not empty.
   */
  struct sipoauth_str from_tag;
  /*
   Call-ID that the shared key is made of, not empty.
   */
  struct sipoauth_str call_id;
  /*
   The To tag that the shared key is made of. With a store in a folder it may be empty, and the host then
   passes the tag to sipoauth_worker_answered.
   */
  struct sipoauth_str to_tag;
  /*
   `+sip.instance` of the phone, without quotes; or empty.
   */
  struct sipoauth_str instance;
  /*
   The sender's address as text. Limits apply to its network (an IPv4 address, an IPv6 /64). Until the first
   answer has left, the code may come again only from that network. Empty: only the very same call may come
   again.
   */
  struct sipoauth_str source_ip;
} sipoauth_code;

/*
 One session, for displays. Texts borrow from the library during the callback.
 */
typedef struct sipoauth_session_state {
  /*
   sizeof(sipoauth_session_state), set by the library.
   */
  uint32_t struct_size;
  /*
   Number of shared keys of the session.
   */
  uint32_t key_count;
  /*
   1: there is a refresh token.
   */
  uint32_t renewable;
  /*
   1: the session was made from a short code.
   */
  uint32_t weak;
  /*
   The user signed in at this time, Unix seconds.
   */
  int64_t created_at;
  /*
   The tokens are valid until this time, Unix seconds.
   */
  int64_t valid_until;
  /*
   The session ends at this time, Unix seconds.
   */
  int64_t ends_at;
  /*
   32 hex digits.
   */
  struct sipoauth_str id;
  /*
   The address-of-record, canonical.
   */
  struct sipoauth_str aor;
  /*
   `+sip.instance`, or empty.
   */
  struct sipoauth_str instance;
  /*
   Name of the provider.
   */
  struct sipoauth_str provider;
  /*
   `sub`
   */
  struct sipoauth_str subject;
  /*
   Granted scopes.
   */
  struct sipoauth_str scope;
  /*
   What the user calls the phone, if it was added at the sign-in page.
   */
  struct sipoauth_str name;
  /*
   User name of its device password; or empty.
   */
  struct sipoauth_str device;
  /*
   For sipoauth_binding_ends. It is opaque, and empty for a session that goes on.
   */
  struct sipoauth_str bindings;
} sipoauth_session_state;

/*
 Takes one session that has ended. `reason_code` is NUL-terminated and static: "session_ended" (its server does not refresh
 the tokens), "session_revoked" (an operator), "signed_out" (its user, at the sign-in page), "logged_out" (Back-Channel
 Logout) or "displaced" (another of its address needed its place). `why` is a sentence for people. Texts borrow from the library during the callback. It must return. Within
 sipoauth_io_ended it may call sipoauth_binding_ends only. Since ABI version 5.
 */
typedef void (*sipoauth_ended_fn)(void *user,
                                  const struct sipoauth_session_state *session,
                                  const char *reason_code,
                                  struct sipoauth_str why);

/*
 What a command needs of its host (sipoauth_context_command): a way to take the answer, and the location table.

 An answer is one line, or it consists of items. An item has fields with different names, which follow it in their
 order. Names are snake_case, NUL-terminated and static; other texts are UTF-8 without a NUL and valid during the
 callback. A callback that takes a part of the answer returns 0. If it returns another number, the answer ends there,
 because the host has no more room, but the command does the rest of its work. All callbacks are called in the thread of
 the call and must return (no longjmp, no C++ exception). remove_bindings and ended may use the library, the others must
 not. Since ABI version 5.
 */
typedef struct sipoauth_command_host {
  /*
   sizeof(sipoauth_command_host)
   */
  uint32_t struct_size;
  /*
   SIPOAUTH_COMMAND_, added up.
   */
  uint32_t flags;
  /*
   The argument of all callbacks.
   */
  void *user;
  /*
   Begins an item. Not NULL.
   */
  int32_t (*item)(void *user);
  /*
   Adds a text to the item; it may be empty. Not NULL.
   */
  int32_t (*text)(void *user, const char *name, struct sipoauth_str value);
  /*
   Adds a number to the item. Not NULL.
   */
  int32_t (*number)(void *user, const char *name, uint64_t value);
  /*
   Gives an answer that is one line. Not NULL.
   */
  int32_t (*line)(void *user, struct sipoauth_str line);
  /*
   Removes those bindings of the session's address-of-record for which sipoauth_binding_ends says 1. Returns how many it
   has removed. NULL: the host has no location table.
   */
  uint32_t (*remove_bindings)(void *user, const struct sipoauth_session_state *session);
  /*
   Takes a session that the command has ended, after its bindings. NULL: the host does not want to know.
   */
  sipoauth_ended_fn ended;
} sipoauth_command_host;

/*
 Takes one log line (`len` octets of UTF-8, no line end, no NUL, no secret; valid during the call). `level` is a
 SIPOAUTH_LOG_ number. It is called in the thread that called the library, never in one of the library's own. It
 must return (no longjmp, no C++ exception) and must not use the handle whose call it is in.
 */
typedef void (*sipoauth_log_fn)(void *user, uint32_t level, const char *line, size_t len);

/*
 Takes the two cookies of a parked request that can go on. It is called within sipoauth_io_step, in the thread
 of that call. It must return (no longjmp, no C++ exception). It may use workers, but not the I/O service.
 */
typedef void (*sipoauth_done_fn)(void *user, uint64_t cookie0, uint64_t cookie1);

/*
 The answer to a request that was not accepted. Texts borrow from the worker until its next call. Since ABI
 version 5.
 */
typedef struct sipoauth_reply {
  /*
   The caller sets sizeof(sipoauth_reply).
   */
  uint32_t struct_size;
  /*
   SIP status; 0: no answer is to be sent (ACK and CANCEL cannot be challenged, RFC 3261 section 22.1).
   */
  uint32_t status;
  /*
   Reason-Phrase.
   */
  struct sipoauth_str phrase;
  /*
   Header lines, each with CRLF; may be empty.
   */
  struct sipoauth_str headers;
} sipoauth_reply;

/*
 The parts of a message that a digest-string covers (RFC 4474 section 9), raw octets.
 */
typedef struct sipoauth_digest_parts {
  /*
   sizeof(sipoauth_digest_parts)
   */
  uint32_t struct_size;
  /*
   addr-spec of From, not empty: the URI between the brackets, without header parameters.
   */
  struct sipoauth_str from_uri;
  /*
   addr-spec of To, not empty.
   */
  struct sipoauth_str to_uri;
  /*
   Call-ID, not empty.
   */
  struct sipoauth_str call_id;
  /*
   Body of CSeq: number and method. The digest-string has it with one space and without leading zeros.
   */
  struct sipoauth_str cseq;
  /*
   Body of Date. The digest-string has it in the canonical form of a SIP-date.
   */
  struct sipoauth_str date;
  /*
   addr-spec of Contact, "*" when that is its value, or empty when there is no Contact. For a proxy with
   dialect = empty_star it is empty also when the value is "*".
   */
  struct sipoauth_str contact_uri;
  /*
   The message body, exactly as on the wire.
   */
  struct sipoauth_str body;
  /*
   Empty for the digest-string of RFC 4474. For a proxy with dialect = request_uri it is the Request-URI,
   exactly as in the request line. The digest-string then has it after the method and one space. Since ABI
   version 5.
   */
  struct sipoauth_str request_uri;
} sipoauth_digest_parts;

/*
 What becomes of a request about a REFER, see sipoauth_worker_refer. Texts are valid until the worker's next call of
 that function. Since ABI version 5.
 */
typedef struct sipoauth_refer {
  /*
   sizeof(sipoauth_refer)
   */
  uint32_t struct_size;
  /*
   SIP status of the answer; 0: the request is good and not answered here (SIPOAUTH_REFER_CHECK).
   */
  uint32_t status;
  /*
   SIPOAUTH_SUBSCRIBING_ for a REFER that can be read, else SIPOAUTH_SUBSCRIBING_UNKNOWN.
   */
  uint32_t subscribing;
  /*
   1: the request is refused, for `reason`.
   */
  uint32_t refused;
  /*
   Reason-Phrase of the answer.
   */
  struct sipoauth_str phrase;
  /*
   Header lines of the answer, each with CRLF; may be empty.
   */
  struct sipoauth_str headers;
  /*
   Stable code of the reason, snake_case; empty when the request is not refused.
   */
  struct sipoauth_str reason;
  /*
   A sentence for the operator.
   */
  struct sipoauth_str reason_text;
  /*
   Name of the state: 40 hex digits, a secret that lets anybody see it. Empty when there is none.
   */
  struct sipoauth_str id;
  /*
   URI of Refer-To.
   */
  struct sipoauth_str refer_to;
  /*
   Call-ID of Target-Dialog (RFC 4538); empty when there is none.
   */
  struct sipoauth_str target_call_id;
  /*
   Its local-tag.
   */
  struct sipoauth_str target_local_tag;
  /*
   Its remote-tag.
   */
  struct sipoauth_str target_remote_tag;
  /*
   URI at which a SUBSCRIBE sees the state, as Refer-Events-At has it: a secret. Empty when there is none.
   */
  struct sipoauth_str events_uri;
  /*
   URI at which a PUBLISH changes the state: a secret for the user agent that acts on the REFER. Empty when there is
   none.
   */
  struct sipoauth_str publish_uri;
} sipoauth_refer;

/*
 A change of a message that passes, see sipoauth_refer_conform. Since ABI version 5.
 */
typedef struct sipoauth_edit {
  /*
   Where it begins in the message, in octets.
   */
  size_t at;
  /*
   How many octets go.
   */
  size_t length;
  /*
   What takes their place; static, may be empty.
   */
  struct sipoauth_str text;
} sipoauth_edit;

/*
 A NOTIFY that the host sends (RFC 3515 section 2.4.5, RFC 6665 section 4.2.2). Texts borrow from the library during
 the callback. Since ABI version 5.
 */
typedef struct sipoauth_notify {
  /*
   sizeof(sipoauth_notify), set by the library.
   */
  uint32_t struct_size;
  /*
   Number of CSeq.
   */
  uint32_t cseq;
  /*
   For sipoauth_worker_refer_notified.
   */
  uint64_t subscription;
  /*
   What the host gave sipoauth_worker_refer as `socket`.
   */
  uint64_t socket;
  /*
   Call-ID.
   */
  struct sipoauth_str call_id;
  /*
   Tag of From.
   */
  struct sipoauth_str local_tag;
  /*
   Tag of To.
   */
  struct sipoauth_str remote_tag;
  /*
   URI of From.
   */
  struct sipoauth_str local_uri;
  /*
   URI of To.
   */
  struct sipoauth_str remote_uri;
  /*
   Request-URI.
   */
  struct sipoauth_str target;
  /*
   Route set: values separated by commas; may be empty. It is empty when there is a destination.
   */
  struct sipoauth_str routes;
  /*
   SIP URI to which the request is sent whatever its target is; empty: where target and route set lead.
   */
  struct sipoauth_str destination;
  /*
   All further header lines, each with CRLF, but Content-Length.
   */
  struct sipoauth_str headers;
  /*
   The body.
   */
  struct sipoauth_str body;
} sipoauth_notify;

/*
 Sends one NOTIFY. Returns SIPOAUTH_OK, or another value when it cannot be sent: the subscription has then ended. It
 is called within the call that it was passed to, and must not call the library with the same handle. Since ABI
 version 5.
 */
typedef int32_t (*sipoauth_notify_fn)(void *user, const struct sipoauth_notify *notify);

/*
 Takes the end of one REFER: its name (40 hex digits), the address-of-record of its sender, canonical or empty, and
 the status with which it ended, 200 to 699. Texts borrow from the library during the callback. It must return and
 must not call the library with the same handle. Since ABI version 5.
 */
typedef void (*sipoauth_refer_ended_fn)(void *user, struct sipoauth_str id, struct sipoauth_str owner, uint32_t status);

/*
 Takes one session. It is called within the call that it was passed to. It must return and must not call the
 library.
 */
typedef void (*sipoauth_session_fn)(void *user, const struct sipoauth_session_state *session);

/*
 The state of one provider, as a copy. Texts are NUL-terminated and cut to the size of their array.
 */
typedef struct sipoauth_provider_state {
  /*
   The caller sets sizeof(sipoauth_provider_state).
   */
  uint32_t struct_size;
  /*
   Number of keys, usable and refused ones together.
   */
  uint32_t key_count;
  /*
   SIPOAUTH_KEYS_
   */
  uint32_t state;
  /*
   Failed fetches since the last successful one.
   */
  uint32_t failures;
  /*
   Unix seconds of the last successful fetch; 0: never.
   */
  int64_t fetched_at;
  /*
   Unix seconds of the next planned fetch; 0: none.
   */
  int64_t next_fetch_at;
  /*
   Number of fetches since start.
   */
  uint64_t fetches;
  /*
   Name of the provider.
   */
  char name[64];
  /*
   Issuer of the provider.
   */
  char issuer[256];
  /*
   Where the keys came from.
   */
  char jwks_uri[256];
  /*
   The last error; empty after a success.
   */
  char last_error[256];
  /*
   How its tokens are checked: jwt, opaque, or jwt_and_introspection.
   */
  char tokens[32];
} sipoauth_provider_state;

/*
 One key of a provider, or one key that decrypts tokens, as a copy.
 */
typedef struct sipoauth_key_state {
  /*
   The caller sets sizeof(sipoauth_key_state).
   */
  uint32_t struct_size;
  /*
   1: the key verifies signatures or decrypts tokens.
   */
  uint32_t usable;
  /*
   Key id.
   */
  char kid[128];
  /*
   RSA, EC, OKP or oct.
   */
  char kty[16];
  /*
   The only algorithm with which the key is used (for a secret that decrypts, it may also be an encryption);
   empty: any that fits its type.
   */
  char alg[16];
  /*
   Why the key is not used; empty when it is.
   */
  char note[128];
} sipoauth_key_state;

/*
 The contents of a challenge (RFC 8898 section 4). An empty text means the configured value.
 */
typedef struct sipoauth_challenge {
  /*
   sizeof(sipoauth_challenge)
   */
  uint32_t struct_size;
  /*
   SIPOAUTH_ROLE_: a UAS sends WWW-Authenticate, a proxy Proxy-Authenticate.
   */
  uint32_t role;
  /*
   The protection domain; empty: the configured realm, or else `domain`.
   */
  struct sipoauth_str realm;
  /*
   Domain of the address-of-record. It selects one of several providers.
   */
  struct sipoauth_str domain;
  /*
   "invalid_token", "invalid_scope" or empty.
   */
  struct sipoauth_str error;
  /*
   Scopes; empty: the provider's.
   */
  struct sipoauth_str scope;
  /*
   The method of the request, because ACK and CANCEL are not challenged. Empty: the method is not looked at.
   Since ABI version 5.
   */
  struct sipoauth_str method;
} sipoauth_challenge;

/*
 What is known of an endpoint that is about to be challenged.
 */
typedef struct sipoauth_endpoint {
  /*
   sizeof(sipoauth_endpoint)
   */
  uint32_t struct_size;
  /*
   SIPOAUTH_TRANSPORT_
   */
  uint32_t transport;
  /*
   The local port on which the request came, 0 to 65535.
   */
  uint32_t local_port;
  /*
   Body of User-Agent.
   */
  struct sipoauth_str user_agent;
  /*
   Domain of the address-of-record.
   */
  struct sipoauth_str domain;
  /*
   Body of Supported.
   */
  struct sipoauth_str supported;
} sipoauth_endpoint;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The ABI version of the loaded library. A host compares it with `SIPOAUTH_ABI_VERSION` of the header, because
 both must be the same. Any process, any thread.
 */
uint32_t sipoauth_abi_version(void);

/*
 The library's version, "major.minor.patch". Static, NUL-terminated, never NULL. Any process, any thread.
 */
const char *sipoauth_version(void);

/*
 Writes the account of `aor` (a SIP URI) and replaces an earlier one. The caller gives either `verifier`, a line
 as `sipoauth accounts derive` prints it, or `password`. From a password the calling thread derives the key,
 which takes some tenths of a second, so a SIP worker must not do that. The password is not stored. Where this
 may be called and how long it may wait: see sipoauth_context_sessions.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_STATE (`store` is not configured), SIPOAUTH_E_INPUT (`aor`
 is not a SIP address, `verifier` cannot be read, or neither or both of `verifier` and `password` are given),
 SIPOAUTH_E_STORE or SIPOAUTH_E_PANIC; `err` gets a sentence, as for sipoauth_config_set.

 # Safety
 `context` is NULL or valid, texts valid for their lengths, `err` for `err_cap` octets.
 */
int32_t sipoauth_context_account_put(const struct sipoauth_context *context,
                                     struct sipoauth_str aor,
                                     struct sipoauth_str verifier,
                                     struct sipoauth_str password,
                                     char *err,
                                     size_t err_cap);

/*
 Removes the account of `aor`; `*removed` is 1 when there was one. Where this may be called and how long it may
 wait: see sipoauth_context_sessions.

 Returns SIPOAUTH_OK, also when there was no account; otherwise as sipoauth_context_sessions.

 # Safety
 `context` and `removed` are NULL or valid, `aor` valid for its length.
 */
int32_t sipoauth_context_account_remove(const struct sipoauth_context *context,
                                        struct sipoauth_str aor,
                                        uint32_t *removed);

/*
 Shows the account of `aor`, or, when `aor` is empty, all accounts, some at a time. `from`, `next`, the return
 values, where this may be called and how long it may wait are as for sipoauth_context_sessions. Keys and salts
 are never shown.

 # Safety
 As for sipoauth_context_sessions.
 */
int32_t sipoauth_context_accounts(const struct sipoauth_context *context,
                                  struct sipoauth_str aor,
                                  struct sipoauth_str from,
                                  sipoauth_account_fn each,
                                  void *user,
                                  char *next,
                                  size_t next_cap);

/*
 Checks the Bearer credentials of a request (RFC 8898 sections 2.2 and 2.3; signature RFC 7515, claims RFC 7519 and
 RFC 9068). Uses the CPU only, never blocks.

 `flags`: SIPOAUTH_CHECK_RESUMED, SIPOAUTH_CHECK_NO_WAIT. Returns SIPOAUTH_OK when `result` holds an answer, whatever
 it is; else SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC, and `result` says DENIED.

 # Safety
 `worker` is NULL or valid; `request` and what it points to is valid during the call; `result` is NULL or valid and
 its struct_size set.
 */
int32_t sipoauth_worker_check(struct sipoauth_worker *worker,
                              const struct sipoauth_request *request,
                              uint32_t flags,
                              struct sipoauth_result *result);

/*
 As sipoauth_worker_check, but a request whose keys must be fetched waits here, at most `timeout_ms` milliseconds;
 the verdict is never PENDING. Never in a SIP server's worker: needs a worker that may wait (SIPOAUTH_WORKER_MAY_WAIT)
 and an I/O service in another thread or process. When max_pending is reached, it does not wait, and the verdict is
 NOT_NOW.

 Returns as sipoauth_worker_check, and SIPOAUTH_E_STATE when the worker may not wait.

 # Safety
 As for sipoauth_worker_check.
 */
int32_t sipoauth_worker_check_wait(struct sipoauth_worker *worker,
                                   const struct sipoauth_request *request,
                                   uint32_t timeout_ms,
                                   struct sipoauth_result *result);

/*
 Exchanges an authorization code for the tokens of its user at the provider that serves the address-of-record's
 domain (RFC 6749 section 4.1.3), and makes a session of it. The rules are those of sipoauth_worker_check for a
 code in the body of a REGISTER. A code is sent to the provider once. The same code again, from the same phone
 (code_verifier, instance, source), gives the same session; from another phone it is refused. The user must own
 the address. Never blocks. When the verdict is PENDING, as with sipoauth_worker_check, call
 sipoauth_worker_submit, and then this function again with SIPOAUTH_CHECK_RESUMED.

 `source_ip`, `instance` and a verifier distinguish the owner of a code from a thief. For a host that does not
 give them, only the very same call may be repeated.

 When the code is accepted, `result` says whose the session is. The phone's key is sipoauth_shared_key of the
 code, from_tag, call_id and a To tag. The host passes that tag, with `ticket`, to sipoauth_worker_answered,
 which stores the key. Since ABI version 5.

 Flags and return values are as for sipoauth_worker_check, and SIPOAUTH_E_INPUT when `to_tag` is empty although
 the store is Redis, because there the key is stored together with the exchange.

 # Safety
 `worker` is NULL or valid; `code` and what it points to is valid during the call; `result` is NULL or valid and its
 struct_size set.
 */
int32_t sipoauth_worker_exchange(struct sipoauth_worker *worker,
                                 const struct sipoauth_code *code,
                                 uint32_t flags,
                                 struct sipoauth_result *result);

/*
 Like sipoauth_worker_exchange, but waits here for the authorization server, at most `timeout_ms` milliseconds;
 the verdict is never PENDING. When the time is over, the verdict is NOT_NOW and the exchange goes on; the same
 call later finds its outcome. Which worker may wait, and the return values, are as for
 sipoauth_worker_check_wait. Since ABI version 5.

 # Safety
 As for sipoauth_worker_exchange.
 */
int32_t sipoauth_worker_exchange_wait(struct sipoauth_worker *worker,
                                      const struct sipoauth_code *code,
                                      uint32_t timeout_ms,
                                      struct sipoauth_result *result);

/*
 Checks a REGISTER that asks for tokens with `grant_type=password` (sip-oauth-01 section 4.3). Its Digest
 credentials for `realm` must be among `credentials`. The host must have issued their nonce and found it valid,
 as it does for every Digest authentication. The library checks the rest of the credentials with `ha1`, derives
 the master-key, has tokens issued and keeps the session. The user of the tokens must own the address-of-record,
 and a `pop` in the body must be right. The verdict can be PENDING, as for sipoauth_worker_check. Without such a
 body, or without Digest credentials, the verdict is NO_CREDENTIALS. When the request is accepted, the 2xx must
 carry what sipoauth_worker_token_response gives. Since ABI version 4.

 `ha1` is H(A1) of the user as 32 or 64 hex digits: MD5 or SHA-256 of user name, realm and password. `password`
 is for password_grant = password, else empty. It is sent to the authorization server and kept nowhere. Flags
 and return values are as for sipoauth_worker_check, and SIPOAUTH_E_INPUT when `ha1` is not an H(A1).

 # Safety
 As for sipoauth_worker_check; `ha1` and `password` are valid for their lengths.
 */
int32_t sipoauth_worker_check_password(struct sipoauth_worker *worker,
                                       const struct sipoauth_request *request,
                                       struct sipoauth_str ha1,
                                       struct sipoauth_str password,
                                       uint32_t flags,
                                       struct sipoauth_result *result);

/*
 Checks a request whose sender has a device password of the sign-in page, by Digest (RFC 7616, RFC 8760: MD5 or SHA-256,
 `qop=auth`), in two steps. The Digest credentials for `realm` must be among `credentials`.

 With SIPOAUTH_DEVICE_ACCOUNT the verdict is NO_CREDENTIALS with reason "digest_unchecked", and `ha1` is that of the user
 name. The host checks the credentials with it, in particular that the nonce is its own and not used up. A user name that
 nobody has, or whose phone was signed out, has an `ha1` that no password gives, so nobody can tell which names there are.
 Without Digest credentials the reason is "no_credentials".

 With SIPOAUTH_DEVICE_ACCEPT the verdict is ACCEPTED if somebody who knows the password has made the credentials for this
 method, and the phone may use the address-of-record and the method. The verdict can be PENDING at the first step, as for
 sipoauth_worker_check, with a store that proxies share. A host that did not wait there need not wait at the second.
 Uses the CPU only, never blocks. Since ABI version 5.

 Flags and return values are as for sipoauth_worker_check, and SIPOAUTH_E_ARGUMENT for another `step`.

 # Safety
 As for sipoauth_worker_check.
 */
int32_t sipoauth_worker_check_device(struct sipoauth_worker *worker,
                                     const struct sipoauth_request *request,
                                     uint32_t step,
                                     uint32_t flags,
                                     struct sipoauth_result *result);

/*
 Checks a token that did not come in a SIP request. The check covers everything but the address-of-record. Flags
 and return values are as for sipoauth_worker_check; `token` is the bare token without "Bearer". It counts as a
 token that came without TLS and without a proof, so it is denied with pop_missing where the provider has
 `token_pop=required`.

 Limits count the token for the sender of `request`, as its source_ip, source_port, transport and vias tell. Nothing
 else of the request is looked at. If `request` is NULL, the sender is not known, and all such tokens count for one
 sender. Changed in ABI version 5.

 # Safety
 `worker` is NULL or valid; `request` is NULL, or it and what it points to is valid during the call; `token` is valid
 for its length; `result` as for sipoauth_worker_check.
 */
int32_t sipoauth_worker_check_token(struct sipoauth_worker *worker,
                                    const struct sipoauth_request *request,
                                    struct sipoauth_str token,
                                    uint32_t flags,
                                    struct sipoauth_result *result);

/*
 Gives the result for a request that the host could not handle. `why` is SIPOAUTH_REFUSE_FULL for the request of
 the worker's last result, which is PENDING with this `job` and could not be parked (NOT_NOW, "overloaded",
 503). It is SIPOAUTH_REFUSE_MALFORMED for a request that the host cannot parse (DENIED, "malformed_request",
 400), and SIPOAUTH_REFUSE_FAILED for an error of the host (NOT_NOW, "internal_error", 503). An error of the
 host counts as that reason but not as a request, because the request may have been counted already. `job` is 0
 except with SIPOAUTH_REFUSE_FULL.

 Returns as sipoauth_worker_check, and SIPOAUTH_E_STALE when the last result is not PENDING with this job; the
 last result then stays. `result` says 503 also when the call fails, and when `worker` is NULL.

 Changed in ABI version 5.

 # Safety
 `worker` is NULL or valid, `result` as for sipoauth_worker_check.
 */
int32_t sipoauth_worker_refuse(struct sipoauth_worker *worker,
                               uint32_t why,
                               uint64_t job,
                               struct sipoauth_result *result);

/*
 Requires more of the request that a check accepted. `check` comes from the worker's last result and stays
 valid. `what` is SIPOAUTH_REQUIRE_SERVICE or SIPOAUTH_REQUIRE_SCOPE, `name` the service or the scopes. The
 verdict is then ACCEPTED, or DENIED with reason "insufficient_scope", `needed_scope` and the status of the
 setting `scope_status`, or with 403 when the provider has no such service. What the check accepted stays as it
 was: identity, services, expiry, claims and token. A denial counts as that reason, not as a denied request. The
 function may be called again for the same check.

 Returns SIPOAUTH_OK when `result` holds an answer; SIPOAUTH_E_STALE; SIPOAUTH_E_STATE when the check was not
 accepted; SIPOAUTH_E_INPUT when `name` names nothing; else as sipoauth_worker_check. After a failure `result`
 says DENIED.

 Changed in ABI version 5.

 # Safety
 `worker` is NULL or valid, `name` valid for its length, `result` as for sipoauth_worker_check.
 */
int32_t sipoauth_worker_require(struct sipoauth_worker *worker,
                                uint64_t check,
                                uint32_t what,
                                struct sipoauth_str name,
                                struct sipoauth_result *result);

/*
 How many commands there are: a constant of this version. Any process, any thread. Since ABI version 5.
 */
uint32_t sipoauth_command_count(void);

/*
 The name of a command, snake_case; static, NUL-terminated. NULL past the end. Any process, any thread. Since ABI
 version 5.
 */
const char *sipoauth_command_name(uint32_t index);

/*
 What a command does, in one line; otherwise as sipoauth_command_name. Since ABI version 5.
 */
const char *sipoauth_command_help(uint32_t index);

/*
 1 when the answer of a command has any number of items, 0 when it has one item or one line, and past the end. Any
 process, any thread. Since ABI version 5.
 */
uint32_t sipoauth_command_is_list(uint32_t index);

/*
 The name of an argument of a command, both counted from 0; otherwise as sipoauth_command_name. The required arguments
 come first. Since ABI version 5.
 */
const char *sipoauth_command_argument(uint32_t index, uint32_t argument);

/*
 The SIPOAUTH_ARGUMENT_ flags of an argument, added up; 0 past the end. Any process, any thread. Since ABI version 5.
 */
uint32_t sipoauth_command_argument_flags(uint32_t index, uint32_t argument);

/*
 Runs a command of the operator. `name` is that of sipoauth_command_name, `arguments` are as many as there are, at most
 as many as the command has; an empty one counts as missing. They are borrowed for the call, and no password among them
 is copied or logged. `host` takes the answer; the structure is copied. Call this after the fork, in any process and
 thread. The call reads files, and with a Redis store it waits for Redis, at most store_timeout for each of its steps, so
 a SIP worker should not make it.

 Returns SIPOAUTH_OK, or an error, and then `*fault` is a number as HTTP has them, and `err` gets a sentence for the
 operator, as for sipoauth_config_set. Part of an answer may have been given before. `*fault` is 400 (an argument is
 missing or cannot be taken: SIPOAUTH_E_INPUT), 403 (not in a process that handles SIP: SIPOAUTH_E_STATE), 404 (what the
 command is about is not there or not configured, or there is no such command: SIPOAUTH_E_ABSENT), 503 (the store cannot
 be reached: SIPOAUTH_E_STORE), or 500 (SIPOAUTH_E_CONFIG, and mistakes of the host and of the library:
 SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PANIC). After SIPOAUTH_OK it is 0. Since ABI version 5.

 # Safety
 `context`, `host` and `fault` are NULL or valid and struct_size of `host` is set. `arguments` points to as many texts
 as `arguments_count` says, texts are valid for their lengths and `err` for `err_cap` octets. The callbacks may be called
 with `user` of `host` and do not leave by longjmp or a C++ exception.
 */
int32_t sipoauth_context_command(const struct sipoauth_context *context,
                                 struct sipoauth_str name,
                                 const struct sipoauth_str *arguments,
                                 size_t arguments_count,
                                 const struct sipoauth_command_host *host,
                                 uint32_t *fault,
                                 char *err,
                                 size_t err_cap);

/*
 A new, empty configuration; NULL after an internal error. Any process, any thread.

 The caller owns it and gives it back with sipoauth_config_free.
 */
struct sipoauth_config *sipoauth_config_new(void);

/*
 Frees a configuration; NULL is allowed. A context that was made from it stays valid.

 # Safety
 `config` comes from sipoauth_config_new and is not used afterwards.
 */
void sipoauth_config_free(struct sipoauth_config *config);

/*
 Sets one global setting. `value` is UTF-8 text ("30", "yes"). Key and value are copied. "config_file" names a
 TOML file that sipoauth_context_new and sipoauth_context_reload read. Setting a key again replaces its value. A
 setting made here overrides that of the file.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, or SIPOAUTH_E_CONFIG for an unknown key or a value of the wrong kind;
 sipoauth_context_new checks the ranges. `err` gets a NUL-terminated sentence, cut to `err_cap` octets, and is
 empty after SIPOAUTH_OK; it may be NULL.

 # Safety
 `config` is NULL or valid; texts are valid for their lengths and `err` for `err_cap` octets.
 */
int32_t sipoauth_config_set(struct sipoauth_config *config,
                            struct sipoauth_str key,
                            struct sipoauth_str value,
                            char *err,
                            size_t err_cap);

/*
 Adds a provider (an authorization server) written as one line of UTF-8, "name=…;issuer=…;audience=…;aor=…";
 lists are separated by commas. The text is copied. sipoauth_context_new checks the values of the keys.

 The return values and `err` are as for sipoauth_config_set.

 # Safety
 As for sipoauth_config_set.
 */
int32_t sipoauth_config_provider_add(struct sipoauth_config *config,
                                     struct sipoauth_str line,
                                     char *err,
                                     size_t err_cap);

/*
 Reads all files, validates everything and makes the shared memory. It starts no thread and opens no connection,
 so it is called before the fork, in the process whose children share the context.

 `log` may be NULL; `log_user` is passed to it. `config` may be freed afterwards. `*out` is NULL on every failure;
 else the caller owns it and gives it back with sipoauth_context_free.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_CONFIG (the sentence in `err` names file, key and fix) or
 SIPOAUTH_E_SYSTEM.

 # Safety
 Pointers are NULL or valid, `err` for `err_cap` octets. The log function and what `log_user` points to stay
 usable in every process as long as the context, its workers and its I/O service live.
 */
int32_t sipoauth_context_new(const struct sipoauth_config *config,
                             sipoauth_log_fn log,
                             void *log_user,
                             struct sipoauth_context **out,
                             char *err,
                             size_t err_cap);

/*
 Frees this process's handle of a context; NULL is allowed. Workers and I/O services of this process that still
 exist keep what they need; other processes are not affected.

 # Safety
 `context` comes from sipoauth_context_new and is not used afterwards.
 */
void sipoauth_context_free(struct sipoauth_context *context);

/*
 Reads the configuration file and the files that it names again, in any process and thread. Every process takes
 over the new configuration with its next call. The call blocks while it reads files, but never for the network.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_CONFIG. A bad configuration changes nothing, and `err`
 gets a sentence, as for sipoauth_config_set. Of two reloads at once, the second one is refused.

 # Safety
 `context` is NULL or valid, `err` valid for `err_cap` octets.
 */
int32_t sipoauth_context_reload(struct sipoauth_context *context, char *err, size_t err_cap);

/*
 Makes the I/O service fetch the keys of a provider now, for example because a key was compromised or replaced.
 The limits of key fetches do not apply. An empty `provider` means every provider whose keys are fetched.
 `*count` is the number of these providers, and 0 after a failure. Any process, any thread. Never blocks; the
 state of the providers shows how the fetches went.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, or SIPOAUTH_E_CONFIG when there is no such provider or its keys are
 configured; `err` gets a sentence, as for sipoauth_config_set.

 # Safety
 `context` and `count` are NULL or valid, `provider` for its length, `err` for `err_cap` octets.
 */
int32_t sipoauth_context_refresh_keys(struct sipoauth_context *context,
                                      struct sipoauth_str provider,
                                      uint32_t *count,
                                      char *err,
                                      size_t err_cap);

/*
 Tells the library that a connection has ended. `connection` is the number that its requests had in
 sipoauth_request.connection. The library removes what the connection was bound to from memory at once. This is
 for hosts that learn of the end of a connection. Without this call the binding stays until its room is needed,
 or for two hours after its last use. A new connection with the same number still counts as another one. Any
 process, any thread; never blocks.

 Returns SIPOAUTH_OK, also when the connection was not bound; else SIPOAUTH_E_ARGUMENT.

 # Safety
 `context` is NULL or valid.
 */
int32_t sipoauth_context_connection_closed(const struct sipoauth_context *context, uint64_t connection);

/*
 Tells whether the library remembers connections at all (setting connection_auth). Only then is
 sipoauth_context_connection_closed of use. The answer stays the same as long as the context lives. Any process,
 any thread; never blocks.

 Returns 1 if it does, 0 if not; else SIPOAUTH_E_ARGUMENT.

 # Safety
 `context` is NULL or valid.
 */
int32_t sipoauth_context_binds_connections(const struct sipoauth_context *context);

/*
 Writes the mark of a dialog, not NUL-terminated: a SIP URI parameter with the semicolon before it, 43 octets.
 The host puts it into its Record-Route URI (into both, if it writes two) when it lets a dialog-forming request
 go on. `call_id` and `from_tag` are those of that request, exactly as they stand there. The mark is an
 HMAC-SHA256 over both and the day. Its key comes from the setting `store_key`, so it is the same after a
 restart and at all proxies that share the setting. Without that setting the key is random and ends with the
 proxy. `*len` gets the number of octets, also with SIPOAUTH_E_SPACE; `buf` may be NULL with `cap` 0 to ask for
 it. Never blocks. Since ABI version 5.

 Returns SIPOAUTH_OK, SIPOAUTH_E_SPACE, SIPOAUTH_E_INPUT (Call-ID or tag is empty), SIPOAUTH_E_ARGUMENT,
 SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.

 # Safety
 `worker` and `len` are NULL or valid, texts for their lengths, `buf` for `cap` octets.
 */
int32_t sipoauth_worker_dialog_mark(struct sipoauth_worker *worker,
                                    struct sipoauth_str call_id,
                                    struct sipoauth_str from_tag,
                                    char *buf,
                                    size_t cap,
                                    size_t *len);

/*
 Tells whether a request with a To tag belongs to a dialog that sipoauth_worker_dialog_mark has marked (RFC 3261
 section 12.2). Most of these requests carry no credentials, and anybody can invent a To tag. `route_parameters`
 are the URI parameters of the topmost Route of the request: everything after the first semicolon that follows
 the host. The host must have found that this URI is its own. Either party may have sent the request. A mark is
 valid for 30 days after the day on which it was made. The mark does not limit where the request may go: anybody
 who has seen it can send requests with this Call-ID and the first party's tag to any address. Call this before
 anything else is done with the request, and answer 481 when the dialog is not marked. Comparisons take the same
 time whatever differs. Never blocks. Since ABI version 5.

 Returns SIPOAUTH_OK, SIPOAUTH_E_MISMATCH (no mark, or not this dialog's), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS,
 SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.

 # Safety
 `worker` is NULL or valid, texts for their lengths.
 */
int32_t sipoauth_worker_dialog_check(struct sipoauth_worker *worker,
                                     struct sipoauth_str call_id,
                                     struct sipoauth_str from_tag,
                                     struct sipoauth_str to_tag,
                                     struct sipoauth_str route_parameters);

/*
 Starts the I/O service with its threads. Call this after the fork, in exactly one process of the host, for
 example in a process of its own that only calls sipoauth_io_step. All signals are blocked in the service's
 threads.

 `*out` is NULL on every failure; else the caller owns it and gives it back with sipoauth_io_free. Returns
 SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SYSTEM, or SIPOAUTH_E_BUSY when a living process has the context's
 I/O service already; `err` gets a sentence, as for sipoauth_config_set.

 # Safety
 Pointers are NULL or valid, `err` for `err_cap` octets.
 */
int32_t sipoauth_io_new(struct sipoauth_context *context, struct sipoauth_io **out, char *err, size_t err_cap);

/*
 Waits at most `timeout_ms` milliseconds for something to do, and does it. The host calls this in a loop. `done`
 is called, in this thread, with the cookies of every parked request that can go on, because its keys were
 fetched, the fetch failed, or its pending_timeout is over. Within `done` the host may use workers of this
 process, but not this service.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC. After
 SIPOAUTH_E_PANIC the host goes on with its loop.

 # Safety
 `io` is NULL or valid; `done` is NULL or callable with `user` and does not leave by longjmp or a C++ exception.
 */
int32_t sipoauth_io_step(struct sipoauth_io *io, uint32_t timeout_ms, sipoauth_done_fn done, void *user);

/*
 Calls `each` for every session that has ended since the last call, whoever has ended it: its authorization server, the
 tool, the sign-in page, another proxy. Those that a command of this proxy has ended are not among them, because the
 command tells its host. The session's `valid_until` is the time until which it still counts (Unix seconds), or 0. A host
 calls this after each sipoauth_io_step, and removes the bindings for which sipoauth_binding_ends says 1; at most 4,096
 sessions are kept for it. With a folder it is told within half a second, with Redis at once. Since ABI version 5.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.

 # Safety
 `io` is NULL or valid; `each` is NULL or callable with `user` and does not leave by longjmp or a C++ exception.
 */
int32_t sipoauth_io_ended(struct sipoauth_io *io,
                          sipoauth_ended_fn each,
                          void *user);

/*
 Ends the threads and frees the service; NULL is allowed. Waits for fetches that are under way (http_timeout).
 Requests that are still parked are not given back. Afterwards a new service may be made.

 It does nothing within the service's own callbacks, and nothing in a process that did not make the service (a
 child of the I/O process).

 # Safety
 `io` comes from sipoauth_io_new and is not used afterwards.
 */
void sipoauth_io_free(struct sipoauth_io *io);

/*
 PBKDF2 (RFC 8018 section 5.2): derives `key_len` octets, 1 to 1024, from a password. `kdf` is a SIPOAUTH_KDF_
 number; `iterations` is at least 1. The caller wipes `key` after use; after a failure it is unchanged. Slow by
 design: 600,000 iterations take some tenths of a second. Any process, any thread.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.

 # Safety
 Texts are valid for their lengths; `key` is NULL or valid for `key_len` octets.
 */
int32_t sipoauth_pbkdf2(uint32_t kdf,
                        struct sipoauth_str password,
                        struct sipoauth_str salt,
                        uint32_t iterations,
                        uint8_t *key,
                        size_t key_len);

/*
 Makes a proof of the Key-Derivation scheme (sections 3 and 4): HMAC-SHA256(key, digest ‖ nonce) as 43
 characters of base64url without padding. `key` is the derived key, 16 to 64 octets. `digest` comes from
 sipoauth_digest_string and covers the whole body. `nonce` is written as in the header field, without quotes; it
 is empty for the proof of a later request. `*len` and `buf` are as for sipoauth_digest_string.

 A phone compares the pop of a challenge with the result of this function for the challenged request and the
 challenge's nonce. It refuses a challenge whose nonce is one of its own.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SPACE, or SIPOAUTH_E_INPUT when the key has another length.

 # Safety
 Texts are valid for their lengths, `buf` for `cap` octets, `len` NULL or valid.
 */
int32_t sipoauth_key_derivation_pop(struct sipoauth_str key,
                                    struct sipoauth_str digest,
                                    struct sipoauth_str nonce,
                                    char *buf,
                                    size_t cap,
                                    size_t *len);

/*
 Checks the Key-Derivation credentials of a request. Uses the CPU only (some HMACs, never a derivation), never
 blocks. Request, result, parking and return values are as for sipoauth_worker_check; the setting `store` is
 needed. The address-of-record of a REGISTER is its To, and its From must be the same. For other methods it is
 From.

 Without SIPOAUTH_CHECK_GIVEN_ACCOUNT in `flags`, `account` is empty and the account comes from the store. With
 that flag, `account` is a verifier from the caller's own database, as `sipoauth accounts derive` prints it, or
 empty when there is no such user. When the status is 401 or 407, sipoauth_worker_key_derivation_challenge gives
 the challenge. A wrong proof and a user who does not exist have the same reason, pop_invalid.

 # Safety
 As for sipoauth_worker_check; `account` is valid for its length.
 */
int32_t sipoauth_worker_key_derivation(struct sipoauth_worker *worker,
                                       const struct sipoauth_request *request,
                                       struct sipoauth_str account,
                                       uint32_t flags,
                                       struct sipoauth_result *result);

/*
 Makes the Key-Derivation challenge that belongs to a check of that scheme (section 3). `check` comes from the
 worker's last result. The status is 401 with WWW-Authenticate or 407 with Proxy-Authenticate, depending on the
 role of the check. sipoauth_worker_reply gives the same challenge; this function is for a host that also
 challenges by other schemes. Never blocks.

 Returns SIPOAUTH_OK, SIPOAUTH_E_STALE, SIPOAUTH_E_STATE (the check was of another kind, or its outcome is not
 challenged), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC. After a failure
 `reply` says 503.

 Changed in ABI version 5.

 # Safety
 `worker` is NULL or valid, `reply` as for sipoauth_worker_reply.
 */
int32_t sipoauth_worker_key_derivation_challenge(struct sipoauth_worker *worker,
                                                 uint64_t check,
                                                 struct sipoauth_reply *reply);

/*
 Derives the shared key from an authorization code and the 200 OK that completes the registration:
 HMAC-SHA256(code, from-tag ‖ to-tag ‖ call-id) (3rd-party-authentication section 2.1.2).

 `order` is a SIPOAUTH_KEY_ORDER_ number. Tags and Call-ID are raw header octets, without quotes or brackets.
 Writes 32 octets to `key`, which the caller wipes after use; after a failure `key` is unchanged.
 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, or SIPOAUTH_E_INPUT when a part is empty.

 # Safety
 Texts are valid for their lengths; `key` is NULL or valid for 32 octets.
 */
int32_t sipoauth_shared_key(uint32_t order,
                            struct sipoauth_str code,
                            struct sipoauth_str from_tag,
                            struct sipoauth_str to_tag,
                            struct sipoauth_str call_id,
                            uint8_t *key);

/*
 Derives the master-key of a Digest authentication: HMAC-SHA256(H(A1), realm ‖ nonce) (sip-oauth-01 sections 3.4 and
 4.3). Since ABI version 4.

 `form` is a SIPOAUTH_HA1_ number; `ha1` is hex text of 32 or 64 digits in both forms. Writes 32 octets to
 `key`, which the caller wipes after use; after a failure `key` is unchanged.
 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, or SIPOAUTH_E_INPUT when `ha1` is not such a text or a part is empty.

 # Safety
 Texts are valid for their lengths; `key` is NULL or valid for 32 octets.
 */
int32_t sipoauth_master_key(uint32_t form,
                            struct sipoauth_str ha1,
                            struct sipoauth_str realm,
                            struct sipoauth_str nonce,
                            uint8_t *key);

/*
 Writes the digest-string of a message (RFC 4474 section 9) to `buf`, not NUL-terminated. `*len` gets the number
 of octets, also with SIPOAUTH_E_SPACE; `buf` may be NULL with `cap` 0 to ask for it.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SPACE, or SIPOAUTH_E_INPUT when a part is missing, CSeq or
 Date cannot be read, a part other than the body has a '|', or the Request-URI has a space or a control
 character.

 # Safety
 `parts` and what it points to is valid, `buf` for `cap` octets, `len` NULL or valid.
 */
int32_t sipoauth_digest_string(const struct sipoauth_digest_parts *parts, char *buf, size_t cap, size_t *len);

/*
 Makes a proof of possession: HMAC-SHA256(key, digest-string) as 43 characters of base64url without padding (RFC
 4648 section 5), not NUL-terminated. `*len` and `buf` are as for sipoauth_digest_string.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SPACE, or SIPOAUTH_E_INPUT when the key is empty.

 # Safety
 Texts are valid for their lengths, `buf` for `cap` octets, `len` NULL or valid.
 */
int32_t sipoauth_pop_make(struct sipoauth_str key, struct sipoauth_str digest, char *buf, size_t cap, size_t *len);

/*
 Checks a proof of possession written as base64url, base64 (padded or not) or hex, in constant time.

 Returns SIPOAUTH_OK, SIPOAUTH_E_MISMATCH, SIPOAUTH_E_ARGUMENT, or SIPOAUTH_E_INPUT when the key is empty or `pop`
 is none of these spellings of 32 octets.

 # Safety
 Texts are valid for their lengths.
 */
int32_t sipoauth_pop_verify(struct sipoauth_str key, struct sipoauth_str digest, struct sipoauth_str pop);

/*
 Handles a request about a REFER. `what` says in which role:

 - SIPOAUTH_REFER_CHECK: a proxy lets any request pass. A REFER must keep the rules of RFC 3515, RFC 7647 and RFC 7614
   and of the settings refer_in_dialog, refer_contact and refer_explicit; another request must not require explicitsub
   or nosub.
 - SIPOAUTH_REFER_ACCEPT: the host answers a REFER itself and is its event server. The answer is 200, never 202. With
   explicitsub it has Refer-Events-At, with nosub nothing is kept, and without both the REFER's own dialog is the
   subscription.
 - SIPOAUTH_REFER_SUBSCRIBE: a SUBSCRIBE for the event package refer arrives at the event server: a new subscription, a
   refresh, or an end.
 - SIPOAUTH_REFER_PUBLISH: a PUBLISH (RFC 3903) changes a state.
 - SIPOAUTH_REFER_FOLLOW: the REFER goes on to a phone of before RFC 7614, without its option tags
   (SIPOAUTH_CONFORM_WITHOUT_TAGS). With explicitsub the state is kept here: the host adds Refer-Events-At with
   events_uri to the 2xx, and tells by sipoauth_worker_refer_update what the phone's own NOTIFY requests say.
 - SIPOAUTH_REFER_LOOK: would a REFER be accepted or followed? Nothing is counted or kept, so a host can refuse it
   before it takes memory for it.

 `request` must have message, transport, source_ip, source_port and vias, and, except for SIPOAUTH_REFER_CHECK, the
 reply_to_tag with which the answer will leave, and for PUBLISH the body. `check` names the worker's last check if that
 has accepted the sender, else 0: the settings refer_subscriber and refer_limit go by it. `socket` names the host's
 socket at which the request arrived, and comes back with each NOTIFY. `address` is how others reach that socket,
 HOST:PORT. `cseq`, at most 2^31 - 1, is for a REFER within a dialog that creates a subscription there: the last CSeq of
 the party in whose name the NOTIFY requests are sent, which goes on from there (RFC 3261 section 12.2.1.1); else 0.

 The caller sends the answer of `refer` if its status is not 0, and then calls sipoauth_worker_refer_sent. Never blocks.
 Since ABI version 5.

 Returns SIPOAUTH_OK when `refer` holds an answer, whatever it is; else SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS,
 SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC, and `refer` says 503.

 # Safety
 `worker` is NULL or valid; `request` and what it points to is valid during the call, and so is `address`; `refer` is
 NULL or valid and its struct_size set.
 */
int32_t sipoauth_worker_refer(struct sipoauth_worker *worker,
                              uint32_t what,
                              const struct sipoauth_request *request,
                              uint64_t check,
                              uint64_t socket,
                              struct sipoauth_str address,
                              uint32_t cseq,
                              struct sipoauth_refer *refer);

/*
 The host calls this when the answer of sipoauth_worker_refer has left, so that no NOTIFY overtakes it. Without this
 call no NOTIFY is sent. Never blocks. Since ABI version 5.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.

 # Safety
 `worker` is NULL or valid.
 */
int32_t sipoauth_worker_refer_sent(struct sipoauth_worker *worker);

/*
 Tells how far a referred request has come. `id` is the name of its state. `status` is a status of 100 to 699, a status
 with its phrase, or a status line of SIP/2.0; subscribers see the status with its usual phrase. A final one stays.
 Never blocks. Since ABI version 5.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ABSENT (there is no such REFER any more), SIPOAUTH_E_STATE (it has ended already),
 SIPOAUTH_E_INPUT (no status), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.

 # Safety
 `worker` is NULL or valid, texts for their lengths.
 */
int32_t sipoauth_worker_refer_update(struct sipoauth_worker *worker,
                                     struct sipoauth_str id,
                                     struct sipoauth_str status);

/*
 Takes note of the final response to a NOTIFY: `subscription` is that of the sipoauth_notify, `code` the status, 408 when
 none came. A refused one ends the subscription (RFC 6665 section 4.2.2). Any process. Never blocks. Since ABI version 5.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.

 # Safety
 `worker` is NULL or valid.
 */
int32_t sipoauth_worker_refer_notified(struct sipoauth_worker *worker,
                                       uint64_t subscription,
                                       uint32_t code);

/*
 Tells what a proxy changes in a message that passes. Refer-Events-At is only in a 2xx to a REFER that requires
 explicitsub, once and well-formed (RFC 7614 section 4.8), and a 202 to a REFER becomes a 200 (RFC 7647 section 5).
 `message` is the whole message as it was received, `request` the REFER that a response answers, or empty if the host
 does not have it. `flags` is 0, or SIPOAUTH_CONFORM_WITHOUT_TAGS for a REFER. Writes the changes to `edits`, at most
 `room`, in the order of their places; the digits of the status are not among them. `*count` gets their number, also
 with SIPOAUTH_E_SPACE. `*status` gets the new status of a response, or 0. Any process, any thread. Since ABI version
 5.

 Returns SIPOAUTH_OK, SIPOAUTH_E_SPACE, SIPOAUTH_E_INPUT (it is no SIP message), SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.

 # Safety
 Texts are valid for their lengths, `edits` for `room` edits, `count` and `status` are NULL or valid.
 */
int32_t sipoauth_refer_conform(struct sipoauth_str message,
                               struct sipoauth_str request,
                               uint32_t flags,
                               struct sipoauth_edit *edits,
                               size_t room,
                               size_t *count,
                               uint32_t *status);

/*
 Gives the host the NOTIFY requests that are due. Call it after each sipoauth_io_step, in the same process. Since ABI
 version 5.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.

 # Safety
 `io` is NULL or comes from sipoauth_io_new; `send` must return.
 */
int32_t sipoauth_io_notify(struct sipoauth_io *io, sipoauth_notify_fn send, void *user);

/*
 Tells the host which REFERs have ended since the last call. Call it after sipoauth_io_notify. Since ABI version 5.

 Returns as sipoauth_io_notify.

 # Safety
 `io` is NULL or comes from sipoauth_io_new; `each` is NULL or must return.
 */
int32_t sipoauth_io_refers_ended(struct sipoauth_io *io, sipoauth_refer_ended_fn each, void *user);

/*
 Tells whether the body of an Authorization or Proxy-Authorization header field uses a scheme that the library
 reads, Bearer or Key-Derivation. Such a field is for this server. It must not go on to the next hop, because
 the next hop could use it. Any process, any thread. Since ABI version 5.

 Returns 1 or 0, or after a failure SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.

 # Safety
 `body` is valid for its length.
 */
int32_t sipoauth_is_credentials(struct sipoauth_str body);

/*
 Tells whether the library reads the body of a REGISTER with this Content-Type:
 application/x-www-form-urlencoded. `content_type` is the body of that header field, or empty when there is
 none. Such a body has a code, a refresh token or a proof, and must not go on to the next hop either, because
 anybody who has the code and sees the tags of the answer has the phone's key. Any process, any thread. Since
 ABI version 5.

 Returns 1 or 0, or after a failure SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.

 # Safety
 `content_type` is valid for its length.
 */
int32_t sipoauth_is_form(struct sipoauth_str content_type);

/*
 The host calls this before the final answer to a request whose result had confirm = 1 leaves. `ticket` is that
 of the result. `status` is that of the answer, 200 to 699. `to_tag` is the To tag of the answer as it goes out
 (3rd-party-authentication section 2.1.2); it is not empty with a 2xx.

 With a 2xx, the library stores the key of the registration, unless it is stored already, and notes that the
 answer leaves. From then on the code serves no other phone. If the host does not call this, the code stays open
 to the network of its phone for 32 s. With any other status the library takes the key back, as far as that is
 possible at once, and the phone may come again with the same code. Never waits for a network.

 Returns SIPOAUTH_OK when the answer may leave. After any other return a 2xx must not leave. It must become a
 503 with Retry-After of `*retry_after` seconds (`retry_after` may be NULL), because the phone would otherwise
 hold a key that nobody knows. For a 2xx only: SIPOAUTH_E_STORE (the key is not stored), SIPOAUTH_E_ABSENT (the
 code's time is over), SIPOAUTH_E_INPUT (the ticket cannot be read, or the tag is empty), SIPOAUTH_E_STATE
 (there is no store). For any answer: SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or
 SIPOAUTH_E_PANIC. An answer that is not a 2xx may leave whatever is returned. Since ABI version 5.

 # Safety
 `worker` and `retry_after` are NULL or valid, texts valid for their lengths.
 */
int32_t sipoauth_worker_answered(struct sipoauth_worker *worker,
                                 struct sipoauth_str ticket,
                                 uint32_t status,
                                 struct sipoauth_str to_tag,
                                 uint32_t *retry_after);

/*
 Shows the sessions of `aor` (a SIP URI), or, when `aor` is empty, all sessions, some accounts at a time. `from`
 is empty in the first call. In each later call it is what the call before wrote to `next` (NUL-terminated, at
 most `next_cap` octets, 160 are enough). An empty `next` means the end. A session that changes meanwhile may
 appear twice. Call this after the fork, in any process and thread. With a Redis store the call waits for Redis,
 at most store_timeout for each of its steps, so a SIP worker should not make it.

 Returns SIPOAUTH_OK, SIPOAUTH_E_STATE (sessions are not configured), SIPOAUTH_E_INPUT (`aor` is no SIP address),
 SIPOAUTH_E_STORE, SIPOAUTH_E_SPACE, SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.

 # Safety
 `context` is NULL or valid, texts for their lengths, `next` for `next_cap` octets; `each` is NULL or callable with
 `user` and does not leave by longjmp or a C++ exception.
 */
int32_t sipoauth_context_sessions(const struct sipoauth_context *context,
                                  struct sipoauth_str aor,
                                  struct sipoauth_str from,
                                  sipoauth_session_fn each,
                                  void *user,
                                  char *next,
                                  size_t next_cap);

/*
 Ends the session of `aor` that `session` (32 hex digits) names. With an empty `session` it ends all sessions of
 `aor`, and with both empty all sessions. Their phones are challenged with the next request (403, 401 or 407 as
 usual). `each` is called for every session that was ended, may ask sipoauth_binding_ends about its bindings, and `*count`
 gets their number. Other hosts that share the store are told by sipoauth_io_ended. Where this may be
 called and how long it may wait: see sipoauth_context_sessions.

 Returns SIPOAUTH_OK, also when there was nothing to end; otherwise as sipoauth_context_sessions.

 # Safety
 As for sipoauth_context_sessions; `count` is NULL or valid.
 */
int32_t sipoauth_context_sessions_revoke(const struct sipoauth_context *context,
                                         struct sipoauth_str aor,
                                         struct sipoauth_str session,
                                         sipoauth_session_fn each,
                                         void *user,
                                         uint64_t *count);

/*
 Tells whether a binding goes with a session that has ended: one that the phone has made with this `+sip.instance` (with or
 without its brackets) and this Call-ID. `session` is what a callback has been given, during that callback. Any process,
 any thread; never blocks. Since ABI version 5.

 Returns 1 or 0, or after a failure SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.

 # Safety
 `session` is NULL or valid; texts are valid for their lengths.
 */
int32_t sipoauth_binding_ends(const struct sipoauth_session_state *session,
                              struct sipoauth_str instance,
                              struct sipoauth_str call_id);

/*
 Takes a logout token of an authorization server (OpenID Connect Back-Channel Logout 1.0 section 2.5), for a host with an
 HTTP server: the server says that a user has logged out. `form` is the body of the POST
 (application/x-www-form-urlencoded), `source_ip` the sender's address as text, for the log and for limits. Needs the
 setting back_channel_logout. Never blocks. Since ABI version 5.

 Returns SIPOAUTH_OK when the token is good: its sessions end within a second, here and at all proxies that share the
 store, and hosts are told by sipoauth_io_ended. Answer 200. Otherwise SIPOAUTH_E_MISMATCH (it is not good: answer 400),
 SIPOAUTH_E_FULL (it cannot be judged now, because its key is not known here; its sessions end if it turns out to be good:
 answer 503), SIPOAUTH_E_STATE (logout tokens are not configured), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY
 or SIPOAUTH_E_PANIC.

 # Safety
 `worker` is NULL or valid; texts are valid for their lengths.
 */
int32_t sipoauth_worker_log_out(struct sipoauth_worker *worker,
                                struct sipoauth_str form,
                                struct sipoauth_str source_ip);

/*
 How many statistics there are: a constant of this version. Any process, any thread.
 */
uint32_t sipoauth_stat_count(void);

/*
 The name of a statistic, snake_case; static, NUL-terminated. NULL past the end. Any process, any thread.
 */
const char *sipoauth_stat_name(uint32_t index);

/*
 The value of a statistic, counted since start by all processes together; 0 past the end and for NULL. All only
 grow, except `pending`, the requests that are parked now, and `key_age`, the seconds since the last successful key
 fetch of the provider for which that is longest ago (0 when no keys are fetched). Any process, any thread.

 # Safety
 `context` is NULL or valid.
 */
uint64_t sipoauth_context_stat(const struct sipoauth_context *context, uint32_t index);

/*
 How many providers are configured now; 0 for NULL. Any process, any thread.

 # Safety
 `context` is NULL or valid.
 */
uint32_t sipoauth_context_provider_count(const struct sipoauth_context *context);

/*
 Writes the public keys that belong to a provider's `signing_key_files` as a JWK Set (RFC 7517 section 5), not
 NUL-terminated. Other servers need them to verify the tokens that the proxy issues, or its assertions about its
 users. `provider` is a name; an empty name means the first provider that has such keys. `*len` gets the number
 of octets, also with SIPOAUTH_E_SPACE; `buf` may be NULL with `cap` 0 to ask for it. Any process, any thread.
 Since ABI version 4.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SPACE, SIPOAUTH_E_CONFIG (the configuration in
 force cannot be read), or SIPOAUTH_E_ABSENT when there is no such provider.

 # Safety
 `context` and `len` are NULL or valid, `provider` for its length, `buf` for `cap` octets.
 */
int32_t sipoauth_context_jwks(const struct sipoauth_context *context,
                              struct sipoauth_str provider,
                              char *buf,
                              size_t cap,
                              size_t *len);

/*
 Copies the state of a provider. `index` is counted from 0. Any process, any thread.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_CONFIG, or SIPOAUTH_E_ABSENT past the end. After a failure
 `*out` is all zero except its struct_size, if that size is large enough.

 # Safety
 `context` is NULL or valid; `out` is NULL or valid and its struct_size set.
 */
int32_t sipoauth_context_provider_state(const struct sipoauth_context *context,
                                        uint32_t index,
                                        struct sipoauth_provider_state *out);

/*
 Copies the state of one key of a provider, never key material. `provider` and `key` are counted from 0. If
 `provider` is SIPOAUTH_DECRYPTION_KEYS, the key is one of those that decrypt tokens. Any process, any thread.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_CONFIG, or SIPOAUTH_E_ABSENT past the end. After a failure
 `*out` is as for sipoauth_context_provider_state.

 # Safety
 As for sipoauth_context_provider_state.
 */
int32_t sipoauth_context_key_state(const struct sipoauth_context *context,
                                   uint32_t provider,
                                   uint32_t key,
                                   struct sipoauth_key_state *out);

/*
 Tries whether a store in a folder can be opened and written, as every process will do after the fork. A host
 calls this when it starts, because it can still stop with an error sentence then. The folder and its files are
 made when they are missing. Call it as the user that the processes will run as, before the fork or after it,
 while this process has one thread. It forks a child that does the work, and waits for it, at most 20 seconds.
 The host's handler of SIGCHLD does not see that child.

 A store over the network is not tried, because it may be away now and back when it is needed. Without a store
 nothing is done. Since ABI version 5.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SYSTEM (the child cannot be started), SIPOAUTH_E_STORE or
 SIPOAUTH_E_PANIC; `err` gets a sentence, as for sipoauth_config_set.

 # Safety
 `context` is NULL or valid, `err` for `err_cap` octets.
 */
int32_t sipoauth_context_try_store(const struct sipoauth_context *context, char *err, size_t err_cap);

/*
 Makes a worker. Call this after the fork, in the process that uses the worker; a process may have several.
 `flags` is 0, or SIPOAUTH_WORKER_MAY_WAIT for a process or thread that handles no SIP. Only workers with that
 flag can be used with the functions that wait.

 `*out` is NULL on every failure; else the caller owns it and gives it back with sipoauth_worker_free. Returns
 SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_CONFIG; `err` gets a sentence, as for sipoauth_config_set.

 Changed in ABI version 5.

 # Safety
 Pointers are NULL or valid, `err` for `err_cap` octets.
 */
int32_t sipoauth_worker_new(struct sipoauth_context *context,
                            uint32_t flags,
                            struct sipoauth_worker **out,
                            char *err,
                            size_t err_cap);

/*
 Frees a worker; NULL is allowed. In a child it frees the child's copy. Within a callback of its own it does nothing.

 # Safety
 `worker` comes from sipoauth_worker_new and is not used afterwards.
 */
void sipoauth_worker_free(struct sipoauth_worker *worker);

/*
 Gives a claim of the token that a check accepted, whatever sipoauth_worker_require has said since. Strings are
 given as they are, everything else as JSON. `check` comes from the worker's last result. `path` is dotted
 ("realm_access.roles"). `value` borrows from the worker until its next call; it is empty after a failure.

 Claims are not kept: those of a token that another process has verified, or this one long ago, are read from the
 token again, which takes some microseconds, and for an encrypted token as long as decrypting it.

 Returns SIPOAUTH_OK, SIPOAUTH_E_STALE, SIPOAUTH_E_STATE (no token was accepted), SIPOAUTH_E_ABSENT (the token
 has no such claim, or cannot be read again), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.

 Changed in ABI version 5.

 # Safety
 `worker` and `value` are NULL or valid, `path` is valid for its length.
 */
int32_t sipoauth_worker_claim(struct sipoauth_worker *worker,
                              uint64_t check,
                              struct sipoauth_str path,
                              struct sipoauth_str *value);

/*
 Gives the access token of the request that a check accepted, for a request to `next_hop` (sip-oauth-01 section
 3.8). For a code or proof it is the token that the proxy holds. `check` comes from the worker's last result.
 `next_hop` is the SIP URI to which the request really goes; it must be one of the setting
 `application_servers`. If the token was encrypted for this proxy, the signed token inside it is given, and only
 where that setting asks for TLS. `token` is a secret. The host writes it after `Bearer` into the Authorization
 header field of that request and nowhere else. It borrows from the worker until its next call, which wipes it;
 it is empty after a failure. Never blocks.

 Returns SIPOAUTH_OK, SIPOAUTH_E_MISMATCH (this next hop gets no token), SIPOAUTH_E_STALE, SIPOAUTH_E_STATE (the
 check was not accepted), SIPOAUTH_E_STORE (the session's token is not available now, because it is in Redis,
 has ended, or the store fails), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.

 Changed in ABI version 5.

 # Safety
 `worker` and `token` are NULL or valid, `next_hop` is valid for its length.
 */
int32_t sipoauth_worker_token(struct sipoauth_worker *worker,
                              uint64_t check,
                              struct sipoauth_str next_hop,
                              struct sipoauth_str *token);

/*
 Gives the body that the 2xx to a REGISTER must carry when its check was accepted with token_response = 1
 (sip-oauth-01 section 4.3). `check` comes from the worker's last result. The body is of type application/json,
 a JSON object with access_token, token_type, expires_in, scope and, if there is one, refresh_token. It is a
 secret of the phone. It borrows from the worker until its next call, which wipes it; it is empty after a
 failure. Never blocks. Since ABI version 4.

 Returns SIPOAUTH_OK, SIPOAUTH_E_STALE, SIPOAUTH_E_STATE (it was not such a check), SIPOAUTH_E_STORE (the tokens
 are not available, so the answer must become a 503), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY
 or SIPOAUTH_E_PANIC.

 Changed in ABI version 5.

 # Safety
 `worker` and `body` are NULL or valid.
 */
int32_t sipoauth_worker_token_response(struct sipoauth_worker *worker, uint64_t check, struct sipoauth_str *body);

/*
 Asks the I/O service to do what a PENDING request needs. `job` comes from the last result of this worker.
 `reply_to_tag` is the To tag that the final answer to the request will have, if it is known only now that the
 request is parked; else it is empty. Never blocks. When the request can go on, at the latest after
 pending_timeout, the cookies come back through the done function of sipoauth_io_step, in the I/O service's
 process. Then check the request again with SIPOAUTH_CHECK_RESUMED, in any process.

 Returns SIPOAUTH_OK, SIPOAUTH_E_FULL (max_pending is reached; call sipoauth_worker_refuse), SIPOAUTH_E_STALE
 (`job` is not that of the last result), SIPOAUTH_E_ARGUMENT (also when cookie0 is UINT64_MAX),
 SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.

 # Safety
 `worker` is NULL or valid, `reply_to_tag` valid for its length.
 */
int32_t sipoauth_worker_submit(struct sipoauth_worker *worker,
                               uint64_t job,
                               struct sipoauth_str reply_to_tag,
                               uint64_t cookie0,
                               uint64_t cookie1);

/*
 Makes a challenge (RFC 8898 section 4): WWW-Authenticate or Proxy-Authenticate with the Bearer scheme, then
 Location (and Contact) if the setting `location` asks for it. Its status is 401, 407 or 302. A host that also
 challenges by other schemes adds the header lines to its own answer. Never blocks.

 Returns SIPOAUTH_OK, SIPOAUTH_E_STATE (a request of this method is not challenged), SIPOAUTH_E_ARGUMENT,
 SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC. After a failure `reply` says 503.

 Changed in ABI version 5.

 # Safety
 `worker` and `challenge` are NULL or valid, texts for their lengths, `reply` as for sipoauth_worker_reply.
 */
int32_t sipoauth_worker_challenge(struct sipoauth_worker *worker,
                                  const struct sipoauth_challenge *challenge,
                                  struct sipoauth_reply *reply);

/*
 Makes the answer to a request that was not accepted: status, Reason-Phrase and header lines (a challenge,
 Retry-After, Accept, or the Date that lets a phone correct its clock, RFC 4474 section 6). `check` comes from
 the worker's last result, or from a later result of sipoauth_worker_require or sipoauth_worker_refuse; 0 gives
 the answer for a check that has failed. The function reads these members of `request`: role, method, realm,
 from_uri, to_uri and source_ip (for the log). After a failure `reply` says 503 with Retry-After. Never blocks.
 Since ABI version 5.

 Returns SIPOAUTH_OK, SIPOAUTH_E_STALE, SIPOAUTH_E_STATE (the request was accepted), SIPOAUTH_E_ARGUMENT,
 SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.

 # Safety
 `worker` is NULL or valid; `request` and what it points to is valid during the call; `reply` is NULL or valid
 and its struct_size set.
 */
int32_t sipoauth_worker_reply(struct sipoauth_worker *worker,
                              uint64_t check,
                              const struct sipoauth_request *request,
                              struct sipoauth_reply *reply);

/*
 Tells which challenge the configuration offers an endpoint, as a SIPOAUTH_OFFER_ number in `*offer`. Many
 phones cannot parse a Bearer challenge, even beside a Digest one. After a failure `*offer` is
 SIPOAUTH_OFFER_BEARER.

 Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.

 # Safety
 `worker`, `endpoint` and `offer` are NULL or valid, texts for their lengths.
 */
int32_t sipoauth_worker_offer(struct sipoauth_worker *worker,
                              const struct sipoauth_endpoint *endpoint,
                              uint32_t *offer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SIPOAUTH_H */
