// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sign-in by the authorization code flow (OpenID Connect Core section 3.1) with PKCE (RFC 7636), state, nonce and the
//! check of the issuer (RFC 9207).
//!
//! Each provider has a redirect URI of its own, so that a code can never be sent to another server than the one that
//! gave it, also where servers do not name themselves (RFC 9700 section 4.4.2).

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use sipoauth::clock::now_millis;
use sipoauth::store::phones::PageSignIn;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::keys::shared_key::hmac_sha256;
use sipoauth_core::oauth::endpoints::Endpoint;
use sipoauth_core::oauth::exchange::{CodeGrant, Granted, TokenError};
use sipoauth_core::oauth::metadata::MetadataError;
use sipoauth_core::ports::Level;
use sipoauth_core::ports::store::Write;
use sipoauth_core::reason::Reason;
use sipoauth_core::records::session::Session;
use sipoauth_core::rules::scope_rules::join_scopes;
use sipoauth_core::rules::token_rules::IssuerRule;
use sipoauth_core::sip::uri::Aor;
use sipoauth_core::text::fingerprint::printable;

use crate::browser_session::BrowserSession;
use crate::cookies::{PendingSignIn, SignedIn, clear};
use crate::metrics::Counter;
use crate::pages::see_other;
use crate::random::{self, is_same, record_key};
use crate::site::Site;
use crate::source::Source;
use crate::texts::fill;
use crate::visitor::message;

/// How long a sign-in may take, in milliseconds.
const SIGN_IN: i64 = 600_000;
/// Longest code that is sent on, in octets.
const MAX_CODE: usize = 4096;

/// What comes back from the authorization server (RFC 6749 section 4.1.2, RFC 9207 section 2).
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    code: String,
    state: String,
    iss: Option<String>,
    error: String,
}

/// Why nobody is signed in.
enum Problem {
    /// The answer belongs to no sign-in of this browser.
    Foreign,
    /// The sign-in was used already.
    Replayed,
    /// The answer is of another server.
    MixedUp(String),
    /// The user has cancelled.
    Cancelled,
    /// The server has declined, with this error.
    Declined(String),
    /// The server does not accept the code.
    Refused(String),
    /// Tokens came that do not fit.
    Unfit(String),
    /// The user has no address here.
    NoAddress(String),
    /// The operator must act.
    Misconfigured(String),
    /// The server is away, or nobody knows what it did.
    Unavailable(String),
    /// The store is away.
    Store,
}

impl Problem {
    fn of_metadata(error: MetadataError) -> Problem {
        match error {
            MetadataError::Failed(why) | MetadataError::Incomplete(why) | MetadataError::NoDocument(why) => {
                Problem::Unavailable(why)
            }
            MetadataError::Absent(why) | MetadataError::Unusable(why) => Problem::Misconfigured(why),
        }
    }

    fn of_exchange(error: TokenError) -> Problem {
        match error {
            TokenError::Refused(why) | TokenError::RequestRefused(why) | TokenError::Unexplained(why) => {
                Problem::Refused(why)
            }
            TokenError::ClientRefused(why) | TokenError::Misconfigured(why) => Problem::Misconfigured(why),
            TokenError::Unavailable(trouble) | TokenError::InDoubt(trouble) => Problem::Unavailable(trouble.why),
            TokenError::Unfit(Reason::IdentityMissing, why) => Problem::NoAddress(why),
            TokenError::Unfit(_, why) => Problem::Unfit(why),
            TokenError::Denied(reason) => Problem::Unfit(format!("{}: {}", reason.code(), reason.text())),
        }
    }

    /// The error of an authorization server (RFC 6749 section 4.1.2.1). An outage is no refusal.
    fn of_answer(error: &str) -> Problem {
        match error {
            "access_denied" => Problem::Cancelled,
            "server_error" | "temporarily_unavailable" => Problem::Unavailable(format!("it answered {error}")),
            "unauthorized_client" | "invalid_scope" | "unsupported_response_type" | "invalid_request" => {
                Problem::Misconfigured(format!("it answered {error}"))
            }
            other => Problem::Declined(printable(other, 60)),
        }
    }

    /// Counts, logs and shows it.
    fn show(&self, site: &Site, headers: &HeaderMap, provider: &str, source: &Source) -> Response {
        use StatusCode as S;
        let (counter, status, words) = match self {
            Problem::Foreign => (Counter::Foreign, S::BAD_REQUEST, "the answer is of no sign-in of this browser"),
            Problem::Replayed => (Counter::Replayed, S::BAD_REQUEST, "the answer was used already"),
            Problem::MixedUp(_) => (Counter::MixedUp, S::BAD_REQUEST, "the answer is of another server"),
            Problem::Cancelled => (Counter::Declined, S::FORBIDDEN, "the user has cancelled"),
            Problem::Declined(_) => (Counter::Declined, S::FORBIDDEN, "the server has declined"),
            Problem::Refused(_) => (Counter::Refused, S::FORBIDDEN, "the server does not accept the code"),
            Problem::Unfit(_) => (Counter::Refused, S::FORBIDDEN, "the tokens do not fit"),
            Problem::NoAddress(_) => (Counter::NoAddress, S::FORBIDDEN, "the user has no address here"),
            Problem::Misconfigured(_) => (Counter::Misconfigured, S::INTERNAL_SERVER_ERROR, "it cannot work as set up"),
            Problem::Unavailable(_) => (Counter::Unavailable, S::SERVICE_UNAVAILABLE, "the server is away"),
            Problem::Store => (Counter::Unavailable, S::SERVICE_UNAVAILABLE, "the store is away"),
        };
        let why = match self {
            Problem::MixedUp(why) | Problem::Declined(why) | Problem::Refused(why) | Problem::Unfit(why) => why,
            Problem::NoAddress(why) | Problem::Misconfigured(why) | Problem::Unavailable(why) => why,
            Problem::Foreign | Problem::Replayed | Problem::Cancelled | Problem::Store => "",
        };
        site.metrics.count(counter);
        let level = if status.is_server_error() { Level::Error } else { Level::Info };
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        site.log(level, &format!("no sign-in at provider '{provider}' from {source}: {words}{why}"));
        message(headers, status, |texts| match self {
            Problem::Foreign => texts.error_foreign.into(),
            Problem::Replayed => texts.error_replayed.into(),
            Problem::MixedUp(_) => texts.error_mixed_up.into(),
            Problem::Cancelled => texts.error_cancelled.into(),
            Problem::Declined(error) => fill(texts.error_declined, "reason", error),
            Problem::Refused(_) => texts.error_refused.into(),
            Problem::Unfit(_) => texts.error_unfit.into(),
            Problem::NoAddress(_) => texts.error_no_address.into(),
            Problem::Misconfigured(_) => texts.error_misconfigured.into(),
            Problem::Unavailable(_) => texts.error_unavailable.into(),
            Problem::Store => texts.error_store.into(),
        })
    }
}

impl PendingSignIn {
    fn derived(&self, what: &str) -> String {
        random::text(&*hmac_sha256(&self.secret, &[what.as_bytes()]))
    }

    fn state(&self) -> String {
        self.derived("state")
    }

    fn nonce(&self) -> String {
        self.derived("nonce")
    }

    fn verifier(&self) -> String {
        self.derived("code_verifier")
    }
}

fn redirect_uri(site: &Site, provider: &Provider) -> String {
    format!("{}/signed-in/{}", site.page.base, provider.name)
}

/// The address to which a browser is sent.
fn authorization_request(site: &Site, provider: &Provider, endpoint: &str, pending: &PendingSignIn) -> String {
    let wanted = ["openid", "profile", "email"].into_iter();
    let offline = site.page.settings.offline_access.then_some("offline_access");
    let own = provider.scope_for(&[]);
    let scope = join_scopes(wanted.chain(own.split_ascii_whitespace()).chain(offline));
    let challenge = random::text(&Sha256::digest(pending.verifier()));
    let (before, rest) = endpoint.split_once('?').map_or((endpoint, ""), |(before, rest)| (before, rest));
    let mut query = form_urlencoded::Serializer::new(rest.to_owned());
    if let Some(client) = &provider.client {
        query.append_pair("client_id", &client.id);
        query.extend_pairs(&client.authorization_parameters);
    }
    query
        .append_pair("response_type", "code")
        .append_pair("redirect_uri", &redirect_uri(site, provider))
        .append_pair("scope", &scope)
        .append_pair("state", &pending.state())
        .append_pair("nonce", &pending.nonce())
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    format!("{before}?{}", query.finish())
}

/// Begins a sign-in. It is a link and no form, because browsers hold the redirects of a form to `form-action`, and a
/// server may send the user on to others.
pub async fn begin(
    State(site): State<Arc<Site>>,
    Extension(source): Extension<Source>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(provider) = site.provider(&name) else { return not_found(&headers) };
    let endpoint = match site.turn(provider).await {
        None => Err(Problem::Unavailable("too many users wait for it".into())),
        Some(_turn) => {
            let found = site.on_thread(move |site| site.servers.endpoint(provider, Endpoint::Authorization)).await;
            match found {
                Some(found) => found.map_err(Problem::of_metadata),
                None => Err(Problem::Misconfigured("internal error, please report it".into())),
            }
        }
    };
    let endpoint = match endpoint {
        Ok(endpoint) => endpoint.address,
        Err(problem) => return problem.show(&site, &headers, &name, &source),
    };
    let now = now_millis();
    let pending = PendingSignIn { provider: name, secret: random::octets(), until: now + SIGN_IN };
    site.metrics.count(Counter::Begun);
    let target = authorization_request(&site, &site.policy.providers[provider], &endpoint, &pending);
    ([(header::SET_COOKIE, site.cookies.set(&pending, now))], see_other(&target)).into_response()
}

/// The answer of the authorization server.
pub async fn finish(
    State(site): State<Arc<Site>>,
    Extension(source): Extension<Source>,
    Path(name): Path<String>,
    answer: Result<Query<Answer>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let Some(provider) = site.provider(&name) else { return not_found(&headers) };
    // A parameter that comes twice is refused (RFC 6749 section 3.1).
    let answer = answer.map_or_else(|_| Answer::default(), |Query(answer)| answer);
    let now = now_millis();
    let pending = site.cookies.get::<PendingSignIn>(&headers, now);
    let is_own = |pending: &PendingSignIn| {
        pending.provider == name && is_same(pending.state().as_bytes(), answer.state.as_bytes())
    };
    // The cookie stays if the answer is not its own, because anybody can send a browser here.
    let Some(pending) = pending.filter(is_own) else {
        return Problem::Foreign.show(&site, &headers, &name, &source);
    };
    let done = complete(&site, provider, pending, answer).await;
    let response = match done {
        Ok((page, browser)) => {
            site.metrics.count(Counter::SignedIn);
            site.log(Level::Info, &format!("{} has signed in at provider '{name}' from {source}", page.aor));
            let until = now + i64::from(site.page.settings.session_hours) * 3_600_000;
            let cookie = SignedIn { aor: page.aor, id: page.id, browser, csrf: random::octets(), until };
            ([(header::SET_COOKIE, site.cookies.set(&cookie, now))], see_other("/")).into_response()
        }
        Err(problem) => problem.show(&site, &headers, &name, &source),
    };
    (AppendHeaders([(header::SET_COOKIE, clear::<PendingSignIn>())]), response).into_response()
}

async fn complete(
    site: &Arc<Site>,
    provider: usize,
    pending: PendingSignIn,
    answer: Answer,
) -> Result<(PageSignIn, Option<BrowserSession>), Problem> {
    let Some(_turn) = site.turn(provider).await else {
        return Err(Problem::Unavailable("too many users wait for it".into()));
    };
    let done = site.on_thread(move |site| redeem(site, provider, &pending, &answer)).await;
    done.unwrap_or_else(|| Err(Problem::Misconfigured("internal error, please report it".into())))
}

/// Judges the answer, redeems the code, and keeps what was granted. The call blocks.
fn redeem(
    site: &Site,
    index: usize,
    pending: &PendingSignIn,
    answer: &Answer,
) -> Result<(PageSignIn, Option<BrowserSession>), Problem> {
    let provider = &site.policy.providers[index];
    check_issuer(site, index, answer.iss.as_deref())?;
    // A server may take a code that comes again for a stolen one, and end the session of its owner.
    let key = record_key("q:", &answer.state);
    let first = site.at_store(|store, _, now| {
        let write = Write { key: &key, value: b"1", expires_at: pending.until, due_at: None };
        store.store().put(&write, None, now)
    });
    match first {
        Ok(true) => {}
        Ok(false) => return Err(Problem::Replayed),
        Err(_) => return Err(Problem::Store),
    }
    if !answer.error.is_empty() {
        return Err(Problem::of_answer(&answer.error));
    }
    if answer.code.is_empty() || answer.code.len() > MAX_CODE {
        return Err(Problem::Refused("the answer has no code".into()));
    }
    let (verifier, nonce, uri) = (pending.verifier(), pending.nonce(), redirect_uri(site, provider));
    let grant =
        CodeGrant { code: &answer.code, code_verifier: Some(&verifier), redirect_uri: Some(&uri), nonce: Some(&nonce) };
    let granted = site.servers.exchange(index, &grant, site.logger()).map_err(Problem::of_exchange)?;
    let granted = of_own_domain(provider, granted)?;
    let browser = granted.identity.sid.map(|sid| BrowserSession { issuer: provider.issuer_name, sid });
    let kept = site.at_store(|store, policy, now| {
        let page = store.keep_page_sign_in(policy, index, granted, now)?;
        let session = store.page_session(&page, now)?;
        Ok((page, session))
    });
    let (page, session) = kept.map_err(|_| Problem::Store)?;
    if let Some(session) = session.filter(|session| !session.renewable) {
        warn_of_short_life(site, &page.aor, &session);
    }
    Ok((page, browser))
}

/// Without a refresh token, phones go on only as long as the access token.
fn warn_of_short_life(site: &Site, aor: &str, session: &Session) {
    let seconds = (session.valid_until - now_millis() / 1000).max(0);
    let fix = match site.page.settings.offline_access {
        true => "the page asks for offline_access, so let the server grant that scope to the client and to its users",
        false => "offline_access = yes in [sign_in_page] asks the server for one",
    };
    let line = format!(
        "{aor}: provider '{}' has given no refresh token, so phones stay signed in for {seconds} s only; {fix}",
        session.provider
    );
    site.log(Level::Warn, &line);
}

/// A server that names itself must be the one that was asked (RFC 9207 section 2.4).
fn check_issuer(site: &Site, index: usize, named: Option<&str>) -> Result<(), Problem> {
    let provider = &site.policy.providers[index];
    let Some(named) = named else {
        let endpoint = site.servers.endpoint(index, Endpoint::Authorization).map_err(Problem::of_metadata)?;
        return match endpoint.names_itself {
            true => Err(Problem::MixedUp("it does not name its server, which the metadata promises".into())),
            false => Ok(()),
        };
    };
    let is_its = |rule: &IssuerRule| match rule {
        IssuerRule::Exact(issuer) => issuer == named,
        IssuerRule::Tenant { tenants, .. } => tenants.iter().any(|tenant| rule.accepts(named, Some(tenant))),
    };
    if provider.issuer == named || provider.rules.issuers.iter().any(is_its) {
        return Ok(());
    }
    Err(Problem::MixedUp(format!("it names the issuer '{}'", printable(named, 200))))
}

/// Only addresses of the provider's own domains count, as for tokens.
fn of_own_domain(provider: &Provider, mut granted: Granted) -> Result<Granted, Problem> {
    let all = granted.identity.aors.join(", ");
    let serves = |aor: &String| Aor::parse(aor).is_some_and(|aor| provider.rules.serves(aor.host()));
    granted.identity.aors.retain(serves);
    if granted.identity.aors.is_empty() {
        return Err(Problem::NoAddress(format!("{} is not of a domain of the provider", printable(&all, 200))));
    }
    Ok(granted)
}

fn not_found(headers: &HeaderMap) -> Response {
    message(headers, StatusCode::NOT_FOUND, |texts| texts.error_not_found.into())
}
