//! What must not leave the gateway, taken out of text: what the credential files hold, word by word,
//! and whatever looks like a secret by its form or by the name before it.
//!
//! Errs on the side of removing.

use std::collections::BTreeSet;

use modtwin_credentials::Secret;

/// What stands where a secret was.
pub(super) const REMOVED: &str = "(removed)";

/// The shortest line of a credential file that is looked for elsewhere: shorter ones are in words.
const SHORTEST: usize = 4;
/// The shortest run of base64 digits before a padding that counts as a key: 15 bytes.
const SHORTEST_BASE64: usize = 20;
/// What names of secrets end with, in lower case and without `-` and `_`.
const NAMES: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "accesskey",
    "accesssignature",
    "connectionstring",
    "signature",
    "sig",
    "apikey",
    "privatekey",
    "authorization",
];

/// Takes secrets out of text.
#[derive(Debug, Default)]
pub(super) struct Redaction {
    known: Vec<Secret>,
}

impl Redaction {
    /// With the lines of the credential files, wherever else they are.
    pub(super) fn of_secrets(lines: impl Iterator<Item = Secret>) -> Self {
        let mut known = Vec::new();
        for line in lines {
            // A connection string's key alone is as good as all of it.
            let parts = line.expose().split(';').filter_map(|part| part.split_once('='));
            let keys = parts.filter(|(name, _)| is_secret(name)).map(|(_, value)| value);
            known.extend(keys.map(|value| Secret::new(value.to_owned())));
            known.push(line);
        }
        known.retain(|secret| secret.expose().chars().count() >= SHORTEST);
        // The longest first: one may be a part of another.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self { known }
    }

    /// The text without its secrets.
    pub(super) fn of(&self, text: &str) -> String {
        let mut text = without_private_keys(text);
        for secret in &self.known {
            text = text.replace(secret.expose(), REMOVED);
            // As it stands in a string of JSON.
            let quoted = serde_json::Value::from(secret.expose()).to_string();
            text = text.replace(quoted.trim_matches('"'), REMOVED);
        }
        without_keys_by_form(&without_named_values(&text))
    }
}

/// The certificates of a PEM text and nothing else.
pub(super) fn certificates(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = text.split(BEGIN).skip(1).filter_map(|after| after.split_once(END));
    blocks.map(|(block, _)| format!("{BEGIN}{block}{END}\n")).collect()
}

/// Takes out everything from the first line of a private key to its last, or to the end of the text.
fn without_private_keys(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        kept.push_str(before);
        let is_key = after.split("-----").next().is_some_and(|kind| kind.ends_with("PRIVATE KEY"));
        if !is_key {
            kept.push_str(BEGIN);
            rest = after;
            continue;
        }
        kept.push_str(REMOVED);
        let end = after.split_once("-----END ").and_then(|(_, end)| end.split_once("-----"));
        rest = end.map_or("", |(_, rest)| rest);
    }
    kept + rest
}

/// Takes out the values whose names say that they are secrets: `NAME=VALUE`, `name = "value"`,
/// `"name":"value"`.
fn without_named_values(text: &str) -> String {
    let known = known_keys();
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at(at + 1);
        kept.push_str(before);
        rest = after;
        let name = name_before(before);
        if !is_secret(&name) || known.contains(name.as_str()) {
            continue;
        }
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let (gap, value) = rest.split_at(blanks);
        let ends_with_line = name.eq_ignore_ascii_case("authorization");
        let (open, length, close) = extent(value, ends_with_line);
        if length == 0 {
            continue;
        }
        kept.push_str(gap);
        kept.push_str(open);
        kept.push_str(REMOVED);
        kept.push_str(close);
        let taken = blanks + open.len() + length + close.len();
        rest = rest.get(taken..).unwrap_or_default();
    }
    kept + rest
}

/// The keys that configs may have: what they are called is no reason to take their values out.
fn known_keys() -> BTreeSet<&'static str> {
    let last = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
    modtwin_config::keys().iter().map(|key| last(key.path)).collect()
}

/// The word before an equals sign or a colon, quotes and blanks aside.
fn name_before(text: &str) -> String {
    let text = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
    let text = text.trim_end_matches([' ', '\t', '"', '\'', '\\']);
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    let name = text.rsplit(|char| !is_name(char)).next().unwrap_or_default();
    name.to_owned()
}

fn is_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(|char| !matches!(char, '-' | '_')).collect();
    let plain = plain.to_ascii_lowercase();
    NAMES.iter().any(|ending| plain.ends_with(ending))
}

/// How a value begins, how long it is without that, and how it ends.
fn extent(value: &str, ends_with_line: bool) -> (&str, usize, &str) {
    for quote in ["\"\"\"", "'''", "\\\"", "\"", "'", "["] {
        if let Some(inner) = value.strip_prefix(quote) {
            let close = if quote == "[" { "]" } else { quote };
            let length = closing(inner, close).unwrap_or(inner.len());
            let after = inner.get(length..).unwrap_or_default();
            let close = after.get(..close.len().min(after.len())).unwrap_or_default();
            return (value.get(..quote.len()).unwrap_or_default(), length, close);
        }
    }
    let is_end = |char: char| match char {
        '\n' | '\r' => true,
        _ if ends_with_line => false,
        _ => char.is_whitespace() || matches!(char, ';' | '&' | ',' | '"' | '\'' | '{' | '\\'),
    };
    ("", value.find(is_end).unwrap_or(value.len()), "")
}

/// Where a quoted text ends; a quote after a backslash does not end it.
fn closing(text: &str, close: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find(close)?;
        let before = text.get(..at)?;
        let slashes = before.len() - before.trim_end_matches('\\').len();
        if close != "\"" || slashes.is_multiple_of(2) {
            return Some(at);
        }
        from = at + close.len();
    }
}

/// Takes out what has the form of a key in base64 with its padding, or of a signed web token.
fn without_keys_by_form(text: &str) -> String {
    let is_digit =
        |char: char| char.is_ascii_alphanumeric() || matches!(char, '+' | '/' | '-' | '_');
    let mut kept = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_digit) {
        let (before, run) = rest.split_at(start);
        kept.push_str(before);
        let length = run.find(|char| !is_digit(char)).unwrap_or(run.len());
        let (digits, after) = run.split_at(length);
        let padding = after.len() - after.trim_start_matches('=').len();
        let beyond = after.get(padding..).unwrap_or_default();
        let is_padded = (1..=2).contains(&padding) && !beyond.starts_with(is_digit);
        // Parts are joined by dots; the first is JSON: {" in base64 (RFC 7519, section 3.1).
        let is_token = digits.starts_with("eyJ") && after.starts_with('.');
        if is_token {
            kept.push_str(REMOVED);
            rest = after.trim_start_matches(|char| is_digit(char) || char == '.');
        } else if is_padded && length >= SHORTEST_BASE64 {
            kept.push_str(REMOVED);
            rest = beyond;
        } else {
            kept.push_str(digits);
            rest = after;
        }
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn check(text: &str, expected: &str) {
        assert_eq!(Redaction::default().of(text), expected, "{text}");
    }

    #[test]
    fn values_go_and_names_stay_in_every_notation() {
        check("password = \"a b\\\" c\" # why", "password = \"(removed)\" # why");
        check("{\"apiKey\":\"x\",\"n\":1}", "{\"apiKey\":\"(removed)\",\"n\":1}");
        check("\"{\\\"secret\\\": \\\"x\\\"}\"", "\"{\\\"secret\\\": \\\"(removed)\\\"}\"");
        check("TOKEN=x y", "TOKEN=(removed) y");
        check("sas-token = '''\nx\n'''\nn = 1", "sas-token = '''(removed)'''\nn = 1");
        check("secrets-not = 1", "secrets-not = 1");
        check("client_secret: x\nn: 1", "client_secret: (removed)\nn: 1");
        check("Authorization: Bearer a.b c\nn: 1", "Authorization: (removed)\nn: 1");
        check("secret = [\"a\", \"b\"]", "secret = [(removed)]");
        check("password =", "password =");
    }

    #[test]
    fn connection_strings_and_signatures_lose_their_keys_alone() {
        check(
            &format!("HostName=h;SharedAccessKeyName=n;SharedAccessKey={KEY};x=1"),
            "HostName=h;SharedAccessKeyName=n;SharedAccessKey=(removed);x=1",
        );
        check(
            "SharedAccessSignature sr=h%2Fd&sig=a%2Bb%3D&se=17",
            "SharedAccessSignature sr=h%2Fd&sig=(removed)&se=17",
        );
        // In the place of a file's name, which is a mistake that people make.
        check(
            &format!("shared-access-key-file = \"{KEY}\""),
            "shared-access-key-file = \"(removed)\"",
        );
    }

    #[test]
    fn private_keys_go_from_their_first_line_to_their_last_or_to_the_end() {
        for kind in ["", "EC ", "RSA ", "ENCRYPTED "] {
            let pem = format!(
                "a\n-----BEGIN {kind}PRIVATE KEY-----\nMII\n-----END {kind}PRIVATE KEY-----\nb"
            );
            check(&pem, "a\n(removed)\nb");
        }
        check("a -----BEGIN PRIVATE KEY-----\\nMII", "a (removed)");
        let public = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
        check(public, public);
    }

    #[test]
    fn what_a_config_says_of_files_and_times_stays() {
        let text = "private-key = \"m.key\"\nprivate-key-password-file = \"m.pass\"\n\
                    connection-string-file = \"/etc/modtwin/A1/m01\"\ntoken-lifetime = \"1h\"\n";
        check(text, text);
        check("thumbprint 5F0A5F0A5F0A5F0A5F0A5F0A", "thumbprint 5F0A5F0A5F0A5F0A5F0A5F0A");
        check("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=value", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=value");
    }

    #[test]
    fn what_looks_like_a_key_goes_without_a_name() {
        check(&format!("# old: {KEY} was wrong"), "# old: (removed) was wrong");
        check("x eyJhbGciOiJI.eyJzdWIi.c2ln-_ y", "x (removed) y");
    }

    #[test]
    fn what_the_files_hold_goes_wherever_it_is() {
        let lines = ["hunter2", "a\"b\\c", &format!("HostName=h;SharedAccessKey={KEY}"), "no"];
        let secrets = lines.iter().map(|&line| Secret::new(line.to_owned()));
        let redaction = Redaction::of_secrets(secrets);
        assert_eq!(redaction.of("# hunter2, no"), "# (removed), no");
        assert_eq!(redaction.of("{\"x\":\"a\\\"b\\\\c\"}"), "{\"x\":\"(removed)\"}");
        assert_eq!(redaction.of(KEY.trim_end_matches('=')), KEY.trim_end_matches('='));
        assert_eq!(redaction.of(&format!("({KEY})")), "((removed))");
    }

    #[test]
    fn of_a_file_with_certificates_and_a_key_the_certificates_are_taken() {
        let one = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n";
        let text =
            format!("x\n{one}-----BEGIN PRIVATE KEY-----\nk\n-----END PRIVATE KEY-----\n{one}");
        assert_eq!(certificates(&text), format!("{one}{one}"));
        assert_eq!(certificates("-----BEGIN CERTIFICATE-----\nMII"), "");
    }
}
