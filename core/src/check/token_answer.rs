// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an authorization server has said about a token. The answer is kept for a while (RFC 7662 section 4).
//!
//! The answer says who the token stands for. Nobody can find the token from the answer or from its name.

use serde::{Deserialize, Serialize};

use crate::config::introspection::Introspection;
use crate::reason::Reason;
use crate::records::session::Record;
use crate::text::fingerprint::secret_name;

/// Longest answer in octets. One entry of the shared memory has room for this much.
pub const MAX_ANSWER: usize = 7 * 1024;
/// A host that cannot park requests asks again after a moment, in seconds. An answer must live until then, even if
/// the server is to be asked for each request.
const MOMENT: i64 = 3;

/// Names a token without revealing it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct TokenId(pub String);

impl TokenId {
    /// The id of a token that is introspected at this issuer.
    pub fn new(issuer: &str, token: &str) -> TokenId {
        TokenId(format!("i:{}", secret_name(&[issuer, token])))
    }
}

/// The result of an introspection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum IntrospectionResult {
    /// The token is active. This is the JSON object of the answer.
    Active(Vec<u8>),
    /// The token is not active.
    Inactive,
    /// There is no answer. This is the number of the reason.
    Failed(u32),
}

impl IntrospectionResult {
    /// Seconds for which the result is kept.
    fn kept_for(&self, introspection: &Introspection) -> i64 {
        i64::from(match self {
            IntrospectionResult::Active(_) => introspection.cache,
            IntrospectionResult::Inactive => introspection.negative_cache,
            IntrospectionResult::Failed(_) => 0,
        })
    }
}

/// The result of an introspection, with its time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TokenAnswer {
    /// The result.
    pub said: IntrospectionResult,
    /// When the server was asked, Unix seconds.
    pub asked_at: i64,
}

impl Record for TokenAnswer {}

/// For how long a token may be used before its server must be asked again. Times are Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When the server was asked.
    pub asked_at: i64,
    /// The answer counts until then.
    pub until: i64,
}

impl Standing {
    /// For a token whose server has not been asked.
    pub const NONE: Standing = Standing { asked_at: i64::MIN, until: i64::MIN };

    /// Whether the answer counts. An answer from the future does not, because the clock was set back.
    pub fn holds(&self, now: i64) -> bool {
        self.asked_at <= now.saturating_add(1) && now < self.until
    }
}

/// What is known about a token now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownAnswer {
    /// The token is active. This is what the server says, and for how long that counts.
    Active(Vec<u8>, Standing),
    /// The token is not accepted, for this reason.
    Refused(Reason),
    /// The server must be asked.
    NotHere,
}

/// The answers as this worker can see them without waiting.
pub trait KnownAnswers {
    /// The last answer about a token, however old it is.
    fn answer(&self, id: &TokenId) -> Option<TokenAnswer>;
    /// Whether this request has asked the server.
    fn asked(&self) -> Asked;
    /// No request waits longer than this many seconds.
    fn longest_wait(&self) -> i64;
}

/// Whether a request has asked the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It has not asked yet.
    No,
    /// It has asked, has waited, and goes on now.
    Yes,
    /// It cannot wait, so it must make do with what is known.
    Never,
}

impl TokenAnswer {
    /// How long the answer counts.
    pub fn standing(&self, introspection: &Introspection) -> Standing {
        Standing { asked_at: self.asked_at, until: self.asked_at.saturating_add(self.said.kept_for(introspection)) }
    }
}

/// What is known about a token, for a request at this time (Unix seconds).
pub fn known_answer(known: &dyn KnownAnswers, id: &TokenId, introspection: &Introspection, now: i64) -> KnownAnswer {
    let Some(answer) = known.answer(id) else {
        return KnownAnswer::NotHere;
    };
    let standing = answer.standing(introspection);
    let lasts = |seconds: i64| Standing { until: answer.asked_at.saturating_add(seconds), ..standing }.holds(now);
    let counts = standing.holds(now)
        || match known.asked() {
            Asked::No => false,
            // The server was asked for this request, and no request waits longer than this.
            Asked::Yes => lasts(known.longest_wait() + 1),
            Asked::Never => !matches!(answer.said, IntrospectionResult::Failed(_)) && lasts(MOMENT),
        };
    match answer.said {
        _ if !counts => KnownAnswer::NotHere,
        IntrospectionResult::Active(claims) => KnownAnswer::Active(claims, standing),
        IntrospectionResult::Inactive => KnownAnswer::Refused(Reason::TokenInactive),
        IntrospectionResult::Failed(number) => {
            KnownAnswer::Refused(Reason::from_number(number).unwrap_or(Reason::IntrospectionUnavailable))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known(Option<TokenAnswer>, Asked);

    impl KnownAnswers for Known {
        fn answer(&self, _: &TokenId) -> Option<TokenAnswer> {
            self.0.clone()
        }
        fn asked(&self) -> Asked {
            self.1
        }
        fn longest_wait(&self) -> i64 {
            5
        }
    }

    fn known(said: Option<IntrospectionResult>, asked: Asked, cache: u32, now: i64) -> KnownAnswer {
        let answer = said.map(|said| TokenAnswer { said, asked_at: 1000 });
        let introspection =
            Introspection { endpoint: None, discovery: Vec::new(), signed: None, cache, negative_cache: 10 };
        known_answer(&Known(answer, asked), &TokenId::new("i", "t"), &introspection, now)
    }

    #[test]
    fn answers_count_as_long_as_they_may() {
        use KnownAnswer::{NotHere, Refused};
        let active = || Some(IntrospectionResult::Active(b"{}".to_vec()));
        let until = |until| KnownAnswer::Active(b"{}".to_vec(), Standing { asked_at: 1000, until });
        assert_eq!(known(active(), Asked::No, 60, 1059), until(1060));
        assert_eq!(known(active(), Asked::No, 60, 1060), NotHere);
        assert_eq!(known(active(), Asked::No, 60, 900), NotHere, "the clock was set back");
        assert_eq!(known(active(), Asked::No, 0, 1000), NotHere, "each request is asked for");
        assert_eq!(known(active(), Asked::Yes, 0, 1005), until(1000));
        assert_eq!(known(active(), Asked::Yes, 0, 1006), NotHere, "not its own answer");
        assert_eq!(known(active(), Asked::Yes, 60, 1030), until(1060));
        assert_eq!(known(active(), Asked::Never, 0, 1002), until(1000));
        assert_eq!(known(active(), Asked::Never, 0, 1003), NotHere);
        assert_eq!(known(Some(IntrospectionResult::Inactive), Asked::No, 60, 1009), Refused(Reason::TokenInactive));
        assert_eq!(known(Some(IntrospectionResult::Inactive), Asked::No, 60, 1010), NotHere);
        let failed = || Some(IntrospectionResult::Failed(Reason::ClientRefused.number()));
        assert_eq!(known(failed(), Asked::No, 60, 1000), NotHere, "a failure is not remembered");
        assert_eq!(known(failed(), Asked::Never, 60, 1000), NotHere, "nor by who cannot wait");
        assert_eq!(known(failed(), Asked::Yes, 60, 1004), Refused(Reason::ClientRefused));
        assert_eq!(known(None, Asked::Yes, 60, 1000), NotHere);
        assert_eq!(known(None, Asked::No, 60, 1000), NotHere);
    }

    #[test]
    fn a_name_tells_nothing_of_the_token() {
        let id = TokenId::new("https://as.example", "a-secret-token");
        assert!(!id.0.contains("secret") && id.0.len() == 66);
        assert_ne!(id, TokenId::new("https://as.exampl", "ea-secret-token"));
    }
}
