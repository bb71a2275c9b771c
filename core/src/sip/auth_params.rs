// SPDX-License-Identifier: MIT OR Apache-2.0
//! Schemes and their `name=value` parameters in credential and challenge header fields (RFC 3261 section 25.1).

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::reason::Reason;
use crate::text::fingerprint::shown;

/// Most header fields that are read. A request with more is refused.
pub const MAX_HEADERS: usize = 16;
/// Octets that are checked at once.
const CHUNK: usize = 32;
/// Most parameters of one header field.
const MAX_PARAMS: usize = 16;

/// The credentials of one request. There is mostly only one.
pub(super) type Few<T> = SmallVec<[T; 1]>;

/// Returns what follows the scheme and white space; None for another scheme.
pub(super) fn after_scheme<'a>(body: &'a str, scheme: &str) -> Option<&'a str> {
    // White space is ASCII, so the octets can be compared one by one.
    let is_text = |octet: &u8| !is_lws((*octet).into());
    let trim_start = |text: &'a str| &text[text.bytes().position(|octet| is_text(&octet)).unwrap_or(text.len())..];
    let end = body.as_bytes().iter().rposition(is_text).map_or(0, |last| last + 1);
    let body = trim_start(&body[..end]);
    let rest = body.get(scheme.len()..)?;
    let ends = rest.bytes().next().is_none_or(|octet| is_lws(octet.into()));
    (ends && body[..scheme.len()].eq_ignore_ascii_case(scheme)).then(|| trim_start(rest))
}

/// Picks the credential for `realm` from those of one request. Realms are compared letter by letter. A credential
/// that names another realm is meant for another server and is passed over, by a registrar and by a proxy alike
/// (RFC 3261 sections 22.2 and 22.3). A credential without a realm counts for any realm (RFC 8898 section 2.3),
/// and with an empty `realm` every credential counts.
pub(super) fn for_realm<T>(mut found: Few<T>, realm: &str, realm_of: impl Fn(&T) -> Option<&str>) -> Result<T, Reason> {
    let ours = |one: &T| realm_of(one) == Some(realm);
    if found.iter().any(ours) {
        found.retain(|one| ours(one));
    } else if !realm.is_empty() {
        found.retain(|one| realm_of(one).is_none());
    }
    match found.len() {
        0 => Err(Reason::NoCredentials),
        1 => Ok(found.swap_remove(0)),
        _ => Err(Reason::SeveralTokens),
    }
}

pub(super) fn is_lws(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// There are no branches, so the compiler can check many octets at once.
fn is_token68(b: u8) -> bool {
    // '-', '.', '/' and the digits follow each other in ASCII.
    (b | 0x20).is_ascii_lowercase() | matches!(b, b'-'..=b'9') | (b == b'_') | (b == b'~') | (b == b'+')
}

/// The number of token68 characters that the text begins with, without the `=` at its end.
pub(super) fn token68_len(text: &str) -> usize {
    let octets = text.as_bytes();
    let whole = |chunk: &[u8]| chunk.iter().fold(true, |all, b| all & is_token68(*b));
    let begin = octets.chunks_exact(CHUNK).take_while(|chunk| whole(chunk)).count() * CHUNK;
    match octets.last_chunk::<CHUNK>() {
        // The last chunk overlaps those that were checked.
        Some(last) if octets.len() < begin + CHUNK && whole(last) => octets.len(),
        _ => begin + octets[begin..].iter().take_while(|b| is_token68(**b)).count(),
    }
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b)
}

/// Calls `put` with the name (in lower case) and the value of each parameter. None when the text is not a list of
/// at most 16 parameters, when a value is empty (a realm may be empty), or when `put` returns None.
pub(super) fn read_params<'a>(text: &'a str, mut put: impl FnMut(&str, Cow<'a, str>) -> Option<()>) -> Option<()> {
    read_params_or_empty(text, |name, value| if value.is_empty() && name != "realm" { None } else { put(name, value) })
}

/// Like [`read_params`], but every value may be empty, because phones with Digest write `opaque=""`.
pub(super) fn read_params_or_empty<'a>(
    text: &'a str,
    mut put: impl FnMut(&str, Cow<'a, str>) -> Option<()>,
) -> Option<()> {
    let mut rest = text;
    for _ in 0..MAX_PARAMS {
        rest = rest.trim_start_matches(is_lws);
        let name_len = rest.bytes().take_while(|b| is_token(*b)).count();
        let name = rest[..name_len].to_ascii_lowercase();
        rest = rest[name_len..].trim_start_matches(is_lws).strip_prefix('=')?;
        rest = rest.trim_start_matches(is_lws);
        let (value, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let len = rest.bytes().take_while(|b| is_token68(*b) || is_token(*b) || *b == b'=').count();
                (Cow::Borrowed(&rest[..len]), &rest[len..])
            }
        };
        if name.is_empty() {
            return None;
        }
        put(&name, value)?;
        rest = after.trim_start_matches(is_lws);
        if rest.is_empty() {
            return Some(());
        }
        rest = rest.strip_prefix(',')?;
    }
    None
}

/// Stores the value of a parameter; None when the parameter came before.
pub(super) fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// Reads a quoted-string whose opening quote is already gone: the value and what follows the closing quote.
fn unquote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text.as_bytes()[end] == b'"' {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(value), &text[i + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// Writes `name="value"`, after a comma unless it is the first parameter. Control characters are left out, so none
/// can end the line, and other hidden characters become a '?'.
pub(super) fn push_quoted(name: &str, value: &str, out: &mut String) {
    if !out.ends_with(' ') {
        out.push_str(", ");
    }
    out.push_str(name);
    out.push_str("=\"");
    for c in value.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(shown(c));
    }
    out.push('"');
}
