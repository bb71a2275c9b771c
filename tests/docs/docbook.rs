// SPDX-License-Identifier: MIT OR Apache-2.0

//! Kamailio's own documentation of the module has the parameters and functions of the tables.

use sipoauth_core::config::setting::Kind;
use sipoauth_core::config::settings::GLOBAL;

use crate::reference::{first_table, meaning, same_or_written, spans};
use crate::{FUNCTIONS, SETTINGS};

#[test]
fn the_reference_in_docbook() {
    let section = |kind: &str, title: &str, text: &str| {
        let id = title.split('`').nth(1).and_then(|name| name.split('(').next()).expect("a name");
        let (title, text) = (docbook(title), docbook(text));
        format!("<section id=\"auth_oauth.{kind}.{id}\">\n<title>{title}</title>\n<para>{text}</para>\n</section>\n")
    };
    let parameters: String = parameters().map(|(title, text)| section("p", &title, &text)).collect();
    same_or_written("modules/kamailio/doc/auth_oauth_params.xml", &page("Parameters", &parameters));
    let functions: String = first_table(FUNCTIONS).map(|(function, does)| section("f", function, does)).collect();
    same_or_written("modules/kamailio/doc/auth_oauth_functions.xml", &page("Functions", &functions));
}

/// The parameters of the module with their types, and what they mean.
pub fn parameters() -> impl Iterator<Item = (String, String)> {
    let file = "a TOML file with settings, providers and offers; parameters win over it";
    let provider =
        "one provider, as `KEY=VALUE;KEY=VALUE`; once for each of them. docs/reference/settings.md lists the keys";
    let first = [("`config_file` (string)", file), ("`provider` (string)", provider)];
    let of_library = GLOBAL.iter().filter(|setting| !matches!(setting.kind, Kind::Table)).map(|setting| {
        let kind = if matches!(setting.kind, Kind::Number { .. }) { "integer" } else { "string" };
        (format!("`{}` ({kind})", setting.key), meaning(setting))
    });
    // Those that are no settings of the library.
    let (_, own) = SETTINGS.split_once("Of the Kamailio module alone:").expect("a table");
    let own = first_table(own).map(|(key, text)| {
        let (default, text) = text.split_once(" | ").expect("a default");
        let kind = if default.parse::<u32>().is_ok() { "integer" } else { "string" };
        (format!("{key} ({kind})"), text.to_owned())
    });
    first.into_iter().map(|(title, text)| (title.to_owned(), text.to_owned())).chain(of_library).chain(own)
}

fn page(title: &str, sections: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n\
         <!-- Made by 'make reference'. -->\n<section>\n<title>{title}</title>\n{sections}</section>\n"
    )
}

/// A sentence of Markdown; code is a literal.
fn docbook(markdown: &str) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let literal = |(text, is_code): (String, bool)| {
        if is_code { format!("<literal>{}</literal>", escaped(&text)) } else { escaped(&text) }
    };
    spans(markdown).map(literal).collect()
}
