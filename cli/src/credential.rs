// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the credential that the phone shows to the proxy, and hides its secrets in the output.

use std::path::Path;

use sipoauth_core::keys::pbkdf2::MasterKey;
use sipoauth_core::keys::shared_key::Key;
use sipoauth_core::sip::uri::Aor;
use zeroize::Zeroizing;

use crate::options::{PopBody, PopPlace, RegisterOptions};
use crate::phone_state::{KeyKind, PhoneState};
use crate::redact::Redactor;
use crate::secret::{password_file, token_file, typed_or_read};

/// A user and the password.
pub struct Login {
    /// The user.
    pub username: String,
    /// The password. It is never sent. The redactor does not know it, because a mask in a printed text would tell that
    /// the password is there.
    pub password: Zeroizing<String>,
}

/// An authorization code with what belongs to it.
pub struct Code {
    /// The code.
    pub code: String,
    /// PKCE verifier.
    pub verifier: Option<String>,
    /// redirect_uri of the sign-in.
    pub redirect_uri: Option<String>,
    /// The key from the sign-in, and its user. Without it the key is derived from the code.
    pub master_key: Option<(Key, String)>,
}

/// The credential that the phone shows to the proxy.
pub enum Credential {
    /// Nothing.
    None,
    /// An access token.
    Token(String),
    /// An authorization code.
    Code(Code),
    /// A user who signs in at this address first, which gives a code.
    Authorize { url: String, login: Login },
    /// Proof of possession of this key.
    Pop { key: Key, place: PopPlace, body: PopBody },
    /// An access token and proof of possession of this key.
    TokenPop { key: Key, token: String },
    /// Proof of possession of a key that was derived from this user's password.
    KeyPop { key: MasterKey, username: String },
    /// A user whom the proxy authenticates with Digest, and to whom it gives tokens.
    Password { login: Login, with_pop: bool },
    /// A refresh token and proof of possession of this key.
    Refresh { key: Key, refresh_token: String },
    /// A user whose key the proxy has.
    KeyDerivation { login: Login },
}

impl Credential {
    /// Reads the credential that the options name.
    pub fn read(
        options: &RegisterOptions,
        state: Option<&PhoneState>,
        redactor: &mut Redactor,
    ) -> Result<Credential, String> {
        if options.continues() {
            return kept(options, state, redactor);
        }
        if let Some(token) = given_token(options.token.as_deref(), options.token_file.as_deref(), redactor)? {
            return Ok(Credential::Token(token));
        }
        if let Some(code) = &options.code {
            let code = typed_or_read(code, "the code")?;
            if code.is_empty() {
                return Err("the code is empty; take it from the sign-in page or the redirect".into());
            }
            redactor.hide(&code);
            options.code_verifier.iter().for_each(|verifier| redactor.hide(verifier));
            let (verifier, redirect_uri) = (options.code_verifier.clone(), options.redirect_uri.clone());
            return Ok(Credential::Code(Code { code, verifier, redirect_uri, master_key: None }));
        }
        if let Some(url) = &options.authorize {
            return Ok(Credential::Authorize { url: url.clone(), login: login(options)? });
        }
        if options.grant.is_some() {
            return Ok(Credential::Password { login: login(options)?, with_pop: options.with_pop });
        }
        if options.key_derivation {
            return Ok(Credential::KeyDerivation { login: login(options)? });
        }
        Ok(Credential::None)
    }

    /// Does the credential use the body of the request?
    pub fn takes_the_body(&self) -> bool {
        match self {
            Credential::Pop { place, .. } => *place == PopPlace::Body,
            Credential::Code(_) | Credential::Authorize { .. } => true,
            Credential::Password { .. } | Credential::Refresh { .. } => true,
            Credential::None | Credential::Token(_) | Credential::TokenPop { .. } => false,
            Credential::KeyPop { .. } | Credential::KeyDerivation { .. } => false,
        }
    }

    /// Does the credential lead to a new key, whatever the state file holds?
    pub fn signs_in(&self) -> bool {
        matches!(
            self,
            Credential::Code(_)
                | Credential::Authorize { .. }
                | Credential::Password { .. }
                | Credential::KeyDerivation { .. }
        )
    }
}

/// The credential from the state file, for --pop, --token-pop and --refresh.
fn kept(options: &RegisterOptions, state: Option<&PhoneState>, redactor: &mut Redactor) -> Result<Credential, String> {
    let file = options.state.as_deref().unwrap_or(Path::new("")).display();
    let state = state
        .ok_or_else(|| format!("there is no state file {file}; register with --code and --state first, for example"))?;
    let shared = state.shared_key.as_ref();
    let shared =
        shared.ok_or_else(|| format!("the state file {file} has no shared key; register with --code first"))?;
    redactor.hide_all(shared.text());
    if options.aor.as_ref().is_some_and(|aor| *aor != state.aor) {
        return Err(format!("the key in {file} is of {}; leave --aor out or name that phone's state file", state.aor));
    }
    let broken = || format!("the state file {file} has a broken key; remove it");
    if shared.kind() == KeyKind::KeyDerivation {
        if !options.pop || options.pop_in == Some(PopPlace::Body) {
            return Err(format!("the key in {file} is of a Key-Derivation: use --pop, whose proof is in a header"));
        }
        let username = shared.username.clone().unwrap_or_default();
        return Ok(Credential::KeyPop { key: shared.derived_key().ok_or_else(broken)?, username });
    }
    let key = shared.octets().ok_or_else(broken)?;
    if options.pop {
        let default = if options.method == "REGISTER" { PopPlace::Body } else { PopPlace::Header };
        return Ok(Credential::Pop { key, place: options.pop_in.unwrap_or(default), body: options.pop_body });
    }
    let tokens = || {
        let missing = || format!("the state file {file} has no tokens; register with --grant password first");
        state.tokens.as_ref().ok_or_else(missing)
    };
    if options.token_pop {
        let token = match given_token(options.token.as_deref(), options.token_file.as_deref(), redactor)? {
            Some(token) => token,
            None => bearer(tokens()?.access_token.text().to_owned(), redactor)?,
        };
        return Ok(Credential::TokenPop { key, token });
    }
    let refresh_token = tokens()?.refresh_token.as_ref().map(|token| token.text().to_owned());
    let refresh_token =
        refresh_token.ok_or_else(|| format!("{file} has no refresh token; register with --grant password again"))?;
    redactor.hide(&refresh_token);
    Ok(Credential::Refresh { key, refresh_token })
}

/// The token of --token or --token-file.
pub fn given_token(
    token: Option<&str>,
    file: Option<&Path>,
    redactor: &mut Redactor,
) -> Result<Option<String>, String> {
    let token = match (token, file) {
        (Some(token), _) => typed_or_read(token, "the token")?,
        (None, Some(file)) => token_file(file)?,
        (None, None) => return Ok(None),
    };
    bearer(token, redactor).map(Some)
}

/// A token may only have the characters that RFC 6750 allows. Others would change the header.
fn bearer(token: String, redactor: &mut Redactor) -> Result<String, String> {
    let shape = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if token.is_empty() || !token.bytes().all(shape) {
        return Err(
            "the token is empty or has a character that no Bearer token has; check for quotes and line ends".into()
        );
    }
    redactor.hide(&token);
    Ok(token)
}

fn login(options: &RegisterOptions) -> Result<Login, String> {
    let password = match (&options.password, &options.password_file) {
        (Some(password), _) => Zeroizing::new(password.clone()),
        (None, Some(file)) => password_file(file)?,
        (None, None) => return Err("the password is missing; name its file with --password-file".into()),
    };
    if password.is_empty() {
        return Err("the password is empty".into());
    }
    let of_aor = || options.aor.as_deref().and_then(Aor::parse).map(|aor| aor.user().to_owned());
    let username = options.username.clone().or_else(of_aor).unwrap_or_default();
    if username.is_empty() || username.chars().any(char::is_control) {
        return Err("there is no user; name one with --username or --aor".into());
    }
    Ok(Login { username, password })
}
