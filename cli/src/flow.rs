// SPDX-License-Identifier: MIT OR Apache-2.0
//! The exchange up to the proxy's final answer: one request, or a challenge and the request that answers it.

use sipoauth_core::jose::hashed_token::token_fingerprint;
use sipoauth_core::keys::master_key::Ha1Form;
use sipoauth_core::keys::shared_key::shared_key;

use crate::conversation::{Conversation, RequestAndReply};
use crate::credential::{Code, Credential, Login};
use crate::digest_answer::DigestAnswer;
use crate::evidence::{Credentials, Evidence};
use crate::failure::ToolFailure;
use crate::header::tag;
use crate::key_challenge::proven_key;
use crate::message::Response;
use crate::options::{Order, PopPlace, RegisterOptions};
use crate::outcome::UNPROVEN;
use crate::phone_state::{KeyKind, PhoneState, SharedKey};
use crate::redact::{LONG, form_encode};
use crate::tokens::HeldTokens;

const POP_GRANT: &str = "grant_type=proof-of-possession";
const PASSWORD_GRANT: &str = "grant_type=password";
const WRONG_PASSWORD: &str = "the user name or the password is wrong";
const PROOF_REFUSED: &str = "though it has the same key; look into the proxy's log";

/// How the exchange ended.
pub struct FlowEnd {
    /// The last request and its answer.
    pub exchanged: RequestAndReply,
    /// A new key.
    pub key: Option<SharedKey>,
    /// New tokens.
    pub tokens: Option<HeldTokens>,
    /// What another challenge means after one has been answered.
    pub refusal: Option<&'static str>,
}

impl FlowEnd {
    fn new(exchanged: RequestAndReply) -> FlowEnd {
        FlowEnd { exchanged, key: None, tokens: None, refusal: None }
    }

    /// Has the proxy accepted the request?
    fn accepted(&self) -> bool {
        (200..300).contains(&self.exchanged.response.status)
    }
}

/// Sends the requests that the credential needs. A sign-in at the authorization server has been done before.
pub fn run(
    talk: &mut Conversation<'_>,
    credential: &Credential,
    options: &RegisterOptions,
    state: &PhoneState,
) -> Result<FlowEnd, ToolFailure> {
    let header = talk.plan.credential_header;
    let mut evidence = Evidence::new(header, Credentials::None);
    match credential {
        Credential::None | Credential::Authorize { .. } => {}
        Credential::Token(token) => evidence.credentials = Credentials::Bearer(token),
        Credential::Code(code) => evidence.form = Some(code_form(code)),
        Credential::Pop { key, place: PopPlace::Header, .. } => {
            evidence.credentials = Credentials::Proof { key, token: None };
        }
        Credential::Pop { key, place: PopPlace::Body, body } => {
            evidence.form = Some(POP_GRANT.to_owned());
            evidence.form_proof = Some((key, *body));
        }
        Credential::TokenPop { key, token } => evidence.credentials = Credentials::Proof { key, token: Some(token) },
        Credential::KeyPop { key, username } => {
            evidence.credentials = Credentials::KeyDerivation { key, username, with_nonce: false };
        }
        Credential::Refresh { key, refresh_token } => {
            evidence.form = Some(format!("grant_type=refresh_token&refresh_token={}", form_encode(refresh_token)));
            evidence.form_proof = Some((key, options.pop_body));
        }
        Credential::Password { login, with_pop } => return password(talk, login, *with_pop, options),
        Credential::KeyDerivation { login } => return key_derivation(talk, login),
    }
    let mut done = FlowEnd::new(talk.send(&evidence)?);
    if done.accepted() {
        let response = &done.exchanged.response;
        match credential {
            Credential::Code(code) => done.key = Some(key_of(code, response, options.key_order)?),
            Credential::Refresh { .. } => {
                let redactor = &mut talk.report.redactor;
                done.tokens = Some(HeldTokens::read(response, state.tokens.as_ref(), redactor)?);
            }
            _ => {}
        }
    }
    Ok(done)
}

/// The password grant of sip-oauth section 4.3.
fn password(
    talk: &mut Conversation<'_>,
    login: &Login,
    with_pop: bool,
    options: &RegisterOptions,
) -> Result<FlowEnd, ToolFailure> {
    let form = Some(PASSWORD_GRANT.to_owned());
    let first = Evidence { form: form.clone(), ..Evidence::new(talk.plan.credential_header, Credentials::None) };
    let first = FlowEnd::new(talk.send(&first)?);
    if first.accepted() {
        return Err("the proxy accepted without asking for the password, so there are no tokens and no key".into());
    }
    let Some((header, challenges)) = first.exchanged.response.asks() else { return Ok(first) };
    let answer = DigestAnswer::new(&challenges, login, "the proxy")?;
    let key = answer.master_key(Ha1Form::from(options.ha1_form));
    let mut evidence = Evidence::new(header, Credentials::Digest(&answer));
    evidence.form = form;
    evidence.form_proof = with_pop.then_some((&key, options.pop_body));
    let mut done = FlowEnd { refusal: Some(WRONG_PASSWORD), ..FlowEnd::new(talk.send(&evidence)?) };
    if done.accepted() {
        done.tokens = Some(HeldTokens::read(&done.exchanged.response, None, &mut talk.report.redactor)?);
        done.key = Some(SharedKey::of_password(KeyKind::MasterKey, key.as_slice(), &login.username));
    }
    Ok(done)
}

/// The exchange of key-derivation sections 3 to 5.
fn key_derivation(talk: &mut Conversation<'_>, login: &Login) -> Result<FlowEnd, ToolFailure> {
    let first = Evidence { dated: true, ..Evidence::new(talk.plan.credential_header, Credentials::None) };
    let first = FlowEnd::new(talk.send(&first)?);
    if first.accepted() {
        let sentence = "the proxy accepted without a challenge, so it did not prove that it knows the password";
        return Err(ToolFailure::new(UNPROVEN, sentence));
    }
    let Some((header, challenges)) = first.exchanged.response.asks() else { return Ok(first) };
    let key = proven_key(&challenges, login, &first.exchanged.digest_string)?;
    let credentials = Credentials::KeyDerivation { key: &key, username: &login.username, with_nonce: true };
    let mut done = FlowEnd::new(talk.send(&Evidence::new(header, credentials))?);
    done.refusal = Some(PROOF_REFUSED);
    if done.accepted() {
        done.key = Some(SharedKey::of_password(KeyKind::KeyDerivation, key.octets(), &login.username));
    }
    Ok(done)
}

fn code_form(code: &Code) -> String {
    let mut form = format!("grant_type=authorization_code&code={}", form_encode(&code.code));
    for (name, value) in [("code_verifier", &code.verifier), ("redirect_uri", &code.redirect_uri)] {
        form.extend(value.iter().map(|value| format!("&{name}={}", form_encode(value))));
    }
    form
}

/// The key after a registration with this code: the key from the sign-in, or one that is derived with the 200 OK.
fn key_of(code: &Code, response: &Response, order: Order) -> Result<SharedKey, String> {
    if let Some((key, username)) = &code.master_key {
        return Ok(SharedKey::of_password(KeyKind::MasterKey, key.as_slice(), username));
    }
    let missing =
        |name| format!("registered, but the 200 OK has no {name}, so there is no shared key; look at the proxy");
    let from = response.header("From").and_then(tag).ok_or_else(|| missing("From tag"))?;
    let to = response.to_tag().ok_or_else(|| missing("To tag"))?;
    let call_id = response.header("Call-ID").ok_or_else(|| missing("Call-ID"))?;
    let octets = shared_key(order.into(), code.code.as_bytes(), from, to, call_id);
    let mut key = SharedKey::new(order.into(), octets.as_slice());
    let text = |octets| String::from_utf8_lossy(octets).into_owned();
    (key.from_tag, key.to_tag, key.call_id) = (text(from), text(to), text(call_id));
    // All other inputs of the key are visible on the wire, so a short code could be guessed from a fingerprint.
    key.fingerprint = (code.code.len() >= LONG).then(|| token_fingerprint(key.text()));
    Ok(key)
}
