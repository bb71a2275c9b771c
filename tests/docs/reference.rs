// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `make reference` makes of the tables of settings.

use std::fs;

use pulldown_cmark::{Event, Parser};
use serde_json::Value;
use sipoauth_core::config::provider_settings::{OF_A_PROVIDER, ProviderSettings};
use sipoauth_core::config::setting::{Kind, Setting, Takes};
use sipoauth_core::config::settings::{GLOBAL, GONE, Settings};
use sipoauth_core::config::sign_in_page::{OF_THE_PAGE, SignInPageSettings};

use crate::{SETTINGS, root};

const PARAMETERS: &str = include_str!("../../modules/common/params_keys.h");

/// Compares a file of the project with what it must be, or writes it.
pub fn same_or_written(path: &str, wanted: &str) {
    let path = root().join(path);
    if std::env::var_os("WRITE_REFERENCE").is_some() {
        fs::write(&path, wanted).expect("writable");
    }
    let found = fs::read_to_string(&path).expect("part of the project");
    assert!(found == wanted, "{} is not what the table says: run 'make reference'", path.display());
}

/// The rows of a page's first table: the first cell, and the others.
pub fn first_table(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let rows = page.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
}

/// A sentence of Markdown as spans of text and of code. Of a link the text is left.
pub fn spans(markdown: &str) -> impl Iterator<Item = (String, bool)> {
    Parser::new(markdown).filter_map(|event| match event {
        Event::Text(text) => Some((text.to_string(), false)),
        Event::Code(text) => Some((text.to_string(), true)),
        Event::SoftBreak => Some((" ".to_owned(), false)),
        _ => None,
    })
}

/// The default of a setting as it is written; empty: none.
fn default_of(setting: &Setting, values: &Value) -> String {
    match &values[setting.key] {
        Value::Bool(value) => if *value { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    }
}

/// What a setting takes.
fn range_of(setting: &Setting) -> String {
    match setting.kind {
        Kind::Text | Kind::Secret => "text".to_owned(),
        Kind::File => "file".to_owned(),
        Kind::List => "list".to_owned(),
        Kind::Table => "table".to_owned(),
        Kind::Boolean => "yes, no".to_owned(),
        Kind::Number { least, most, unit } => format!("{least} to {most} {unit}").trim_end().to_owned(),
        Kind::Choice(words) => words.join(", "),
        Kind::Words(words) => format!("list of {}", words.join(", ")),
    }
}

/// What a setting means, and when it is taken over.
pub fn meaning(setting: &Setting) -> String {
    let restart = if setting.takes == Takes::Restart { ". Taken over at a restart only" } else { "" };
    format!("{}{restart}", setting.text)
}

/// The tables of settings: the name that the page has for it, the table, and the defaults.
fn tables() -> [(&'static str, &'static [Setting], Value); 3] {
    let defaults = "texts, numbers and lists";
    [
        ("settings", GLOBAL, serde_json::to_value(Settings::default()).expect(defaults)),
        ("provider", OF_A_PROVIDER, serde_json::to_value(ProviderSettings::default()).expect(defaults)),
        ("sign_in_page", OF_THE_PAGE, serde_json::to_value(SignInPageSettings::default()).expect(defaults)),
    ]
}

/// A table of settings in Markdown.
fn rows(table: &[Setting], values: &Value) -> String {
    let mut rows = String::from("| key | default | takes | meaning |\n|---|---|---|---|\n");
    for setting in table {
        let text = meaning(setting).replace('|', "\\|");
        let (default, range) = (default_of(setting, values), range_of(setting));
        rows.push_str(&format!("| `{}` | {default} | {range} | {text} |\n", setting.key));
    }
    rows
}

/// The page of settings has what their tables say, and so has the list for the Kamailio module.
#[test]
fn the_reference_of_settings() {
    let page = tables().into_iter().fold(SETTINGS.to_owned(), |page, (name, table, values)| {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"));
        let (before, rest) = page.split_once(&begin).expect("a place for the table");
        let (_, after) = rest.split_once(&end).expect("its end");
        [before, &begin, &rows(table, &values), &end, after].concat()
    });
    same_or_written("docs/reference/settings.md", &page);
    let keys = ["config_file"].into_iter().chain(GLOBAL.iter().map(|setting| setting.key));
    let keys = keys.chain(GONE.iter().map(|(key, _)| *key));
    let list: String = keys.map(|key| format!("KEY({key})\n")).collect();
    let (head, _) = PARAMETERS.split_once("KEY(").expect("a list");
    same_or_written("modules/common/params_keys.h", &format!("{head}{list}"));
}
