// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth keygen`: makes strong secrets and keys, in files that only their owner can read.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use sipoauth_core::jose::thumbprint::thumbprint;
use zeroize::Zeroizing;

use crate::output::Output;

const FILES: &str = "\
A file is made with mode 0600 and never written over. '--out -' prints to standard output.";

/// Makes secrets and keys.
#[derive(Subcommand)]
pub enum KeygenCommand {
    /// The secret of store_key_file, which encrypts the sessions
    #[command(after_help = FILES)]
    Store(SecretOptions),
    /// A secret for client_secret_file or secret_file
    #[command(after_help = FILES)]
    Secret(SecretOptions),
    /// The private key of client_key_file (private_key_jwt); prints the key set to register at the server
    #[command(after_help = FILES)]
    Client(ClientKeyOptions),
    /// A private key of signing_key_files, with which the proxy signs tokens; prints the key set for others who accept them
    #[command(after_help = FILES)]
    Signing(SigningKeyOptions),
    /// A private key to which the server encrypts tokens; prints the key set to register at the server
    #[command(after_help = FILES)]
    Decryption(DecryptionKeyOptions),
}

/// Where a secret goes.
#[derive(Args)]
pub struct SecretOptions {
    /// The file to make; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

/// What to make for client authentication.
#[derive(Args)]
pub struct ClientKeyOptions {
    /// What it signs with
    #[arg(long, value_enum, default_value = "ES256")]
    alg: ClientAlgorithm,
    #[command(flatten)]
    key: KeygenOptions,
}

/// What to make for tokens of the proxy's own: a P-256 key, named by its thumbprint.
#[derive(Args)]
pub struct SigningKeyOptions {
    /// The file to make for the private key (PEM, PKCS #8); - is standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The file to make for the public key set [default: standard output]
    #[arg(long, value_name = "FILE")]
    jwks_out: Option<PathBuf>,
}

/// What to make for encrypted tokens.
#[derive(Args)]
pub struct DecryptionKeyOptions {
    /// How the server encrypts to it
    #[arg(long, value_enum, default_value = "ECDH-ES")]
    alg: DecryptionAlgorithm,
    #[command(flatten)]
    key: KeygenOptions,
}

/// Where a private key goes, and what its public part is called.
#[derive(Args)]
pub struct KeygenOptions {
    /// The file to make for the private key (PEM, PKCS #8); - is standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The key's id [default: its thumbprint, RFC 7638]
    #[arg(long, value_name = "TEXT")]
    kid: Option<String>,
    /// The file to make for the public key set [default: standard output]
    #[arg(long, value_name = "FILE")]
    jwks_out: Option<PathBuf>,
}

/// Signature algorithms of client assertions.
#[derive(Clone, Copy, ValueEnum)]
#[allow(missing_docs)]
enum ClientAlgorithm {
    #[value(name = "ES256")]
    Es256,
    #[value(name = "RS256")]
    Rs256,
    #[value(name = "EdDSA")]
    EdDsa,
}

/// Key management algorithms of encrypted tokens.
#[derive(Clone, Copy, ValueEnum)]
#[allow(missing_docs)]
enum DecryptionAlgorithm {
    #[value(name = "ECDH-ES")]
    EcdhEs,
    #[value(name = "RSA-OAEP-256")]
    RsaOaep256,
}

impl KeygenCommand {
    /// Runs the command and returns the exit code.
    pub fn run(&self) -> u8 {
        let made = match self {
            KeygenCommand::Store(options) | KeygenCommand::Secret(options) => secret(&options.out),
            KeygenCommand::Client(options) => {
                let (pair, name) = match options.alg {
                    ClientAlgorithm::Es256 => (p256(), "ES256"),
                    ClientAlgorithm::Rs256 => (rsa(), "RS256"),
                    ClientAlgorithm::EdDsa => (ed25519(), "EdDSA"),
                };
                pair.and_then(|pair| key(pair, name, Purpose::Client, &options.key))
            }
            KeygenCommand::Signing(options) => {
                let named = KeygenOptions { out: options.out.clone(), kid: None, jwks_out: options.jwks_out.clone() };
                p256().and_then(|pair| key(pair, "ES256", Purpose::Signing, &named))
            }
            KeygenCommand::Decryption(options) => {
                let (pair, name) = match options.alg {
                    DecryptionAlgorithm::EcdhEs => (p256(), "ECDH-ES"),
                    DecryptionAlgorithm::RsaOaep256 => (rsa(), "RSA-OAEP-256"),
                };
                pair.and_then(|pair| key(pair, name, Purpose::Decryption, &options.key))
            }
        };
        made.map_or_else(|sentence| Output { json: false }.error(&sentence), |()| 0)
    }
}

/// A private key in PKCS #8 (DER), and its public JWK without `kid`, `alg` and `use`.
type Pair = (Zeroizing<Vec<u8>>, Value);

/// 32 random octets as 'openssl rand -base64 32' writes them.
fn secret(out: &Path) -> Result<(), String> {
    let mut octets = Zeroizing::new([0; 32]);
    rand::fill(&mut *octets).map_err(|_| RANDOM)?;
    let text = Zeroizing::new(format!("{}\n", STANDARD.encode(octets.as_slice())));
    write(out, text.as_bytes())
}

/// What a key is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Client,
    Signing,
    Decryption,
}

impl Purpose {
    /// `use` (RFC 7517 section 4.2).
    fn usage(self) -> &'static str {
        if self == Purpose::Decryption { "enc" } else { "sig" }
    }

    /// What the user does next with the private and the public part.
    fn advice(self, out: &Path, kid: &str) -> String {
        let out = out.display();
        match self {
            Purpose::Client => format!(
                "register the public key set at the server; configure client_key_file={out}, client_key_id={kid}"
            ),
            Purpose::Signing => format!(
                "configure signing_key_files={out}, before an older key's file; the proxy itself publishes the key set \
                 ($oauth(jwks), auth_oauth.jwks)"
            ),
            Purpose::Decryption => {
                format!("register the public key set at the server; configure decryption_key_files={out}")
            }
        }
    }
}

fn key((private, mut jwk): Pair, algorithm: &str, purpose: Purpose, options: &KeygenOptions) -> Result<(), String> {
    if options.out == Path::new("-") && options.jwks_out.is_none() {
        return Err("with --out - the public key set needs a place of its own; write --jwks-out FILE".into());
    }
    let kid = match &options.kid {
        Some(kid) => kid.clone(),
        None => thumbprint(&jwk).ok_or("the key has no thumbprint")?,
    };
    jwk["kid"] = kid.as_str().into();
    jwk["alg"] = algorithm.into();
    jwk["use"] = purpose.usage().into();
    write(&options.out, pem(&private).as_bytes())?;
    let set = format!("{}\n", serde_json::to_string_pretty(&json!({"keys": [jwk]})).map_err(|e| e.to_string())?);
    write(options.jwks_out.as_deref().unwrap_or(Path::new("-")), set.as_bytes())?;
    Output { json: false }.remark(&purpose.advice(&options.out, &kid));
    Ok(())
}

fn p256() -> Result<Pair, String> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| RANDOM)?;
    let private = pair.to_pkcs8v1().map_err(|_| RANDOM)?;
    // The public key is the octet 4, then x and y.
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let public = json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)});
    Ok((Zeroizing::new(private.as_ref().to_vec()), public))
}

fn ed25519() -> Result<Pair, String> {
    let pair = Ed25519KeyPair::generate().map_err(|_| RANDOM)?;
    let private = pair.to_pkcs8v1().map_err(|_| RANDOM)?;
    let public = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())});
    Ok((Zeroizing::new(private.as_ref().to_vec()), public))
}

fn rsa() -> Result<Pair, String> {
    let pair = RsaKeyPair::generate(KeySize::Rsa3072).map_err(|_| RANDOM)?;
    let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| RANDOM)?;
    let public = pair.public_key();
    let public = json!({
        "kty": "RSA",
        "n": encode(public.modulus().big_endian_without_leading_zero()),
        "e": encode(public.exponent().big_endian_without_leading_zero()),
    });
    Ok((Zeroizing::new(private.as_ref().to_vec()), public))
}

const RANDOM: &str = "the system gives no random numbers";

fn encode(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

fn pem(der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / 64 + 64));
    text.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}

/// Makes a file. It never overwrites an existing one.
fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    if path == Path::new("-") {
        return io::stdout().write_all(content).map_err(|e| format!("standard output: {e}"));
    }
    let name = path.display();
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{name} is there already and is not written over; move it away first")
            }
            _ => format!("{name} cannot be made: {e}"),
        })?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.map_err(|e| format!("{name} cannot be written: {e}"))
}
