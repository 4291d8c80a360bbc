//! A payload as people read it: indented and coloured, every character of its own as it came.

use maud::{Markup, html};

/// What a piece of JSON is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Key,
    Text,
    Number,
    Other,
}

/// The deepest that is indented. Deeper ones are legal, and no wider.
const DEEPEST: usize = 32;

/// Indents and colours a text that is JSON. Order, repeated keys and escapes stay as they came.
pub(super) fn coloured(text: &str) -> Markup {
    html! {
        @for (kind, piece) in pieces(text) {
            @match kind {
                Kind::Key => span.k { (piece) },
                Kind::Text => span.s { (piece) },
                Kind::Number => span.n { (piece) },
                Kind::Other => (piece),
            }
        }
    }
}

/// The text again, in pieces with the white space between them made anew.
fn pieces(text: &str) -> Vec<(Kind, String)> {
    let mut pieces: Vec<(Kind, String)> = Vec::new();
    let mut depth: usize = 0;
    let line = |depth: usize| format!("\n{}", "  ".repeat(depth.min(DEEPEST)));
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, behind) = rest.split_at(token_length(rest));
        let behind = behind.trim_start();
        match first {
            '{' | '[' => {
                let closed = behind.starts_with(['}', ']']);
                depth += 1;
                let gap = if closed { String::new() } else { line(depth) };
                pieces.push((Kind::Other, format!("{token}{gap}")));
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                let empty =
                    pieces.last().is_some_and(|(kind, piece)| *kind == Kind::Other && piece.ends_with(['{', '[']));
                let gap = if empty { String::new() } else { line(depth) };
                pieces.push((Kind::Other, format!("{gap}{token}")));
            }
            ',' => pieces.push((Kind::Other, format!(",{}", line(depth)))),
            ':' => pieces.push((Kind::Other, ": ".to_owned())),
            '"' if behind.starts_with(':') => pieces.push((Kind::Key, token.to_owned())),
            '"' => pieces.push((Kind::Text, token.to_owned())),
            _ => pieces.push((Kind::Number, token.to_owned())),
        }
        rest = behind;
    }
    pieces
}

/// How many bytes the token at the beginning has; one character at least.
fn token_length(text: &str) -> usize {
    let mut characters = text.char_indices();
    let Some((_, first)) = characters.next() else { return 0 };
    match first {
        '"' => {
            let mut escaped = false;
            for (place, character) in characters {
                match character {
                    _ if escaped => escaped = false,
                    '\\' => escaped = true,
                    '"' => return place + 1,
                    _ => {}
                }
            }
            text.len()
        }
        '{' | '}' | '[' | ']' | ',' | ':' => 1,
        _ => {
            let ends = |character: char| character.is_whitespace() || "{}[],:\"".contains(character);
            text[first.len_utf8()..].find(ends).map_or(text.len(), |place| first.len_utf8() + place)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pretty(text: &str) -> String {
        pieces(text).into_iter().map(|(_, piece)| piece).collect()
    }

    #[test]
    fn it_is_indented_and_nothing_of_it_is_changed() {
        let text = r#" {"b":[1, -2.5e3,{}],"a":"x\" { \u00e9","a":null , "c":[]} "#;
        let shown = "{\n  \"b\": [\n    1,\n    -2.5e3,\n    {}\n  ],\n  \"a\": \"x\\\" { \\u00e9\",\n  \"a\": null,\n  \"c\": []\n}";
        assert_eq!(pretty(text), shown);
        assert_eq!(
            pieces(r#"{"a":"b"}"#)[1..4],
            [(Kind::Key, "\"a\"".to_owned()), (Kind::Other, ": ".to_owned()), (Kind::Text, "\"b\"".to_owned()),]
        );
    }

    #[test]
    fn what_is_hostile_becomes_text() {
        let html = coloured(r#"{"<script>":"</pre><img src=x onerror=alert(1)>&"}"#).into_string();
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
        assert!(html.contains("&lt;script&gt;") && html.contains("&lt;/pre&gt;&lt;img"), "{html}");
    }

    proptest! {
        #[test]
        fn any_text_ends_and_keeps_what_is_no_white_space(text in ".{0,200}") {
            let kept = |text: &str| text.chars().filter(|character| !character.is_whitespace()).collect::<String>();
            prop_assert_eq!(kept(&pretty(&text)), kept(&text));
        }
    }
}
