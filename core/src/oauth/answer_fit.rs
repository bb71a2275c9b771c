// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes an introspection answer small enough to be kept, because users who are in a thousand groups have long
//! answers. Only what no rule looks at is left out, so the verdict stays the same.

use std::borrow::Cow;

use crate::config::provider::Provider;
use crate::rules::aor_template::MAX_AORS;
use crate::rules::claims::Claims;
use crate::text::json::Json;

/// The verdict is computed at most this many times. This bounds the work, not the answer.
const MAX_TRIALS: usize = 512;

/// Members that are never left out, because their mere presence counts.
const KEPT: [&str; 3] = ["active", "scope", "scp"];

type Member<'a> = (Cow<'a, str>, Json<'a>);
/// Members with what they take in the text.
type Group<'a> = Vec<(usize, Member<'a>)>;

/// Makes the text of an answer that says active fit, as [`fit`] does. The error is a sentence.
pub fn fit_text(answer: Vec<u8>, provider: &Provider, most: usize) -> Result<Vec<u8>, String> {
    if answer.len() <= most {
        return Ok(answer);
    }
    let fitted = Json::parse(&answer).ok().and_then(|json| fit(json, provider, most));
    fitted.ok_or_else(|| {
        format!("of the answer, which has {} octets, what the rules look at has more than {most}", answer.len())
    })
}

/// Returns the text of an answer that says active, in at most `most` octets. It leaves out members that do not
/// change the verdict, the largest first, then members of the objects that stay. From lists that a rule looks at,
/// it leaves out the values that no rule looks for. None: what the rules need is too long.
pub fn fit(mut answer: Json<'_>, provider: &Provider, most: usize) -> Option<Vec<u8>> {
    if length(&answer) > most {
        let wanted = verdict(&answer, provider);
        let is_same = |answer: &Json<'_>| verdict(answer, provider) == wanted;
        leave_out(&mut answer, most, &is_same);
        if length(&answer) > most {
            shorten_lists(&mut answer, provider);
            if !is_same(&answer) {
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

/// What a member takes in the text, with colon and comma.
fn size_of((name, value): &Member<'_>) -> usize {
    length(&Json::Str(Cow::Borrowed(name))) + length(value) + 2
}

/// Everything that the proxy ever concludes from an answer.
fn verdict(answer: &Json<'_>, provider: &Provider) -> impl PartialEq + use<> {
    let claims = Claims::from_introspection(answer, &provider.issuer);
    (claims, provider.addresses(answer), provider.rules.check_required_claims(answer))
}

/// Leaves members out until the answer fits: first its own, then those of the objects that had to stay.
fn leave_out<'a>(answer: &mut Json<'a>, most: usize, is_same: &dyn Fn(&Json<'a>) -> bool) {
    let excess = length(answer).saturating_sub(most);
    let mut pruning = Pruning { answer, is_same, excess, trials: MAX_TRIALS };
    let mut paths = vec![Vec::new()];
    while let Some(path) = paths.pop() {
        pruning.prune(&path);
        if pruning.excess == 0 {
            return;
        }
        for name in pruning.objects_within(&path) {
            paths.push(path.iter().cloned().chain([name]).collect());
        }
    }
}

/// An answer that becomes shorter. No object within a list is looked into, because no rule does.
struct Pruning<'p, 'a> {
    answer: &'p mut Json<'a>,
    is_same: &'p dyn Fn(&Json<'a>) -> bool,
    /// Octets that have yet to go.
    excess: usize,
    trials: usize,
}

impl<'a> Pruning<'_, 'a> {
    /// The members of the object with this path.
    fn members(&mut self, path: &[String]) -> Option<&mut Vec<Member<'a>>> {
        let mut object = &mut *self.answer;
        for name in path {
            let Json::Object(members) = object else { return None };
            object = &mut members.iter_mut().find(|(other, _)| other == name)?.1;
        }
        match object {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }

    fn objects_within(&mut self, path: &[String]) -> Vec<String> {
        let members = self.members(path).map_or(&[][..], |members| members.as_slice());
        let objects = members.iter().filter(|(_, value)| matches!(value, Json::Object(_)));
        objects.map(|(name, _)| name.to_string()).collect()
    }

    /// Leaves out members of one object, the largest first, and no more than must go.
    fn prune(&mut self, path: &[String]) {
        let Some(members) = self.members(path) else { return };
        let is_kept = |name: &str| path.is_empty() && KEPT.contains(&name);
        let (kept, others): (Vec<_>, Vec<_>) = std::mem::take(members).into_iter().partition(|(name, _)| is_kept(name));
        *members = kept;
        let mut rest: Group<'a> = others.into_iter().map(|member| (size_of(&member), member)).collect();
        rest.sort_by(|one, other| (other.0, &other.1.0).cmp(&(one.0, &one.1.0)));
        while self.excess > 0 && self.trials > 0 && !rest.is_empty() {
            let later = rest.split_off(self.enough(&rest));
            rest = self.while_present(path, later, |pruning| pruning.try_without(path, rest));
        }
        self.put_back(path, rest);
    }

    /// How many of the first members are enough.
    fn enough(&self, group: &Group<'a>) -> usize {
        let mut octets = 0;
        let last = group.iter().position(|(size, _)| {
            octets += size;
            octets >= self.excess
        });
        last.map_or(group.len(), |last| last + 1)
    }

    /// Tries to do without a group that has been taken out. If the verdict needs one of it, each half is tried.
    fn try_without(&mut self, path: &[String], mut group: Group<'a>) {
        if self.excess == 0 || self.trials == 0 {
            self.put_back(path, group);
            return;
        }
        self.trials -= 1;
        if (self.is_same)(self.answer) {
            let octets: usize = group.iter().map(|(size, _)| size).sum();
            self.excess = self.excess.saturating_sub(octets);
        } else if group.len() == 1 {
            self.put_back(path, group);
        } else {
            let second = group.split_off(group.len() / 2);
            let second = self.while_present(path, second, |pruning| pruning.try_without(path, group));
            self.try_without(path, second);
        }
    }

    /// Puts a group back while `run` is at work, and takes it out again.
    fn while_present(&mut self, path: &[String], group: Group<'a>, run: impl FnOnce(&mut Self)) -> Group<'a> {
        let sizes: Vec<usize> = group.iter().map(|(size, _)| *size).collect();
        let start = self.members(path).map_or(0, |members| members.len());
        self.put_back(path, group);
        run(self);
        // `run` puts members only behind these.
        let Some(members) = self.members(path) else { return Vec::new() };
        let taken: Vec<Member<'a>> = members.drain(start..start + sizes.len()).collect();
        sizes.into_iter().zip(taken).collect()
    }

    fn put_back(&mut self, path: &[String], group: Group<'a>) {
        if let Some(members) = self.members(path) {
            members.extend(group.into_iter().map(|(_, member)| member));
        }
    }
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
    fn any_number_of_members_that_no_rule_looks_at_is_left_out() {
        for (count, size) in [(150, 120), (300, 60), (20_000, 20)] {
            let mut answer = serde_json::json!({"active": true, "sub": "alice", "aud": "sip", "exp": 99});
            for number in 0..count {
                answer[format!("attribute-{number}")] = serde_json::json!("x".repeat(size));
            }
            let small = fitted(&answer, "aor=sip:{sub}@example.test", 7168).unwrap();
            assert_eq!((&small["sub"], &small["aud"], &small["exp"]), (&answer["sub"], &answer["aud"], &answer["exp"]));
            let more = small.as_object().unwrap().len();
            assert!(more > 4 + 6000 / (size + 25) && more < count, "{more} of {count}: no more than must go");
        }
    }

    #[test]
    fn what_no_rule_looks_at_goes_out_of_an_object_that_stays() {
        let mut clients = serde_json::json!({"sip": {"roles": ["phones"], "more": "x".repeat(8000)}});
        for number in 0..300 {
            clients[format!("application-{number}")] = serde_json::json!({"roles": ["user", "reader"]});
        }
        let answer = serde_json::json!({"active": true, "sub": "alice", "aud": "sip", "exp": 99,
            "resource_access": clients, "picture": "y".repeat(8000)});
        let mut provider = provider("aor=sip:{sub}@example.test");
        provider.rules.required_claims = vec![("resource_access.sip.roles".into(), vec!["phones".into()])];
        let text = answer.to_string();
        let fitted = fit(Json::parse(text.as_bytes()).unwrap(), &provider, 7168).unwrap();
        let small: serde_json::Value = serde_json::from_slice(&fitted).unwrap();
        assert_eq!(small["resource_access"]["sip"]["roles"], serde_json::json!(["phones"]));
        assert_eq!((small.get("picture"), small["sub"].as_str()), (None, Some("alice")));
        let other = Json::parse(text.as_bytes()).unwrap();
        assert!(fit(other, &provider, 100).is_none_or(|fitted| fitted.len() <= 100));
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
