// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the scopes of a token or session allow: which methods, and which levels of service (sip-oauth-01 section 2.3).

use crate::reason::Reason;

/// Stands for every method that has no rule of its own.
const OTHERS: &str = "*";

/// A method or a service, and the scopes that it needs. It needs all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededScopes {
    /// The method or service.
    pub name: String,
    /// Its scopes; at least one.
    pub scopes: Vec<String>,
}

impl NeededScopes {
    /// Reads `INVITE=sip.call sip.pstn`; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<NeededScopes, String> {
        let (name, scopes) =
            text.split_once('=').ok_or_else(|| format!("'{text}' has no '=': write for example INVITE=sip.call"))?;
        let (name, scopes) = (name.trim(), scopes.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>());
        // A method is a token (RFC 3261 section 25.1). A service has the same form, so that lists of services need
        // no quotes.
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b)) {
            return Err(format!("'{name}' is no name: write letters, digits and '-', '.' or '_'"));
        }
        if scopes.is_empty() {
            return Err(format!("'{name}' has no scope: write {name}=SCOPE, or leave it out"));
        }
        match scopes.iter().find(|scope| !is_scope(scope)) {
            None => Ok(NeededScopes { name: name.to_owned(), scopes }),
            Some(scope) => Err(format!("'{scope}' is no scope; several items are a list, several scopes have a space")),
        }
    }
}

/// A scope of RFC 6749 section 3.3. A comma is refused, because it probably means a list that was not split.
fn is_scope(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E) && b != b',')
}

/// Appends the scopes of texts, each of which may hold several, separated by one space.
pub fn add_scopes(out: &mut String, texts: &[&str]) {
    out.reserve(texts.iter().map(|text| text.len() + 1).sum());
    for scope in texts.iter().flat_map(|text| text.split_ascii_whitespace()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(scope);
    }
}

/// True when a list of scopes, separated by a space, has this one.
pub fn has_scope(granted: &str, scope: &str) -> bool {
    granted.split(' ').any(|s| s == scope)
}

/// True when the list has all of these scopes.
pub fn has_scopes(granted: &str, scopes: &[String]) -> bool {
    scopes.iter().all(|scope| has_scope(granted, scope))
}

/// The scope rules of one provider, beyond the scopes that every token needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeRules {
    /// The scopes that methods need.
    pub methods: Vec<NeededScopes>,
    /// The scopes that levels of service need.
    pub services: Vec<NeededScopes>,
}

impl ScopeRules {
    /// The scopes that a request of this method needs. Methods are compared without regard to case: hosts such as
    /// Kamailio take "invite" for INVITE, so that must not be a way around a rule. Without a method no rule applies.
    pub fn of_method(&self, method: &str) -> &[String] {
        if method.is_empty() {
            return &[];
        }
        let named = self.methods.iter().find(|rule| rule.name.eq_ignore_ascii_case(method));
        let rule = named.or_else(|| self.methods.iter().find(|rule| rule.name == OTHERS));
        rule.map_or(&[], |rule| &rule.scopes)
    }

    /// Whether a request of this method may be made with these scopes.
    pub fn check_method(&self, method: &str, granted: &str) -> Result<(), Reason> {
        if has_scopes(granted, self.of_method(method)) { Ok(()) } else { Err(Reason::InsufficientScope) }
    }

    /// The scopes of a level of service; None when there is no such service.
    pub fn of_service(&self, name: &str) -> Option<&[String]> {
        self.services.iter().find(|rule| rule.name == name).map(|rule| rule.scopes.as_slice())
    }

    /// The services that these scopes give, separated by a comma.
    pub fn services(&self, granted: &str) -> String {
        let given = self.services.iter().filter(|rule| has_scopes(granted, &rule.scopes));
        given.map(|rule| rule.name.as_str()).collect::<Vec<_>>().join(",")
    }
}

/// All scopes once, separated by a space: the `scope` of a challenge.
pub fn join_scopes<'a>(scopes: impl IntoIterator<Item = &'a str>) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for scope in scopes {
        if !seen.contains(&scope) {
            seen.push(scope);
        }
    }
    seen.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(methods: &[&str], services: &[&str]) -> ScopeRules {
        let read = |items: &[&str]| items.iter().map(|i| NeededScopes::parse(i).unwrap()).collect();
        ScopeRules { methods: read(methods), services: read(services) }
    }

    #[test]
    fn methods_need_their_scopes() {
        let rules = rules(&["INVITE=sip.call sip.pstn", "*=sip"], &[]);
        assert_eq!(rules.check_method("INVITE", "sip.pstn sip.call"), Ok(()));
        assert_eq!(rules.check_method("INVITE", "sip.call"), Err(Reason::InsufficientScope));
        assert_eq!(
            rules.check_method("invite", "sip"),
            Err(Reason::InsufficientScope),
            "another spelling is no way out"
        );
        assert_eq!(rules.check_method("MESSAGE", "sip"), Ok(()));
        assert_eq!(rules.check_method("MESSAGE", "sip.call"), Err(Reason::InsufficientScope));
        assert_eq!(rules.check_method("MESSAGE", ""), Err(Reason::InsufficientScope));
        assert_eq!(rules.check_method("", ""), Ok(()), "a token without a request");
        assert_eq!(ScopeRules::default().check_method("INVITE", ""), Ok(()));
    }

    #[test]
    fn services_by_scope() {
        let rules = rules(&[], &["pstn=sip.pstn", "conference=sip.conf sip.premium", "chat=sip"]);
        assert_eq!(rules.services("sip sip.conf sip.pstn"), "pstn,chat");
        assert_eq!(rules.services(""), "");
        assert_eq!(rules.of_service("conference").unwrap(), ["sip.conf", "sip.premium"]);
        assert_eq!(rules.of_service("Conference"), None);
    }

    #[test]
    fn mistakes_are_named() {
        for (item, words) in [
            ("INVITE", "has no '='"),
            ("=sip", "is no name"),
            ("a b=sip", "is no name"),
            ("INVITE=", "has no scope"),
            ("INVITE= ", "has no scope"),
            ("INVITE=sip,MESSAGE=sip", "'sip,MESSAGE=sip' is no scope"),
            ("INVITE=\"sip\"", "is no scope"),
        ] {
            let text = NeededScopes::parse(item).unwrap_err();
            assert!(text.contains(words), "{item}: {text}");
        }
    }

    #[test]
    fn a_challenge_names_each_scope_once() {
        assert_eq!(join_scopes(["openid", "sip", "sip", "sip.call"]), "openid sip sip.call");
    }
}
