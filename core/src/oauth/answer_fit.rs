// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes an introspection answer small enough to be kept, because users who are in a thousand groups have long
//! answers. Only what no rule looks at is left out, so the verdict stays the same.

use crate::config::provider::Provider;
use crate::rules::aor_template::MAX_AORS;
use crate::rules::claims::Claims;
use crate::text::json::Json;

/// At most this many members are tried, the largest first. This bounds the work, not the answer.
const CANDIDATES: usize = 64;

/// Members that are never left out, because their mere presence counts.
const KEPT: [&str; 3] = ["active", "scope", "scp"];

/// Returns the text of an answer that says active, in at most `most` octets. It leaves out members that do not
/// change the verdict, the largest first. From lists that a rule looks at, it leaves out the values that no rule
/// looks for. None: what the rules need is too long.
pub fn fit(mut answer: Json<'_>, provider: &Provider, most: usize) -> Option<Vec<u8>> {
    let mut length = length(&answer);
    if length > most {
        let wanted = verdict(&answer, provider);
        length -= leave_out(&mut answer, length - most, |answer| verdict(answer, provider) == wanted);
        if length > most {
            shorten_lists(&mut answer, provider);
            if verdict(&answer, provider) != wanted {
                return None;
            }
        }
    }
    let text = answer.to_string().into_bytes();
    (text.len() <= most).then_some(text)
}

fn length(json: &Json<'_>) -> usize {
    json.to_string().len()
}

/// Everything that the proxy ever concludes from an answer.
fn verdict(answer: &Json<'_>, provider: &Provider) -> impl PartialEq + use<> {
    let claims = Claims::from_introspection(answer, &provider.issuer);
    (claims, provider.addresses(answer), provider.rules.check_required_claims(answer))
}

/// Leaves members out until `octets` octets are gone, and returns how many are gone.
fn leave_out(answer: &mut Json<'_>, octets: usize, is_same: impl Fn(&Json<'_>) -> bool) -> usize {
    let Json::Object(members) = &*answer else { return 0 };
    let mut sizes: Vec<(usize, String)> = members
        .iter()
        .filter(|(name, _)| !KEPT.contains(&&**name))
        .map(|(name, value)| (length(value) + name.len(), name.to_string()))
        .collect();
    sizes.sort_unstable_by(|one, other| other.cmp(one));
    let mut gone = 0;
    for (size, name) in sizes.into_iter().take(CANDIDATES) {
        if gone >= octets {
            break;
        }
        let Some((index, removed)) = take(answer, &name) else { continue };
        if is_same(answer) {
            gone += size;
        } else if let Json::Object(members) = answer {
            members.insert(index, removed);
        }
    }
    gone
}

fn take<'a>(answer: &mut Json<'a>, name: &str) -> Option<(usize, (std::borrow::Cow<'a, str>, Json<'a>))> {
    let Json::Object(members) = answer else { return None };
    let index = members.iter().position(|(other, _)| other == name)?;
    Some((index, members.remove(index)))
}

/// Keeps, in lists that rules look at, only the values that the rules look for.
fn shorten_lists(answer: &mut Json<'_>, provider: &Provider) {
    let required = provider.rules.required_claims.iter().map(|(path, wanted)| (path.as_str(), wanted.as_slice()));
    let addresses = provider.aor.iter().flat_map(|template| template.paths()).map(|path| (path, &[][..]));
    let kept: Vec<(&str, &[String])> = required.chain(addresses).collect();
    for (path, _) in &kept {
        let all: Vec<&[String]> = kept.iter().filter(|(other, _)| other == path).map(|(_, wanted)| *wanted).collect();
        let mut addresses = if all.iter().any(|wanted| wanted.is_empty()) { MAX_AORS } else { 0 };
        let Some(Json::Array(items)) = answer.path_mut(path) else { continue };
        items.retain(|item| {
            let Some(text) = item.as_text() else { return false };
            let is_wanted = all.iter().any(|wanted| wanted.iter().any(|one| *one == text));
            let is_address = addresses > 0;
            addresses = addresses.saturating_sub(1);
            is_wanted || is_address
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::Policy;
    use crate::config::source::Source;

    fn provider(line: &str) -> Provider {
        let mut source = Source::default();
        let line =
            format!("name=as;issuer=https://as.example;audience=sip;tokens=opaque;client_id=p;client_secret=s;{line}");
        source.add_provider(&line).unwrap();
        Policy::new(&source.load().unwrap()).unwrap().providers.remove(0)
    }

    fn fitted(answer: &serde_json::Value, line: &str, most: usize) -> Option<serde_json::Value> {
        let text = answer.to_string();
        let fitted = fit(Json::parse(text.as_bytes()).unwrap(), &provider(line), most)?;
        assert!(fitted.len() <= most);
        Some(serde_json::from_slice(&fitted).unwrap())
    }

    fn groups(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("group-with-a-long-name-{number}")).collect()
    }

    #[test]
    fn what_no_rule_looks_at_goes_first_and_only_when_it_must() {
        let mut answer = serde_json::json!({"active": true, "sub": "alice", "aud": "sip", "exp": 99, "nonce": null,
            "scope": "sip x", "client_id": "p", "picture": "x".repeat(3000), "groups": groups(400)});
        let small = fitted(&answer, "aor=sip:{sub}@example.test", 7168).unwrap();
        assert_eq!(small["picture"], answer["picture"], "the largest was enough");
        answer["picture"] = serde_json::json!("x".repeat(9000));
        let small = fitted(&answer, "aor=sip:{sub}@example.test", 7168).unwrap();
        let rest = serde_json::json!({"active": true, "sub": "alice", "aud": "sip", "exp": 99, "scope": "sip x", "client_id": "p"});
        assert_eq!(small, rest);
        let empty = serde_json::json!({"active": true, "sub": "alice", "aud": "sip", "scope": "", "scp": [], "n": 1});
        let small = fitted(&empty, "aor=sip:{sub}@example.test", empty.to_string().len() - 5).unwrap();
        assert_eq!((&small["scope"], &small["scp"]), (&empty["scope"], &empty["scp"]), "that they are there counts");
        let whole = serde_json::json!({"active": true, "sub": "alice", "more": "x".repeat(100)});
        assert_eq!(fitted(&whole, "aor=sip:{sub}@example.test", 7168), Some(whole));
    }

    #[test]
    fn lists_of_rules_keep_what_rules_look_for() {
        let mut all = groups(1000);
        all.push("phones".into());
        let answer =
            serde_json::json!({"active": true, "sub": "alice", "aud": "sip", "exp": 99, "realm": {"groups": all}});
        let mut provider = provider("aor=sip:{sub}@example.test");
        provider.rules.required_claims = vec![("realm.groups".into(), vec!["phones".into(), "desks".into()])];
        let fitted_to_groups = |answer: &serde_json::Value| {
            let text = answer.to_string();
            let fitted = fit(Json::parse(text.as_bytes()).unwrap(), &provider, 7168).unwrap();
            serde_json::from_slice::<serde_json::Value>(&fitted).unwrap()
        };
        let small = fitted_to_groups(&answer);
        assert_eq!(small["realm"]["groups"], serde_json::json!(["phones"]));
        let none = serde_json::json!({"active": true, "sub": "alice", "aud": "sip", "exp": 99, "realm": {"groups": groups(1000)}});
        assert_eq!(fitted_to_groups(&none).get("realm"), None, "refused all the same");
        let numbers: Vec<String> = (0..1000).map(|number| format!("user-{number}")).collect();
        let many = serde_json::json!({"active": true, "aud": "sip", "exp": 99, "lines": numbers});
        let small = fitted(&many, "aor=sip:{lines}@example.test", 7168).unwrap();
        assert_eq!(small["lines"].as_array().map(Vec::len), Some(MAX_AORS));
    }

    #[test]
    fn what_rules_need_is_never_left_out() {
        let scope = (0..2000).map(|number| format!("s{number}")).collect::<Vec<_>>().join(" ");
        let answer = serde_json::json!({"active": true, "sub": "alice", "aud": "sip", "exp": 99, "scope": scope});
        assert_eq!(fitted(&answer, "aor=sip:{sub}@example.test", 7168), None);
        // The mark of an ID token stays. Without it the token would count as an access token.
        let answer = serde_json::json!({"active": true, "sub": "alice", "aud": "sip", "exp": 99, "at_hash": "h".repeat(100), "x": "y".repeat(8000)});
        assert!(fitted(&answer, "aor=sip:{sub}@example.test", 7168).unwrap()["at_hash"].is_string());
    }
}
