// SPDX-License-Identifier: MIT OR Apache-2.0

//! Two proxies with one store, and honest phones whose requests are captured: one for each way to sign in.

use crate::endpoint::{VALIDATION, random};
use crate::phone::Sip;
use crate::plant::{Plant, Proxy};
use crate::support::encryption::Recipient;
use crate::support::page::Page;
use crate::support::patience::{self, PATIENCE};
use crate::support::scripted_server::{Answer as ServerAnswer, Received, key_set};
use crate::support::token::{TestKey, claims, now, signing_key};
use crate::ways::Way;
use serde_json::{Value, json};
use sipoauth::worker::Handling;
use sipoauth::worker::key_derivation::AccountSource;
use sipoauth::worker::result::CheckResult;
use sipoauth_core::check::device::DeviceStep;
use sipoauth_core::check::session_check::DigestUser;
use sipoauth_core::keys::master_key::{Ha1Form, master_key};
use sipoauth_core::keys::pbkdf2::MasterKey;
use sipoauth_core::keys::pop::{make_pop, pop_to_text};
use sipoauth_core::keys::shared_key::Key;
use sipoauth_core::sip::digest::{DigestAlgorithm, DigestInput, ha1};
use sipoauth_core::sip::key_derivation::KeyResponse;
use sipoauth_core::sip::uri::Aor;
use sipoauth_core::text::form;
use std::fs;

const REALM: &str = "example.test";
const POP: &str = "grant_type=proof-of-possession";

/// What a phone holds, and whose it is.
#[derive(Clone, Default)]
pub struct Material {
    pub user: String,
    pub aor: String,
    /// Its access token.
    pub token: Option<String>,
    /// The key of its proofs.
    key: Option<Key>,
    /// The key that its password gives for Key-Derivation.
    password_key: Option<MasterKey>,
    refresh_token: String,
}

impl Material {
    /// The proof of this request, as its text; None where there is none.
    pub fn proof(&self, way: Way, sip: &Sip) -> Option<String> {
        let covered = match way {
            Way::ProofInBody => POP.as_bytes().to_vec(),
            Way::Refresh => self.refreshing().into_bytes(),
            _ => sip.body.clone(),
        };
        if way == Way::KeyDerivation {
            let response = KeyResponse::new(&self.user, None, None, self.password_key.as_ref()?, &sip.digest(&covered));
            return Some(pop_to_text(&response.pop));
        }
        Some(pop_to_text(&make_pop(&**self.key.as_ref()?, &sip.digest(&covered))))
    }

    fn refreshing(&self) -> String {
        format!("grant_type=refresh_token&refresh_token={}", self.refresh_token)
    }
}

pub struct Stage {
    pub way: Way,
    plant: Plant,
    /// Signs access tokens.
    key: TestKey,
    pub proxy: Proxy,
    /// It shares the store.
    pub other: Proxy,
    /// Where users add their phones.
    page: Page,
    count: u32,
}

impl Stage {
    pub fn new(way: Way) -> Stage {
        Stage::with(way, &json!({}))
    }

    /// With more settings.
    pub fn with(way: Way, more: &Value) -> Stage {
        let (plant, key) = (Plant::new(), TestKey::p256("attacked"));
        let mut all = settings(way, &plant, &key);
        all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        if way == Way::OpaqueToken {
            plant.endpoint.server.set("/introspect", ServerAnswer::computed(introspected));
        }
        let (proxy, other) = (plant.proxy(&all), plant.proxy(&all));
        let page = Page::open(&proxy.configuration);
        Stage { way, plant, key, proxy, other, page, count: 0 }
    }

    /// A phone that nobody knows yet, ready to send the request that will be captured.
    pub fn prepare(&mut self) -> (Sip, Material) {
        self.count += 1;
        let number = self.count;
        let user = format!("user{number}");
        let aor = format!("sip:{user}@example.test");
        let base = Sip {
            source: (format!("192.0.2.{}", 1 + number % 200), 5060),
            reg_id: 1,
            connection: u64::from(number) + 1000,
            octets: format!("the message of {user}").into_bytes(),
            ..Sip::register(&aor, &format!("captured-{number}")).instance(&format!("phone-{number}"))
        };
        if matches!(self.way, Way::CodeOfMasterKey | Way::ProofWithMasterKey) {
            self.plant.endpoint.add_to_answers(json!({ "master-key": pop_to_text(&self.master_key()) }));
        }
        let mut own = Material { user, aor, ..Material::default() };
        let sip = match self.way {
            Way::Token => {
                own.token = Some(self.access_token(&own.user));
                with_token(base, &own)
            }
            Way::EncryptedToken => {
                let token = self.access_token(&own.user);
                own.token = Some(Recipient::rsa().encrypt("RSA-OAEP-256", "A128GCM", &token));
                with_token(base, &own)
            }
            Way::OpaqueToken => {
                own.token = Some(random(&format!("opaque-{}", own.user)));
                with_token(base, &own)
            }
            Way::ForeignToken => {
                own.token = Some(self.plant.endpoint.foreign_token(&own.user));
                with_token(base, &own)
            }
            Way::Code | Way::CodeOfMasterKey => {
                let code = self.plant.endpoint.code(&own.user);
                base.body(&format!("grant_type=authorization_code&code={code}"))
            }
            Way::CodeWithVerifier => {
                let (code, verifier) = (self.plant.endpoint.code(&own.user), "v".repeat(50));
                base.body(&format!(
                    "grant_type=authorization_code&code={code}&code_verifier={verifier}\
                     &redirect_uri=https%3A%2F%2Fphone.example%2Fcb"
                ))
            }
            Way::ShortCode => {
                let code = format!("4711{number:04}");
                self.plant.endpoint.add_code(&code, &[&own.user]);
                base.body(&format!("grant_type=authorization_code&code={code}"))
            }
            Way::ProofInBody => {
                own.key = Some(self.sign_in_with_code(&own.user, &base));
                let proof = own.proof(self.way, &base).expect("a key");
                base.body(&format!("{POP}&pop={proof}"))
            }
            Way::ProofInHeader | Way::ProofWithMasterKey => {
                own.key = Some(self.sign_in_with_code(&own.user, &base));
                let message = to_bob(base);
                let proof = own.proof(self.way, &message).expect("a key");
                Sip { credentials: vec![format!("Bearer pop=\"{proof}\"")], ..message }
            }
            Way::TokenAndProof => {
                self.sign_in_with_password(&mut own, &base);
                let message = to_bob(base);
                let (token, proof) = (own.token.as_ref().expect("one"), own.proof(self.way, &message).expect("a key"));
                Sip { credentials: vec![format!("Bearer token=\"{token}\", pop=\"{proof}\"")], ..message }
            }
            Way::Password => password_answer(base.body("grant_type=password"), &own),
            Way::Refresh => {
                self.sign_in_with_password(&mut own, &base);
                let proof = own.proof(self.way, &base).expect("a key");
                base.body(&format!("{}&pop={proof}", own.refreshing()))
            }
            Way::KeyDerivation => {
                let verifier =
                    self.proxy.context.admin().derive_verifier(own.user.as_bytes()).expect("a store is configured");
                let address = Aor::parse(&own.aor).expect("an address");
                self.proxy.context.admin().put_account(&address, &verifier).expect("a writable store");
                own.password_key = Some(verifier.key.clone());
                let message = to_bob(base);
                let key = own.password_key.as_ref().expect("just derived");
                let response = KeyResponse::new(&own.user, None, None, key, &message.digest(&message.body)).to_text();
                Sip { credentials: vec![response], ..message }
            }
            Way::Connection => {
                self.sign_in_with_code(&own.user, &base);
                to_bob(base)
            }
            Way::DevicePassword => {
                let device = self.page.add_device(&self.page.sign_in(&own.user), "Desk");
                let hash = ha1(DigestAlgorithm::Md5, &device.username, REALM, &device.password).to_string();
                digest_answer(base, &device.username, &hash, &nonce_of(&own))
            }
            Way::TypedCode => {
                let code = self.page.add_typed_code(&self.page.sign_in(&own.user));
                base.body(&format!("grant_type=authorization_code&code={code}"))
            }
        };
        (sip, own)
    }

    /// What the server gives to the present phone.
    fn master_key(&self) -> [u8; 32] {
        let mut key = [9; 32];
        key[..4].copy_from_slice(&self.count.to_be_bytes());
        key
    }

    /// A signed access token, good for an hour.
    fn access_token(&self, user: &str) -> String {
        self.key.token("ES256", &claims(&self.plant.endpoint.server.issuer(), "sip", user, 3600))
    }

    fn sign_in_with_code(&mut self, user: &str, base: &Sip) -> Key {
        let code = self.plant.endpoint.code(user);
        let name = format!("{}-before", base.call_id);
        let sip = Sip {
            call_id: name.clone(),
            branch: format!("z9hG4bK-{name}"),
            reply_to_tag: format!("to-{user}"),
            ..base.clone().body(&format!("grant_type=authorization_code&code={code}"))
        };
        let verdict = self.accepted(|proxy| proxy.ask(&sip));
        if self.way == Way::ProofWithMasterKey {
            return Key::new(self.master_key());
        }
        self.proxy
            .worker
            .registrations()
            .confirm(&verdict.ticket, sip.reply_to_tag.as_bytes())
            .expect("the key is stored");
        sip.key(&code, &sip.reply_to_tag)
    }

    /// A proxy that shares Redis and hears of changes while it reads asks to come again.
    fn accepted(&mut self, ask: impl Fn(&mut Proxy) -> CheckResult) -> CheckResult {
        let mut verdict = ask(&mut self.proxy);
        patience::until(PATIENCE, || {
            if verdict.status == 503 {
                verdict = ask(&mut self.proxy);
            }
            verdict.status != 503
        });
        assert_eq!(verdict.status, 200, "{:?}\n{}", verdict.answer.reason(), self.proxy.log.text());
        verdict
    }

    fn sign_in_with_password(&mut self, own: &mut Material, base: &Sip) {
        let name = format!("{}-before", base.call_id);
        let sip = Sip { call_id: name.clone(), branch: format!("z9hG4bK-{name}"), ..base.clone() };
        let sip = password_answer(sip.body("grant_type=password"), own);
        let hash = hash_of(own);
        let verdict = self.accepted(|proxy| proxy.ask_for_tokens(&sip, DigestUser { ha1: &hash, password: "" }));
        let tokens = self.proxy.worker.grants().token_response(&verdict).expect("tokens");
        let tokens: Value = serde_json::from_str(&tokens).expect("JSON");
        let text = |name: &str| tokens[name].as_str().expect("a text").to_owned();
        own.token = Some(text("access_token"));
        own.refresh_token = text("refresh_token");
        own.key = master_key(Ha1Form::Hex, &hash, REALM.as_bytes(), nonce_of(own).as_bytes());
    }

    /// The verdict of one of the proxies about a request, as its host asks for it: parked, and asked again.
    pub fn ask(&mut self, sip: &Sip, own: &Material, at_other_proxy: bool, later: i64) -> CheckResult {
        let (way, hash) = (self.way, hash_of(own));
        let user = DigestUser { ha1: &hash, password: "" };
        let proxy = if at_other_proxy { &mut self.other } else { &mut self.proxy };
        let now = (later != 0).then(|| now() + later);
        let handling = Handling { source: &sip.source.0, now, ..Handling::default() };
        let look = |proxy: &mut Proxy, handling: &Handling<'_>| {
            sip.read(|request| match way {
                Way::Password => proxy.worker.check_password(request, user, handling),
                Way::DevicePassword => proxy.worker.check_device(request, DeviceStep::Accept, handling),
                Way::KeyDerivation => proxy.worker.check_key_derivation(request, AccountSource::Store, handling),
                _ => proxy.worker.check(request, handling),
            })
        };
        let verdict = look(proxy, &handling);
        let Some(cookie) = proxy.park(&verdict) else { return verdict };
        proxy.until("a parked request is resumed", |proxy| proxy.is_done(cookie));
        look(proxy, &Handling { resumed: true, ..handling })
    }

    /// The host has sent the answer.
    pub fn confirm(&mut self, sip: &Sip, verdict: &CheckResult) {
        if !verdict.ticket.is_empty() {
            self.proxy
                .worker
                .registrations()
                .confirm(&verdict.ticket, sip.reply_to_tag.as_bytes())
                .expect("the key is stored");
        }
    }

    pub fn revoke(&mut self, aor: &str) {
        let _ = self.proxy.context.admin().revoke_sessions(aor, "");
    }

    /// A good configuration that differs a little.
    pub fn reload(&mut self) {
        let text = fs::read_to_string(&self.proxy.configuration).expect("our own file");
        let changed = match text.contains("http_timeout = 30") {
            true => text.replace("http_timeout = 30", "http_timeout = 29"),
            false => text.replace("http_timeout = 29", "http_timeout = 30"),
        };
        fs::write(&self.proxy.configuration, changed).expect("our own file");
        self.proxy.context.admin().reload().expect("a good configuration");
    }
}

fn settings(way: Way, plant: &Plant, key: &TestKey) -> Value {
    let keys = || plant.directory.write("keys.json", key_set(&[key.jwk()]).to_string());
    match way {
        Way::Token => json!({ "provider.jwks_file": keys() }),
        Way::EncryptedToken => json!({
            "provider.jwks_file": keys(),
            "decryption_key_files": plant.directory.write("decryption.pem", &Recipient::rsa().private),
        }),
        Way::OpaqueToken => json!({
            "provider.tokens": "opaque",
            "provider.introspection_endpoint": plant.endpoint.server.url("/introspect"),
            "source_limit": 1000,
        }),
        Way::ForeignToken => json!({
            "provider.tokens": "validation_grant",
            "provider.validation_grant_type": VALIDATION,
            "provider.domain": REALM,
            "provider.audience": null,
            "provider.aor": null,
        }),
        Way::Code | Way::CodeWithVerifier | Way::CodeOfMasterKey | Way::DevicePassword => json!({}),
        Way::ShortCode => json!({ "short_code_tries": 1000, "source_limit": 6000 }),
        Way::TypedCode => json!({ "typed_codes": true, "short_code_tries": 1000, "source_limit": 6000 }),
        Way::ProofInBody | Way::ProofInHeader | Way::ProofWithMasterKey => json!({}),
        Way::TokenAndProof | Way::Password | Way::Refresh => json!({
            "provider.password_grant": "issue",
            "provider.signing_key_files": plant.directory.write("signing.pem", signing_key()),
            "provider.aor": null,
            "provider.scope": ["sip", "sip.call"],
            "provider.domain": REALM,
            "provider.client_id": null,
            "provider.client_secret": null,
        }),
        Way::KeyDerivation => json!({ "kd_iterations": 1000 }),
        Way::Connection => json!({ "connection_auth": true }),
    }
}

/// What the server says of an opaque token.
fn introspected(request: &Received) -> ServerAnswer {
    let form = form::parse(request.body.as_bytes()).unwrap_or_default();
    let token = form.iter().find(|(name, _)| name == "token").map_or("", |(_, value)| &**value);
    let Some(user) = token.strip_prefix("opaque-").and_then(|rest| rest.split('-').next()) else {
        return ServerAnswer::Json(json!({ "active": false }));
    };
    ServerAnswer::Json(json!({
        "active": true,
        "aud": "sip",
        "exp": now() + 3600,
        "scope": "openid sip",
        "sub": user,
        "sip": format!("sip:{user}@example.test"),
        "token_type": "Bearer",
    }))
}

fn to_bob(base: Sip) -> Sip {
    let (uri, to) = ("sip:bob@example.test".to_owned(), "sip:bob@example.test".to_owned());
    let sip = Sip { method: "MESSAGE".into(), uri, to, cseq: "7 MESSAGE".into(), ..base };
    Sip { content_type: "text/plain".into(), ..sip.body("Hello") }
}

fn with_token(sip: Sip, own: &Material) -> Sip {
    Sip { credentials: vec![format!("Bearer {}", own.token.as_ref().expect("a token"))], ..sip }
}

fn hash_of(own: &Material) -> String {
    ha1(DigestAlgorithm::Md5, &own.user, REALM, &format!("{}-password", own.user)).to_string()
}

fn nonce_of(own: &Material) -> String {
    format!("nonce-of-{}", own.user)
}

fn password_answer(sip: Sip, own: &Material) -> Sip {
    digest_answer(sip, &own.user, &hash_of(own), &nonce_of(own))
}

fn digest_answer(sip: Sip, username: &str, hash: &str, nonce: &str) -> Sip {
    let answer = DigestInput {
        algorithm: DigestAlgorithm::Md5,
        username,
        realm: REALM,
        nonce,
        opaque: None,
        method: "REGISTER",
        uri: "sip:example.test",
        auth: Some((1, "cnonce")),
    };
    Sip { credentials: vec![answer.credentials(hash)], ..sip }
}
