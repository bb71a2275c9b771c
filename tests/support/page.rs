// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the sign-in page does with the store, without the page: a user signs in and adds phones.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use sipoauth::store::access::StoreAccess;
use sipoauth::store::phones::{NewDevice, PageSignIn, Phone};
use sipoauth::store::session_ends::Ending;
use sipoauth::store::sessions::SessionStore;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;
use sipoauth_core::oauth::exchange::Granted;
use sipoauth_core::records::session::{Identity, SessionId, sid_name};
use sipoauth_core::records::session_end::EndedBy;
use sipoauth_core::text::secret::SecretText;

fn now_millis() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis() as i64
}

pub struct Page {
    pub policy: Policy,
    pub store: Arc<SessionStore>,
}

impl Page {
    /// Opens the store of a configuration file.
    pub fn open(file: &Path) -> Page {
        let mut source = Source::default();
        source.set("config_file", file.to_str().expect("UTF-8")).expect("a file");
        let policy = Policy::new(&source.load().expect("a configuration")).expect("a policy");
        let access = StoreAccess::new(policy.sessions.as_ref().expect("a store")).expect("its key");
        let store = access.open(&policy).expect("the store");
        Page { policy, store }
    }

    /// A user signs in for an hour.
    pub fn sign_in(&self, user: &str) -> PageSignIn {
        self.sign_in_with(user, None, 3600)
    }

    /// A user signs in with tokens of a server, which are good for so many seconds.
    pub fn sign_in_with(&self, user: &str, refresh_token: Option<&str>, lifetime: i64) -> PageSignIn {
        let now = now_millis();
        let granted = Granted {
            identity: Identity {
                subject: user.to_owned(),
                aors: vec![format!("sip:{user}@example.test")],
                client_id: "sip-proxy".into(),
                scope: String::new(),
                sid: Some(sid_name(&format!("browser of {user}"))),
            },
            access_token: SecretText("an access token".into()),
            refresh_token: refresh_token.map(|token| SecretText(token.to_owned())),
            id_token: None,
            expires_at: now / 1000 + lifetime,
            master_key: None,
        };
        self.store.keep_page_sign_in(&self.policy, 0, granted, now).expect("kept")
    }

    pub fn add_device(&self, page: &PageSignIn, name: &str) -> NewDevice {
        self.store.add_device(&self.policy, page, name, "example.test", now_millis()).expect("a device password")
    }

    pub fn add_typed_code(&self, page: &PageSignIn) -> String {
        let code = self.store.add_typed_code(&self.policy, page, "typed", now_millis()).expect("a code").code;
        code.to_string()
    }

    pub fn phones(&self, page: &PageSignIn) -> Vec<Phone> {
        self.store.phones(&page.aor, now_millis()).expect("the store")
    }

    /// The user signs a phone out.
    pub fn sign_out(&self, page: &PageSignIn, phone: &SessionId) {
        let ended = self.store.end_sessions(&page.aor, &Ending::new(EndedBy::User), now_millis(), |s| s.id == *phone);
        assert_eq!(ended.expect("the store").len(), 1);
    }
}
