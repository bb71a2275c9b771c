// SPDX-License-Identifier: MIT OR Apache-2.0

//! A browser without a screen: cookies, redirects and forms, no scripts.

use std::collections::BTreeMap;

use crate::site::Site;
use crate::support::http::{self, Answer};

const MOST_PAGES: usize = 20;

/// A browser. Cookies of all ports of this machine are in one jar, as in real browsers.
#[derive(Default, Clone)]
pub struct Browser {
    pub cookies: BTreeMap<String, String>,
    /// Every address that was asked for.
    pub trail: Vec<String>,
}

impl Browser {
    pub fn get(&mut self, url: &str) -> Answer {
        self.send("GET", url, None)
    }

    pub fn post(&mut self, url: &str, form: &[(&str, &str)]) -> Answer {
        self.send("POST", url, Some(form))
    }

    fn send(&mut self, method: &str, url: &str, form: Option<&[(&str, &str)]>) -> Answer {
        self.trail.push(url.to_owned());
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers = vec![("Cookie", cookies.as_str()), ("Accept", "text/html")];
        let body = form.map(http::query).unwrap_or_default();
        if form.is_some() {
            headers.push(("Content-Type", "application/x-www-form-urlencoded"));
        }
        let answer = http::send(method, url, &headers, body.trim_start_matches('?'));
        let answer = answer.unwrap_or_else(|error| panic!("{error}"));
        for (_, line) in answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")) {
            let pair = line.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie");
            if value.is_empty() || line.to_ascii_lowercase().contains("max-age=0") || line.contains("1970") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Goes through the pages of the authorization server as this user, up to the address of the page with its answer.
    pub fn authorize(&mut self, site: &Site, start: &str, user: &str) -> String {
        let mut url = start.to_owned();
        let mut form: Option<Vec<(String, String)>> = None;
        for _ in 0..MOST_PAGES {
            if url.starts_with(&site.at("/signed-in/")) {
                return url;
            }
            let answer = match form.take() {
                None => self.get(&url),
                Some(fields) => {
                    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    self.post(&url, &fields)
                }
            };
            match answer.header("Location") {
                Some(location) => url = absolute(&url, location),
                None => {
                    let (action, fields) = filled(&answer.body, user);
                    url = absolute(&url, &action);
                    form = Some(fields);
                }
            }
        }
        panic!("no end after {MOST_PAGES} pages: {:?}", self.trail);
    }

    /// Signs in at a provider; the start page afterwards.
    pub fn sign_in_at(&mut self, site: &Site, provider: &str, user: &str) -> Answer {
        let callback = self.authorize(site, &site.at(&format!("/sign-in/{provider}")), user);
        let answer = self.get(&callback);
        assert_eq!((answer.status, answer.header("Location")), (303, Some("/")), "{}", answer.body);
        self.get(&site.at("/"))
    }

    pub fn sign_in(&mut self, site: &Site, user: &str) -> Answer {
        self.sign_in_at(site, "corp", user)
    }

    /// Sends a form of the start page.
    pub fn wish(&mut self, site: &Site, path: &str, fields: &[(&str, &str)]) -> Answer {
        let page = self.get(&site.at("/"));
        let value = |name| value_of(&page.body, name).unwrap_or_default();
        let (token, form) = (value("token"), value("form"));
        let fields = [&[("token", token.as_str()), ("form", &form)], fields].concat();
        self.post(&site.at(path), &fields)
    }
}

/// An address that a page or an answer names.
pub fn absolute(base: &str, target: &str) -> String {
    if target.starts_with("http://") {
        return target.to_owned();
    }
    let host = base.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    format!("{host}{target}")
}

/// The value of a hidden field.
pub fn value_of(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

/// A parameter of an address.
pub fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    form_urlencoded::parse(query.as_bytes()).find_map(|(known, value)| (known == name).then(|| value.into_owned()))
}

/// The form of a page of the authorization server, filled in by a user.
fn filled(page: &str, user: &str) -> (String, Vec<(String, String)>) {
    let start = page.find("<form").unwrap_or_else(|| panic!("a page without a form: {page}"));
    let form = &page[start..start + page[start..].find("</form>").expect("an end")];
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let mut fields = Vec::new();
    for tag in form.split("<input").skip(1).map(|rest| rest.split('>').next().unwrap_or_default()) {
        let Some(name) = attribute(tag, " name") else { continue };
        let value = match attribute(tag, "type").as_deref() {
            Some("password") => "any password".to_owned(),
            Some("text") | None => user.to_owned(),
            Some(_) => attribute(tag, "value").unwrap_or_default(),
        };
        fields.push((name, value));
    }
    (attribute(form, "action").expect("an action"), fields)
}
