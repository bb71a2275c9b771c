// SPDX-License-Identifier: MIT OR Apache-2.0
//! My phones: the list, new phones, names, and signing out.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sipoauth::clock::now_millis;
use sipoauth::store::phones::{AddError, NewCode, NewDevice, Phone, phone_name};
use sipoauth::store::session_ends::Ending;
use sipoauth::store::sessions::SessionStore;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::ports::Level;
use sipoauth_core::records::session::{Session, SessionId, SignIn, id_text};
use sipoauth_core::records::session_end::{EndedBy, SessionEnd};
use sipoauth_core::sip::uri::Aor;
use sipoauth_core::text::fingerprint::octets_of_hex;

use crate::cookies::{SignedIn, clear, get};
use crate::forms::{OnceForm, new_number};
use crate::metrics::Counter;
use crate::pages::{
    Choice, ChoosePage, CodePage, DevicePage, Frame, PhonesPage, ShownEnd, ShownPhone, ShownUse, answer, see_other,
};
use crate::provisioning::{self, Account};
use crate::site::Site;
use crate::source::Source;
use crate::texts::{Texts, fill};
use crate::times::{ago, clock, day, until};
use crate::visitor::{User, author, frame, message, store_is_away, user};

/// What has just happened, as the address of the start page says it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Done {
    done: String,
}

impl Done {
    fn note(&self, texts: &Texts) -> &'static str {
        match self.done.as_str() {
            "renamed" => texts.note_renamed,
            "signed-out" => texts.note_signed_out,
            "all-signed-out" => texts.note_all_signed_out,
            "logged-out" => texts.signed_out_note,
            "everywhere" => texts.everywhere_note,
            _ => "",
        }
    }
}

/// A form of the page.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Wish {
    token: String,
    form: String,
    id: String,
    name: String,
}

impl Wish {
    fn phone(&self) -> Option<SessionId> {
        octets_of_hex(self.id.as_bytes())
    }
}

/// A form that could be read, and its author.
async fn wished(
    site: &Arc<Site>,
    headers: &HeaderMap,
    form: Result<Form<Wish>, FormRejection>,
) -> Result<(User, Wish), Response> {
    match form {
        Ok(Form(wish)) => author(site, headers, &wish.token).await.map(|user| (user, wish)),
        Err(rejection) => Err(message(headers, rejection.status(), |texts| texts.error_form.into())),
    }
}

/// The start page.
pub async fn start(
    State(site): State<Arc<Site>>,
    done: Result<Query<Done>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let frame = frame(&headers);
    let note = done.map_or("", |Query(done)| done.note(frame.texts));
    match user(&site, &headers).await {
        Ok(Some(user)) => list(&site, &headers, frame, note, &user).await,
        Ok(None) => {
            let page = choose(&site, frame, note);
            // A cookie whose sign-in has ended is of no use any more.
            if get(&headers, <SignedIn as crate::cookies::Sealed>::NAME).is_some() {
                return ([(header::SET_COOKIE, clear::<SignedIn>())], page).into_response();
            }
            page
        }
        Err(response) => response,
    }
}

fn choose(site: &Site, frame: Frame, note: &str) -> Response {
    let label = |name: &str| fill(frame.texts.choose_provider, "provider", name);
    let providers = site.providers().map(|p| Choice { name: &p.name, label: label(&p.name) }).collect();
    answer(StatusCode::OK, &ChoosePage { frame, note, providers })
}

async fn list(site: &Arc<Site>, headers: &HeaderMap, frame: Frame, note: &str, user: &User) -> Response {
    let aor = user.page.aor.clone();
    let Ok(phones) = site.with_store(move |store, _, now| store.phones(&aor, now)).await else {
        return store_is_away(headers);
    };
    let now = now_millis() / 1000;
    let end = (!user.session.renewable).then(|| {
        let end = until(frame.texts, allowed_until(&user.session), now);
        ShownEnd::new(frame.texts.note_not_renewed, end)
    });
    let page = PhonesPage {
        frame,
        note,
        end,
        is_over: is_over(&user.session, now),
        address: without_scheme(&user.page.aor),
        token: &user.cookie.token(),
        form: &new_number(),
        is_full: phones.len() >= site.policy.settings.max_devices as usize,
        has_codes: site.policy.settings.typed_codes,
        phones: phones.into_iter().map(|phone| shown(frame.texts, phone, now)).collect(),
    };
    answer(StatusCode::OK, &page)
}

/// Until when a phone may register. With a refresh token, proxies or the phone itself renew it; otherwise the access
/// token is the end.
fn allowed_until(session: &Session) -> i64 {
    let is_renewed = session.renewable || session.sign_in.phone_holds_tokens();
    if is_renewed { session.ends_at } else { session.valid_until.min(session.ends_at) }
}

/// True when phones are refused until the user signs in again, although the browser still is signed in.
fn is_over(session: &Session, now: i64) -> bool {
    allowed_until(session) <= now
}

fn shown(texts: &Texts, phone: Phone, now: i64) -> ShownPhone {
    let Phone { session, last_use } = phone;
    let end = allowed_until(&session);
    let last = last_use.map(|last| ShownUse {
        time: ago(texts, last.at, now),
        source: last.source,
        software: last.user_agent,
    });
    ShownPhone {
        id: id_text(&session.id),
        name: if session.name.is_empty() { texts.phone_nameless.to_owned() } else { session.name.clone() },
        given_name: session.name,
        kind: match (session.sign_in, session.parent) {
            (SignIn::Device | SignIn::Page, _) => texts.kind_device,
            (SignIn::Code, Some(_)) => texts.kind_typed_code,
            (SignIn::Code, None) => texts.kind_code,
            (SignIn::Password, _) => texts.kind_password,
            (SignIn::ForeignToken, _) => texts.kind_token,
        },
        account: session.device,
        added: day(texts, session.created_at),
        until: until(texts, end, now),
        last,
    }
}

fn without_scheme(aor: &str) -> &str {
    aor.split_once(':').map_or(aor, |(_, rest)| rest)
}

/// Adds a phone that signs in with a device password.
pub async fn add_device(
    State(site): State<Arc<Site>>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    form: Result<Form<Wish>, FormRejection>,
) -> Response {
    let (user, wish) = match wished(&site, &headers, form).await {
        Ok(wished) => wished,
        Err(response) => return response,
    };
    let page = &user.page;
    let Some(aor) = Aor::parse(&page.aor) else { return store_is_away(&headers) };
    let settings = &site.page.settings;
    let or_domain = |text: &String| if text.is_empty() { aor.host().to_owned() } else { text.clone() };
    let (realm, domain) = (or_domain(&settings.realm), or_domain(&settings.sip_domain));
    let name = phone_name(&wish.name);
    let (owner, given, of) = (page.clone(), name.clone(), realm.clone());
    let added = add(&site, &headers, &user, &wish, move |store, policy, now| {
        store.add_device(policy, &owner, &given, &of, now)
    });
    let NewDevice { username, password, .. } = match added.await {
        Ok(device) => device,
        Err(response) => return response,
    };
    let (proxy, transport) = (settings.proxy.clone(), settings.transport.clone());
    let account = Account {
        user: aor.user().to_owned(),
        username,
        password: password.to_string(),
        realm,
        domain,
        proxy,
        transport,
        name,
    };
    let kept = account.clone();
    let address = site.on_thread(move |site| provisioning::keep(site, &kept)).await;
    let Some(Ok(address)) = address else { return store_is_away(&headers) };
    site.metrics.count(Counter::DevicesAdded);
    site.log(
        Level::Info,
        &format!("{} has added a phone with the device password of '{}' from {source}", page.aor, account.username),
    );
    show_device(&headers, &account, &address)
}

fn show_device(headers: &HeaderMap, account: &Account, address: &str) -> Response {
    let frame = frame(headers);
    let texts = frame.texts;
    let picture = provisioning::picture(address);
    let transport = account.transport.to_uppercase();
    let mut fields = vec![
        (texts.device_user, account.user.as_str()),
        (texts.device_account, &account.username),
        (texts.device_password, &account.password),
        (texts.device_domain, &account.domain),
    ];
    if !account.proxy.is_empty() {
        fields.push((texts.device_proxy, &account.proxy));
    }
    fields.push((texts.device_transport, &transport));
    let page = DevicePage { frame, name: &account.name, fields, provisioning: address, picture: &picture };
    answer(StatusCode::OK, &page)
}

/// Makes a typed code.
pub async fn add_code(
    State(site): State<Arc<Site>>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    form: Result<Form<Wish>, FormRejection>,
) -> Response {
    let (user, wish) = match wished(&site, &headers, form).await {
        Ok(wished) => wished,
        Err(response) => return response,
    };
    // A proxy without the setting would send the digits to the authorization server.
    if !site.policy.settings.typed_codes {
        return message(&headers, StatusCode::FORBIDDEN, |texts| texts.add_no_codes.into());
    }
    let name = phone_name(&wish.name);
    let (owner, given) = (user.page.clone(), name.clone());
    let added =
        add(&site, &headers, &user, &wish, move |store, policy, now| store.add_typed_code(policy, &owner, &given, now));
    let NewCode { code, expires_at } = match added.await {
        Ok(code) => code,
        Err(response) => return response,
    };
    site.metrics.count(Counter::CodesAdded);
    site.log(Level::Info, &format!("{} has a new typed code for a phone from {source}", user.page.aor));
    let frame = frame(&headers);
    let end = ShownEnd::new(frame.texts.code_until, clock(expires_at / 1000));
    let page = CodePage { frame, name: &name, code: &in_groups(&code), digits: &code, end };
    answer(StatusCode::OK, &page)
}

/// Digits as people read them to each other.
fn in_groups(code: &str) -> String {
    let groups = code.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join(" ")
}

/// Adds to the phones of a user what a form asks for, once.
async fn add<T: Send + 'static>(
    site: &Arc<Site>,
    headers: &HeaderMap,
    user: &User,
    wish: &Wish,
    act: impl FnOnce(&SessionStore, &Policy, i64) -> Result<T, AddError> + Send + 'static,
) -> Result<T, Response> {
    let Some(form) = OnceForm::new(&user.cookie, &wish.form) else {
        return Err(message(headers, StatusCode::BAD_REQUEST, |texts| texts.error_form.into()));
    };
    let added = site.with_store(move |store, policy, now| match form.submit(store, now, || act(store, policy, now)) {
        Err(AddError::Store(error)) => Err(error),
        added => Ok(added),
    });
    match added.await {
        Ok(Ok(Some(added))) => Ok(added),
        Ok(Ok(None)) => Err(message(headers, StatusCode::CONFLICT, |texts| texts.add_again.into())),
        Ok(Err(AddError::TooMany)) => Err(message(headers, StatusCode::CONFLICT, |texts| texts.add_too_many.into())),
        Ok(Err(AddError::SignedOut)) => Err(message(headers, StatusCode::FORBIDDEN, |texts| texts.error_csrf.into())),
        Ok(Err(AddError::Store(_))) | Err(_) => Err(store_is_away(headers)),
    }
}

/// Gives a phone another name.
pub async fn rename(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    form: Result<Form<Wish>, FormRejection>,
) -> Response {
    let (user, wish) = match wished(&site, &headers, form).await {
        Ok(wished) => wished,
        Err(response) => return response,
    };
    let Some(id) = wish.phone() else { return see_other("/") };
    let renamed = site.with_store(move |store, _, now| store.rename_phone(&user.page.aor, &id, &wish.name, now)).await;
    match renamed {
        Ok(true) => see_other("/?done=renamed"),
        Ok(false) => see_other("/"),
        Err(_) => store_is_away(&headers),
    }
}

/// Signs one phone out.
pub async fn sign_out(
    State(site): State<Arc<Site>>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    form: Result<Form<Wish>, FormRejection>,
) -> Response {
    let (user, wish) = match wished(&site, &headers, form).await {
        Ok(wished) => wished,
        Err(response) => return response,
    };
    let Some(id) = wish.phone() else { return see_other("/") };
    match end(&site, &user, &source, move |sign_in, of| sign_in != SignIn::Page && *of == id).await {
        Ok(ends) if ends.is_empty() => see_other("/"),
        Ok(_) => see_other("/?done=signed-out"),
        Err(()) => store_is_away(&headers),
    }
}

/// Signs all phones out. The browser stays signed in.
pub async fn sign_out_all(
    State(site): State<Arc<Site>>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    form: Result<Form<Wish>, FormRejection>,
) -> Response {
    let (user, _) = match wished(&site, &headers, form).await {
        Ok(wished) => wished,
        Err(response) => return response,
    };
    // First, or a phone could sign in with a code that nobody has typed yet.
    let aor = user.page.aor.clone();
    if site.with_store(move |store, _, now| store.close_open_code(&aor, now)).await.is_err() {
        return store_is_away(&headers);
    }
    match end(&site, &user, &source, |sign_in, _| sign_in != SignIn::Page).await {
        Ok(_) => see_other("/?done=all-signed-out"),
        Err(()) => store_is_away(&headers),
    }
}

/// Signs all phones and all browsers out.
pub async fn sign_out_everywhere(
    State(site): State<Arc<Site>>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    form: Result<Form<Wish>, FormRejection>,
) -> Response {
    let (user, _) = match wished(&site, &headers, form).await {
        Ok(wished) => wished,
        Err(response) => return response,
    };
    match end(&site, &user, &source, |_, _| true).await {
        Ok(_) => ([(header::SET_COOKIE, clear::<SignedIn>())], see_other("/?done=everywhere")).into_response(),
        Err(()) => store_is_away(&headers),
    }
}

/// Signs this browser out, with all copies of its cookie. The sign-in in the store stays, because phones, open codes and
/// other browsers of the user may hang on it.
pub async fn log_out(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    form: Result<Form<Wish>, FormRejection>,
) -> Response {
    let (user, _) = match wished(&site, &headers, form).await {
        Ok(wished) => wished,
        Err(response) => return response,
    };
    match site.with_store(move |store, _, now| user.cookie.log_out(store, now)).await {
        Ok(()) => ([(header::SET_COOKIE, clear::<SignedIn>())], see_other("/?done=logged-out")).into_response(),
        Err(_) => store_is_away(&headers),
    }
}

/// Ends the sessions of the user's address that `goes` picks.
async fn end(
    site: &Arc<Site>,
    user: &User,
    source: &Source,
    goes: impl Fn(SignIn, &SessionId) -> bool + Send + 'static,
) -> Result<Vec<SessionEnd>, ()> {
    let aor = user.page.aor.clone();
    let ended = site.with_store(move |store, _, now| {
        store.end_sessions(&aor, &Ending::new(EndedBy::User), now, |session| goes(session.sign_in, &session.id))
    });
    let ended = ended.await.map_err(drop)?;
    let phones = ended.iter().filter(|end| end.session.sign_in != SignIn::Page).count();
    if phones > 0 {
        site.metrics.add(Counter::SignedOut, phones as u64);
        site.log(Level::Info, &format!("{} has signed out {phones} phones from {source}", user.page.aor));
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_in_groups() {
        assert_eq!(in_groups("123456789"), "1234 5678 9");
        assert_eq!(without_scheme("sip:alice@a.example"), "alice@a.example");
    }

    #[test]
    fn a_sign_in_ends_with_its_access_token_unless_somebody_renews_it() {
        let session =
            |renewable, sign_in| Session { valid_until: 300, ends_at: 9000, renewable, sign_in, ..Session::default() };
        assert_eq!(allowed_until(&session(false, SignIn::Page)), 300);
        assert_eq!(allowed_until(&session(true, SignIn::Page)), 9000);
        assert_eq!(allowed_until(&session(false, SignIn::Password)), 9000, "its phone has the refresh token");
        let is_over = |renewable, now| is_over(&session(renewable, SignIn::Page), now);
        assert!(!is_over(false, 299) && is_over(false, 300) && !is_over(true, 300) && is_over(true, 9000));
    }
}
