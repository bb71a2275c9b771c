// SPDX-License-Identifier: MIT OR Apache-2.0
//! From claims to addresses-of-record: `{sip}`, `sip:{email}`, `sip:{preferred_username}@{domain}`.
//!
//! A claim can fill only the place it was given: its text is escaped as a user or must be a plain host name.

use super::json::Json;
use super::uri::{Aor, escape_user, push_host};

/// Most addresses one token can stand for.
pub const MAX_AORS: usize = 16;
/// The placeholder for the provider's `domain` setting.
const DOMAIN: &str = "domain";

/// A checked template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AorTemplate(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// The claim is a whole SIP URI.
    Uri(Claim),
    /// The claim is user@host, as an e-mail address or a UPN is.
    Address { scheme: &'static str, claim: Claim },
    /// User and host apart.
    Parts { scheme: &'static str, user: Vec<Segment>, host: Vec<Segment> },
}

type Claim = String;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    Claim(Claim),
}

impl AorTemplate {
    /// Reads a template; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<AorTemplate, String> {
        let segments = split(text)?;
        if let [Segment::Claim(claim)] = segments.as_slice() {
            return Ok(AorTemplate(Form::Uri(claim.clone())));
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
                [Segment::Claim(claim)] => Ok(AorTemplate(Form::Address { scheme, claim: claim.clone() })),
                _ => Err(format!("'{text}' has no '@': write for example sip:{{preferred_username}}@{{domain}}")),
            };
        };
        let (user, host) = (split(user)?, split(host)?);
        if user.is_empty() || host.is_empty() || host.iter().any(|s| matches!(s, Segment::Text(t) if t.contains('@'))) {
            return Err(format!("'{text}' is not user@host"));
        }
        Ok(AorTemplate(Form::Parts { scheme, user, host }))
    }

    /// True when the template uses `{domain}`.
    pub fn uses_domain(&self) -> bool {
        match &self.0 {
            Form::Parts { host, user, .. } => host.iter().chain(user).any(|s| *s == Segment::Claim(DOMAIN.into())),
            _ => false,
        }
    }

    /// Appends every address that the claims make. A list claim makes one per element.
    pub fn expand(&self, claims: &Json<'_>, domain: &str, out: &mut Vec<Aor>) {
        let texts: Vec<String> = match &self.0 {
            Form::Uri(claim) => values(claims, claim).into_iter().map(str::to_owned).collect(),
            Form::Address { scheme, claim } => {
                values(claims, claim).into_iter().filter_map(|v| address(scheme, v)).collect()
            }
            Form::Parts { scheme, user, host } => {
                let users = fill(user, claims, domain, |value, out| {
                    escape_user(value, out);
                    !value.is_empty()
                });
                let hosts = fill(host, claims, domain, push_host);
                let pair = |u: &String| hosts.iter().map(|h| format!("{scheme}{u}@{h}")).collect::<Vec<_>>();
                users.iter().flat_map(pair).collect()
            }
        };
        for aor in texts.iter().filter_map(|t| Aor::parse(t)) {
            if out.len() < MAX_AORS && !out.contains(&aor) {
                out.push(aor);
            }
        }
    }
}

fn address(scheme: &str, value: &str) -> Option<String> {
    let (user, host) = value.rsplit_once('@')?;
    let mut out = scheme.to_owned();
    escape_user(user, &mut out);
    out.push('@');
    (!user.is_empty() && push_host(host, &mut out)).then_some(out)
}

fn values<'j>(claims: &'j Json<'_>, path: &str) -> Vec<&'j str> {
    let mut values = claims.path(path).and_then(Json::as_strings).unwrap_or_default();
    values.truncate(MAX_AORS);
    values
}

fn fill(segments: &[Segment], claims: &Json<'_>, domain: &str, put: fn(&str, &mut String) -> bool) -> Vec<String> {
    let mut texts = vec![String::new()];
    for segment in segments {
        let choices = match segment {
            Segment::Text(text) => {
                texts.iter_mut().for_each(|t| t.push_str(text));
                continue;
            }
            Segment::Claim(name) if name == DOMAIN => vec![domain],
            Segment::Claim(name) => values(claims, name),
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

fn split(text: &str) -> Result<Vec<Segment>, String> {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            segments.push(Segment::Text(rest[..open].to_owned()));
        }
        let close = rest[open..].find('}').ok_or_else(|| format!("'{text}' has a '{{' without '}}'"))? + open;
        let name = &rest[open + 1..close];
        if name.is_empty() || name.contains('{') {
            return Err(format!("'{text}' has an empty or nested placeholder"));
        }
        segments.push(Segment::Claim(name.to_owned()));
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
        "evil":"x@evil.test;y","lines":["+4930","+4931"],"nested":{"ext":"77"},"host":"a.b","badhost":"a/b","n":7,"list":["sip:a@x","sip:b@x"]}"#;

    fn expand(template: &str) -> Vec<String> {
        let claims = Json::parse(CLAIMS.as_bytes()).unwrap();
        let mut out = Vec::new();
        AorTemplate::parse(template).unwrap().expand(&claims, "example.test", &mut out);
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
    fn a_claim_cannot_leave_its_place() {
        assert_eq!(expand("sip:{evil}@{domain}"), ["sip:x%40evil.test%3By@example.test"]);
        assert_eq!(expand("sip:{evil}"), [""; 0]);
        assert_eq!(expand("sip:u@{badhost}"), [""; 0]);
        assert_eq!(expand("sip:{n}@{domain}"), [""; 0]);
        assert_eq!(expand("sip:{absent}@{domain}"), [""; 0]);
        assert_eq!(expand("{email}"), [""; 0]);
    }

    #[test]
    fn says_what_is_wrong_with_a_template() {
        for template in
            ["", "alice", "{a", "a}", "{}", "sip:a{b}", "sip:@{domain}", "sip:{a}@", "mailto:{email}", "sip:a@b@c"]
        {
            assert!(AorTemplate::parse(template).is_err(), "{template}");
        }
    }
}
