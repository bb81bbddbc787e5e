//! The words of a query: names, texts, numbers, signs, each with its place.

use serde_json::{Number, Value};

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// A name or a keyword, as written.
    Name(String),
    /// A text or a number.
    Constant(Value),
    /// A sign: `( ) [ ] , . * = != < <= > >=`.
    Sign(&'static str),
    End,
}

impl std::fmt::Display for Word {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(formatter, "'{name}'"),
            Self::Constant(value) => write!(formatter, "{value}"),
            Self::Sign(sign) => write!(formatter, "'{sign}'"),
            Self::End => formatter.write_str("the end"),
        }
    }
}

/// Splits a query into words, each with the place of its first letter; the last is [`Word::End`].
///
/// # Errors
/// Names the place of what is no word.
pub(super) fn split(text: &str) -> Result<Vec<(usize, Word)>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let (word, size) = match first {
            '\'' | '"' => quoted(rest, first).ok_or(format!("text without an end at {at}"))?,
            '0'..='9' | '-' => number(rest).ok_or(format!("expected a number at {at}"))?,
            first if is_in_name(first) => {
                let size = rest.find(|letter| !is_in_name(letter)).unwrap_or(rest.len());
                (Word::Name(rest.get(..size).unwrap_or_default().to_owned()), size)
            }
            _ => sign(rest).ok_or(format!("unexpected '{first}' at {at}"))?,
        };
        words.push((at, word));
        rest = rest.get(size..).unwrap_or_default().trim_start();
    }
    words.push((text.len(), Word::End));
    Ok(words)
}

fn is_in_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$' | '-')
}

fn sign(rest: &str) -> Option<(Word, usize)> {
    let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign))?;
    let meaning = if sign == "<>" { "!=" } else { sign };
    Some((Word::Sign(meaning), sign.len()))
}

/// Reads a text in quotes; a quote inside is doubled or follows a backslash.
fn quoted(rest: &str, quote: char) -> Option<(Word, usize)> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        if letter == '\\' && next.is_some_and(|next| matches!(next, '\\' | '\'' | '"')) {
            text.extend(letters.next().map(|(_, next)| next));
        } else if letter == quote && next == Some(quote) {
            text.push(quote);
            letters.next();
        } else if letter == quote {
            return Some((Word::Constant(Value::String(text)), at + 1));
        } else {
            text.push(letter);
        }
    }
    None
}

fn number(rest: &str) -> Option<(Word, usize)> {
    let mut size = 0;
    let mut before = ' ';
    for letter in rest.chars() {
        let belongs = match letter {
            '0'..='9' | '.' | 'e' | 'E' => true,
            '-' | '+' => size == 0 || matches!(before, 'e' | 'E'),
            _ => false,
        };
        if !belongs {
            break;
        }
        size += letter.len_utf8();
        before = letter;
    }
    let text = rest.get(..size)?;
    let number = match text.parse::<i64>() {
        Ok(whole) => Number::from(whole),
        Err(_) => Number::from_f64(text.parse().ok()?)?,
    };
    Some((Word::Constant(Value::Number(number)), size))
}

/// Longer ones before those they start with.
const SIGNS: [&str; 14] =
    ["!=", "<>", "<=", ">=", "<", ">", "=", "(", ")", "[", "]", ",", ".", "*"];
