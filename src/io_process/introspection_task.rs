// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a thread of the I/O service does with a token that only its server can judge. It looks whether another
//! proxy, or this one before its last start, has asked already. Otherwise it asks the server.

use std::time::Duration;

use super::client_standings::Blamed;
use super::exchange_task::TaskEnv;
use super::provider_load::{Ended, Gate};
use crate::clock::now_millis;
use crate::fault;
use crate::process::charges::Charges;
use crate::process::job::Introspect;
use crate::shared::counters::Counter;
use crate::store::sessions::SessionStore;
use sipoauth_core::check::token_answer::{IntrospectionResult, MAX_ANSWER, TokenAnswer, TokenId};
use sipoauth_core::config::introspection::Introspection;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::oauth::answer_fit::fit_text;
use sipoauth_core::oauth::endpoints::Endpoint;
use sipoauth_core::oauth::introspection::{Introspected, IntrospectionError, introspect};
use sipoauth_core::oauth::metadata::MetadataError;
use sipoauth_core::oauth::verdict::Question;
use sipoauth_core::ports::{Level, Log};
use sipoauth_core::reason::Reason;
use sipoauth_core::text::json::Json;

/// What a thread has heard of a token.
#[derive(Debug)]
pub enum IntrospectionOutcome {
    /// The server was asked before, and its answer is in the store.
    Stored(TokenAnswer),
    /// The server has answered.
    Answer(TokenAnswer),
    /// The server was not asked: it did not answer lately, or the source of the request has used up its questions.
    NotAsked(Reason),
    /// There is no answer that can be used.
    Nothing {
        /// The reason.
        reason: Reason,
        /// The reason as text for the log.
        why: String,
        /// What is known of the server.
        ended: Ended,
    },
}

impl TaskEnv {
    /// How a provider's tokens are introspected.
    pub fn introspection_of(&self, provider: &str) -> Option<&Introspection> {
        self.policy.providers.iter().find(|p| p.name == provider)?.introspection.as_ref()
    }

    /// Finds out what the server says of a token. What the store knows comes first; `gate` guards the server only.
    pub fn introspect(&self, work: &Introspect, gate: &Gate) -> IntrospectionOutcome {
        fault::point(&work.token.0);
        let now = now_millis();
        let found = self.policy.providers.iter().position(|p| p.name == work.provider);
        let same = |index: &usize| TokenId::new(&self.policy.providers[*index].issuer, &work.token.0) == work.id;
        let Some((index, introspection)) = found.filter(same).zip(self.introspection_of(&work.provider)) else {
            // The provider was removed, or has become another one.
            return IntrospectionOutcome::NotAsked(Reason::IntrospectionUnavailable);
        };
        // If the server is asked for each request, nothing is kept. A failure of the store costs no more than a
        // question.
        let keeps = introspection.cache > 0 && self.context.sessions().is_some();
        let store = keeps.then(|| self.store().ok()).flatten();
        if let Some(answer) = store.as_ref().and_then(|store| self.stored(store, work, introspection, now)) {
            self.context.arena().shared().counters.add(Counter::IntrospectionHits);
            return IntrospectionOutcome::Stored(answer);
        }
        let limits = Charges::new(self.context.arena().shared(), &self.policy.settings, now);
        // Only a question that is asked is counted, so that an outage uses up nobody's questions. A sender that has
        // none left must not take the trial of another one.
        if !limits.could_introspect(&work.sender) {
            return IntrospectionOutcome::NotAsked(Reason::IntrospectionLimited);
        }
        if !gate.pass() {
            return IntrospectionOutcome::NotAsked(Reason::IntrospectionUnavailable);
        }
        if !limits.may_introspect(&work.sender) {
            return IntrospectionOutcome::NotAsked(Reason::IntrospectionLimited);
        }
        let answer = match self.ask_about(index, work, gate.time(), now / 1000) {
            Ok(answer) => answer,
            Err(nothing) => return nothing,
        };
        if let Some(store) = store {
            self.keep_answer(&store, work, introspection, &answer);
        }
        IntrospectionOutcome::Answer(answer)
    }

    /// Asks the server, for at most `time` if that is limited.
    fn ask_about(
        &self,
        index: usize,
        work: &Introspect,
        time: Option<Duration>,
        now: i64,
    ) -> Result<TokenAnswer, IntrospectionOutcome> {
        let nothing = |reason, why, ended| IntrospectionOutcome::Nothing { reason, why, ended };
        let unavailable = |why: String, ended| nothing(Reason::IntrospectionUnavailable, why, ended);
        let (client, policy) = (&self.client.within(time), &self.policy);
        let endpoint = self.endpoints.resolve(client, policy, index, Endpoint::Introspection, now).map_err(
            |error| match error {
                MetadataError::Failed(why) | MetadataError::Incomplete(why) => unavailable(why, Ended::Silent),
                // A server that is just being set up may have it soon.
                MetadataError::NoDocument(why) => unavailable(why, Ended::Refused),
                MetadataError::Absent(why) | MetadataError::Unusable(why) => {
                    nothing(Reason::ClientRefused, why, Ended::Refused)
                }
            },
        )?;
        self.context.arena().shared().counters.add(Counter::Introspections);
        let fetched = self.keys(index);
        let fetch = || self.fetch_keys(index);
        let provider = &policy.providers[index];
        let told = introspect(client, &endpoint, provider, fetched.as_ref(), &fetch, &work.token.0, now);
        if told.is_ok() {
            self.standings.accepted(index, Question::Introspection, now_millis());
        }
        let said = match told {
            Ok(Introspected::Active(claims)) => {
                self.standings.forget(&work.id.0);
                let fitted = fit_text(claims, provider, MAX_ANSWER);
                IntrospectionResult::Active(
                    fitted.map_err(|why| unavailable(format!("{}: {why}", endpoint.address), Ended::Refused))?,
                )
            }
            Ok(Introspected::Inactive) => IntrospectionResult::Inactive,
            // A server that answers the client's other questions means the token, not the client.
            Err(IntrospectionError::RequestRefused(why))
                if self.standings.blames_request(index, Question::Introspection, Blamed::Request, now_millis()) =>
            {
                self.guessed(provider, &why)
            }
            Err(IntrospectionError::Unexplained(why)) => {
                self.endpoints.doubt(policy, index, Endpoint::Introspection, now);
                match self.standings.blames_later(index, Question::Introspection, &work.id.0, now_millis()) {
                    true => self.guessed(provider, &why),
                    false => return Err(nothing(Reason::ClientRefused, why, Ended::Refused)),
                }
            }
            Err(IntrospectionError::RequestRefused(why) | IntrospectionError::ClientRefused(why)) => {
                return Err(nothing(Reason::ClientRefused, why, Ended::Refused));
            }
            Err(IntrospectionError::Unusable(why)) => return Err(unavailable(why, Ended::Refused)),
            Err(IntrospectionError::Unavailable(trouble)) => {
                let ended = Ended::of(&trouble);
                return Err(unavailable(trouble.why, ended));
            }
        };
        Ok(TokenAnswer { said, asked_at: now })
    }

    /// The server did not say that the token is not active, so its words are in the log.
    fn guessed(&self, provider: &Provider, why: &str) -> IntrospectionResult {
        let name = &provider.name;
        let line = format!(
            "provider '{name}': a token counts as not active: {why}; the server answers the proxy's client about others"
        );
        self.lines.log(Level::Info, &line);
        IntrospectionResult::Inactive
    }

    /// The answer in the store, if it still holds.
    fn stored(
        &self,
        store: &SessionStore,
        work: &Introspect,
        introspection: &Introspection,
        now: i64,
    ) -> Option<TokenAnswer> {
        let answer = self.noted(store.answer(&work.id, now)).ok()??;
        let now = now / 1000;
        (answer.asked_at <= now && answer.standing(introspection).holds(now)).then_some(answer)
    }

    fn keep_answer(
        &self,
        store: &SessionStore,
        work: &Introspect,
        introspection: &Introspection,
        answer: &TokenAnswer,
    ) {
        let mut expires_at = answer.standing(introspection).until;
        if let IntrospectionResult::Active(claims) = &answer.said {
            let end = Json::parse(claims).ok().and_then(|json| json.get("exp")?.as_seconds());
            expires_at = expires_at.min(end.unwrap_or(i64::MAX));
        }
        let _ = self.noted(store.put_answer(&work.id, answer, expires_at.saturating_mul(1000), now_millis()));
    }
}
