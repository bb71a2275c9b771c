// SPDX-License-Identifier: MIT OR Apache-2.0
//! Judges a token by every rule, one after the other, and shows the values that each rule compares. The rules are
//! those of [`check_token`](super::token_check::check_token), which stops at the first rule that fails; this
//! module goes on.

use super::peer_certificate::PeerCertificate;
use super::token_answer::{KnownAnswer, TokenId, known_answer};
use super::token_check::{TokenUsage, is_proved};
use super::{Knowledge, KnownKeys};
use crate::config::decryption::Encryption;
use crate::config::introspection::TokenStrategy;
use crate::config::policy::Policy;
use crate::config::provider::Provider;
use crate::jose::decryption_keys::OpenedToken;
use crate::jose::jws::{CompactJws, Header};
use crate::reason::{Outcome, Reason};
use crate::rules::claim_fault::{ACCESS_TOKEN, ClaimFault, INTROSPECTION_ANSWER};
use crate::rules::claims::{Claims, NO_END, id_token_marks};
use crate::rules::token_rules::{IssuerRule, TokenRules};
use crate::sip::uri::Aor;
use crate::text::fingerprint::printable;
use crate::text::json::Json;

/// At most this many characters of a value from the token are shown.
const MAX_TEXT: usize = 200;

/// The result of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// The token fulfills the rule.
    Fulfilled,
    /// The token does not fulfill the rule.
    Failed(Reason),
    /// The rule cannot be judged with what is known.
    Unknown,
}

/// One rule and its result.
#[derive(Clone, Debug)]
pub struct ExplainedStep {
    /// The name of the rule.
    pub rule: &'static str,
    /// The result of the rule.
    pub judged: Judged,
    /// The values that the rule compared.
    pub detail: String,
}

/// How the token is used.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExplainedUse<'a> {
    /// udp, tcp, tls, sctp, ws, wss, or empty when it is not known.
    pub transport: &'a str,
    /// The certificate of the client on whose connection the token comes.
    pub certificate: PeerCertificate<'a>,
    /// The request in which the token is used. Without one, it is not judged who may use the token.
    pub request: Option<UsingRequest<'a>>,
}

/// A request in which a token is used.
#[derive(Clone, Copy, Debug)]
pub struct UsingRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// addr-spec of From.
    pub from: &'a str,
    /// addr-spec of To.
    pub to: &'a str,
}

impl UsingRequest<'_> {
    fn is_register(&self) -> bool {
        self.method.eq_ignore_ascii_case("REGISTER")
    }
}

/// Judges a token by every rule that can be applied to it. `now` in Unix seconds.
pub fn explain(
    policy: &Policy,
    known: Knowledge<'_>,
    token: &str,
    used: ExplainedUse<'_>,
    now: i64,
) -> Vec<ExplainedStep> {
    let mut steps = Steps(Vec::new());
    let (length, most) = (token.len(), policy.settings.max_token_size);
    let fits = if length > most as usize { Err(Reason::TokenTooLarge) } else { Ok(()) };
    steps.add("size", fits, format!("{length} octets, max_token_size is {most}"));
    let request = used.request;
    let aor = request.and_then(|sent| Aor::parse(if sent.is_register() { sent.to } else { sent.from }));
    // A token that cannot be read as a JWT may be one that only its server can read.
    let domain = aor.as_ref().map_or("", Aor::host);
    let asked = |named: Option<usize>| policy.asked_about(named, domain);
    let usage = TokenUsage { domain: "", transport: used.transport, certificate: used.certificate };
    let context = ExplainContext { policy, known, token, request, usage, now };
    let opened = match policy.decryption.open(token) {
        Ok(opened) => opened,
        Err(refused) => {
            if let Some(index) = asked(policy.provider_named_by_header(token)) {
                return context.opaque(steps, index);
            }
            steps.add("encryption", Err(refused.reason), format!("encrypted for the key '{}'", refused.kid));
            return steps.0;
        }
    };
    let jws = CompactJws::split(&opened);
    let header = jws.as_ref().map_err(|e| *e).and_then(CompactJws::header);
    let payload = jws.as_ref().map_err(|e| *e).and_then(CompactJws::unverified_payload);
    let json = payload.as_ref().map_err(|e| ClaimFault::from(*e));
    let json = json.and_then(|payload| Json::parse(payload).map_err(|error| ClaimFault::unreadable(&error)));
    let agrees = |json: &Json<'_>| if opened.agrees_with(json) { Ok(()) } else { Err(Reason::TokenMalformed) };
    let read = |json| agrees(json).map_err(ClaimFault::from).and_then(|()| Claims::from_json(json));
    let claims = json.as_ref().map_err(Clone::clone).and_then(read);
    let named = json.as_ref().ok().and_then(|json| policy.provider_named_in(json));
    if (header.is_err() || claims.is_err() || named.is_none())
        && let Some(index) = asked(named)
    {
        return context.opaque(steps, index);
    }
    if let OpenedToken::Decrypted(..) = opened {
        steps.add("encryption", Ok(()), "decrypted; the rest is about what was in it".to_owned());
    }
    let parts = opened.split('.').count();
    steps.add("form", jws.as_ref().map(drop).map_err(|e| *e), format!("{parts} part(s), a signed JWT has 3"));
    let Ok(jws) = jws else { return steps.0 };
    let detail = header.as_ref().map_or_else(|_| "the protected header is not accepted".to_owned(), describe_header);
    steps.add("header", header.as_ref().map(drop).map_err(|e| *e), detail);
    let detail = match &claims {
        Ok(_) => "every claim has its type".to_owned(),
        Err(fault) => fault.sentence(ACCESS_TOKEN).unwrap_or_else(|| "the claims cannot be read".to_owned()),
    };
    let claims = claims.map_err(Reason::from);
    steps.add("claims", claims.as_ref().map(drop).map_err(|e| *e), detail);
    let (Ok(json), Ok(mut claims)) = (json, claims) else { return steps.0 };
    let Some(index) = steps.provider(policy, &claims) else { return steps.0 };
    let provider = &policy.providers[index];
    if provider.strategy == TokenStrategy::ValidationGrant {
        let detail = "tokens = validation_grant: the server judges a token together with the request that brings it";
        steps.add("form", Err(Reason::TokenOpaque), detail.to_owned());
        return steps.0;
    }
    if provider.strategy == TokenStrategy::Opaque {
        return context.opaque(steps, index);
    }
    steps.protection(provider, matches!(opened, OpenedToken::Decrypted(..)), used.transport);
    if let Ok(header) = &header {
        claims.take_type(&header.typ);
        for (rule, judge) in TokenRules::HEADER_RULES {
            steps.add(rule, judge(&provider.rules, header), header_detail(rule, &provider.rules, header));
        }
        steps.signature(provider, &jws, header, known.keys, index);
    }
    steps.claims(provider, &json, &claims, now);
    let binding = claims.confirmation.clone();
    steps.binding(provider, &claims, usage);
    if provider.strategy == TokenStrategy::JwtThenIntrospection
        && let Some(answer) = context.introspection(&mut steps, provider)
    {
        context.confirmed(&mut steps, provider, &mut claims, &answer);
        if claims.confirmation != binding {
            steps.binding(provider, &claims, usage);
        }
    }
    context.user(&mut steps, provider, &json, &claims);
    steps.0
}

/// What all steps need.
struct ExplainContext<'a> {
    policy: &'a Policy,
    known: Knowledge<'a>,
    token: &'a str,
    request: Option<UsingRequest<'a>>,
    usage: TokenUsage<'a>,
    now: i64,
}

impl ExplainContext<'_> {
    /// Explains a token that only its server can judge.
    fn opaque(&self, mut steps: Steps, index: usize) -> Vec<ExplainedStep> {
        let provider = &self.policy.providers[index];
        steps.add("form", Ok(()), format!("provider {} has opaque tokens: its server is asked", provider.name));
        let Some(answer) = self.introspection(&mut steps, provider) else { return steps.0 };
        let json = Json::parse(&answer).map_err(|_| Reason::IntrospectionUnavailable);
        let read = |json: &Json<'_>| Claims::from_introspection(json, &provider.issuer);
        let claims = json.as_ref().map_err(|e| ClaimFault::from(*e)).and_then(read);
        let detail = match &claims {
            Ok(_) => "the answer can be read".to_owned(),
            Err(fault) => fault
                .sentence(INTROSPECTION_ANSWER)
                .unwrap_or_else(|| "the answer is not one about an access token".to_owned()),
        };
        let claims = claims.map_err(Reason::from);
        steps.add("claims", claims.as_ref().map(drop).map_err(|e| *e), detail);
        let (Ok(json), Ok(claims)) = (json, claims) else { return steps.0 };
        let accepted = provider.rules.issuers.iter().any(|i| i.accepts(&claims.issuer, claims.tenant.as_deref()));
        let detail = format!("the answer names '{}'", printable(&claims.issuer, MAX_TEXT));
        steps.add("issuer", if accepted { Ok(()) } else { Err(Reason::IssuerUnknown) }, detail);
        steps.claims(provider, &json, &claims, self.now);
        steps.binding(provider, &claims, self.usage);
        self.user(&mut steps, provider, &json, &claims);
        steps.0
    }

    /// The server's answer about the token, if it says that the token is active.
    fn introspection(&self, steps: &mut Steps, provider: &Provider) -> Option<Vec<u8>> {
        let introspection = provider.introspection.as_ref()?;
        let id = TokenId::new(&provider.issuer, self.token);
        let (judged, detail, answer) = match known_answer(self.known.answers, &id, introspection, self.now) {
            KnownAnswer::Active(answer, _) => {
                (Judged::Fulfilled, "the server says that the token is active", Some(answer))
            }
            KnownAnswer::Refused(reason) if reason.outcome() == Outcome::NotNow => {
                (Judged::Unknown, "the server gives no answer that can be used", None)
            }
            KnownAnswer::Refused(reason) => (Judged::Failed(reason), "the server does not say that it is active", None),
            KnownAnswer::NotHere => (Judged::Unknown, "the server was not asked", None),
        };
        steps.0.push(ExplainedStep { rule: "introspection", judged, detail: detail.to_owned() });
        answer
    }

    /// Applies what the server says about the token's scopes and expiry.
    fn confirmed(&self, steps: &mut Steps, provider: &Provider, claims: &mut Claims, answer: &[u8]) {
        let said = Json::parse(answer).map_err(|_| ClaimFault::from(Reason::IntrospectionUnavailable));
        let narrowed = said.and_then(|json| claims.narrowed_by(&json));
        match narrowed {
            Ok(narrowed) => {
                *claims = narrowed;
                let judged = provider.rules.check_claims(claims, self.now);
                steps.add("confirmation", judged, format!("with the server's word the scopes are '{}'", claims.scope));
            }
            Err(fault) => {
                let detail = fault.sentence(INTROSPECTION_ANSWER);
                let detail = detail.unwrap_or_else(|| "the answer is not one about an access token".to_owned());
                steps.add("confirmation", Err(fault.reason), detail);
            }
        }
    }

    /// Who the token's user is, and whether that user may send the request.
    fn user(&self, steps: &mut Steps, provider: &Provider, json: &Json<'_>, claims: &Claims) {
        let owned = provider.addresses(json);
        let addresses = list(owned.iter().map(|aor| aor.as_str()));
        let (judged, mut detail) = if owned.is_empty() {
            let asked = list(provider.aor.iter().flat_map(|template| template.paths()));
            let names = match json {
                Json::Object(members) => list(members.iter().map(|(name, _)| &**name)),
                _ => String::new(),
            };
            let detail = format!(
                "the claims make no address: every request is refused with identity_missing; 'aor' asks for {asked}, the \
                 token has {names}"
            );
            (Judged::Unknown, detail)
        } else {
            (Judged::Fulfilled, format!("the token's user is {addresses}"))
        };
        for skipped in provider.skipped(json) {
            detail = format!("{skipped}; {detail}");
        }
        for (aor, why) in provider.dropped(json) {
            detail = format!("'{}' {why}, and is dropped; {detail}", printable(aor.as_str(), MAX_TEXT));
        }
        steps.0.push(ExplainedStep { rule: "address", judged, detail: printable(&detail, 8 * MAX_TEXT) });
        let Some(used) = self.request else { return };
        let UsingRequest { method, from, to } = used;
        let owner = provider.rules.check_owner(&owned, method, from, to).map(drop);
        let detail = if used.is_register() {
            format!("{method} of {to} by {from}; the token's user is {addresses}")
        } else {
            format!("{method} from {from}; the token's user is {addresses}")
        };
        steps.add("owner", owner, detail);
        let scopes = &provider.rules.scopes;
        let needed = scopes.of_method(method);
        if !needed.is_empty() {
            let detail = format!("{method} needs {}, token has '{}'", list(needed.iter()), claims.scope);
            steps.add("method scope", scopes.check_method(method, &claims.scope), detail);
        }
    }
}

struct Steps(Vec<ExplainedStep>);

impl Steps {
    fn add(&mut self, rule: &'static str, result: Result<(), Reason>, detail: String) {
        let judged = result.map_or_else(Judged::Failed, |()| Judged::Fulfilled);
        self.0.push(ExplainedStep { rule, judged, detail: printable(&detail, 4 * MAX_TEXT) });
    }

    /// The provider by whose rules the token is judged. If only one provider is configured, its rules also judge
    /// tokens of other issuers, so that everything that is wrong can be seen at once.
    fn provider(&mut self, policy: &Policy, claims: &Claims) -> Option<usize> {
        let found = policy.provider_for_issuer(&claims.issuer, claims.tenant.as_deref());
        let issuer = printable(&claims.issuer, MAX_TEXT);
        let detail = match found {
            Some(index) => format!("'{issuer}' is that of provider {}", policy.providers[index].name),
            None => {
                let known = policy.providers.iter().flat_map(|p| &p.rules.issuers).map(issuer_text);
                format!("token has '{issuer}', configured is {}", list(known))
            }
        };
        self.add("issuer", found.map(drop).ok_or(Reason::IssuerUnknown), detail);
        found.or((policy.providers.len() == 1).then_some(0))
    }

    /// Judges the token's protection on its way (RFC 8898 section 2.1.2), as far as the provider asks for it.
    fn protection(&mut self, provider: &Provider, encrypted: bool, transport: &str) {
        if provider.encryption != Encryption::Allowed {
            let accepted = provider.encryption.accepts(encrypted, transport);
            let how = if encrypted { "encrypted" } else { "not encrypted" };
            let way = if transport.is_empty() { "an unknown transport" } else { transport };
            let judged = if accepted { Ok(()) } else { Err(Reason::EncryptionRequired) };
            self.add("protection", judged, format!("the token is {how} and comes over {way}"));
        }
    }

    fn claims(&mut self, provider: &Provider, json: &Json<'_>, claims: &Claims, now: i64) {
        let rules = &provider.rules;
        // Another step has already judged whether there is a provider for the issuer.
        for (rule, judge) in TokenRules::CLAIM_RULES.iter().filter(|(rule, _)| *rule != "issuer") {
            let judged = judge(rules, claims, now);
            let detail = match judged {
                // Of the claims that a rule needs, only `aud` may be absent here.
                Err(reason @ Reason::ClaimMissing) => {
                    let whose =
                        if provider.strategy == TokenStrategy::Opaque { INTROSPECTION_ANSWER } else { ACCESS_TOKEN };
                    ClaimFault::missing("aud").sentence(whose).unwrap_or_else(|| reason.text().to_owned())
                }
                _ if *rule == "kind" => kind_detail(rules, json, claims, judged),
                _ => claim_detail(rule, rules, claims, now),
            };
            self.add(rule, judged, detail);
        }
        if rules.required_claims.is_empty() {
            return;
        }
        let named = rules.required_claims.iter().map(|(path, wanted)| {
            let found = json.path(path).map_or("nothing".to_owned(), Json::to_string);
            format!("{path}: token has {found}, needed is one of {}", wanted.join(", "))
        });
        let detail = named.collect::<Vec<_>>().join("; ");
        self.add("required claims", rules.check_required_claims(json), detail);
    }

    /// Judges the key that the token is bound to, if there is one (RFC 7800).
    fn binding(&mut self, provider: &Provider, claims: &Claims, usage: TokenUsage<'_>) {
        let Some(key) = &claims.confirmation else { return };
        let name = key.name();
        let (judged, detail) = match is_proved(key, usage) {
            true => (Ok(()), format!("bound to {name}, which the client's certificate proves")),
            false if provider.ignores_binding => (Ok(()), format!("bound to {name}; cnf = ignore")),
            false => {
                (Err(Reason::TokenBound), format!("bound to {name}, whose possession is not proved; cnf is check"))
            }
        };
        self.add("binding", judged, detail);
    }

    fn signature(
        &mut self,
        provider: &Provider,
        jws: &CompactJws<'_>,
        header: &Header,
        keys: &dyn KnownKeys,
        index: usize,
    ) {
        let fetched = keys.fetched(index);
        if provider.keys.is_fetched() && fetched.is_none() {
            let detail = "there are no keys now that could verify it".to_owned();
            return self.0.push(ExplainedStep { rule: "signature", judged: Judged::Unknown, detail });
        }
        let kid =
            header.kid.as_deref().map_or("no kid".to_owned(), |kid| format!("kid '{}'", printable(kid, MAX_TEXT)));
        let result = provider.keys.verify(jws, header, fetched);
        let detail = match result {
            Ok(()) => format!("{kid}: verified"),
            Err(Reason::KeyUnknown) => {
                let known = fetched.map(|set| list(set.keys().iter().filter_map(|key| key.kid())));
                format!("{kid}; the provider's keys are {}", known.unwrap_or_default())
            }
            Err(_) => format!("{kid}: {}", header.algorithm.name()),
        };
        self.add("signature", result, detail);
    }
}

fn describe_header(header: &Header) -> String {
    let typ = if header.typ.is_empty() { "none" } else { &header.typ };
    let kid = header.kid.as_deref().unwrap_or("none");
    format!("alg {}, typ {}, kid {}", header.algorithm.name(), printable(typ, MAX_TEXT), printable(kid, MAX_TEXT))
}

fn header_detail(rule: &str, rules: &TokenRules, header: &Header) -> String {
    match rule {
        "algorithm" => {
            let accepted = list(rules.algorithms.iter().map(|a| a.name()));
            format!("token has {}, accepted is {accepted}", header.algorithm.name())
        }
        "nonce" if header.has_nonce => "the header has a nonce, as tokens for Microsoft Graph have".to_owned(),
        "nonce" => "the header has none".to_owned(),
        "type" => {
            let name = |typ: &str| if typ.is_empty() { "none".to_owned() } else { printable(typ, MAX_TEXT) };
            format!("token has {}, accepted is {}", name(&header.typ), list(rules.typ.iter().map(|t| name(t))))
        }
        _ => String::new(),
    }
}

/// Says why a token is taken for an ID token, and which setting lets it count.
fn kind_detail(rules: &TokenRules, json: &Json<'_>, claims: &Claims, judged: Result<(), Reason>) -> String {
    let marks = id_token_marks(json, claims);
    let marks = match (marks.is_empty(), claims.is_id_token) {
        (false, _) => format!("the token has the marks of an ID token: {}", marks.join(", ")),
        (true, true) => "the token has the marks of an ID token: neither scope, role nor client".to_owned(),
        (true, false) if judged.is_err() => {
            "the token has the marks of an ID token: roles and no scope, and it is for a client".to_owned()
        }
        (true, false) => return "the token has no marks of an ID token".to_owned(),
    };
    let counts = if rules.accept_id_tokens { "yes, so it counts" } else { "no: the phone must send its access token" };
    format!("{marks}; accept_id_tokens is {counts}")
}

fn claim_detail(rule: &str, rules: &TokenRules, claims: &Claims, now: i64) -> String {
    let time = |name: &str, value: Option<i64>| match value {
        Some(at) => {
            let (apart, side) = (at.abs_diff(now), if at < now { "before" } else { "after" });
            format!("{name} is {at}, {apart} s {side} now ({now}), leeway {} s", rules.leeway)
        }
        None => format!("the token has no {name}"),
    };
    let compared = |name: &str, has: &[String], wanted: &[String]| match wanted {
        [] => format!("token has {}, any is accepted", list(has.iter())),
        wanted => format!("token has {}, {name} is {}", list(has.iter()), list(wanted.iter())),
    };
    match rule {
        "expiry" => time("exp", Some(claims.expires_at).filter(|end| *end != NO_END)),
        "not before" => time("nbf", claims.not_before),
        "issued at" => time("iat", claims.issued_at),
        "audience" => compared("audience", &claims.audience, &rules.audience),
        "client" => compared("clients", &claims.clients, &rules.clients),
        "scope" => {
            let scopes: Vec<String> = claims.scope.split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect();
            match rules.required_scopes.as_slice() {
                [] => format!("token has {}, none is required", list(scopes.iter())),
                needed => format!("token has {}, required_scopes is {}", list(scopes.iter()), list(needed.iter())),
            }
        }
        _ => String::new(),
    }
}

fn issuer_text(rule: &IssuerRule) -> String {
    match rule {
        IssuerRule::Exact(text) => format!("'{text}'"),
        IssuerRule::Tenant { prefix, suffix, tenants } => {
            format!("'{prefix}TENANT{suffix}' for {}", tenants.join(", "))
        }
    }
}

/// Joins texts with commas; "nothing" when there is none.
fn list<T: AsRef<str>>(texts: impl Iterator<Item = T>) -> String {
    let texts: Vec<String> = texts.map(|text| printable(text.as_ref(), MAX_TEXT)).collect();
    if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") }
}
