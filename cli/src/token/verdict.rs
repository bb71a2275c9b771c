// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the proxy would say about a token. This calls the same function as the proxy's workers, and fetches keys in the
//! same way.

use std::collections::HashMap;

use serde_json::{Value, json};
use sipoauth::io_process::http::HttpClient;
use sipoauth::io_process::key_fetches::key_plan;
use sipoauth_core::check::explain::ExplainedUse;
use sipoauth_core::check::known_sessions::NoSessions;
use sipoauth_core::check::token_answer::{Asked, IntrospectionResult, KnownAnswers, TokenAnswer, TokenId};
use sipoauth_core::check::token_cache::{LookedUp, TokenCache};
use sipoauth_core::check::token_check::{TokenUsage, check_token};
use sipoauth_core::check::{Answer, Decision, Knowledge, KnownKeys, Request, Unlimited, check_request};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::jose::key_set::KeySet;
use sipoauth_core::oauth::key_fetch::fetch_keys;
use sipoauth_core::reason::{Outcome, Reason};

use super::introspection::{NoAnswer, ask};
use crate::output::{Output, Progress};

/// What servers have answered: keys by provider, and the result of introspection.
#[derive(Default)]
pub struct Learned {
    keys: HashMap<usize, KeySet>,
    answer: Option<(TokenId, TokenAnswer)>,
}

impl Learned {
    /// The knowledge that a check may use.
    pub fn knowledge(&self) -> Knowledge<'_> {
        Knowledge { keys: self, answers: self, sessions: &NoSessions, decryptions: &Unlimited }
    }
}

impl KnownKeys for Learned {
    fn fetched(&self, provider: usize) -> Option<&KeySet> {
        self.keys.get(&provider)
    }

    /// Always 0. The keys are fetched anew for each token, so `judge` itself knows that no other keys will come.
    fn fetched_at(&self, _: usize) -> i64 {
        0
    }
}

impl KnownAnswers for Learned {
    fn answer(&self, id: &TokenId) -> Option<TokenAnswer> {
        self.answer.as_ref().filter(|(known, _)| known == id).map(|(_, answer)| answer.clone())
    }

    fn asked(&self) -> Asked {
        if self.answer.is_some() { Asked::Yes } else { Asked::No }
    }

    fn longest_wait(&self) -> i64 {
        // In seconds. The answer was fetched a moment ago, so it must never be too old.
        3600
    }
}

/// The answer that the proxy would give, and what servers have answered for it.
pub struct TokenVerdict {
    /// The proxy's answer.
    pub answer: Answer,
    /// What servers have answered.
    pub learned: Learned,
    /// Why a server has not answered.
    pub problem: Option<String>,
}

/// Judges a token. The proxy fetches keys when it starts, so this fetches them before they are needed. If there is only
/// one provider, `all` uses its keys also for a token of an unknown issuer, to show everything that is wrong with it.
pub fn judge(policy: &Policy, token: &str, used: ExplainedUse<'_>, all: bool, now: i64) -> TokenVerdict {
    let client = HttpClient::new(policy);
    let mut learned = Learned::default();
    let mut first = decide(policy, &learned, token, used, now);
    let index = first.answer_mut().provider.or((all && policy.providers.len() == 1).then_some(0));
    let mut problem = None;
    let watched = index.filter(|index| policy.providers[*index].watches_keys());
    if let Some((index, plan)) = watched.and_then(|index| Some((index, key_plan(&policy.providers[index], policy)?))) {
        let progress = Progress::new(&format!("{}: keys", policy.providers[index].name));
        let fetched = fetch_keys(&client, &plan);
        drop(progress);
        match fetched {
            Ok(fetched) => drop(learned.keys.insert(index, fetched.keys)),
            Err(no_keys) => problem = Some(no_keys.sentence),
        }
    }
    let mut decision = decide(policy, &learned, token, used, now);
    if let Decision::NeedIntrospection(answer, question) = &mut decision {
        let provider = answer.provider.unwrap_or(0);
        let progress = Progress::new(&format!("{}: introspection", policy.providers[provider].name));
        let asked = ask(policy, provider, &client, learned.fetched(provider), token, now);
        drop(progress);
        let said = asked.unwrap_or_else(|NoAnswer { reason, why }| {
            problem = Some(why);
            IntrospectionResult::Failed(reason.number())
        });
        learned.answer = Some((question.id.clone(), TokenAnswer { said, asked_at: now }));
        decision = decide(policy, &learned, token, used, now);
    }
    let lacks_keys = matches!(decision, Decision::NeedKeys(_));
    let mut answer = std::mem::take(decision.answer_mut());
    if lacks_keys {
        // Without a problem the keys are fresh, so the reason is final.
        if problem.is_some() {
            answer.reason = Some(Reason::ProviderUnreachable);
        }
    }
    TokenVerdict { answer, learned, problem }
}

/// The decision that follows from what is known so far.
fn decide(policy: &Policy, learned: &Learned, token: &str, used: ExplainedUse<'_>, now: i64) -> Decision {
    let mut cache = TokenCache::new(0);
    let Some(sent) = used.request else {
        let usage = TokenUsage { transport: used.transport, certificate: used.certificate, ..TokenUsage::default() };
        return check_token(policy, learned.knowledge(), &mut cache, token, usage, now);
    };
    let credentials = [format!("Bearer {token}")];
    let credentials = [credentials[0].as_str()];
    let request = Request {
        method: sent.method,
        from: sent.from,
        to: sent.to,
        transport: used.transport,
        certificate: used.certificate,
        credentials: &credentials,
        ..Request::default()
    };
    check_request(policy, learned.knowledge(), &mut cache, LookedUp::No, &request, now)
}

/// What a proxy answers for this reason.
pub fn outcome_text(reason: Reason) -> &'static str {
    match reason.outcome() {
        Outcome::Accepted => "accepted",
        Outcome::NoCredentials => "401 or 407 with a challenge",
        Outcome::Challenge => "401 or 407 with a challenge that names the error",
        Outcome::Forbidden => "403: a new sign-in would not help",
        Outcome::BadRequest => "400",
        Outcome::UnsupportedMedia => "415",
        Outcome::NotNow => "503 with Retry-After: nobody has to sign in again",
    }
}

/// The exit code for this reason.
pub fn exit_code(reason: Reason) -> u8 {
    match reason.outcome() {
        Outcome::Accepted => 0,
        Outcome::NotNow => crate::outcome::NOT_NOW,
        _ => crate::outcome::REFUSED,
    }
}

/// The claim that is missing or of the wrong type, and what should have it.
fn claim_fault(answer: &Answer) -> &str {
    answer.unverified.as_ref().map_or("", |seen| seen.claim_fault.as_str())
}

/// Prints the verdict for people.
pub fn print(output: Output, policy: &Policy, verdict: &TokenVerdict) {
    let reason = verdict.answer.reason();
    match reason {
        Reason::Ok => output.line("accepted"),
        reason => {
            output.line(&format!("refused: {}", reason.code()));
            output.line(&format!("  {}", reason.text()));
            output.field("answer", outcome_text(reason));
        }
    }
    output.field("problem", verdict.problem.as_deref().unwrap_or(""));
    output.field("claim", claim_fault(&verdict.answer));
    let answer = &verdict.answer;
    output.field("provider", answer.provider.map_or("", |index| &policy.providers[index].name));
    if let Some(token) = &answer.token {
        let aors: Vec<&str> = token.aors.iter().map(|aor| aor.as_str()).collect();
        let aors = if aors.is_empty() { "none: see aor".to_owned() } else { aors.join(", ") };
        output.field("address", answer.aor.map_or(&aors, |index| token.aors[index].as_str()));
        output.field("subject", token.claims.subject.as_deref().unwrap_or(""));
        output.field("client", &token.claims.clients.join(", "));
        output.field("scope", &token.claims.scope);
        output.field("expires", &crate::output::moment(token.claims.expires_at, crate::output::now()));
        output.field("kid", &token.kid);
        output.field("fingerprint", &token.fingerprint);
    } else if let Some(unverified) = &answer.unverified {
        output.field("iss (unproven)", &unverified.issuer);
        output.field("kid (unproven)", &unverified.kid);
        output.field("fingerprint", &unverified.fingerprint);
    }
}

/// The verdict for machines.
pub fn to_json(policy: &Policy, verdict: &TokenVerdict) -> Value {
    let answer = &verdict.answer;
    let reason = answer.reason();
    let mut value = json!({
        "result": match exit_code(reason) { 0 => "accepted", crate::outcome::NOT_NOW => "not_now", _ => "refused" },
        "exit_code": exit_code(reason),
        "reason": reason.code(),
        "reason_text": reason.text(),
        "answer": outcome_text(reason),
        "problem": verdict.problem,
        "claim": Some(claim_fault(answer)).filter(|fault| !fault.is_empty()),
        "provider": answer.provider.map(|index| policy.providers[index].name.as_str()),
    });
    if let Some(token) = &answer.token {
        value["aors"] = token.aors.iter().map(|aor| aor.as_str()).collect();
        value["aor"] = answer.aor.map(|index| token.aors[index].as_str()).into();
        value["subject"] = token.claims.subject.as_deref().into();
        value["clients"] = token.claims.clients.clone().into();
        value["scope"] = token.claims.scope.as_str().into();
        value["exp"] = token.claims.expires_at.into();
        value["kid"] = (*token.kid).into();
        value["fingerprint"] = token.fingerprint.as_str().into();
    } else if let Some(unverified) = &answer.unverified {
        value["unverified_issuer"] = unverified.issuer.as_str().into();
        value["unverified_kid"] = unverified.kid.as_str().into();
        value["fingerprint"] = unverified.fingerprint.as_str().into();
    }
    value
}
