// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a server calls the type of a token: `token_type` (RFC 6749 section 7.1) in the answers of its endpoints.

/// What the URN of a type of token begins with (RFC 8693 section 3).
const URN: &str = "urn:ietf:params:oauth:token-type:";

/// A type in one spelling: "refresh_token", "RefreshToken" and the URN are the same.
pub fn spelled(token_type: &str) -> String {
    let text = token_type.trim().to_ascii_lowercase();
    text.strip_prefix(URN).unwrap_or(&text).replace(['_', '-', ' '], "")
}

/// True for the types of tokens that are worth nothing without a proof that the proxy cannot make, and for N_A
/// (RFC 8693 section 2.2.1), which is no access token. Other names than Bearer are mistakes of servers that issue
/// no such tokens.
pub fn needs_proof(token_type: &str) -> bool {
    const PIECES: [&str; 4] = ["mac", "hok", "proof", "signed"];
    let (lower, whole) = (token_type.to_ascii_lowercase(), spelled(token_type));
    let mut pieces = lower.split(|c: char| !c.is_ascii_alphanumeric()).chain([&*whole]);
    whole.contains("pop") || pieces.any(|piece| PIECES.contains(&piece)) || ["na", "n/a"].contains(&&*whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_that_need_a_proof_are_told_from_bearer() {
        for text in ["DPoP", " dpop", "PoP", "urn:example:pop", "mac", "http-signed", "HoK", "N_A", "n/a", "urn:x:hok"]
        {
            assert!(needs_proof(text), "{text}");
        }
        for text in
            ["Bearer", "Bearer ", "BearerToken", "JWT", "access_token", "reference", "", "machine", "urn:example:na"]
        {
            assert!(!needs_proof(text), "{text}");
        }
        assert_eq!(["Refresh_Token", "RefreshToken", &format!("{URN}refresh-token")].map(spelled), ["refreshtoken"; 3]);
    }
}
