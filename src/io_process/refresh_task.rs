// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a thread of the I/O service does with tokens that are about to end. One process of all proxies refreshes them.

use super::backlog::Late;
use super::exchange_task::TaskEnv;
use crate::clock::now_millis;
use crate::shared::counters::Counter;
use crate::store::session_ends::Ending;
use crate::store::session_tokens::{keeps_access_token, refresh_due};
use crate::store::sessions::{SessionStore, lease_key, tokens_key};
use sipoauth_core::config::password_sign_in::TokenSource;
use sipoauth_core::oauth::endpoints::Endpoint;
use sipoauth_core::oauth::exchange::{Refreshed, TokenError, refresh};
use sipoauth_core::oauth::grant::PhoneRefresh;
use sipoauth_core::oauth::token_issue::issue;
use sipoauth_core::oauth::verdict::Question;
use sipoauth_core::ports::store::{StoreError, Write};
use sipoauth_core::ports::{Level, Log};
use sipoauth_core::reason::Reason;
use sipoauth_core::records::session::{Account, Exchanged, Identity, Session, SignIn, Tokens, id_text, token_name};
use sipoauth_core::records::session_end::{EndedBy, SessionEnd};
use sipoauth_core::text::secret::SecretText;
use subtle::ConstantTimeEq;

/// If others change the tokens first this many times in a row, the rest is left for later.
const ATTEMPTS: usize = 16;
/// How long a session whose refresh was refused is shown, and its phone told so, in seconds.
const SHOWN: i64 = 86_400;
/// If a process dies during a refresh, what it has left undone is done after this time, in milliseconds.
const MAKE_UP: i64 = 5000;
/// Longest time between two tries, in milliseconds.
const MAX_BACKOFF: i64 = 60_000;

/// The tokens of a session whose phone holds them.
pub(super) struct Held {
    key: String,
    tokens: Tokens,
    session: Session,
}

/// The result for tokens that were due.
#[derive(Debug, Default)]
pub struct Refresh {
    /// Their provider.
    pub provider: Option<String>,
    /// Whether it answered; None: it was not asked after all.
    pub answered: Option<bool>,
    /// Why they are refreshed later, unless their server did answer.
    pub late: Option<Late>,
    /// The address-of-record whose sessions may have changed.
    pub aor: Option<String>,
    /// The sessions that the server has ended: this one, or those that hang on it.
    pub ended: Vec<SessionEnd>,
}

impl TaskEnv {
    /// Refreshes the tokens under this key, unless another process does. `early`: also when they were put off and are
    /// not due again yet. `may_ask` says whether a provider's server is to be asked now.
    pub fn refresh(&self, key: &str, early: bool, may_ask: &dyn Fn(&str) -> bool) -> Refresh {
        let mut refresh = Refresh::default();
        // A store that fails was noted; what is due stays due.
        if self.refresh_once(key, early, may_ask, &mut refresh).is_err() {
            refresh.ended.clear();
        }
        refresh
    }

    fn refresh_once(
        &self,
        key: &str,
        early: bool,
        may_ask: &dyn Fn(&str) -> bool,
        refresh: &mut Refresh,
    ) -> Result<(), StoreError> {
        let store = self.store()?;
        let now = now_millis();
        let lease = lease_key(key);
        let mut owner = [0; 8];
        aws_lc_rs::rand::fill(&mut owner).map_err(|_| StoreError::Away("no random numbers".into()))?;
        let write = Write { key: &lease, value: &owner, expires_at: now + self.claim_time(), due_at: None };
        if !self.noted_addition(store.store().put(&write, None, now))? {
            return Ok(());
        }
        let done = self.refresh_leased(&store, key, early, may_ask, refresh);
        let _ = store.store().remove(&lease, Some(&owner));
        self.noted(done)
    }

    fn refresh_leased(
        &self,
        store: &SessionStore,
        key: &str,
        early: bool,
        may_ask: &dyn Fn(&str) -> bool,
        outcome: &mut Refresh,
    ) -> Result<(), StoreError> {
        let now = now_millis();
        let Some((tokens, sealed)) = store.tokens(key, now)? else {
            self.standings.forget(key);
            return Ok(());
        };
        let account = store.account(&tokens.aor, now)?;
        let session = account.and_then(|a| a.sessions.into_iter().find(|s| key.ends_with(&id_text(&s.id))));
        let (Some(session), Some(refresh_token)) = (&session, tokens.refresh_token.clone()) else {
            self.standings.forget(key);
            // Its server had refused to go on, and now its last access token has ended, too.
            if let Some(session) = session {
                outcome.aor = Some(tokens.aor.clone());
                outcome.ended = self.end(store, key, &tokens, &session, "its access token has ended")?;
                return Ok(());
            }
            return store.store().remove(key, Some(&sealed)).map(drop);
        };
        // Another process may have done it between the list of what is due and the lease, or died on the way.
        let was_put_off = tokens.failures > 0;
        if tokens.refresh_at > now && !(early && was_put_off) {
            return self.renew(store, key, None);
        }
        // A refresh token goes to the server that it came from and to no other.
        let same = |p: &usize| self.policy.providers[*p].issuer_name == tokens.issuer;
        let Some(provider) = self.provider(&tokens.provider).filter(same) else {
            return self.put_off(store, key, tokens, &sealed);
        };
        outcome.provider = Some(tokens.provider.clone());
        if !may_ask(&tokens.provider) {
            outcome.late = Some(Late::Waits);
            return self.put_off(store, key, tokens, &sealed);
        }
        let shared = self.context.arena().shared();
        let answer = self.ask_for_new(provider, &refresh_token.0, now / 1000);
        outcome.aor = Some(tokens.aor.clone());
        outcome.answered = Some(match &answer {
            Err(TokenError::Unavailable(trouble) | TokenError::InDoubt(trouble)) => trouble.answered,
            _ => true,
        });
        outcome.late = outcome.answered.filter(|answered| !answered).map(|_| Late::Failed);
        const WITH_TOKEN: &str = "ends with its access token";
        let ends = |what: &str, text: &str| {
            shared.counters.add(Counter::RefreshesRefused);
            self.standings.forget(key);
            let (name, id, aor) = (&tokens.provider, id_text(&session.id), &tokens.aor);
            let line =
                format!("provider '{name}': session {id} of {aor} {what}: its tokens were not refreshed: {text}");
            self.lines.log(Level::Info, &line);
        };
        // In all these cases the server gave tokens, whatever is made of them.
        if matches!(answer, Ok(_) | Err(TokenError::Denied(_) | TokenError::Unfit(..))) {
            self.standings.accepted(provider, Question::Refresh, now_millis());
        }
        let text = match answer {
            Ok(refreshed) => {
                self.standings.forget(key);
                return self.take_over(store, key, &tokens, &refreshed);
            }
            // Tokens that no longer fit the configuration end the session as a refusal does.
            Err(TokenError::Refused(text) | TokenError::Unfit(_, text)) => {
                ends("ends", &text);
                outcome.ended = self.end(store, key, &tokens, session, &text)?;
                return Ok(());
            }
            Err(TokenError::Denied(reason)) => {
                ends("ends", reason.text());
                outcome.ended = self.end(store, key, &tokens, session, reason.text())?;
                return Ok(());
            }
            Err(TokenError::RequestRefused(text)) => {
                ends(WITH_TOKEN, &text);
                outcome.ended = self.end_with_token(store, key, tokens, &sealed, session, &text)?;
                return Ok(());
            }
            Err(TokenError::Unexplained(text)) if self.standings.blames_wordless(provider, key, now_millis()) => {
                let text = format!("there is an answer, but none of OAuth: {text}");
                ends(WITH_TOKEN, &text);
                outcome.ended = self.end_with_token(store, key, tokens, &sealed, session, &text)?;
                return Ok(());
            }
            Err(TokenError::ClientRefused(text)) if self.standings.blames_session(provider, key, now_millis()) => {
                let text = format!("{text}; the server accepts the proxy's client otherwise");
                ends(WITH_TOKEN, &text);
                outcome.ended = self.end_with_token(store, key, tokens, &sealed, session, &text)?;
                return Ok(());
            }
            Err(TokenError::Misconfigured(text)) => text,
            Err(TokenError::Unexplained(text)) => format!("there is an answer, but none of OAuth: {text}"),
            Err(TokenError::ClientRefused(text)) => format!("the server refuses the proxy's client: {text}"),
            Err(TokenError::Unavailable(trouble) | TokenError::InDoubt(trouble)) => trouble.why,
        };
        shared.counters.add(Counter::RefreshErrors);
        if tokens.failures.is_power_of_two() || tokens.failures == 0 {
            let line = format!("provider '{}': tokens cannot be refreshed now: {text}", tokens.provider);
            self.lines.log(Level::Warn, &line);
        }
        self.put_off(store, key, tokens, &sealed)
    }

    /// Tries again later: after 1, 2, 4 … seconds, at most a minute.
    fn put_off(&self, store: &SessionStore, key: &str, mut tokens: Tokens, sealed: &[u8]) -> Result<(), StoreError> {
        let backoff = (1000i64 << tokens.failures.min(6)).min(MAX_BACKOFF);
        tokens.failures = tokens.failures.saturating_add(1);
        let now = now_millis();
        let due = now + backoff + (backoff as f64 * 0.2 * crate::clock::jitter()) as i64;
        tokens.refresh_at = due;
        store.put_tokens(key, &tokens, Some(sealed), tokens.ends_at * 1000, Some(due), now).map(drop)
    }

    /// Finds the tokens of a phone that holds them and wants new ones. It has proved that the session is its own.
    pub(super) fn tokens_to_refresh(
        &self,
        store: &SessionStore,
        provider: usize,
        refresh_of: &PhoneRefresh,
    ) -> Result<Result<Held, TokenError>, StoreError> {
        let now = now_millis();
        let key = tokens_key(&refresh_of.session);
        let Some((tokens, _)) = store.tokens(&key, now)? else {
            return Ok(Err(TokenError::Denied(Reason::SessionEnded)));
        };
        if tokens.issuer != self.policy.providers[provider].issuer_name {
            return Ok(Err(TokenError::Denied(Reason::SessionEnded)));
        }
        let account = store.account(&tokens.aor, now)?;
        let session = account.and_then(|a| a.sessions.into_iter().find(|s| s.id == refresh_of.session));
        let Some(session) = session else {
            return Ok(Err(TokenError::Denied(Reason::SessionEnded)));
        };
        let (known, sent) = (tokens.refresh_token.as_ref(), refresh_of.refresh_token.0.as_bytes());
        if !known.is_some_and(|known| bool::from(known.0.as_bytes().ct_eq(sent))) {
            return Ok(Err(TokenError::Refused(
                "the refresh token is not the one of this session, or was replaced".into(),
            )));
        }
        Ok(Ok(Held { key, tokens, session }))
    }

    /// Gets new tokens for such a phone. Nobody else refreshes these tokens, and whoever redeems a refresh token has
    /// claimed it.
    pub(super) fn refresh_for_phone(
        &self,
        store: &SessionStore,
        provider: usize,
        Held { key, tokens, session }: Held,
    ) -> Result<Result<Exchanged, TokenError>, StoreError> {
        let now = now_millis();
        let refreshed = match self.new_tokens(provider, &session, &tokens, now / 1000) {
            Ok(refreshed) => refreshed,
            Err(error) => return Ok(Err(error)),
        };
        self.take_over(store, &key, &tokens, &refreshed)?;
        Ok(Ok(Exchanged {
            session: session.id,
            identity: Identity {
                subject: session.subject,
                aors: vec![tokens.aor.clone()],
                client_id: session.client_id,
                scope: refreshed.scope.unwrap_or(session.scope),
                sid: session.sid,
            },
            bound_to: tokens.aor,
            sign_in: tokens.sign_in,
            code: SecretText::default(),
            master_key: None,
            token: None,
            valid_until: refreshed.expires_at,
            renewable: false,
            parent: None,
            name: String::new(),
        }))
    }

    /// `now` in Unix seconds.
    fn new_tokens(
        &self,
        provider: usize,
        session: &Session,
        tokens: &Tokens,
        now: i64,
    ) -> Result<Refreshed, TokenError> {
        let settings = &self.policy.providers[provider];
        if let Some(sign_in) = settings.password_sign_in.as_ref().filter(|s| s.source == TokenSource::Issue) {
            self.context.arena().shared().counters.add(Counter::TokensIssued);
            let issued = issue(settings, sign_in, &session.subject, &tokens.aor, &session.scope, now)?;
            return Ok(Refreshed {
                access_token: issued.access_token,
                refresh_token: issued.refresh_token,
                id_token: None,
                scope: None,
                expires_at: issued.expires_at,
            });
        }
        let token = tokens.refresh_token.as_ref().map_or("", |token| token.0.as_str());
        self.ask_for_new(provider, token, now)
    }

    /// Has the server exchange a refresh token. `now` in Unix seconds.
    fn ask_for_new(&self, provider: usize, refresh_token: &str, now: i64) -> Result<Refreshed, TokenError> {
        self.context.arena().shared().counters.add(Counter::Refreshes);
        let (client, policy) = (&*self.client, &self.policy);
        let endpoint = self.endpoints.resolve(client, policy, provider, Endpoint::Token, now)?;
        let refreshed = refresh(client, &*self.lines, &endpoint.address, policy, provider, refresh_token, now);
        if let Err(TokenError::Unexplained(_)) = &refreshed {
            self.endpoints.doubt(policy, provider, Endpoint::Token, now);
        }
        refreshed
    }

    /// `asked` are the tokens that were to be refreshed.
    fn take_over(
        &self,
        store: &SessionStore,
        key: &str,
        asked: &Tokens,
        refreshed: &Refreshed,
    ) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let now = now_millis();
            let Some((mut tokens, sealed)) = store.tokens(key, now)? else {
                return Ok(()); // Revoked meanwhile.
            };
            // The user has signed in again meanwhile. What was refreshed belongs to the sign-in before.
            if tokens.refresh_token != asked.refresh_token {
                return Ok(());
            }
            let keeps = keeps_access_token(&self.policy, tokens.sign_in);
            tokens.access_token = keeps.then(|| refreshed.access_token.clone());
            if refreshed.refresh_token.is_some() {
                tokens.refresh_token.clone_from(&refreshed.refresh_token);
            }
            tokens.expires_at = refreshed.expires_at;
            tokens.failures = 0;
            tokens.refresh_at = refresh_due(&tokens, now).unwrap_or(0);
            // The spent refresh token must not stay. If the rest fails, the early due time has it done soon.
            let soon = due(&tokens).map(|at| at.min(now + MAKE_UP));
            if store.put_tokens(key, &tokens, Some(&sealed), tokens.ends_at * 1000, soon, now)? {
                return self.renew(store, key, refreshed.scope.as_ref());
            }
        }
        Ok(())
    }

    /// Lets the session live as long as its tokens, which are due again when they are to be refreshed.
    fn renew(&self, store: &SessionStore, key: &str, scope: Option<&String>) -> Result<(), StoreError> {
        let now = now_millis();
        let Some((tokens, sealed)) = store.tokens(key, now)? else {
            return Ok(());
        };
        store.change_account(&tokens.aor, now, |account| {
            let found = account.sessions.iter_mut().find(|s| key.ends_with(&id_text(&s.id)));
            found.is_some_and(|session| {
                session.valid_until = tokens.expires_at;
                if let Some(token) = tokens.access_token.as_ref().filter(|_| tokens.sign_in.phone_holds_tokens()) {
                    session.add_token(token_name(&token.0));
                }
                if let Some(scope) = scope {
                    session.scope.clone_from(scope);
                }
                true
            })
        })?;
        store.put_tokens(key, &tokens, Some(&sealed), tokens.ends_at * 1000, due(&tokens), now).map(drop)
    }

    /// Lets the session live as long as its access token. Then its phone is challenged.
    fn end_with_token(
        &self,
        store: &SessionStore,
        key: &str,
        mut tokens: Tokens,
        sealed: &[u8],
        session: &Session,
        why: &str,
    ) -> Result<Vec<SessionEnd>, StoreError> {
        let now = now_millis();
        store.change_account(&tokens.aor, now, |account| {
            let found = account.sessions.iter_mut().find(|s| s.id == session.id);
            found.is_some_and(|session| {
                session.renewable = false;
                session.ends_at = session.ends_at.min(session.valid_until.max(now / 1000) + SHOWN);
                true
            })
        })?;
        tokens.refresh_token = None;
        // Whoever looks at them then finds no refresh token, and ends the session.
        let due = session.valid_until.saturating_mul(1000).max(now);
        tokens.refresh_at = due;
        store.put_tokens(key, &tokens, Some(sealed), tokens.ends_at * 1000, Some(due), now)?;
        // It still counts, so only the own host is told.
        let session = Session { renewable: false, ..session.clone() };
        let is_own = session.sign_in != SignIn::Page;
        let end = SessionEnd {
            aor: tokens.aor,
            session,
            call_ids: Vec::new(),
            all_but: false,
            last_nameless: false,
            by: EndedBy::Server,
            why: why.to_owned(),
            origin: self.context.origin(),
        };
        Ok(is_own.then_some(end).into_iter().collect())
    }

    /// Ends the session, so the next request of its phone is challenged. What hangs on it ends with it. Its tokens go last: as
    /// long as they are there, it is tried again.
    fn end(
        &self,
        store: &SessionStore,
        key: &str,
        asked: &Tokens,
        session: &Session,
        why: &str,
    ) -> Result<Vec<SessionEnd>, StoreError> {
        let (now, aor) = (now_millis(), &asked.aor);
        // The user has signed in again while the server was asked about the sign-in before.
        let Some((tokens, sealed)) = store.tokens(key, now)? else { return Ok(Vec::new()) };
        if tokens.refresh_token != asked.refresh_token {
            return Ok(Vec::new());
        }
        let (mut left, mut ended) = (Account::default(), Vec::new());
        store.change_account(aor, now, |account| {
            let found = account.sessions.iter_mut().find(|s| s.id == session.id);
            let is_found = found.is_some_and(|session| {
                session.renewable = false;
                session.valid_until = 0;
                session.ends_at = session.ends_at.min(now / 1000 + SHOWN);
                true
            });
            let is_over = |s: &Session| s.id == session.id || s.parent == Some(session.id);
            (ended, left.sessions) = account.clone().judged().sessions.into_iter().partition(is_over);
            is_found
        })?;
        aor.clone_into(&mut left.aor);
        let ending = Ending { by: EndedBy::Server, why, origin: self.context.origin() };
        let mut told = store.tell_ended(&left, ended, &ending, now)?;
        store.store().remove(key, Some(&sealed))?;
        told.retain(|end| end.session.sign_in != SignIn::Page);
        Ok(told)
    }
}

/// When the tokens are due; None if they are not.
fn due(tokens: &Tokens) -> Option<i64> {
    (tokens.refresh_at != 0).then_some(tokens.refresh_at)
}
