// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pages as templates of `templates/`, which the compiler checks. Askama escapes every value.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::texts::{Language, Texts};
use crate::times::ShownTime;

/// What every page has.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Its language.
    pub language: Language,
    /// The texts of that language.
    pub texts: &'static Texts,
}

impl Frame {
    /// The frame of a language.
    pub fn new(language: Language) -> Frame {
        Frame { language, texts: language.texts() }
    }

    fn others(&self) -> impl Iterator<Item = Language> {
        let own = self.language;
        Language::ALL.into_iter().filter(move |language| *language != own)
    }
}

/// A provider that may be chosen.
pub struct Choice<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its button says.
    pub label: String,
}

/// The page of those who are signed out.
#[derive(Template)]
#[template(path = "choose.html")]
pub struct ChoosePage<'a> {
    /// See [`Frame`].
    pub frame: Frame,
    /// What has just happened; empty: nothing.
    pub note: &'a str,
    /// The providers.
    pub providers: Vec<Choice<'a>>,
}

/// The last registration of a phone.
pub struct ShownUse {
    /// When.
    pub time: ShownTime,
    /// From where.
    pub source: String,
    /// User-Agent; may be empty.
    pub software: String,
}

/// A sentence around the time of an end.
pub struct ShownEnd {
    /// The text before the time.
    pub before: &'static str,
    /// Until when it is good.
    pub until: ShownTime,
    /// The text after the time.
    pub after: &'static str,
}

impl ShownEnd {
    /// Puts a time into a text.
    pub fn new(text: &'static str, until: ShownTime) -> ShownEnd {
        let (before, after) = text.split_once("{time}").unwrap_or((text, ""));
        ShownEnd { before, until, after }
    }
}

/// A phone as it is shown.
pub struct ShownPhone {
    /// Its session in hex.
    pub id: String,
    /// Its name, or what stands for it.
    pub name: String,
    /// The name that its user gave; may be empty.
    pub given_name: String,
    /// How it signs in.
    pub kind: &'static str,
    /// The user name of its device password; empty: it has none.
    pub account: String,
    /// When it was added.
    pub added: ShownTime,
    /// Until when it may register.
    pub until: ShownTime,
    /// Its last registration.
    pub last: Option<ShownUse>,
}

/// My phones.
#[derive(Template)]
#[template(path = "phones.html")]
pub struct PhonesPage<'a> {
    /// See [`Frame`].
    pub frame: Frame,
    /// What has just happened; empty: nothing.
    pub note: &'a str,
    /// The end of a sign-in that is not renewed.
    pub end: Option<ShownEnd>,
    /// That end has come.
    pub is_over: bool,
    /// The address without its scheme.
    pub address: &'a str,
    /// The CSRF token of the forms.
    pub token: &'a str,
    /// The number of the forms that count once.
    pub form: &'a str,
    /// The phones, the latest first.
    pub phones: Vec<ShownPhone>,
    /// No phone can be added.
    pub is_full: bool,
    /// The proxies take typed codes.
    pub has_codes: bool,
}

/// A new device password.
#[derive(Template)]
#[template(path = "device.html")]
pub struct DevicePage<'a> {
    /// See [`Frame`].
    pub frame: Frame,
    /// The name of the phone; may be empty.
    pub name: &'a str,
    /// What to enter: label and value.
    pub fields: Vec<(&'static str, &'a str)>,
    /// The one-time address of the settings.
    pub provisioning: &'a str,
    /// The same as a QR code: a URL of the scheme `data`.
    pub picture: &'a str,
}

/// A new typed code.
#[derive(Template)]
#[template(path = "code.html")]
pub struct CodePage<'a> {
    /// See [`Frame`].
    pub frame: Frame,
    /// The name of the phone; may be empty.
    pub name: &'a str,
    /// In groups.
    pub code: &'a str,
    /// Without spaces.
    pub digits: &'a str,
    /// Until when it is good.
    pub end: ShownEnd,
}

/// A page that says why something did not work.
#[derive(Template)]
#[template(path = "message.html")]
pub struct MessagePage<'a> {
    /// See [`Frame`].
    pub frame: Frame,
    /// What happened.
    pub message: &'a str,
    /// Where to go on.
    pub target: &'a str,
    /// What the button says.
    pub label: &'a str,
}

/// Makes a page an answer.
pub fn answer(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Sends a browser to an address by GET.
pub fn see_other(target: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, target.to_owned())]).into_response()
}
