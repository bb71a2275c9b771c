// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes addresses-of-record from claims: `{sip}`, `sip:{email}`, `sip:{preferred_username}@{domain}`,
//! `sip:{phone|e164}@{domain}`.
//!
//! A claim can fill only the place it was given, because its text is escaped as a user or must be a plain host
//! name. With the setting e164, only the filter `e164` makes telephone numbers, because a user whose name reads as
//! a number does not own that number.

use std::borrow::Cow;

use super::e164::Country;
use crate::sip::uri::{Aor, escape_user, push_host};
use crate::text::json::{Json, Texts};

/// Most addresses one token can stand for.
pub const MAX_AORS: usize = 64;
/// The filter that asks whether the server has verified a claim (OpenID Connect Core section 5.1).
const VERIFIED: &str = "verified";
/// The placeholder for the provider's `domain` setting.
const DOMAIN: &str = "domain";

/// A checked template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AorTemplate {
    form: TemplateForm,
    uses_domain: bool,
    /// The host, without port, when no claim names it.
    host: Option<String>,
    /// The country of the setting e164. `makes_numbers` says whether this template makes telephone numbers.
    country: Option<Country>,
    makes_numbers: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplateForm {
    /// The claim is a whole SIP URI.
    Uri(TemplateClaim),
    /// The claim is user@host, as an e-mail address or a UPN is.
    Address { scheme: &'static str, claim: TemplateClaim },
    /// The claim is the user; the host, with its port, is known and canonical.
    User { scheme: &'static str, claim: TemplateClaim, host: String },
    /// User and host are made separately.
    Parts { scheme: &'static str, user: Vec<Segment>, host: Vec<Segment> },
}

/// A claim, and what is made of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TemplateClaim {
    path: String,
    filters: Vec<Filter>,
    /// `verified`: the claim counts only beside a claim `…_verified` that is true.
    verified: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    /// `e164`: a telephone number in one spelling.
    E164(Country),
    /// `lower`: ASCII letters in lower case.
    Lower,
    /// `local`: what is before the last '@'.
    Local,
}

impl Filter {
    /// None: the value makes no address.
    fn apply<'a>(&self, value: Cow<'a, str>) -> Option<Cow<'a, str>> {
        match self {
            Filter::E164(country) => country.normalize(&value).map(Cow::Owned),
            // Only ASCII letters change. Outside ASCII, letters of two users can become the same one (U+212A
            // becomes 'k').
            Filter::Lower => Some(Cow::Owned(value.to_ascii_lowercase())),
            Filter::Local => value.rsplit_once('@').map(|(local, _)| Cow::Owned(local.to_owned())),
        }
    }
}

impl TemplateClaim {
    /// Reads `path` or `path|filter|filter`.
    fn parse(text: &str, country: Option<&Country>) -> Result<TemplateClaim, String> {
        let mut parts = text.split('|').map(str::trim);
        let path = parts.next().unwrap_or_default().to_owned();
        let filter = |name| match (name, country) {
            ("e164", Some(country)) => Ok(Filter::E164(country.clone())),
            ("e164", None) => Err(format!("'{{{text}}}' needs the setting e164: the country code, for example 49")),
            ("lower", _) => Ok(Filter::Lower),
            ("local", _) => Ok(Filter::Local),
            _ => Err(format!("'{{{text}}}': '{name}' is no filter: write e164, lower, local or verified")),
        };
        let (verified, others): (Vec<&str>, Vec<&str>) = parts.partition(|name| *name == VERIFIED);
        if !verified.is_empty() && path == DOMAIN {
            return Err(format!("'{{{text}}}': {{domain}} is no claim that somebody could have verified"));
        }
        let filters = others.into_iter().map(filter).collect::<Result<_, _>>()?;
        Ok(TemplateClaim { path, filters, verified: !verified.is_empty() })
    }

    /// True when every filtered value is a telephone number.
    fn makes_numbers(&self) -> bool {
        self.filters.iter().any(|filter| matches!(filter, Filter::E164(_)))
    }

    /// The same claim without the filter `e164`. The value is a whole address, and the filter would take it for a
    /// user.
    fn as_address(&self) -> TemplateClaim {
        let filters = self.filters.iter().filter(|filter| !matches!(filter, Filter::E164(_)));
        TemplateClaim { filters: filters.cloned().collect(), ..self.clone() }
    }

    fn can_be_verified(&self) -> bool {
        let name = self.path.rsplit('.').next().unwrap_or("");
        ["email", "phone_number"].contains(&name)
    }

    /// Servers say `true`; some write `true` as text.
    fn is_verified(&self, claims: &Json<'_>) -> bool {
        let told = claims.path(&format!("{}_verified", self.path));
        told.is_some_and(|told| matches!(told, Json::Bool(true)) || told.as_str() == Some("true"))
    }

    /// The filtered values, at most [`MAX_AORS`].
    fn values<'a>(&self, claims: &'a Json<'_>) -> Texts<'a> {
        if self.verified && !self.is_verified(claims) {
            return Texts::new();
        }
        let found = claims.path(&self.path).map(Json::texts_within).unwrap_or_default();
        found.into_iter().take(MAX_AORS).filter_map(|value| self.filtered(value)).collect()
    }

    /// Appends a sentence for each type of value that is neither text nor integer, and for values beyond the limit.
    fn skipped(&self, claims: &Json<'_>, out: &mut Vec<String>) {
        let Some(found) = claims.path(&self.path) else { return };
        let mut add = |sentence: String| {
            if !out.contains(&sentence) {
                out.push(sentence);
            }
        };
        let (verb, values) = match found {
            Json::Array(items) => ("has", items.as_slice()),
            value => ("is", std::slice::from_ref(value)),
        };
        for value in values.iter().filter(|value| value.as_text().is_none()) {
            add(format!("'{}' {verb} {}, neither text nor integer, which is skipped", self.path, value.kind()));
        }
        if found.texts_within().len() > MAX_AORS {
            add(format!("'{}' has more than {MAX_AORS} values, of which the first {MAX_AORS} count", self.path));
        }
    }

    fn filtered<'a>(&self, value: Cow<'a, str>) -> Option<Cow<'a, str>> {
        self.filters.iter().try_fold(value, |value, filter| filter.apply(value))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    /// `{domain}`, filtered. With None the template makes no address.
    Domain(Option<String>),
    Claim(TemplateClaim),
}

impl Segment {
    fn claim(&self) -> Option<&TemplateClaim> {
        match self {
            Segment::Claim(claim) => Some(claim),
            Segment::Text(_) | Segment::Domain(_) => None,
        }
    }

    /// Within an address `{domain}` stands for the setting, and not for a claim.
    fn in_address(self, domain: &str) -> Segment {
        match self {
            Segment::Claim(claim) if claim.path == DOMAIN => {
                Segment::Domain(claim.filtered(domain.into()).map(Cow::into_owned))
            }
            other => other,
        }
    }
}

impl AorTemplate {
    /// Reads a template; the error says what is wrong with it. `country` is the one of national telephone numbers;
    /// `domain` is what `{domain}` stands for.
    pub fn parse(text: &str, country: Option<&Country>, domain: &str) -> Result<AorTemplate, String> {
        let split = |text| split(text, country);
        let whole = |form, claim: &TemplateClaim| {
            let makes_numbers = claim.makes_numbers();
            Ok(AorTemplate { form, uses_domain: false, host: None, country: country.cloned(), makes_numbers })
        };
        let segments = split(text)?;
        if let [Segment::Claim(claim)] = segments.as_slice() {
            return whole(TemplateForm::Uri(claim.as_address()), claim);
        }
        let (scheme, rest) = if let Some(rest) = text.strip_prefix("sip:") {
            ("sip:", rest)
        } else if let Some(rest) = text.strip_prefix("sips:") {
            ("sips:", rest)
        } else {
            return Err(format!("'{text}' must be a claim such as {{sip}}, or begin with sip: or sips:"));
        };
        let Some((user, host)) = rest.split_once('@') else {
            return match split(rest)?.as_slice() {
                [Segment::Claim(claim)] => whole(TemplateForm::Address { scheme, claim: claim.as_address() }, claim),
                _ => Err(format!("'{text}' has no '@': write for example sip:{{preferred_username}}@{{domain}}")),
            };
        };
        let (user, host) = (split(user)?, split(host)?);
        if user.is_empty() || host.is_empty() || host.iter().any(|s| matches!(s, Segment::Text(t) if t.contains('@'))) {
            return Err(format!("'{text}' is not user@host"));
        }
        let [user, host] =
            [user, host].map(|part| part.into_iter().map(|segment| segment.in_address(domain)).collect::<Vec<_>>());
        if !user.iter().chain(&host).any(|segment| segment.claim().is_some()) {
            return Err(format!(
                "'{text}' names no claim, so every user would own this address; write for example \
                 sip:{{preferred_username}}@{{domain}}"
            ));
        }
        let uses_domain = user.iter().chain(&host).any(|segment| matches!(segment, Segment::Domain(_)));
        let makes_numbers = matches!(user.as_slice(), [Segment::Claim(claim)] if claim.makes_numbers());
        let known = known_host(scheme, &host);
        let without_port = known.as_ref().and_then(|host| Aor::parse(&format!("sip:user@{host}")));
        let form = match (user.as_slice(), known) {
            ([Segment::Claim(claim)], Some(host)) => TemplateForm::User { scheme, claim: claim.clone(), host },
            _ => TemplateForm::Parts { scheme, user, host },
        };
        let host = without_port.map(|aor| aor.host().to_owned());
        Ok(AorTemplate { form, uses_domain, host, country: country.cloned(), makes_numbers })
    }

    fn claims(&self) -> Vec<&TemplateClaim> {
        match &self.form {
            TemplateForm::Uri(claim) | TemplateForm::Address { claim, .. } | TemplateForm::User { claim, .. } => {
                vec![claim]
            }
            TemplateForm::Parts { user, host, .. } => user.iter().chain(host).filter_map(Segment::claim).collect(),
        }
    }

    /// The paths of the claims that the template uses.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.claims().into_iter().map(|claim| claim.path.as_str())
    }

    /// Appends a sentence for values of its claims that make no address because they are neither text nor integer,
    /// or because there are too many.
    pub fn skipped_values(&self, claims: &Json<'_>, out: &mut Vec<String>) {
        self.claims().into_iter().for_each(|claim| claim.skipped(claims, out));
    }

    /// The claims that users may have set themselves and that a server can verify (OpenID Connect Core
    /// section 5.1), if the template does not ask for that.
    pub fn unverified_claims(&self) -> impl Iterator<Item = &str> {
        self.claims()
            .into_iter()
            .filter(|claim| !claim.verified && claim.can_be_verified())
            .map(|claim| claim.path.as_str())
    }

    /// The canonical host, without port, of every address that the template makes; None: a claim names the host.
    pub fn known_host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// True when the template uses `{domain}`.
    pub fn uses_domain(&self) -> bool {
        self.uses_domain
    }

    /// Appends every address that the claims make. A list claim makes one per element.
    pub fn expand(&self, claims: &Json<'_>, out: &mut Vec<Aor>) {
        self.each(claims, |aor| {
            if let Some(aor) = self.made(aor).filter(|aor| out.len() < MAX_AORS && !out.contains(aor)) {
                out.push(aor);
            }
        });
    }

    /// Appends the addresses that do not count, because their user reads as a telephone number and this template
    /// does not make telephone numbers.
    pub fn dropped_numbers(&self, claims: &Json<'_>, out: &mut Vec<Aor>) {
        self.each(claims, |aor| {
            if !self.makes_numbers && self.made(aor.clone()).is_none() && out.len() < MAX_AORS && !out.contains(&aor) {
                out.push(aor);
            }
        });
    }

    /// Returns the address if this template may make it. A telephone number gets its international spelling.
    fn made(&self, aor: Aor) -> Option<Aor> {
        match &self.country {
            Some(country) if self.makes_numbers => aor.with_user(&country.normalize_user(aor.user())?),
            Some(country) => (!country.reads_as_number(aor.user())).then_some(aor),
            None => Some(aor),
        }
    }

    fn each(&self, claims: &Json<'_>, mut add: impl FnMut(Aor)) {
        match &self.form {
            TemplateForm::Uri(claim) => claim.values(claims).iter().filter_map(|value| Aor::parse(value)).for_each(add),
            TemplateForm::Address { scheme, claim } => {
                let texts = claim.values(claims).into_iter().filter_map(|value| address(scheme, &value));
                texts.filter_map(|text| Aor::parse(&text)).for_each(add);
            }
            TemplateForm::User { scheme, claim, host } => {
                claim.values(claims).iter().filter_map(|user| Aor::of_user(scheme, user, host)).for_each(add);
            }
            TemplateForm::Parts { scheme, user, host } => {
                let hosts = fill(host, claims, push_host);
                for user in fill(user, claims, push_user) {
                    hosts.iter().filter_map(|host| Aor::parse(&format!("{scheme}{user}@{host}"))).for_each(&mut add);
                }
            }
        }
    }
}

/// The canonical host, with its port, of a template whose host has no claim; None when the host has a claim, or
/// makes no address.
fn known_host(scheme: &str, host: &[Segment]) -> Option<String> {
    if host.iter().any(|segment| matches!(segment, Segment::Claim(_))) {
        return None;
    }
    let text = fill(host, &Json::Null, push_host).pop()?;
    let address = Aor::parse(&format!("{scheme}user@{text}"))?;
    address.as_str().split_once('@').map(|(_, host)| host.to_owned())
}

fn push_user(value: &str, out: &mut String) -> bool {
    escape_user(value, out);
    !value.is_empty()
}

fn address(scheme: &str, value: &str) -> Option<String> {
    let (user, host) = value.rsplit_once('@')?;
    let mut out = scheme.to_owned();
    escape_user(user, &mut out);
    out.push('@');
    (!user.is_empty() && push_host(host, &mut out)).then_some(out)
}

fn fill(segments: &[Segment], claims: &Json<'_>, put: fn(&str, &mut String) -> bool) -> Vec<String> {
    let mut texts = vec![String::new()];
    for segment in segments {
        let choices: Texts<'_> = match segment {
            Segment::Text(text) => {
                texts.iter_mut().for_each(|t| t.push_str(text));
                continue;
            }
            Segment::Domain(domain) => domain.as_deref().map(Cow::Borrowed).into_iter().collect(),
            Segment::Claim(claim) => claim.values(claims),
        };
        let mut next = Vec::new();
        for (text, value) in texts.iter().flat_map(|t| choices.iter().map(move |v| (t, v))).take(MAX_AORS) {
            let mut text = text.clone();
            if put(value, &mut text) {
                next.push(text);
            }
        }
        texts = next;
    }
    texts
}

fn split(text: &str, country: Option<&Country>) -> Result<Vec<Segment>, String> {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            segments.push(Segment::Text(rest[..open].to_owned()));
        }
        let close = rest[open..].find('}').ok_or_else(|| format!("'{text}' has a '{{' without '}}'"))? + open;
        let name = &rest[open + 1..close];
        if name.split('|').next().is_none_or(|path| path.trim().is_empty()) || name.contains('{') {
            return Err(format!("'{text}' has an empty or nested placeholder"));
        }
        segments.push(Segment::Claim(TemplateClaim::parse(name, country)?));
        rest = &rest[close + 1..];
    }
    if rest.contains('}') {
        return Err(format!("'{text}' has a '}}' without '{{'"));
    }
    if !rest.is_empty() {
        segments.push(Segment::Text(rest.to_owned()));
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: &str = r#"{"sip":"SIP:Alice@Example.test;x=1","preferred_username":"al'ice","email":"a.b@Corp.example",
        "evil":"x@evil.test;y","lines":["+4930","+4931"],"nested":{"ext":"77"},"phone":"030 / 123","phones":["(030) 123-456","+1 202 555 0100","77"],"upn":"Al.Ice@Corp.example","host":"a.b","badhost":"a/b","n":7,"float":7.5,"mixed":[7,null,{},"u",false],"list":["sip:a@x","sip:b@x"]}"#;

    fn expand(template: &str) -> Vec<String> {
        let claims = Json::parse(CLAIMS.as_bytes()).unwrap();
        let mut out = Vec::new();
        let country = Country::parse("49").ok();
        AorTemplate::parse(template, country.as_ref(), "example.test").unwrap().expand(&claims, &mut out);
        out.iter().map(|a| a.as_str().to_owned()).collect()
    }

    #[test]
    fn every_form() {
        assert_eq!(expand("{sip}"), ["sip:Alice@example.test"]);
        assert_eq!(expand("{list}"), ["sip:a@x", "sip:b@x"]);
        assert_eq!(expand("sip:{email}"), ["sip:a.b@corp.example"]);
        assert_eq!(expand("sip:{preferred_username}@{domain}"), ["sip:al'ice@example.test"]);
        assert_eq!(expand("sips:{nested.ext}@{host}.example"), ["sips:77@a.b.example"]);
        assert_eq!(expand("sip:{lines}@{domain}"), ["sip:+4930@example.test", "sip:+4931@example.test"]);
    }

    #[test]
    fn the_host_may_be_known_in_any_spelling() {
        assert_eq!(expand("sip:{preferred_username}@Example.TEST.:05060;x=1"), ["sip:al'ice@example.test:5060"]);
        assert_eq!(expand("sips:{evil}@[2001:DB8::0:1]"), ["sips:x%40evil.test%3By@[2001:db8::1]"]);
        assert_eq!(expand("sip:{lines}@a.{domain|lower}"), ["sip:+4930@a.example.test", "sip:+4931@a.example.test"]);
        assert_eq!(expand("sip:{preferred_username}@{domain|local}"), [""; 0]);
        assert_eq!(expand("sip:{preferred_username}@a b"), [""; 0]);
        assert_eq!(expand("sip:{preferred_username}:{float}@x"), [""; 0]);
        let uses = |template| AorTemplate::parse(template, None, "x").unwrap().uses_domain();
        for text in ["sip:boss@{domain}", "sip:boss@x", "sip:{domain}@x", "sips:a-{domain|lower}@{domain}"] {
            assert!(AorTemplate::parse(text, None, "x").unwrap_err().contains("every user would own"), "{text}");
        }
        // Each customer has a trunk.
        assert!(AorTemplate::parse("sip:trunk@{host}", None, "x").is_ok());
        assert!(uses("sip:{a}@{domain}") && uses("sip:{domain}-{a}@x") && !uses("sip:{a}@x") && !uses("{domain}"));
    }

    #[test]
    fn filters() {
        assert_eq!(
            expand("sip:{phones|e164}@{domain}"),
            ["sip:+4930123456@example.test", "sip:+12025550100@example.test"],
            "an extension is no number"
        );
        assert_eq!(expand("sip:{phone|e164}@{domain}"), [""; 0]);
        assert_eq!(expand("sip:{upn|local|lower}@{domain}"), ["sip:al.ice@example.test"]);
        assert_eq!(expand("sip:{upn|lower}"), ["sip:al.ice@corp.example"]);
        assert_eq!(expand("sip:{preferred_username|local}@{domain}"), [""; 0], "there is no '@'");
        assert_eq!(expand("{sip|lower}"), ["sip:alice@example.test"]);
        assert_eq!(expand("sip:{preferred_username}@{domain|lower}"), ["sip:al'ice@example.test"]);
    }

    #[test]
    fn lower_case_makes_no_letter_another_one() {
        let claims = Json::parse(r#"{"name":"\u212Aate","upn":"\u212AATE@Corp.example"}"#.as_bytes()).unwrap();
        let expand = |template| {
            let mut out = Vec::new();
            AorTemplate::parse(template, None, "example.test").unwrap().expand(&claims, &mut out);
            out.iter().map(|aor| aor.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(expand("sip:{name|lower}@{domain}"), ["sip:%E2%84%AAate@example.test"]);
        assert_eq!(expand("sip:{upn|lower}"), ["sip:%E2%84%AAate@corp.example"]);
        assert!(!expand("sip:{name|lower}@{domain}").contains(&"sip:kate@example.test".to_owned()));
    }

    #[test]
    fn a_claim_cannot_leave_its_place() {
        assert_eq!(expand("sip:{evil}@{domain}"), ["sip:x%40evil.test%3By@example.test"]);
        assert_eq!(expand("sip:{evil}"), [""; 0]);
        assert_eq!(expand("sip:u@{badhost}"), [""; 0]);
        assert_eq!(expand("sip:{n}@{domain}"), ["sip:7@example.test"]);
        assert_eq!(expand("sip:{mixed}@{domain}"), ["sip:7@example.test", "sip:u@example.test"]);
        assert_eq!(expand("sip:{nested}@{domain}"), [""; 0]);
        assert_eq!(expand("sip:{float}@{domain}"), [""; 0]);
        assert_eq!(expand("sip:{absent}@{domain}"), [""; 0]);
        assert_eq!(expand("{email}"), [""; 0]);
    }

    #[test]
    fn says_what_is_wrong_with_a_template() {
        for template in [
            "",
            "alice",
            "{a",
            "a}",
            "{}",
            "{|lower}",
            "sip:a{b}",
            "sip:@{domain}",
            "sip:{a}@",
            "mailto:{email}",
            "sip:a@b@c",
        ] {
            assert!(AorTemplate::parse(template, None, "example.test").is_err(), "{template}");
        }
        let error = |template| AorTemplate::parse(template, None, "example.test").unwrap_err();
        assert!(error("sip:{phone|e164}@{domain}").contains("needs the setting e164"));
        assert!(error("sip:{phone|upper}@{domain}").contains("'upper' is no filter"));
        assert!(error("sip:{phone|}@{domain}").contains("'' is no filter"));
    }
}
