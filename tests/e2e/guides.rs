// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the pages for operators have them type is typed here: each configuration starts a proxy, each command is one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use crate::support::kamailio::Kamailio;
use crate::support::kit;
use crate::support::temporary::Directory;
use crate::support::tool::tool;

/// Before what a page shows of a provider line behind "…".
const PROVIDER: &str = "name=corp;issuer=https://login.example.com/realms/corp;audience=sip;aor=sip:{preferred_username}@{domain};domain=example.com";
/// For pages that show some lines of a configuration.
const MODULES: [&str; 11] =
    ["tm", "sl", "pv", "auth", "textops", "xlog", "pike", "usrloc", "registrar", "tls", "auth_oauth"];

/// A block of code in a page.
struct Block {
    page: String,
    language: String,
    text: String,
}

/// All blocks of README, guides and reference.
fn blocks() -> Vec<Block> {
    let mut pages = vec![kit::path("README.md")];
    for folder in ["docs/guide", "docs/reference"] {
        let files = fs::read_dir(kit::path(folder)).expect("part of the project").flatten().map(|entry| entry.path());
        pages.extend(files.filter(|file| file.extension().is_some_and(|ending| ending == "md")));
    }
    let mut blocks: Vec<Block> = Vec::new();
    for page in pages {
        let markdown = fs::read_to_string(&page).expect("text");
        let mut inside = false;
        for event in Parser::new(&markdown) {
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    let CodeBlockKind::Fenced(language) = kind else { panic!("{}: say what it is", page.display()) };
                    let (page, language) = (page.display().to_string(), language.to_string());
                    blocks.push(Block { page, language, text: String::new() });
                    inside = true;
                }
                Event::Text(text) if inside => blocks.last_mut().expect("begun").text.push_str(&text),
                Event::End(TagEnd::CodeBlock) => inside = false,
                _ => {}
            }
        }
    }
    blocks
}

/// As an operator would fill it in: with folders of this test.
fn filled_in(text: &str, directory: &Directory) -> String {
    let here = format!("{}/", directory.path().display());
    ["/etc/kamailio/", "/var/lib/kamailio/", "/etc/opensips/"]
        .iter()
        .fold(text.to_owned(), |text, folder| text.replace(folder, &here))
}

#[test]
fn every_block_is_of_a_known_kind() {
    let known = ["kamailio", "opensips", "provider", "sh", "ini", "lua", "text"];
    let blocks = blocks();
    assert!(blocks.len() > 14);
    for Block { page, language, text } in blocks {
        assert!(known.contains(&language.as_str()), "{page}: {language}: {text}");
    }
}

/// A whole configuration around a block.
fn configuration(block: &Block, directory: &Directory) -> String {
    let whole = block.text.contains("request_route");
    let text = match block.language.as_str() {
        "provider" => format!("modparam(\"auth_oauth\", \"provider\", \"{}\")\n", block.text.trim()),
        _ => block.text.clone(),
    };
    let text = filled_in(&text, directory).replace("…;", &format!("{PROVIDER};"));
    // What a page leaves out.
    let text: String =
        text.lines().filter(|line| !line.trim_start().starts_with("...")).map(|line| format!("{line}\n")).collect();
    let mut script = String::from("#!KAMAILIO\nlisten=udp:127.0.0.1:PORT\nloadmodule \"ctl.so\"\n");
    script.push_str("modparam(\"ctl\", \"binrpc\", CTL_SOCKET)\n");
    if whole {
        return script + &text;
    }
    MODULES.iter().for_each(|module| script.push_str(&format!("loadmodule \"{module}.so\"\n")));
    // This one does not start without its event route.
    if text.contains("event_route[xhttp:") {
        script.push_str("loadmodule \"xhttp.so\"\n");
    }
    let store = filled_in("/var/lib/kamailio/sipoauth", directory);
    let key = filled_in("/etc/kamailio/store-key", directory);
    for (name, value) in [("provider", PROVIDER), ("store", &store), ("store_key_file", &key)] {
        if !text.contains(&format!("\"{name}\"")) {
            script.push_str(&format!("modparam(\"auth_oauth\", \"{name}\", \"{value}\")\n"));
        }
    }
    let outside = text.contains("modparam(") || ["event_route", "route["].iter().any(|begin| text.starts_with(begin));
    let (outer, statements) = if outside { (text.as_str(), "") } else { ("", text.as_str()) };
    let routes = ["PASSWORD", "BIND", "TO_USER"].map(|name| format!("route[{name}] {{ exit; }}\n")).concat();
    format!("{script}{outer}request_route {{\n{statements}exit;\n}}\n{routes}")
}

/// The files with secrets that the pages speak of.
fn secrets(directory: &Directory) {
    directory.write("client-secret", "a secret of the client\n");
    run(directory, None, "openssl rand -base64 32 > store-key && chmod 600 store-key client-secret").expect("made");
}

#[test]
fn every_configuration_starts() {
    let directory = Directory::new("guides");
    secrets(&directory);
    let blocks = blocks();
    let of = |languages: &'static [&str]| blocks.iter().filter(|block| languages.contains(&block.language.as_str()));
    // A page may show how a file is made that its configuration names.
    for line in of(&["sh"]).flat_map(|block| block.text.lines()).filter(|line| line.starts_with("openssl")) {
        run(&directory, None, line).expect("openssl makes it");
    }
    let mut started = 0;
    for block in of(&["kamailio", "provider"]) {
        started += 1;
        println!("{}:\n{}", block.page, block.text);
        let cfg = directory.write(&format!("{started}.cfg"), configuration(block, &directory));
        let proxy = Kamailio::with(cfg).start();
        proxy.stop().unwrap_or_else(|fault| panic!("{}: {fault}", block.page));
    }
    assert!(started > 6);
}

#[test]
fn every_command_is_one() {
    let directory = Directory::new("guide-commands");
    secrets(&directory);
    let block = Block { page: String::new(), language: "kamailio".into(), text: String::new() };
    let proxy = Kamailio::with(directory.write("proxy.cfg", configuration(&block, &directory))).start();
    let blocks = blocks();
    let mut commands = 0;
    for Block { page, text, .. } in blocks.iter().filter(|block| block.language == "sh") {
        let mut variables = String::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let line = filled_in(line, &directory)
                .replace(" [ID]", "")
                .replace(" [ID|USERNAME]", "")
                .replace(" [PROVIDER]", "");
            // Nobody listens there.
            let hosts = ["proxy.example.test", "login.example.test", "192.0.2.10"];
            let line = hosts.iter().fold(line, |line, host| line.replace(host, "127.0.0.1:9"));
            // Both servers have the same commands.
            let line = line.replace("opensips-cli -x mi oauth_", "kamcmd auth_oauth.");
            if line.split_once('=').is_some_and(|(name, _)| name.len() == 1) {
                variables.push_str(&format!("{line}\n"));
                continue;
            }
            commands += 1;
            if let Err(output) = run(&directory, Some(&proxy), &format!("{variables}{line}")) {
                panic!("{page}: {line}\n{output}");
            }
        }
    }
    assert!(commands > 40);
    proxy.stop().expect("nothing that was typed has hurt it");
}

/// Types a line in this directory. An error where it is no command: what a tool, a proxy or a server says of users, files and
/// hosts that are not there is none.
fn run(directory: &Directory, proxy: Option<&Kamailio>, line: &str) -> Result<(), String> {
    let functions = r#"
        sudo() { [ "$1" != -u ] || shift 2; "$@"; }
        sipoauth() { "$TOOL" "$@"; }
        kamcmd() { "$KAMCMD" -s "unix:$SOCKET" "$@"; }
        systemctl() { :; }
        make() { command make --directory "$ROOT" --dry-run "$@"; }
    "#;
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{functions}{line}")).current_dir(directory.path()).stdin(Stdio::null());
    shell.env("TOOL", tool()).env("KAMCMD", kit::program("kamcmd")).env("ROOT", kit::path("."));
    shell.env("SOCKET", proxy.map_or(Path::new(""), Kamailio::socket));
    let output = shell.output().expect("a shell");
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    let is_ours = line.contains("sipoauth ") || line.contains("kamcmd ");
    let unknown = ["try '--help'", "not found in", "command not found", ": not found"];
    let unknown_rpc = line.contains("kamcmd ") && text.contains("command ") && text.contains(" not found");
    let failed = !output.status.success() && !is_ours;
    if failed || unknown_rpc || unknown.iter().any(|words| text.contains(words)) { Err(text) } else { Ok(()) }
}
