// SPDX-License-Identifier: MIT OR Apache-2.0

//! The manual pages sipoauth.toml(5) and auth_oauth(7): the pages of the reference, as `man` shows them.

use std::process::Command;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, roman};

use crate::reference::same_or_written;
use crate::{FUNCTIONS, SETTINGS, root};

const RPC: &str = include_str!("../../docs/reference/rpc.md");

#[test]
fn the_reference_in_manual_pages() {
    let named = r#"modparam("auth_oauth", "config_file", "/etc/kamailio/sipoauth.toml")"#;
    let settings = "settings of sipoauth and of Kamailio's module auth_oauth";
    let settings = page(["sipoauth.toml", "5", settings, named], &[SETTINGS]);
    same_or_written("docs/man/sipoauth.toml.5", &settings);
    let module = ["auth_oauth", "7", "Kamailio's module for sign-in with OAuth 2.0", r#"loadmodule "auth_oauth.so""#];
    same_or_written("docs/man/auth_oauth.7", &page(module, &[FUNCTIONS, RPC]));
}

/// Nothing in them is a mistake to groff.
#[test]
fn every_manual_page_can_be_shown() {
    for (page, least) in
        [("sipoauth.1", 100), ("sipoauth.toml.5", 100), ("auth_oauth.7", 100), ("sipoauth-signin.8", 40)]
    {
        let path = root().join("docs/man").join(page);
        let groff =
            Command::new("groff").args(["-K", "utf8", "-T", "utf8", "-man", "-ww", "-rLL=80n"]).arg(&path).output();
        let shown = groff.expect("tools/setup.sh installs groff-base");
        assert!(
            shown.status.success() && shown.stderr.is_empty(),
            "{page}: {}",
            String::from_utf8_lossy(&shown.stderr)
        );
        let text = String::from_utf8(shown.stdout).expect("UTF-8");
        assert!(text.lines().count() > least, "{page}: {text}");
    }
}

/// A page with these texts.
fn page([name, section, does, synopsis]: [&str; 4], texts: &[&str]) -> String {
    let mut page = Roff::new();
    page.control("TH", [name, section, "", concat!("sipoauth ", env!("CARGO_PKG_VERSION")), ""]);
    page.control("SH", ["NAME"]).text([roman(format!("{name} - {does}"))]);
    page.control("SH", ["SYNOPSIS"]).text([bold(synopsis)]);
    for text in texts {
        Writer { page: &mut page, line: Vec::new(), cells: Vec::new(), columns: Vec::new(), is_code: false }
            .write(text);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("sipoauth"),
        roman("(1), "),
        bold("sipoauth.toml"),
        roman("(5), "),
        bold("auth_oauth"),
        roman("(7), "),
        bold("sipoauth-signin"),
        roman("(8), "),
    ]);
    page.text([bold("kamailio"), roman("(8); the guides are in the project's docs/guide")]);
    format!(".\\\" Made by 'make reference'.\n{}", page.render())
}

/// Writes Markdown as a manual page.
struct Writer<'a> {
    page: &'a mut Roff,
    /// The paragraph, heading or cell that is being read.
    line: Vec<Inline>,
    /// The cells of the row before that.
    cells: Vec<Vec<Inline>>,
    /// The heads of the table.
    columns: Vec<Vec<Inline>>,
    is_code: bool,
}

impl Writer<'_> {
    fn write(mut self, markdown: &str) {
        for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
            match event {
                Event::Text(text) if self.is_code => self.code(&text),
                Event::Text(text) => self.line.push(roman(text.as_ref())),
                Event::Code(text) => self.line.push(bold(text.as_ref())),
                Event::SoftBreak => self.line.push(roman(" ")),
                Event::Start(tag) => self.start(&tag),
                Event::End(tag) => self.end(tag),
                Event::Html(_) => {}
                other => panic!("{other:?} is not written yet"),
            }
        }
    }

    fn code(&mut self, text: &str) {
        for line in text.lines() {
            self.page.text([roman(line)]);
        }
    }

    fn start(&mut self, tag: &Tag) {
        match tag {
            Tag::Paragraph => drop(self.page.control("PP", [])),
            Tag::CodeBlock(CodeBlockKind::Indented | CodeBlockKind::Fenced(_)) => {
                self.is_code = true;
                self.page.control("PP", []).control("EX", []);
            }
            Tag::Item => drop(self.page.control("IP", ["\\(bu", "2"])),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                let title = std::mem::take(&mut self.line).into_iter().map(|span| match span {
                    Inline::Roman(text) | Inline::Bold(text) => text.to_uppercase(),
                    _ => String::new(),
                });
                self.page.control("SH", [title.collect::<String>().as_str()]);
            }
            TagEnd::Paragraph | TagEnd::Item => {
                let line = std::mem::take(&mut self.line);
                if !line.is_empty() {
                    self.page.text(line);
                }
            }
            TagEnd::CodeBlock => {
                self.is_code = false;
                self.page.control("EE", []);
            }
            TagEnd::TableCell => self.cells.push(std::mem::take(&mut self.line)),
            TagEnd::TableHead => self.columns = std::mem::take(&mut self.cells),
            TagEnd::TableRow => self.row(),
            _ => {}
        }
    }

    /// The first cell is the term. What is between it and the last one has its column's name.
    fn row(&mut self) {
        let mut cells = std::mem::take(&mut self.cells).into_iter().zip(&self.columns);
        self.page.control("TP", []);
        self.page.text(cells.next().expect("a row has cells").0);
        let Some((last, _)) = cells.next_back() else { return };
        let mut line = Vec::new();
        for (cell, column) in cells.filter(|(cell, _)| !cell.is_empty()) {
            line.extend(column.iter().cloned().chain([roman(": ")]).chain(cell).chain([roman(". ")]));
        }
        line.extend(last);
        self.page.text(line);
    }
}
