// SPDX-License-Identifier: MIT OR Apache-2.0
//! Phones that know a user name and a password, one of each user.

use std::ops::Range;
use std::path::Path;

use sipoauth::clock::now_millis;
use sipoauth::store::access::StoreAccess;
use sipoauth::store::phones::AddError;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;
use sipoauth_core::oauth::exchange::Granted;
use sipoauth_core::ports::store::StoreError;
use sipoauth_core::records::session::Identity;
use sipoauth_core::sip::digest::{DigestAlgorithm, DigestInput, ha1};
use sipoauth_core::text::secret::SecretText;

use crate::proxies::message::Message;
use crate::proxies::{DOMAIN, address};

/// Everybody's password where Kamailio knows it itself.
pub const PASSWORD: &str = "password-of-all";
/// How long the server's tokens are good, in seconds. No bench lasts that long, so nothing is refreshed meanwhile.
const LIFETIME: i64 = 7200;

/// The credentials of a phone.
pub struct Phone {
    username: String,
    ha1: String,
}

/// One phone of each user, from the first one on.
pub struct Phones(Vec<Phone>);

impl Phones {
    /// Phones with device passwords, which are put into the store of this configuration as the page does it.
    pub fn of_store(config: &Path, count: usize) -> Result<Phones, String> {
        let fail = |e: &dyn std::fmt::Display| format!("device passwords: {e}");
        let policy = policy(config)?;
        let access = StoreAccess::new(policy.sessions.as_ref().ok_or("no store is configured")?);
        let store = access.map_err(|e| fail(&e))?.open(&policy).map_err(|e| fail(&e))?;
        let added = |user: usize| {
            let now = now_millis();
            let page = store.keep_page_sign_in(&policy, 0, granted(user, now), now)?;
            store.add_device(&policy, &page, "Desk", DOMAIN, now)
        };
        let phone = |user: usize| {
            let device = added(user).map_err(|e| match e {
                AddError::Store(e) => fail(&e),
                AddError::SignedOut | AddError::TooMany => fail(&"the user may add none"),
            })?;
            Ok(Phone::new(device.username, &device.password))
        };
        (0..count).map(phone).collect::<Result<_, String>>().map(Phones)
    }

    /// Phones whose user names are those of their addresses, and whose password is the same.
    pub fn of_table(count: usize) -> Phones {
        Phones((0..count).map(|user| Phone::new(format!("u{user}"), PASSWORD)).collect())
    }

    /// Each user name with its H(A1) for MD5.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|phone| (phone.username.as_str(), phone.ha1.as_str()))
    }

    /// REGISTER of a user without credentials.
    pub fn first(user: usize, agent: &str) -> Message {
        Message::register(user, &format!("User-Agent: {agent}\r\n"), "")
    }

    /// REGISTER of a user that answers a challenge, the `count`-th time.
    pub fn answer(&self, user: usize, nonce: &str, count: u32, agent: &str) -> Message {
        let Phone { username, ha1 } = &self.0[user];
        let uri = format!("sip:{DOMAIN}");
        let answer = DigestInput {
            algorithm: DigestAlgorithm::Md5,
            username,
            realm: DOMAIN,
            nonce,
            opaque: None,
            method: "REGISTER",
            uri: &uri,
            auth: Some((count, "0a4f113b")),
        };
        let headers = format!("User-Agent: {agent}\r\nAuthorization: {}\r\n", answer.credentials(ha1));
        Message::register(user, &headers, "")
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Phone {
    fn new(username: String, password: &str) -> Phone {
        let ha1 = ha1(DigestAlgorithm::Md5, &username, DOMAIN, password).to_string();
        Phone { username, ha1 }
    }
}

/// How many of these users have a phone that has registered last under this name, as the store has it.
pub fn noted(config: &Path, mut users: Range<usize>, agent: &str) -> Result<usize, String> {
    let policy = policy(config)?;
    let access = StoreAccess::new(policy.sessions.as_ref().ok_or("no store is configured")?).map_err(|e| e.0)?;
    let store = access.open(&policy).map_err(|e| e.to_string())?;
    let is_noted = |user: usize| -> Result<bool, StoreError> {
        let phones = store.phones(&address(user), now_millis())?;
        Ok(phones.iter().any(|phone| phone.last_use.as_ref().is_some_and(|last| last.user_agent == agent)))
    };
    users.try_fold(0, |noted, user| Ok(noted + usize::from(is_noted(user).map_err(|e| e.to_string())?)))
}

fn policy(config: &Path) -> Result<Policy, String> {
    let mut source = Source::default();
    source.set("config_file", &config.to_string_lossy()).map_err(|e| e.0)?;
    Policy::new(&source.load().map_err(|e| e.0)?).map_err(|e| e.0)
}

/// What the browser's sign-in of a user was granted.
fn granted(user: usize, now: i64) -> Granted {
    Granted {
        identity: Identity {
            subject: format!("{user:032x}"),
            aors: vec![address(user)],
            client_id: crate::proxies::server::CLIENT.into(),
            scope: "openid sip".into(),
            sid: None,
        },
        access_token: SecretText(format!("access-{user}")),
        refresh_token: Some(SecretText(format!("refresh-{user}"))),
        id_token: None,
        expires_at: now / 1000 + LIFETIME,
        master_key: None,
    }
}
