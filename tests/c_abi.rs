// SPDX-License-Identifier: MIT OR Apache-2.0

//! The C ABI as a C and C++ program sees it: header, symbols, installation, and `tests/capi` run plainly, under
//! valgrind, with AddressSanitizer, and against a core that panics.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::json;
use support::authorization_server::AuthorizationServer;
use support::encryption::Recipient;
use support::patience::PATIENCE;
use support::ports;
use support::process::Process;
use support::sanitized;
use support::scripted_server::{Answer, ScriptedServer, key_set};
use support::sip::Client;
use support::temporary::Directory;
use support::token::{TestKey, claims, now, signing_key};
use support::tool::tool;

const C: [&str; 4] = ["gcc", "-std=c11", "-x", "c"];
const CPP: [&str; 4] = ["g++", "-std=c++17", "-x", "c++"];
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

#[test]
fn the_header_is_the_generated_one() {
    let generated = fs::read_to_string(env!("SIPOAUTH_GENERATED_HEADER")).expect("written by build.rs");
    let checked_in = fs::read_to_string(root("include/sipoauth.h")).expect("checked in");
    assert!(generated == checked_in, "include/sipoauth.h is not what src/capi says: run 'make header'");
}

#[test]
fn the_library_exports_the_functions_of_the_header_and_nothing_else() {
    let symbols = succeed(Command::new("nm").args(["-D", "--defined-only"]).arg(library("libsipoauth.so")));
    let exported: BTreeSet<_> =
        symbols.lines().filter_map(|l| l.split_whitespace().last()).map(str::to_owned).collect();
    assert_eq!(exported, functions());
    // A host's module links the static library and must not find the symbols twice either.
    let symbols = succeed(Command::new("nm").args(["--defined-only", "-g"]).arg(library("libsipoauth.a")));
    // The names of its members are lines of their own.
    let symbols = symbols.lines().filter(|line| !line.ends_with(':'));
    let defined = symbols.filter_map(|l| l.split_whitespace().last()).filter(|s| s.starts_with("sipoauth_"));
    assert_eq!(defined.map(str::to_owned).collect::<BTreeSet<_>>(), functions());
}

#[test]
fn the_client_uses_every_function() {
    let text: String = sources().iter().map(|file| fs::read_to_string(file).expect("a source")).collect();
    let unused: Vec<_> = functions().into_iter().filter(|name| !text.contains(&format!("{name}("))).collect();
    assert!(unused.is_empty(), "tests/capi does not use {unused:?}");
}

#[test]
fn a_c_program_with_the_installed_library() {
    let world = World::new();
    let prefix = install(&world.directory);
    let client = world.directory.file("client");
    build(&C, &sources(), &pkg_config(&prefix), &client);
    let output = succeed(world.client(&client).env("LD_LIBRARY_PATH", prefix.join("lib")));
    println!("{output}");
    assert!(output.contains(" 0 failures"));
}

#[test]
fn a_cpp_program_with_the_static_library() {
    let world = World::new();
    let client = world.directory.file("client");
    build(&CPP, &sources(), &static_library(&library("libsipoauth.a")), &client);
    println!("{}", succeed(&mut world.client(&client)));
}

#[test]
fn valgrind_finds_nothing() {
    let world = World::new();
    let client = world.directory.file("client");
    build(&C, &sources(), &[static_library(&library("libsipoauth.a")), words(&["-g"])].concat(), &client);
    let mut command = Command::new("valgrind");
    command.args(["--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"]);
    command.args(["--show-leak-kinds=definite,indirect", "--num-callers=30"]);
    let output = run(world.arguments(command.arg(&client)));
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stdout));
    // One summary for each process that came to its end; errors of the others are in the report only.
    let summaries: Vec<_> = report.lines().filter(|l| l.contains("ERROR SUMMARY")).collect();
    println!("{}", summaries.join("\n"));
    assert!(summaries.len() >= 2 && summaries.iter().all(|l| l.contains("ERROR SUMMARY: 0 errors")), "{report}");
    assert!(!["Invalid ", "ninitialised"].iter().any(|word| report.contains(word)), "{report}");
}

#[test]
fn address_sanitizer_finds_nothing_and_a_panic_costs_one_call() {
    let library = sanitized::library();
    let world = World::new();
    let client = world.directory.file("client");
    build(&C, &sources(), &[static_library(&library), words(&sanitized::FLAGS)].concat(), &client);
    for part in [None, Some("panics")] {
        let mut command = Command::new(&client);
        command.args(part).env("ASAN_OPTIONS", sanitized::OPTIONS);
        println!("{}", succeed(world.arguments(&mut command)));
    }
}

#[test]
fn the_example_program() {
    let world = World::new();
    let prefix = install(&world.directory);
    let example = world.directory.file("check");
    build(&C, &[root("examples/c/check.c")], &pkg_config(&prefix), &example);
    let ask = |authorization: &str| {
        let provider = format!("name=corp;issuer={};audience=sip;aor={{sip}}", world.server.issuer());
        let mut command = Command::new(&example);
        command.env("LD_LIBRARY_PATH", prefix.join("lib")).args([&provider, "sip:alice@example.test", authorization]);
        let output = run(&mut command);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, answer) = ask(&format!("Bearer {}", world.token("first", 600)));
    assert!(code == Some(0) && answer.starts_with("200 ok: "), "{answer}");
    let (code, answer) = ask(&format!("Bearer {}", world.token("first", -600)));
    assert!(code == Some(1) && answer.starts_with("401 token_expired: "), "{answer}");
    let (code, answer) = ask("Digest username=\"alice\"");
    assert!(code == Some(1) && answer.starts_with("401 no_credentials: "), "{answer}");
}

/// A real server, a real sign-in in a browser's place, and the code that comes of it.
#[test]
fn the_example_that_exchanges_a_code() {
    let directory = Directory::new("c-exchange");
    let server = AuthorizationServer::start();
    let prefix = install(&directory);
    let example = directory.file("exchange");
    build(&C, &[root("examples/c/exchange.c")], &pkg_config(&prefix), &example);
    let key = directory.write("store.key", "0123456789abcdef0123456789abcdef");
    let provider = format!(
        "name=corp;issuer={};audience={};aor={{sip}};domain=example.test;client_id=sip-proxy;client_secret=proxy-secret",
        server.issuer(),
        AuthorizationServer::resource("es256")
    );
    let exchange = |address: &str, login: &serde_json::Value| {
        let mut command = Command::new(&example);
        command.env("LD_LIBRARY_PATH", prefix.join("lib")).arg(&provider).arg(directory.file("store"));
        command.arg(&key).arg(address).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("built");
        let line = |name: &str| login[name].as_str().unwrap_or_default().to_owned() + "\n";
        let input: String = ["code", "code_verifier", "redirect_uri"].map(line).concat();
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads them");
        let output = child.wait_with_output().expect("our own child");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(!text.contains(login["code"].as_str().unwrap_or("no code")), "{text}");
        (output.status.code(), text)
    };
    let scope = "openid sip offline_access";
    let login = server.login_for_code_of("sip-proxy", "alice", "es256", scope);
    let (code, text) = exchange("sip:alice@example.test", &login);
    assert!(code == Some(0) && text.starts_with("200 ok: ") && text.contains("32 octets"), "{text}");
    // The same request again, as after a lost answer: the same session, and the server is not asked again.
    assert_eq!(exchange("sip:alice@example.test", &login), (code, text));
    let (code, text) =
        exchange("sip:bob@example.test", &server.login_for_code_of("sip-proxy", "alice", "es256", scope));
    assert!(code == Some(1) && text.starts_with("403 aor_mismatch: "), "{text}");
    let mut wrong = server.login_for_code_of("sip-proxy", "alice", "es256", scope);
    wrong["code_verifier"] = json!("0123456789012345678901234567890123456789012");
    let (code, text) = exchange("sip:alice@example.test", &wrong);
    assert!(code == Some(1) && text.starts_with("401 code_refused: "), "{text}");
    assert_eq!(server.stats().get("/token authorization_code"), Some(&3), "each code is sent once");
    let (code, text) = exchange("sip:alice@example.test", &json!({}));
    assert!(code == Some(1) && text.starts_with("400 grant_incomplete: "), "{text}");
}

/// Its requests wait for keys while others are answered.
#[test]
fn the_example_that_parks() {
    let world = World::new();
    let prefix = install(&world.directory);
    let example = world.directory.file("park");
    build(&C, &[root("examples/c/park.c")], &pkg_config(&prefix), &example);
    let port = ports::free();
    let provider = format!("name=corp;issuer={};audience=sip;aor={{sip}}", world.server.issuer());
    let mut command = Command::new(&example);
    command.env("LD_LIBRARY_PATH", prefix.join("lib")).arg(port.to_string()).arg(provider).arg("retry_after=7");
    let mut process = Process::start("park", command, world.directory.path());
    process.wait_for("READY", PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    let register = |aor: &str, token: &str| {
        let authorization = format!("Bearer {token}");
        Client::udp(port).register(aor, Some(authorization.as_str()).filter(|_| !token.is_empty())).expect("an answer")
    };
    let alice = "sip:alice@example.test";
    assert_eq!(register(alice, &world.token("first", 600)).status, 200, "{}", process.tail());
    assert_eq!(world.server.count("/jwks"), 1, "it waited for the keys");
    let challenge = register(alice, "");
    assert!(challenge.status == 401 && challenge.header("WWW-Authenticate").is_some_and(|c| c.starts_with("Bearer ")));
    let expired = register(alice, &world.token("first", -600));
    assert!(expired.header("WWW-Authenticate").is_some_and(|c| c.contains("error=\"invalid_token\"")), "{expired:?}");
    assert_eq!(register("sip:bob@example.test", &world.token("first", 600)).status, 403);
    // The keys are there: one more name of a key is asked for, in vain.
    assert_eq!(register(alice, &world.token("another", 600)).status, 401, "{}", process.tail());
    assert!(process.stop().code().is_none_or(|code| code == 0), "{}", process.tail());
}

/// An authorization server, tokens, and a directory to build and write in.
struct World {
    server: ScriptedServer,
    key: TestKey,
    directory: Directory,
}

impl World {
    fn new() -> World {
        let key = TestKey::rsa("first");
        let server = ScriptedServer::start(key_set(&[key.jwk()]));
        server.set("/token", Answer::Json(tokens(&key, &server.issuer())));
        World { server, key, directory: Directory::new("c-abi") }
    }

    /// Older than the library's keys.
    fn token(&self, kid: &str, ttl: i64) -> String {
        let header = json!({ "alg": "RS256", "typ": "at+jwt", "kid": kid });
        let mut claims = claims(&self.server.issuer(), "sip", "alice", ttl);
        claims["iat"] = json!(now() - 100);
        self.key.jws("RS256", &header, &claims)
    }

    fn client(&self, client: &Path) -> Command {
        let mut command = Command::new(client);
        self.arguments(&mut command);
        command
    }

    fn arguments<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let mut large = claims(&self.server.issuer(), "sip", "alice", 600);
        large["groups"] = json!(vec!["0123456789abcdef"; 1100]);
        let large = self.key.token("RS256", &large);
        assert!((28_000..32_000).contains(&large.len()), "{}", large.len());
        let forged = TestKey::other_rsa("first").token("RS256", &claims(&self.server.issuer(), "sip", "alice", 600));
        // Two recipients: one key pair, one whose key the library chooses by its name.
        let (rsa, secret) = (Recipient::rsa(), Recipient::secret("shared", "A128CBC-HS256"));
        let private = [("rsa.pem", &rsa), ("shared.json", &secret)];
        let private = private.map(|(name, recipient)| self.directory.write(name, &recipient.private));
        let token = self.token("first", 600);
        let foreign = Recipient::other_rsa().encrypt("RSA-OAEP-256", "A256GCM", &token);
        command
            .arg(format!("private={},{}", private[0].display(), private[1].display()))
            .arg(format!("encrypted={}", rsa.encrypt("RSA-OAEP-256", "A256GCM", &token)))
            .arg(format!("shared={}", secret.encrypt("dir", "A128CBC-HS256", &token)))
            .arg(format!("foreign={foreign}"))
            .arg(format!("issuer={}", self.server.issuer()))
            .arg(format!("signing={}", self.directory.write("signing.pem", signing_key()).display()))
            .arg(format!("token={}", self.token("first", 600)))
            .arg(format!("expired={}", self.token("first", -600)))
            .arg(format!("forged={forged}"))
            .arg(format!("unknown={}", self.token("another", 600)))
            .arg(format!("large={large}"))
            .arg(format!("in_log={}", self.token("panic-now", -600)))
            .arg(format!("directory={}", self.directory.path().display()))
            .arg(format!("vectors={}", root("tests/vectors/rfc4474").display()))
    }
}

/// What alice's codes are exchanged for.
fn tokens(key: &TestKey, issuer: &str) -> serde_json::Value {
    let mut claims = claims(issuer, "sip-proxy", "alice", 600);
    claims["azp"] = json!("sip-proxy");
    json!({
        "access_token": "an-access-token-that-nobody-may-see-0123456789",
        "refresh_token": "a-refresh-token-that-nobody-may-see-0123456789",
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "openid sip",
        "id_token": key.jws("RS256", &json!({ "alg": "RS256", "kid": "first" }), &claims),
    })
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A library that cargo has built together with this test.
fn library(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    test.with_file_name(name)
}

/// As operators who build Kamailio themselves have it: the module's folder in Kamailio's tree, the library installed.
#[test]
fn the_module_builds_in_kamailios_own_tree() {
    let directory = Directory::new("kamailio-tree");
    let prefix = install(&directory);
    // What tools/kamailio-build.sh has fetched, or was given.
    let fetched = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("kamailio-src").join("tree");
    let source = std::env::var_os("KAMAILIO_SRC").map_or_else(fetched, PathBuf::from);
    let source = source.canonicalize().unwrap_or_else(|e| panic!("no Kamailio in {}: {e}; run make", source.display()));
    let tree = directory.file("tree");
    // Links: what the build writes is written here.
    succeed(Command::new("cp").arg("-rs").args([&source, &tree]));
    let module = tree.join("src/modules/auth_oauth");
    succeed(Command::new("cp").arg("-r").arg(root("modules/kamailio")).arg(&module));
    succeed(Command::new("cp").arg("-r").arg(root("modules/common/.")).arg(&module));
    let mut make = Command::new("make");
    make.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).env_remove("MAKEFLAGS").args(["-j2", "-C"]).arg(&module);
    let output = run(make.env("LC_ALL", "C"));
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && !text.contains("warning:"), "{text}");
    let symbols = succeed(Command::new("nm").arg("-D").arg(module.join("auth_oauth.so")));
    for name in ["D exports", " U sipoauth_worker_check"] {
        assert!(symbols.contains(name), "no{name}: {symbols}");
    }
}

fn functions() -> BTreeSet<String> {
    let header = fs::read_to_string(root("include/sipoauth.h")).expect("checked in");
    let code: String = header.split("/*").map(|part| part.split_once("*/").map_or(part, |p| p.1)).collect();
    let names = code.match_indices('(').map(|(at, _)| {
        let start = code[..at].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |i| i + 1);
        code[start..at].to_owned()
    });
    let names: BTreeSet<_> = names.filter(|name| name.starts_with("sipoauth_")).collect();
    assert!(names.len() >= 32, "{names:?}");
    names
}

fn sources() -> Vec<PathBuf> {
    let entries = fs::read_dir(root("tests/capi")).expect("a directory");
    let files = entries.map(|entry| entry.expect("an entry").path());
    files.filter(|file| file.extension().is_some_and(|e| e == "c")).collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

fn static_library(library: &Path) -> Vec<String> {
    let include = format!("-I{}", root("include").display());
    [words(&[&include, "-x", "none", &library.display().to_string()]), words(&sanitized::SYSTEM)].concat()
}

/// Compiler and linker flags as a user gets them.
fn pkg_config(prefix: &Path) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).args(["--cflags", "--libs", "sipoauth"]);
    let flags = succeed(&mut command);
    flags.split_whitespace().map(str::to_owned).collect()
}

fn build(compiler: &[&str], sources: &[PathBuf], flags: &[String], program: &Path) {
    let mut command = Command::new(compiler[0]);
    command.args(&compiler[1..]).args(WARNINGS).args(sources).arg("-o").arg(program).arg("-pthread").args(flags);
    succeed(&mut command);
}

/// Installs the libraries of this build; the folder that `make install` would be given as PREFIX.
fn install(directory: &Directory) -> PathBuf {
    let prefix = directory.file("prefix");
    let mut command = Command::new(root("tools/install.sh"));
    let built = library("libsipoauth.so");
    command.env("SIPOAUTH_BUILD", built.parent().expect("a folder")).arg(&prefix);
    command.env("SIPOAUTH_TOOL", tool());
    succeed(&mut command);
    assert!(succeed(Command::new(prefix.join("bin/sipoauth")).arg("--version")).starts_with("sipoauth "));
    assert!(prefix.join("share/man/man5/sipoauth.toml.5").is_file());
    let link = |name: &str| fs::read_link(prefix.join("lib").join(name)).expect("a symbolic link");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(link("libsipoauth.so"), Path::new("libsipoauth.so.0"));
    assert_eq!(link("libsipoauth.so.0"), PathBuf::from(format!("libsipoauth.so.{version}")));
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).args(["--modversion", "sipoauth"]);
    assert_eq!(succeed(&mut command).trim(), version);
    prefix
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}; run tools/setup.sh"))
}

/// What the command prints; it must succeed.
fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{:?} failed ({}):\n{text}\n{}",
        command.get_program(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
