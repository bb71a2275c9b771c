// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a request was answered the way it was.
//!
//! Numbers and codes are part of the C ABI: they are never reused and never change meaning.

/// What the host should do with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request carries a valid token.
    Accepted,
    /// Nothing usable was sent: challenge with 401 or 407.
    NoCredentials,
    /// The credentials are wrong: challenge again with the OAuth error.
    Challenge,
    /// The credentials are genuine but do not allow this: 403, a new sign-in would not help.
    Forbidden,
    /// The request is malformed: 400.
    BadRequest,
    /// The body has a media type that sipoauth does not read: 415.
    UnsupportedMedia,
    /// The request cannot be decided now: 503 with Retry-After. This never asks the user to sign in again.
    NotNow,
}

/// Kinds of reasons that hosts and scripts treat differently. Numbers are part of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ReasonClass {
    /// The credentials are refused, for none of the reasons below.
    Denied = 0,
    /// Accepted.
    Accepted = 1,
    /// The request carries no credentials for this realm that sipoauth reads.
    NoCredentials = 2,
    /// The request cannot be decided now.
    NotNow = 3,
    // In the ABI, 4 is the class of a request that is pending.
    /// The credentials were good and have ended.
    Expired = 5,
    /// The Date of a proof is too far from the present time.
    Stale = 6,
    /// A proof was used before.
    Replayed = 7,
    /// The credentials belong to another user.
    OtherUser = 8,
    /// A scope is missing.
    NoScope = 9,
    /// The request cannot be read.
    Malformed = 10,
}

macro_rules! reasons {
    ($($name:ident = $number:literal, $code:literal, $outcome:ident, $error:literal, $text:literal;)*) => {
        /// One stable reason per kind of answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Reason { $(#[doc = $text] $name = $number,)* }

        impl Reason {
            /// Every reason, in ascending order of its number.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The index of this reason in `ALL`.
            #[inline]
            pub const fn index(self) -> usize {
                enum Place { $($name,)* }
                match self { $(Reason::$name => Place::$name as usize,)* }
            }

            /// The reason with this number.
            pub fn from_number(number: u32) -> Option<Reason> {
                match number { $($number => Some(Reason::$name),)* _ => None }
            }

            /// The stable number.
            #[inline]
            pub fn number(self) -> u32 { self as u32 }

            /// The stable code, lower-case with underscores.
            #[inline]
            pub fn code(self) -> &'static str {
                match self { $(Reason::$name => $code,)* }
            }

            /// The name of the statistic that counts this reason.
            pub const STATISTICS: &'static [&'static std::ffi::CStr] =
                &[$(match std::ffi::CStr::from_bytes_with_nul(concat!("reason_", $code, "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a code has no NUL"),
                },)*];

            /// A sentence that says what is wrong and what to do.
            #[inline]
            pub fn text(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }

            /// The `error` parameter of the challenge (RFC 8898 section 4), empty when there is none.
            #[inline]
            pub fn oauth_error(self) -> &'static str {
                match self { $(Reason::$name => $error,)* }
            }

            /// What the host should do.
            #[inline]
            pub fn outcome(self) -> Outcome {
                match self { $(Reason::$name => Outcome::$outcome,)* }
            }
        }
    };
}

reasons! {
    Ok = 0, "ok", Accepted, "", "The token is valid for this request.";
    NoCredentials = 1, "no_credentials", NoCredentials, "", "The request carries no token, or no Key-Derivation credentials, for this realm.";
    CredentialsMalformed = 10, "credentials_malformed", BadRequest, "", "The Bearer header field cannot be parsed: send 'Bearer' and one token. Or that of Key-Derivation: send one pop, and if any a nonce of 16 to 128 characters.";
    SeveralTokens = 11, "several_tokens", BadRequest, "", "The request carries more than one Bearer, or Key-Derivation, credential for this realm: send one.";
    TokenTooLarge = 12, "token_too_large", BadRequest, "", "The token is longer than max_token_size: ask the authorization server for fewer claims.";
    PopUnsupported = 13, "pop_not_configured", Challenge, "invalid_token", "A code or a proof of possession was sent, but sessions are not configured ('store', and 'client_id' of the provider): send a token.";
    GrantMissing = 14, "grant_missing", BadRequest, "", "The body has no grant_type: send grant_type=authorization_code&code=... or remove the body.";
    GrantUnsupported = 15, "grant_unsupported", BadRequest, "", "The body's grant_type is not one that is supported here.";
    BodyMalformed = 16, "body_malformed", BadRequest, "", "The body is not application/x-www-form-urlencoded, repeats a parameter, or has a code_verifier that is none (RFC 7636).";
    BodyTooLarge = 17, "body_too_large", BadRequest, "", "The body, or a parameter in it, is too long.";
    GrantIncomplete = 18, "grant_incomplete", BadRequest, "", "The body lacks the parameter that its grant_type needs: code or pop.";
    BodyType = 19, "body_type", UnsupportedMedia, "", "The body is of another type than application/x-www-form-urlencoded.";
    TokenMalformed = 20, "token_malformed", Challenge, "invalid_token", "The token is not a well-formed JWT.";
    TypeNotAccepted = 21, "token_type_not_accepted", Challenge, "invalid_token", "The 'typ' of the token is not one the provider's 'typ' setting accepts, or that of an ID token is not JWT, JOSE or id_token+jwt.";
    AlgorithmNotAllowed = 22, "algorithm_not_allowed", Challenge, "invalid_token", "The token's 'alg' is not in the provider's 'algorithms', or its encryption is not in 'decryption_algorithms'.";
    CriticalUnknown = 23, "critical_header_unknown", Challenge, "invalid_token", "The token's header has 'crit' or 'b64', which name an extension that is not supported.";
    IssuerUnknown = 24, "issuer_unknown", Challenge, "invalid_token", "No provider is configured for the token's 'iss'.";
    KeyUnknown = 25, "key_unknown", Challenge, "invalid_token", "The authorization server publishes no usable key with the token's 'kid', or none for its 'alg' where the token names no key.";
    SignatureInvalid = 26, "signature_invalid", Challenge, "invalid_token", "The token's signature does not verify.";
    KeyUnsuitable = 27, "key_unsuitable", Challenge, "invalid_token", "The key that the token names must not be used with its 'alg' (type, 'alg', 'use' or 'key_ops').";
    TokenEncrypted = 28, "token_encrypted", Challenge, "invalid_token", "The token is encrypted (JWE) and no decryption key is configured.";
    TokenOpaque = 29, "token_opaque", Challenge, "invalid_token", "The token is not a JWT; have the authorization server issue JWT access tokens for this audience.";
    TokenExpired = 30, "token_expired", Challenge, "invalid_token", "The token has expired: the phone must get a new one.";
    TokenNotYetValid = 31, "token_not_yet_valid", Challenge, "invalid_token", "The token's 'nbf' lies in the future: check the clocks or 'leeway'.";
    IssuedInFuture = 32, "token_issued_in_future", Challenge, "invalid_token", "The token's 'iat' lies in the future: check the clocks or 'leeway'.";
    ClaimMissing = 33, "claim_missing", Challenge, "invalid_token", "A claim that is needed is missing (iss, exp or aud; of an ID token also sub or iat): the log line names it and its token.";
    ClaimMalformed = 34, "claim_malformed", Challenge, "invalid_token", "A claim has the wrong JSON type: the log line names it, the type, and the token or answer that has it.";
    AudienceMismatch = 35, "audience_mismatch", Challenge, "invalid_token", "The token was issued for another audience than the provider's 'audience'.";
    ClientNotAllowed = 36, "client_not_allowed", Challenge, "invalid_token", "The token was issued to a client that is not in the provider's 'clients'.";
    ClaimMismatch = 37, "claim_mismatch", Challenge, "invalid_token", "The token does not have a value that 'required_claims' asks for.";
    IdToken = 38, "id_token", Challenge, "invalid_token", "The token has the marks of an ID token: the phone must send its access token. Where the server's access tokens look so, set accept_id_tokens.";
    ForeignToken = 39, "token_for_other_service", Challenge, "invalid_token", "The token's header has a 'nonce': a Microsoft Graph token can be verified only by Graph. Request a scope of your own API.";
    InsufficientScope = 40, "insufficient_scope", Challenge, "invalid_scope", "The token or session lacks a scope that 'required_scopes', 'method_scopes' or a service asks for.";
    CodeRefused = 41, "code_refused", Challenge, "invalid_token", "The code is not accepted, by the authorization server or, if it was typed, by the store: it is wrong, used or too old, or its redirect_uri or code_verifier is another one.";
    SessionUnknown = 42, "session_unknown", Challenge, "invalid_token", "This address-of-record has no session: the user must sign in.";
    SessionEnded = 43, "session_ended", Challenge, "invalid_token", "The session is over: its time is up, or its tokens have ended and could not be refreshed.";
    PopInvalid = 44, "pop_invalid", Challenge, "invalid_token", "The proof of possession does not fit the request and the session's key, or the user's password.";
    PopMalformed = 45, "pop_malformed", BadRequest, "", "The proof, or what it covers (From, To, Call-ID, CSeq, Date, one Contact), is missing or cannot be read.";
    PopStale = 46, "pop_stale", Forbidden, "", "Stale Date: the Date of the request is too far from the present time (pop_window).";
    PopReplayed = 47, "pop_replayed", Forbidden, "", "This proof was used before: send a request with a new CSeq or Call-ID.";
    TokenInactive = 48, "token_inactive", Challenge, "invalid_token", "The authorization server says that the token is not active, or refuses to answer about it and not about others: it has ended, was revoked, or is none of its own.";
    RefreshRefused = 49, "refresh_refused", Challenge, "invalid_token", "The refresh token is not the one of this session, was replaced, or is not accepted by the authorization server: sign in again.";
    AorMismatch = 50, "aor_mismatch", Forbidden, "", "The token's user, or the user name of a password, is not this address-of-record's.";
    ThirdPartyRegistration = 51, "third_party_registration", Forbidden, "", "From and To of the REGISTER differ and no 'third_party' rule allows it.";
    DomainMismatch = 52, "domain_mismatch", Forbidden, "", "The provider of this token does not serve the domain of this address-of-record.";
    AorMissing = 53, "aor_missing", BadRequest, "", "The request has no usable To (REGISTER) or From address.";
    IdentityMissing = 54, "identity_missing", Forbidden, "", "No claim of the token makes an address-of-record by the provider's 'aor' setting: it is missing, or its value does not count (sipoauth token explain says why).";
    ShortCodeUnprotected = 55, "short_code_unprotected", Forbidden, "", "A short code (digits only, 30 at most), or a key made from one, is not accepted over this transport: use TLS or WSS (setting allow).";
    CodeTries = 56, "code_tries", Forbidden, "", "Too many short codes were tried for this address or from this source (short_code_tries): wait some minutes.";
    DigestMismatch = 57, "digest_mismatch", Forbidden, "", "The Digest credentials were not made with the H(A1) that the script gives, or in a way that is not known here (a session algorithm, auth-int).";
    CodeSpent = 58, "code_spent", Challenge, "invalid_token", "This code was sent to the authorization server before, and the answer was lost or could not be used. A code is never sent twice: sign in again.";
    ProviderUnreachable = 60, "provider_unreachable", NotNow, "", "There are no keys of the authorization server now: it does not answer, or its answer has none that can be used.";
    KeysTooOld = 61, "keys_too_old", NotNow, "", "The keys of the authorization server are older than key_max_stale, and it gives no newer ones now.";
    Overloaded = 62, "overloaded", NotNow, "", "Too many requests are waiting: all that may (max_pending), or the share of this provider, source or store.";
    KeyRefreshLimited = 63, "key_refresh_limited", NotNow, "", "The key is unknown and the limit of key refreshes is reached (key_cooldown, key_burst).";
    WaitTimeout = 64, "wait_timeout", NotNow, "", "What the request waited for, the authorization server or the store, did not come within pending_timeout.";
    ExchangeUnavailable = 65, "exchange_unavailable", NotNow, "", "The code cannot be exchanged now: the authorization server does not answer, or answers that it cannot now.";
    CodeInDoubt = 66, "code_in_doubt", NotNow, "", "The authorization server's answer to this code was lost or cannot be used, and a code is never sent twice: sign in again later.";
    StoreUnavailable = 67, "store_unavailable", NotNow, "", "The session store cannot be read or written now.";
    ReplayGuardYoung = 68, "replay_guard_young", NotNow, "", "The proof is older than this proxy's memory of proofs: send it again with a new Date.";
    ClientRefused = 69, "client_refused", NotNow, "", "The authorization server refuses the request of the proxy's own client: the log has its words, which tell whether it is client_id, client_secret, client_auth, what the client may do, or the endpoint.";
    CodeLimited = 70, "code_limited", NotNow, "", "Too many codes come from this source address (source_limit).";
    RefreshOverdue = 71, "refresh_overdue", NotNow, "", "The session's tokens have ended and could not be refreshed yet: the authorization server does not answer, gives an answer without tokens, or refuses the proxy's own client; the log says which.";
    IntrospectionUnavailable = 72, "introspection_unavailable", NotNow, "", "The authorization server cannot be asked about the token now, or gives no usable answer.";
    IntrospectionLimited = 73, "introspection_limited", NotNow, "", "Too many tokens that must be asked about come from this source address (source_limit).";
    DecryptionKeyUnknown = 80, "decryption_key_unknown", Challenge, "invalid_token", "The token is encrypted for another key than those in 'decryption_key_files'.";
    DecryptionFailed = 81, "decryption_failed", Challenge, "invalid_token", "The token cannot be decrypted: it is damaged, forged, or encrypted for another key.";
    EncryptionRequired = 82, "encryption_required", Challenge, "invalid_token", "The provider's 'encryption' asks for an encrypted token: have the authorization server encrypt it for this proxy, or use TLS.";
    ConnectionExpired = 85, "connection_expired", Challenge, "invalid_token", "The sign-in of this connection has ended: send a new token.";
    PopMissing = 86, "pop_missing", Challenge, "invalid_token", "The token comes without a proof of possession, which the provider's 'token_pop' asks for.";
    TokenMissing = 87, "token_missing", Challenge, "invalid_token", "The proof of possession comes without the access token, which the provider's 'token_pop' asks for.";
    TokenUnbound = 88, "token_unbound", Challenge, "invalid_token", "The token and the proof of possession are those of two sign-ins.";
    PasswordUnsupported = 89, "password_not_configured", Forbidden, "", "Tokens were asked for with a password, but no provider of this domain has 'password_grant'.";
    Internal = 90, "internal_error", NotNow, "", "An internal error was caught; please report it.";
    DateMissing = 91, "date_missing", BadRequest, "", "The request has no Date that can be read: a Key-Derivation proof covers it, so the request can neither be accepted nor challenged.";
    KeyDerivationNotConfigured = 92, "key_derivation_not_configured", NotNow, "", "Key-Derivation needs 'store' and 'store_key', also where the accounts are kept elsewhere.";
    AccountMalformed = 93, "account_malformed", NotNow, "", "The account that the script gave is no verifier ($pbkdf2-sha256$i=...,l=...$SALT$KEY).";
    TokenBound = 94, "token_bound", Challenge, "invalid_token", "The token is bound to a key (cnf) whose possession the sender has not proved: send it over TLS with the client certificate that it names, or have the authorization server issue a plain Bearer token.";
    RequestMalformed = 95, "malformed_request", BadRequest, "", "The proxy cannot parse the request.";
    ProofNeeded = 96, "proof_needed", Challenge, "invalid_token", "The authorization server says that the token needs a proof with each request, or is no access token ('token_type', such as DPoP or N_A): have it issue plain Bearer tokens.";
    DigestUnchecked = 97, "digest_unchecked", NoCredentials, "", "The request has Digest credentials that the script has yet to check, with the H(A1) of the device password: call oauth_device_accept after that.";
    DevicesNotConfigured = 98, "devices_not_configured", NotNow, "", "Device passwords need 'store' and 'store_key', those of the sign-in page.";
}

impl Reason {
    /// The class of this reason.
    #[inline]
    pub fn class(self) -> ReasonClass {
        match self {
            Reason::TokenExpired | Reason::SessionEnded | Reason::ConnectionExpired => ReasonClass::Expired,
            Reason::PopStale => ReasonClass::Stale,
            Reason::PopReplayed => ReasonClass::Replayed,
            Reason::AorMismatch | Reason::ThirdPartyRegistration => ReasonClass::OtherUser,
            Reason::InsufficientScope => ReasonClass::NoScope,
            other => match other.outcome() {
                Outcome::Accepted => ReasonClass::Accepted,
                Outcome::NoCredentials => ReasonClass::NoCredentials,
                Outcome::NotNow => ReasonClass::NotNow,
                Outcome::BadRequest | Outcome::UnsupportedMedia => ReasonClass::Malformed,
                Outcome::Challenge | Outcome::Forbidden => ReasonClass::Denied,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_and_codes_are_unique_and_sorted() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(Reason::ALL.windows(2).all(|w| w[0].number() < w[1].number()));
    }

    #[test]
    fn only_a_refused_credential_asks_to_sign_in() {
        for r in Reason::ALL {
            let asks = matches!(r.outcome(), Outcome::Challenge);
            assert_eq!(asks, !r.oauth_error().is_empty(), "{}", r.code());
        }
    }
}
