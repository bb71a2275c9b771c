// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the store keeps of a phone that signed in: the session with its keys, the tokens, and the fate of the
//! grant that the phone signed in with.
//!
//! Records are encoded by postcard behind one octet with the version, and sealed as a whole before they are stored.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::packed_token;
use super::redemption::Redemption;
use crate::text::packed_text;
use crate::text::secret::{KeyOctets, SecretText};

/// Most keys of a session: each 200 OK to the same code makes one.
pub const MAX_KEYS: usize = 4;

/// Most access tokens of a session that its phone may use at once. A request with the token before the last
/// refresh may still be on its way.
pub const MAX_TOKENS: usize = 2;

/// Longest token in octets.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The name of a session: 6 octets with the time at which it began, in Unix milliseconds, so that sessions are
/// stored in order of time, and 10 random octets.
pub type SessionId = [u8; 16];

/// The name of an access token, which reveals nothing about the token.
pub type TokenName = [u8; 16];

/// Makes the name of an access token: the first 16 octets of its SHA-256.
pub fn token_name(token: &str) -> TokenName {
    let mut name = TokenName::default();
    name.copy_from_slice(&Sha256::digest(token.as_bytes())[..16]);
    name
}

/// The name of an issuer. Records have it because a provider may get another issuer under the same name.
pub type IssuerName = [u8; 8];

/// Makes the name of an issuer: the first 8 octets of its SHA-256.
pub fn issuer_name(issuer: &str) -> IssuerName {
    let mut name = IssuerName::default();
    name.copy_from_slice(&Sha256::digest(issuer.as_bytes())[..8]);
    name
}

/// How a phone signed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum SignIn {
    /// With an authorization code (3rd-party-authentication section 2, sip-oauth section 3).
    #[default]
    Code,
    /// With a password, by Digest. The phone holds the tokens itself (sip-oauth section 4).
    Password,
    /// With a token from elsewhere, which its server has replaced (sip-oauth section 5).
    ForeignToken,
    /// With a browser, at the sign-in page. No phone holds this session: those that its user adds hang on it.
    Page,
    /// With a device password, which the sign-in page has made.
    Device,
}

/// The name of the browser's session at a server (`sid` of OpenID Connect), which reveals nothing about it.
pub type SidName = [u8; 8];

/// Makes the name of a `sid`: the first 8 octets of its SHA-256.
pub fn sid_name(sid: &str) -> SidName {
    let mut name = SidName::default();
    name.copy_from_slice(&Sha256::digest(sid.as_bytes())[..8]);
    name
}

impl SignIn {
    /// True when the phone holds the tokens and refreshes them itself.
    pub fn phone_holds_tokens(self) -> bool {
        self == SignIn::Password
    }
}

/// Everything a worker needs to check proofs of an address-of-record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Account {
    /// The address, canonical.
    pub aor: String,
    /// The sessions of its devices, the latest sign-in first.
    pub sessions: Vec<Session>,
    /// Sessions that have ended, and of whose end some proxy may not have been told.
    pub untold: Vec<Session>,
}

/// One device that signed in. Times are Unix seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Session {
    /// The session's name.
    pub id: SessionId,
    /// Name of the provider.
    pub provider: String,
    /// The provider's issuer, because a provider may get another issuer under the same name.
    pub issuer: IssuerName,
    /// How the phone signed in.
    pub sign_in: SignIn,
    /// `+sip.instance`, empty when the phone gave none.
    #[serde(with = "packed_text::text")]
    pub instance: String,
    /// `reg-id` of its flow (RFC 5626), 0 when the phone gave none.
    pub reg_id: u32,
    /// `sub`
    #[serde(with = "packed_text::text")]
    pub subject: String,
    /// The proxy's client at the authorization server.
    pub client_id: String,
    /// Granted scopes, separated by a space.
    #[serde(with = "packed_text::scope")]
    pub scope: String,
    /// The shared keys, newest first.
    pub keys: Vec<KeyOctets>,
    /// The access tokens that the phone holds, newest first: a proof belongs to one of them.
    pub tokens: Vec<TokenName>,
    /// Proofs of the registrations that made the keys, for phones that repeat them (`pop_reuse` in the setting allow).
    pub proofs: Vec<KeyOctets>,
    /// The user signed in at this time.
    pub created_at: i64,
    /// The tokens are valid until this time.
    pub valid_until: i64,
    /// The session ends at this time, whatever the tokens say.
    pub ends_at: i64,
    /// There is a refresh token, so valid_until can move.
    pub renewable: bool,
    /// The keys come from a short code.
    pub weak: bool,
    /// The browser's session at the server, if the server names it.
    pub sid: Option<SidName>,
    /// The sign-in at the page by which the phone was added, and with which it ends.
    pub parent: Option<SessionId>,
    /// What its user calls the phone; empty where it was not added at the page.
    pub name: String,
    /// For a device password, the user name that belongs to it; empty for others.
    pub device: String,
}

/// The user for whom a code stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Identity {
    /// `sub`
    #[serde(with = "packed_text::text")]
    pub subject: String,
    /// The addresses that the user owns, canonical.
    pub aors: Vec<String>,
    /// The proxy's client at the authorization server.
    pub client_id: String,
    /// Granted scopes, separated by a space.
    #[serde(with = "packed_text::scope")]
    pub scope: String,
    /// The browser's session at the server, if the ID token names it.
    pub sid: Option<SidName>,
}

/// The fate of a code.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum CodeState {
    /// A process is exchanging the code. That process may die, so this holds the Unix milliseconds at which it has
    /// given up at the latest.
    InFlight(i64),
    /// The authorization server refused the code with the code_verifier and the redirect_uri of the first claim.
    /// Holds the number of the reason.
    Refused(u32),
    /// The code is spent, and nobody gets anything for it. Holds the number of the reason.
    Spent(u32),
    /// The server's answer was lost or cannot be read, so nobody knows whether the code is spent. Holds the Unix
    /// milliseconds at which that was known.
    InDoubt(i64),
    /// The code was exchanged.
    Done(Box<Exchanged>),
}

impl CodeState {
    /// True when no exchange is known to have succeeded. With another code_verifier the server may say something else.
    pub fn is_a_try(&self) -> bool {
        matches!(self, CodeState::InFlight(_) | CodeState::Refused(_) | CodeState::InDoubt(_))
    }
}

/// What came of a code.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Exchanged {
    /// The session that the code makes.
    pub session: SessionId,
    /// The user for whom the code stands.
    pub identity: Identity,
    /// The address that used the code first; empty: none yet. No other address may use it.
    pub bound_to: String,
    /// How the user signed in.
    pub sign_in: SignIn,
    /// The code, from which the keys are made; empty for other sign-ins.
    pub code: SecretText,
    /// The master-key, which takes the place of a key from the code (sip-oauth sections 3.5 and 4.3).
    pub master_key: Option<KeyOctets>,
    /// The access token, when the phone holds it.
    pub token: Option<TokenName>,
    /// The tokens are valid until this time, in Unix seconds.
    pub valid_until: i64,
    /// There is a refresh token.
    pub renewable: bool,
    /// For a typed code, the sign-in at the page that made it.
    pub parent: Option<SessionId>,
    /// For a typed code, what its user calls the phone; empty for others.
    pub name: String,
}

/// A code's record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CodeRecord {
    /// Name of the provider.
    pub provider: String,
    /// The fate of the code.
    pub state: CodeState,
    /// Who redeemed the code first. None for grants that need no such check, because the record belongs to one
    /// address (a token from elsewhere) or the grant comes with a proof (a refresh token).
    pub redemption: Option<Redemption>,
}

/// The tokens of a session. Only the I/O service reads them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Tokens {
    /// Name of the provider.
    pub provider: String,
    /// The provider's issuer.
    pub issuer: IssuerName,
    /// The session's address, empty until a phone has registered with it.
    pub aor: String,
    /// How the phone signed in. The proxy does not refresh tokens that the phone holds.
    pub sign_in: SignIn,
    /// The access token, if the phone or an application server is to get it.
    #[serde(with = "packed_token::token")]
    pub access_token: Option<SecretText>,
    /// The refresh token.
    #[serde(with = "packed_token::token")]
    pub refresh_token: Option<SecretText>,
    /// The access token is valid until this time, in Unix seconds.
    pub expires_at: i64,
    /// The session ends at this time, in Unix seconds.
    pub ends_at: i64,
    /// The tokens are refreshed at this time, in Unix milliseconds; 0: not planned.
    pub refresh_at: i64,
    /// Refreshes that failed in a row because the server could not be reached.
    pub failures: u32,
}

/// A kind of record. A change of its fields needs a new version of this kind only; other kinds keep theirs.
pub trait Record: Serialize + for<'a> Deserialize<'a> {
    /// The first octet of such a record.
    const VERSION: u8 = 3;
}

impl Record for Account {
    const VERSION: u8 = 5;
}
impl Record for Tokens {}
impl Record for CodeRecord {
    const VERSION: u8 = 6;
}

/// Writes a record.
pub fn encode<T: Record>(record: &T) -> Zeroizing<Vec<u8>> {
    let octets = postcard::to_extend(record, vec![T::VERSION]);
    Zeroizing::new(octets.expect("plain data in memory can always be written"))
}

/// True for a record that an older version of this program has written. Such a record counts as absent.
pub fn is_outdated<T: Record>(octets: &[u8]) -> bool {
    octets.first().is_some_and(|version| (1..T::VERSION).contains(version))
}

/// Reads a record; None when it is not one of this version.
pub fn decode<T: Record>(octets: &[u8]) -> Option<T> {
    let (version, rest) = octets.split_first()?;
    (*version == T::VERSION).then(|| postcard::from_bytes(rest).ok()).flatten()
}

impl Account {
    /// Gives the phones that hang on a sign-in at the page what that sign-in allows now. A phone whose sign-in has gone
    /// has ended.
    pub fn judged(mut self) -> Account {
        let parents: Vec<Session> = self.sessions.iter().filter(|s| s.sign_in == SignIn::Page).cloned().collect();
        for session in &mut self.sessions {
            let Some(id) = session.parent else { continue };
            match parents.iter().find(|parent| parent.id == id) {
                Some(parent) => {
                    session.valid_until = parent.valid_until;
                    session.ends_at = parent.ends_at;
                    session.renewable = parent.renewable;
                    session.scope.clone_from(&parent.scope);
                }
                None => {
                    session.valid_until = 0;
                    session.renewable = false;
                }
            }
        }
        self
    }

    /// The sessions that phones hold.
    pub fn phones(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().filter(|session| session.sign_in != SignIn::Page)
    }

    /// Notes sessions that have ended, until every proxy is told of it.
    pub fn owe(&mut self, ended: impl IntoIterator<Item = Session>) {
        self.untold.extend(ended.into_iter().map(|session| Session {
            valid_until: 0,
            keys: Vec::new(),
            proofs: Vec::new(),
            tokens: Vec::new(),
            ..session
        }));
    }

    /// Takes out what nothing holds any more: the phone that signed in first as long as there are more than `most`, and
    /// phones whose sign-in at the page has gone.
    pub fn prune(&mut self, most: usize) -> Vec<Session> {
        let mut gone = Vec::new();
        while self.phones().count() > most {
            let Some(last) = self.sessions.iter().rposition(|s| s.sign_in != SignIn::Page) else { break };
            gone.push(self.sessions.remove(last));
        }
        let pages: Vec<SessionId> =
            self.sessions.iter().filter(|s| s.sign_in == SignIn::Page).map(|page| page.id).collect();
        gone.extend(self.sessions.extract_if(.., |s| s.parent.is_some_and(|parent| !pages.contains(&parent))));
        gone
    }
}

impl Session {
    /// Puts a key first, and drops the oldest one if there are more than [`MAX_KEYS`]. Returns false when the key
    /// is there already.
    pub fn add_key(&mut self, key: KeyOctets) -> bool {
        if self.keys.contains(&key) {
            return false;
        }
        self.keys.insert(0, key);
        self.keys.truncate(MAX_KEYS);
        true
    }
}

impl Session {
    /// Notes that the phone has a new access token.
    pub fn add_token(&mut self, name: TokenName) {
        self.tokens.retain(|known| *known != name);
        self.tokens.insert(0, name);
        self.tokens.truncate(MAX_TOKENS);
    }
}

/// The session's name in lower-case hex, 32 characters.
pub fn id_text(id: &SessionId) -> String {
    crate::text::fingerprint::hex(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            id: [7; 16],
            provider: "corp".into(),
            issuer: issuer_name("https://as.example"),
            sign_in: SignIn::Code,
            instance: String::new(),
            reg_id: 0,
            subject: "alice".into(),
            client_id: "proxy".into(),
            scope: "openid".into(),
            keys: vec![KeyOctets([1; 32])],
            tokens: Vec::new(),
            proofs: Vec::new(),
            created_at: 1,
            valid_until: 2,
            ends_at: 3,
            renewable: true,
            weak: false,
            sid: None,
            parent: None,
            name: String::new(),
            device: String::new(),
        }
    }

    #[test]
    fn comes_back_unchanged() {
        let account = Account { aor: "sip:alice@example.test".into(), sessions: vec![session()], untold: Vec::new() };
        let octets = encode(&account);
        assert_eq!(decode::<Account>(&octets), Some(account));
        assert_eq!(decode::<Account>(&octets[..octets.len() - 1]), None);
        assert_eq!(decode::<Account>(&[1, 0]), None);
        let old = is_outdated::<Account>;
        assert!(old(&[1, 0]) && !old(&octets) && !old(&[0]) && !old(&[]));
        assert!(is_outdated::<CodeRecord>(&octets), "codes have versions of their own");
        assert_eq!(decode::<Account>(&[]), None);
    }

    #[test]
    fn phones_last_as_long_as_the_sign_in_at_the_page() {
        let page = Session { id: [1; 16], sign_in: SignIn::Page, valid_until: 90, ends_at: 99, ..session() };
        let phone = |id, parent| Session { id: [id; 16], sign_in: SignIn::Device, parent, ..session() };
        let own = phone(4, None);
        let sessions = vec![phone(2, Some([1; 16])), phone(3, Some([9; 16])), page, own.clone()];
        let account = Account { aor: "sip:alice@example.test".into(), sessions, untold: Vec::new() };
        let judged = account.clone().judged().sessions;
        assert_eq!((judged[0].valid_until, judged[0].ends_at, judged[0].renewable), (90, 99, true));
        assert_eq!((judged[1].valid_until, judged[1].renewable), (0, false), "its sign-in has gone");
        assert_eq!(judged[3], own);

        let ids = |sessions: &[Session]| sessions.iter().map(|s| s.id[0]).collect::<Vec<_>>();
        let mut pruned = account.clone();
        assert_eq!(ids(&pruned.prune(10)), [3]);
        assert_eq!(ids(&pruned.sessions), [2, 1, 4]);
        assert_eq!(ids(&pruned.prune(1)), [4], "the sign-in at the page is no phone");
        pruned.sessions.retain(|s| s.sign_in != SignIn::Page);
        assert_eq!(ids(&pruned.prune(1)), [2]);
    }

    #[test]
    fn keeps_the_newest_keys() {
        let mut session = session();
        assert!(!session.add_key(KeyOctets([1; 32])));
        for i in 2..9 {
            assert!(session.add_key(KeyOctets([i; 32])));
        }
        assert_eq!(session.keys.iter().map(|k| k.0[0]).collect::<Vec<_>>(), [8, 7, 6, 5]);
    }

    #[test]
    fn debug_shows_no_secret() {
        let tokens = Tokens {
            provider: "corp".into(),
            issuer: issuer_name("https://as.example"),
            aor: String::new(),
            sign_in: SignIn::Code,
            access_token: Some(SecretText("secret-a".into())),
            refresh_token: Some(SecretText("secret-r".into())),
            expires_at: 0,
            ends_at: 0,
            refresh_at: 5,
            failures: 0,
        };
        assert!(!format!("{tokens:?} {:?}", session()).contains("secret-"));
    }
}
