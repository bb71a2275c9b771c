// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which challenge an endpoint is offered: many phones cannot parse a Bearer challenge, even beside Digest.

use super::settings::OfferSettings;
use super::{ConfigError, error};

/// What to offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Offer {
    /// A Bearer challenge.
    #[default]
    Bearer = 1,
    /// A Digest challenge only.
    Digest = 2,
    /// Digest first, Bearer last.
    Both = 3,
}

/// What is known of the endpoint that will be challenged.
#[derive(Clone, Copy, Debug, Default)]
pub struct SipEndpoint<'a> {
    /// User-Agent, empty when absent.
    pub user_agent: &'a str,
    /// udp, tcp, tls, sctp, ws or wss.
    pub transport: &'a str,
    /// Domain of the address-of-record.
    pub domain: &'a str,
    /// Local port.
    pub port: u16,
    /// Body of Supported, empty when absent.
    pub supported: &'a str,
}

/// A checked rule.
#[derive(Clone, Debug)]
pub struct OfferRule {
    offer: Offer,
    rule: OfferSettings,
}

impl OfferRule {
    /// Checks a rule. Messages name the rule by `number`, which counts from 1.
    pub fn new(rule: &OfferSettings, number: usize) -> Result<OfferRule, ConfigError> {
        let offer = match rule.offer.as_str() {
            "bearer" => Offer::Bearer,
            "digest" => Offer::Digest,
            "both" => Offer::Both,
            other => return error(format!("offer rule {number}: offer = \"{other}\": write bearer, digest or both")),
        };
        for transport in &rule.transport {
            if !["udp", "tcp", "tls", "sctp", "ws", "wss"].contains(&transport.as_str()) {
                return error(format!(
                    "offer rule {number}: transport \"{transport}\": write udp, tcp, tls, sctp, ws or wss"
                ));
            }
        }
        Ok(OfferRule { offer, rule: rule.clone() })
    }

    fn fits(&self, endpoint: &SipEndpoint<'_>) -> bool {
        let any = |patterns: &[String], text: &str| patterns.is_empty() || patterns.iter().any(|p| glob(p, text));
        let tags = || endpoint.supported.split(',').map(str::trim);
        any(&self.rule.user_agent, endpoint.user_agent)
            && any(&self.rule.transport, endpoint.transport)
            && any(&self.rule.domain, endpoint.domain)
            && (self.rule.port.is_empty() || self.rule.port.contains(&endpoint.port))
            && (self.rule.supported.is_empty() || self.rule.supported.iter().any(|s| tags().any(|t| glob(s, t))))
    }
}

/// The offer of the first rule that fits; Bearer when none does.
pub fn choose(rules: &[OfferRule], endpoint: &SipEndpoint<'_>) -> Offer {
    rules.iter().find(|r| r.fits(endpoint)).map_or(Offer::default(), |r| r.offer)
}

/// `*` stands for any run of characters; letters compare without regard to case. Linear in both lengths
/// but for backtracking to the last star.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p].eq_ignore_ascii_case(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, star_t + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("*", "", true),
            ("baresip*", "Baresip v1.0", true),
            ("*linphone*", "x Linphone/5.1", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("abc", "abcd", false),
            ("*.example", "a.example", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn first_rule_that_fits_decides() {
        let rule = |offer: &str, agent: &str, transport: &str| {
            let list = |t: &str| if t.is_empty() { vec![] } else { vec![t.to_owned()] };
            let settings = OfferSettings {
                offer: offer.into(),
                user_agent: list(agent),
                transport: list(transport),
                ..OfferSettings::default()
            };
            OfferRule::new(&settings, 1).unwrap()
        };
        let rules = [rule("digest", "*Linphone*", ""), rule("bearer", "", "ws"), rule("both", "", "")];
        let offer =
            |agent, transport| choose(&rules, &SipEndpoint { user_agent: agent, transport, ..SipEndpoint::default() });
        assert_eq!(offer("Linphone/5.1", "ws"), Offer::Digest);
        assert_eq!(offer("JsSIP", "ws"), Offer::Bearer);
        assert_eq!(offer("", "udp"), Offer::Both);
        assert_eq!(choose(&[], &SipEndpoint::default()), Offer::Bearer);
        assert!(OfferRule::new(&OfferSettings::default(), 2).unwrap_err().0.contains("rule 2"));
    }
}
