// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a thread of the I/O service does with a code, or another grant that can be redeemed once: claims it,
//! exchanges it, stores the result.
//!
//! Only the thread that has written the claim on a code sends the code. Nobody else sends it after that, even if
//! that thread dies.

use std::sync::Arc;

use super::changes::{ChangeClock, Moment};
use super::client_standings::{Blamed, ClientStandings};
use super::http::HttpClient;
use super::key_fetches::fetch_provider_keys;
use super::line_buffer::LineBuffer;
use super::pool::Task;
use super::provider_load::{Ended, Gate};
use super::service::ServiceEvent;
use crate::clock::now_millis;
use crate::fault;
use crate::process::charges::Charges;
use crate::process::context::{Context, Worked};
use crate::process::job::{Comparison, Exchange, Work};
use crate::shared::counters::Counter;
use crate::store::accounts::key_account_key;
use crate::store::sessions::{SessionError, SessionStore, account_key, code_key, fate_lifetime, tokens_key};
use sipoauth_core::check::key_derivation_check::OpenKeyProof;
use sipoauth_core::check::proof::OpenProof;
use sipoauth_core::check::registration::{CodeId, Registration, asks_the_same, may_register};
use sipoauth_core::config::password_sign_in::{PasswordSignIn, TokenSource};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::jose::key_set::{KeySet, Origin};
use sipoauth_core::oauth::endpoints::{Endpoint, Endpoints};
use sipoauth_core::oauth::exchange::{CodeGrant, Granted, TokenError, TokenServer, exchange};
use sipoauth_core::oauth::grant::{PasswordGrant, TokenGrant};
use sipoauth_core::oauth::kept_keys::{KeptKeys, Refetched};
use sipoauth_core::oauth::sign_in_grants::{for_foreign_token, for_password};
use sipoauth_core::oauth::token_identity::unverified_claims;
use sipoauth_core::oauth::token_issue::issue;
use sipoauth_core::oauth::verdict::{Question, Trouble};
use sipoauth_core::ports::store::{StoreError, Write};
use sipoauth_core::ports::{Level, Log};
use sipoauth_core::reason::Reason;
use sipoauth_core::records::device::device_key;
use sipoauth_core::records::redemption::Redemption;
use sipoauth_core::records::session::{CodeRecord, CodeState, Exchanged, SignIn};

/// What a task needs. All of it belongs to one configuration.
#[derive(Clone)]
pub struct TaskEnv {
    /// Shared by all processes.
    pub context: Arc<Context>,
    /// The configuration.
    pub policy: Arc<Policy>,
    /// For each provider: its slot, and the id of its key source.
    pub places: Arc<Vec<(usize, u64)>>,
    /// HTTP with the limits of the configuration.
    pub client: Arc<HttpClient>,
    /// The endpoints that are known.
    pub endpoints: Arc<Endpoints>,
    /// Keys that are fetched only when they are needed.
    pub kept_keys: Arc<KeptKeys>,
    /// Which servers accept the proxy's client.
    pub(super) standings: Arc<ClientStandings>,
    /// The clock of changes by other proxies.
    pub clock: ChangeClock,
    /// Log lines of the threads. Only the service's own thread writes the host's log.
    pub lines: Arc<LineBuffer>,
}

/// A record as it was stored at some moment.
#[derive(Debug)]
pub struct ReadRecord {
    /// Its key.
    pub key: String,
    /// Its sealed value; None if it was not there.
    pub value: Option<Vec<u8>>,
    /// A moment before it was read.
    pub moment: Moment,
}

/// The result of the work on a code.
#[derive(Debug)]
pub enum ExchangeOutcome {
    /// The fate of the code is stored, and this is what is known of the server.
    Settled(Ended),
    /// Another proxy exchanges it now.
    Elsewhere,
    /// The code was not sent, or the server did not act upon it. The fields are the reason, what is known of the
    /// server, and a sentence for the log.
    Failed(Reason, Ended, String),
}

impl TaskEnv {
    /// The store; a failure is counted, and logged when it is the first.
    pub fn store(&self) -> Result<Arc<SessionStore>, StoreError> {
        let access = self.context.sessions().ok_or_else(|| StoreError::Away("sessions are not configured".into()))?;
        self.noted(access.open(&self.policy))
    }

    /// Notes how a call of the store ended.
    pub fn noted<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.context.note_store(&*self.lines, result.as_ref().err());
        result
    }

    /// The same for a call that adds a record.
    pub fn noted_addition(&self, added: Result<bool, StoreError>) -> Result<bool, StoreError> {
        if added == Ok(true) {
            self.context.note_worked(&*self.lines, Worked::Addition);
        }
        self.noted(added)
    }

    /// Makes a task. If it panics, that is counted and logged, and `panicked` makes the event from the logged
    /// sentence.
    pub fn task(
        &self,
        run: impl FnOnce() -> ServiceEvent + Send + 'static,
        panicked: impl FnOnce(String) -> ServiceEvent + Send + 'static,
    ) -> Task<ServiceEvent> {
        let env = self.clone();
        Task::new(run, move |place| {
            env.context.arena().shared().counters.add(Counter::Panics);
            let sentence = format!("internal error caught at {place}; please report it");
            env.lines.log(Level::Error, &sentence);
            panicked(sentence)
        })
    }

    /// Stores the key of a registration. If that fails, the check that follows sees that the key is missing.
    fn bind(&self, registration: &Registration, to_tag: &[u8]) {
        let Ok(store) = self.store() else { return };
        match store.bind(&self.policy, registration, to_tag, now_millis()) {
            Ok(()) => self.context.arena().shared().counters.add(Counter::KeysStored),
            Err(SessionError::Store(error)) => drop(self.noted::<()>(Err(error))),
            Err(SessionError::NotThere | SessionError::NotConfigured | SessionError::Malformed) => {}
        }
    }

    /// The provider with this name, if it gives tokens for a sign-in.
    pub fn provider(&self, name: &str) -> Option<usize> {
        let gives = |p: &Provider| p.client.is_some() || p.password_sign_in.is_some();
        self.policy.providers.iter().position(|p| p.name == name && gives(p))
    }

    /// How the proxy itself issues tokens for this work, without asking a server; None if it does not.
    pub(super) fn issues(&self, work: &Exchange) -> Option<&PasswordSignIn> {
        let own = matches!(work.grant, TokenGrant::Password(_) | TokenGrant::Refresh(_));
        let provider = self.policy.providers.iter().find(|p| own && p.name == work.provider)?;
        provider.password_sign_in.as_ref().filter(|sign_in| sign_in.source == TokenSource::Issue)
    }

    /// The keys of a provider as they are published or kept; None when they are configured, or not fetched yet.
    pub(super) fn keys(&self, provider: usize) -> Option<KeySet> {
        if let Some(source) = self.kept_source(provider) {
            return self.kept_keys.get(source, now_millis() / 1000);
        }
        let (slot, source) = self.places[provider];
        let slot = &self.context.arena().slots()[slot];
        if source == 0 || slot.state(source).fetched_at == 0 {
            return None;
        }
        let (_, document) = slot.keys_of(source)?;
        KeySet::from_jwks(&document, Origin::Fetched).ok()
    }

    /// Fetches the keys of a provider within limits, because a stranger may be the cause. The error says why there are
    /// none.
    pub(super) fn fetch_keys(&self, provider: usize) -> Result<Refetched, String> {
        let provider = &self.policy.providers[provider];
        let fetch = || fetch_provider_keys(&*self.client, provider, &self.policy);
        let source = provider.keys.id(&provider.issuer);
        self.kept_keys.fetch(source, &self.policy.settings, now_millis() / 1000, fetch)
    }

    /// The source of keys that are fetched only when they are needed.
    fn kept_source(&self, provider: usize) -> Option<u64> {
        let provider = &self.policy.providers[provider];
        let kept = provider.keys.is_fetched() && !provider.watches_keys();
        kept.then(|| provider.keys.id(&provider.issuer))
    }

    /// How long the process that claims a code or a refresh may need for it, in milliseconds: for metadata, keys and
    /// the request itself.
    pub(super) fn claim_time(&self) -> i64 {
        (i64::from(self.policy.settings.http_timeout) * 4 + 5) * 1000
    }

    /// Exchanges a code unless that was done, and stores the key of the registration. What the store knows comes first;
    /// `gate` guards the server only.
    pub fn exchange(&self, work: &Exchange, gate: &Gate) -> (ExchangeOutcome, Vec<ReadRecord>) {
        if let TokenGrant::Code(request) = &work.grant {
            fault::point(&request.code.0);
        }
        let outcome = match self.settle(work, gate) {
            Ok(outcome) => outcome,
            Err(error) => ExchangeOutcome::Failed(Reason::StoreUnavailable, Ended::Unused, error.to_string()),
        };
        let records = self.bind_exchanged(work, &outcome);
        (outcome, records)
    }

    /// Counts a try of a code that the sign-in page has made, and says whether there is such a code. No server is asked.
    pub fn redeem_typed_code(&self, work: &Exchange) -> (ExchangeOutcome, Vec<ReadRecord>) {
        let now = now_millis();
        let limits = Charges::new(self.context.arena().shared(), &self.policy.settings, now);
        let failed = |reason, why| ExchangeOutcome::Failed(reason, Ended::Unused, why);
        let known = |store: Arc<SessionStore>| self.noted(store.code(&CodeId(work.registration.code.clone()), now));
        let outcome = match limits.may_exchange(work) {
            Err(reason) => failed(reason, "too many codes".into()),
            Ok(()) => match self.store().and_then(known) {
                Ok(Some(_)) => ExchangeOutcome::Settled(Ended::Unused),
                Ok(None) => failed(Reason::CodeRefused, String::new()),
                Err(error) => failed(Reason::StoreUnavailable, error.to_string()),
            },
        };
        let records = self.bind_exchanged(work, &outcome);
        (outcome, records)
    }

    /// Stores the key of a registration whose code was exchanged, and returns what the workers must know of it.
    fn bind_exchanged(&self, work: &Exchange, outcome: &ExchangeOutcome) -> Vec<ReadRecord> {
        let registration = &work.registration;
        let exchanged = matches!(outcome, ExchangeOutcome::Settled(_)).then(|| self.exchanged(registration)).flatten();
        // Only a key that is made of the To tag needs the tag. The tag does not count when another answer has left
        // meanwhile.
        let tagged = || !work.to_tag.is_empty() && now_millis() < work.until;
        let complete = |e: &Exchanged| e.sign_in != SignIn::Code || e.master_key.is_some() || tagged();
        if exchanged.as_ref().is_some_and(complete) {
            self.bind(registration, &work.to_tag);
        }
        let mut keys = vec![code_key(&CodeId(registration.code.clone())), account_key(&registration.aor)];
        let told = exchanged.filter(|e| e.sign_in.phone_holds_tokens());
        keys.extend(told.map(|e| tokens_key(&e.session)));
        self.look_up(&keys)
    }

    fn exchanged(&self, registration: &Registration) -> Option<Exchanged> {
        let found = self.store().ok()?.code(&CodeId(registration.code.clone()), now_millis());
        match self.noted(found).ok()??.0.state {
            CodeState::Done(exchanged) => Some(*exchanged),
            _ => None,
        }
    }

    fn settle(&self, work: &Exchange, gate: &Gate) -> Result<ExchangeOutcome, StoreError> {
        let store = self.store()?;
        let id = CodeId(work.registration.code.clone());
        // Secrets go to the server that the worker meant, not to another one that has taken its name.
        let provider = self.provider(&work.provider);
        let Some(provider) = provider.filter(|p| self.policy.providers[*p].issuer == work.issuer) else {
            let why = "the provider was removed".into();
            return Ok(ExchangeOutcome::Failed(Reason::ExchangeUnavailable, Ended::Unused, why));
        };
        let lifetime = fate_lifetime(&self.policy, matches!(work.grant, TokenGrant::Password(_)));
        let redemption = work.registration.claim.map(Redemption::first);
        let record = |state| CodeRecord { provider: work.provider.clone(), state, redemption };
        let claim = loop {
            let now = now_millis();
            let before = match self.noted(store.code(&id, now))? {
                Some((CodeRecord { state: CodeState::InFlight(deadline), .. }, _)) if now <= deadline => {
                    return Ok(ExchangeOutcome::Elsewhere);
                }
                // The process that claimed it has died.
                Some((CodeRecord { state: CodeState::InFlight(_), .. }, claim)) if work.grant.is_repeatable() => {
                    Some(claim)
                }
                // The code was refused with another code_verifier, or the result of that try is not known. Whoever
                // tried it must not have spoilt it for its owner.
                Some((found, tried)) if found.state.is_a_try() && !asks_the_same(&found, &work.registration) => {
                    Some(tried)
                }
                Some(_) => return Ok(ExchangeOutcome::Settled(Ended::Unused)),
                None => None,
            };
            let limits = Charges::new(self.context.arena().shared(), &self.policy.settings, now);
            // A server may take a used code that comes again for a stolen one, and end the session of its owner.
            let is_code = matches!(work.grant, TokenGrant::Code(_));
            let is_used = is_code && before.is_none() && self.noted(store.is_used(&id, now))?;
            // What is not sent must not take the trial of another sender.
            let is_sent = !is_used && limits.could_exchange(work).is_ok() && self.issues(work).is_none();
            if is_sent && !gate.pass() {
                return Ok(ExchangeOutcome::Failed(Reason::ExchangeUnavailable, Ended::Unused, String::new()));
            }
            if let Err(reason) = limits.may_exchange(work) {
                return Ok(ExchangeOutcome::Failed(reason, Ended::Unused, "too many codes".into()));
            }
            if is_used {
                return Ok(ExchangeOutcome::Failed(Reason::CodeRefused, Ended::Unused, String::new()));
            }
            let deadline = now + self.claim_time();
            let claim = record(CodeState::InFlight(deadline));
            let put = store.put_code(&id, &claim, before.as_deref(), deadline + lifetime, now);
            if self.noted_addition(put)? {
                match self.noted(store.code(&id, now))? {
                    Some((_, claim)) => break claim,
                    None => return Err(StoreError::Away("the claim on a code has gone".into())),
                }
            }
        };
        let mut of_server = if self.issues(work).is_none() { Ended::Well } else { Ended::Unused };
        let fate = match &work.grant {
            TokenGrant::Refresh(refresh) => match self.noted(self.tokens_to_refresh(&store, provider, refresh))? {
                Ok(held) => self.noted(self.refresh_for_phone(&store, provider, held))?,
                Err(error) => {
                    of_server = Ended::Unused;
                    Err(error)
                }
            },
            _ => match self.ask(provider, work).and_then(|granted| self.not_guessed(provider, work, granted)) {
                Ok(granted) => Ok(self.noted(self.keep(&store, provider, work, granted))?),
                Err(error) => Err(error),
            },
        };
        // In all these cases the server gave tokens, whatever is made of them.
        if of_server == Ended::Well && matches!(fate, Ok(_) | Err(TokenError::Denied(_) | TokenError::Unfit(..))) {
            self.standings.accepted(provider, Question::SignIn, now_millis());
        }
        self.note_fate(&store, provider, work, &claim, fate, of_server)
    }

    /// True when the code is good and its sender has no right to the address. The code is still its owner's then.
    fn is_ownerless(&self, provider: usize, work: &Exchange, exchanged: &Exchanged) -> bool {
        let rules = &self.policy.providers[provider].rules;
        let allowed = may_register(rules, &exchanged.identity, &work.registration);
        !matches!(allowed, Ok(()) | Err(Reason::InsufficientScope))
    }

    /// A short code that was guessed becomes useless to everybody, and the answer does not tell that the code was
    /// right.
    fn not_guessed(&self, provider: usize, work: &Exchange, granted: Granted) -> Result<Granted, TokenError> {
        let rules = &self.policy.providers[provider].rules;
        match may_register(rules, &granted.identity, &work.registration) {
            Err(reason) if work.registration.weak => {
                // If only a scope is missing, the tokens are those of the code's own user, so nothing was guessed.
                if reason != Reason::InsufficientScope {
                    let text = &work.registration.aor;
                    self.tell(&work.provider, "a short code came with another user's address", text);
                    return Err(TokenError::Denied(Reason::CodeRefused));
                }
                Err(TokenError::Denied(reason))
            }
            _ => Ok(granted),
        }
    }

    /// Stores what has become of a code. If nothing has, the claim on it is removed.
    fn note_fate(
        &self,
        store: &SessionStore,
        provider: usize,
        work: &Exchange,
        claim: &[u8],
        fate: Result<Exchanged, TokenError>,
        of_server: Ended,
    ) -> Result<ExchangeOutcome, StoreError> {
        let id = CodeId(work.registration.code.clone());
        let fate = match fate {
            Err(TokenError::InDoubt(trouble)) if work.grant.is_repeatable() => Err(TokenError::Unavailable(trouble)),
            fate => fate.map_err(|error| self.blamed(provider, work, error)),
        };
        let mut redemption = work.registration.claim.map(Redemption::first);
        if let (Some(redemption), Ok(exchanged)) = (&mut redemption, &fate) {
            redemption.ownerless = self.is_ownerless(provider, work, exchanged);
        }
        let not_done = |reason, ended, text| {
            self.noted(store.remove_code(&id, claim))?;
            Ok(ExchangeOutcome::Failed(reason, ended, text))
        };
        let (state, outcome) = match fate {
            Ok(exchanged) => (CodeState::Done(Box::new(exchanged)), ExchangeOutcome::Settled(of_server)),
            Err(TokenError::Refused(text)) => {
                self.tell(&work.provider, "a sign-in was refused", &text);
                let reason = if matches!(work.grant, TokenGrant::Refresh(_)) {
                    Reason::RefreshRefused
                } else {
                    Reason::CodeRefused
                };
                (CodeState::Refused(reason.number()), ExchangeOutcome::Settled(of_server))
            }
            Err(TokenError::Unfit(reason, text)) => {
                self.tell(&work.provider, "a sign-in gave tokens that cannot be used", &text);
                (CodeState::Spent(reason.number()), ExchangeOutcome::Settled(of_server))
            }
            Err(TokenError::Denied(reason)) => (CodeState::Spent(reason.number()), ExchangeOutcome::Settled(of_server)),
            Err(TokenError::InDoubt(trouble)) => {
                self.tell(&work.provider, "what became of a sign-in is not known", &trouble.why);
                // The log line above says what happened to the code, so the outcome needs no sentence.
                let ended = Ended::of(&trouble);
                // The request came before this was known.
                let known_at = now_millis().max(work.registration.arrived + 1);
                (CodeState::InDoubt(known_at), ExchangeOutcome::Settled(ended))
            }
            Err(
                TokenError::RequestRefused(text)
                | TokenError::Unexplained(text)
                | TokenError::ClientRefused(text)
                | TokenError::Misconfigured(text),
            ) => {
                return not_done(Reason::ClientRefused, Ended::Refused, text);
            }
            Err(TokenError::Unavailable(trouble)) => {
                let ended = Ended::of(&trouble);
                return not_done(Reason::ExchangeUnavailable, ended, trouble.why);
            }
        };
        let now = now_millis();
        let record = CodeRecord { provider: work.provider.clone(), state, redemption };
        let lifetime = fate_lifetime(&self.policy, matches!(work.grant, TokenGrant::Password(_)));
        self.noted(store.put_code(&id, &record, Some(claim), now + lifetime, now))?;
        Ok(outcome)
    }

    /// Decides whose mistake it is when a server refuses a sign-in without a word about the code. If the server
    /// serves the proxy's client otherwise, it is the phone's.
    fn blamed(&self, provider: usize, work: &Exchange, error: TokenError) -> TokenError {
        let blames = |blamed| self.standings.blames_request(provider, Question::SignIn, blamed, now_millis());
        let (text, is_phones) = match &error {
            TokenError::RequestRefused(text) if matches!(work.grant, TokenGrant::Refresh(_)) => {
                return TokenError::Refused(text.clone());
            }
            TokenError::RequestRefused(text) => (text, blames(Blamed::Request)),
            TokenError::ClientRefused(text) => (text, blames(Blamed::Client)),
            TokenError::Unexplained(text) => {
                let code = code_key(&CodeId(work.registration.code.clone()));
                (text, self.standings.blames_later(provider, Question::SignIn, &code, now_millis()))
            }
            _ => return error,
        };
        match is_phones {
            true => TokenError::Refused(format!("{text}; the server accepts the proxy's client at other sign-ins")),
            false => error,
        }
    }

    fn tell(&self, provider: &str, what: &str, text: &str) {
        self.lines.log(Level::Info, &format!("provider '{provider}': {what}: {text}"));
    }

    fn ask(&self, provider: usize, work: &Exchange) -> Result<Granted, TokenError> {
        let now = now_millis() / 1000;
        let (policy, client) = (&self.policy, &*self.client);
        let aor = work.registration.aor.as_str();
        if let (Some(sign_in), TokenGrant::Password(PasswordGrant { username, .. })) = (self.issues(work), &work.grant)
        {
            let provider = &policy.providers[provider];
            self.context.arena().shared().counters.add(Counter::TokensIssued);
            return issue(provider, sign_in, username, aor, &provider.scope_for(&[]), now);
        }
        let endpoint = self.endpoints.resolve(client, policy, provider, Endpoint::Token, now)?;
        let fetched = self.keys(provider);
        let server = TokenServer {
            http: client,
            log: &*self.lines,
            endpoint: &endpoint.address,
            policy,
            provider,
            keys: fetched.as_ref(),
            fetch_keys: &|| self.fetch_keys(provider),
            resolve: &|which| self.endpoints.resolve(client, policy, provider, which, now_millis() / 1000),
            now: &|| now_millis() / 1000,
        };
        self.context.arena().shared().counters.add(Counter::Exchanges);
        let settings = &policy.providers[provider];
        let granted = match (&work.grant, &settings.password_sign_in, &settings.validation_grant) {
            (TokenGrant::Code(request), ..) => {
                let grant = CodeGrant {
                    code: &request.code.0,
                    code_verifier: request.code_verifier.as_ref().map(|v| v.0.as_str()),
                    redirect_uri: request.redirect_uri.as_deref(),
                    nonce: None,
                };
                exchange(&server, &grant)
            }
            (TokenGrant::Password(grant), Some(sign_in), _) => for_password(&server, sign_in, grant, aor),
            (TokenGrant::ForeignToken(grant), _, Some(grant_type)) => {
                for_foreign_token(&server, grant_type, grant, aor)
            }
            // A reload has taken the setting away.
            _ => {
                let why = "this provider does not give tokens so any more".into();
                Err(TokenError::Unavailable(Trouble::answered(why)))
            }
        };
        // The endpoint may have moved.
        let doubted = match &granted {
            Err(TokenError::Unexplained(_)) => Some(Endpoint::Token),
            Err(TokenError::Unfit(Reason::IdentityMissing, _)) => Some(Endpoint::UserInfo),
            _ => None,
        };
        if let Some(which) = doubted {
            self.endpoints.doubt(policy, provider, which, now_millis() / 1000);
        }
        granted
    }

    /// Stores the tokens of a session with which no phone has registered yet.
    fn keep(
        &self,
        store: &SessionStore,
        provider: usize,
        work: &Exchange,
        granted: Granted,
    ) -> Result<Exchanged, StoreError> {
        // The word of the server counts no longer than the token itself.
        let valid_until = match &work.grant {
            TokenGrant::ForeignToken(grant) => granted.expires_at.min(self.end_of_token(&grant.token.0)),
            _ => granted.expires_at,
        };
        store.keep_granted(&self.policy, provider, &work.grant, granted, valid_until, now_millis())
    }

    /// `exp` of a token that its server has just found good.
    fn end_of_token(&self, token: &str) -> i64 {
        let claims = unverified_claims(&self.policy.decryption, token);
        claims.map_or(i64::MAX, |claims| claims.expires_at)
    }

    /// Reads records for the workers' cache. There are none with a local store, which the workers read themselves.
    pub fn look_up(&self, keys: &[String]) -> Vec<ReadRecord> {
        if self.context.sessions().is_none_or(|access| access.is_local()) {
            return Vec::new();
        }
        let Ok(store) = self.store() else {
            return Vec::new();
        };
        let moment = self.clock.now();
        let read = |key: &String| {
            let value = self.noted(store.raw(key, now_millis())).ok()?;
            Some(ReadRecord { key: key.clone(), value, moment })
        };
        keys.iter().filter_map(read).collect()
    }

    /// Does work that needs only the store. Returns the records for the workers' cache.
    pub fn ask_store(&self, work: &Work) -> Vec<ReadRecord> {
        match work {
            Work::Account(aor, open) => {
                let mut records = self.look_up(&[account_key(aor)]);
                records.extend(open.as_ref().and_then(|open| self.compare_open(aor, open)));
                records
            }
            Work::Unbind(registration, to_tag) => {
                if let Ok(store) = self.store() {
                    let undone = store.unbind(&self.policy, registration, to_tag, now_millis());
                    if let Err(SessionError::Store(error)) = undone {
                        let _ = self.noted::<()>(Err(error));
                    }
                }
                self.look_up(&[account_key(&registration.aor), code_key(&CodeId(registration.code.clone()))])
            }
            Work::Bind(registration, to_tag) => {
                self.bind(registration, to_tag);
                let id = CodeId(registration.code.clone());
                let told = self.exchanged(registration).filter(|e| e.sign_in.phone_holds_tokens());
                let mut keys = vec![account_key(&registration.aor), code_key(&id)];
                keys.extend(told.map(|e| tokens_key(&e.session)));
                self.look_up(&keys)
            }
            Work::KeyAccount(aor, open) => {
                let mut records = self.look_up(&[key_account_key(aor)]);
                records.extend(open.iter().flat_map(|open| self.compare_open_key(aor, open)));
                records
            }
            Work::Compare(comparisons) => {
                comparisons.iter().filter_map(|comparison| self.compare(comparison)).collect()
            }
            Work::Device(username) => {
                let key = device_key(username);
                let mut records = self.look_up(&[key]);
                let device =
                    self.store().ok().and_then(|store| self.noted(store.device(username, now_millis())).ok()?);
                records.extend(self.look_up(&device.iter().map(|device| account_key(&device.aor)).collect::<Vec<_>>()));
                records
            }
            Work::Keys(..) | Work::Exchange(_) | Work::Introspect(_) | Work::Subscribe(_) | Work::LogOut(_) => {
                Vec::new()
            }
        }
    }

    /// Compares a proof whose session had to be fetched first.
    fn compare_open(&self, aor: &str, open: &OpenProof) -> Option<ReadRecord> {
        let now = now_millis();
        let account = self.noted(self.store().ok()?.account(aor, now)).ok()??;
        let (proof, path) = open.names(&self.policy.sessions.as_ref()?.hash_key, &account)?;
        self.compare(&Comparison::new(proof, path, now))
    }

    /// Compares the names of a proof whose account had to be fetched first. If the proof is wrong, none is compared.
    fn compare_open_key(&self, aor: &str, open: &OpenKeyProof) -> Vec<ReadRecord> {
        let now = now_millis();
        let account = self.store().ok().and_then(|store| self.noted(store.key_account(aor, now)).ok()?);
        if !account.and_then(|account| account.verifier()).is_some_and(|verifier| open.is_by(&verifier)) {
            return Vec::new();
        }
        let names = open.names.iter();
        names.filter_map(|(proof, path)| self.compare(&Comparison::new(*proof, *path, now))).collect()
    }

    /// Notes a use of a proof. Returns the first use, over all proxies.
    fn compare(&self, comparison: &Comparison) -> Option<ReadRecord> {
        let store = self.store().ok()?;
        let Comparison { key, at, .. } = comparison;
        let (now, own, moment) = (now_millis(), comparison.record(), self.clock.now());
        let write = Write { key, value: &own, expires_at: at + Comparison::KEPT, due_at: None };
        if self.noted_addition(store.store().put(&write, None, now)).ok()? {
            return Some(ReadRecord { key: key.clone(), value: Some(own.to_vec()), moment });
        }
        Some(ReadRecord { key: key.clone(), value: self.noted(store.raw(key, now)).ok()?, moment })
    }
}
