//! Rust, as far as the rules need it: tokens, test code, and names in full.

/// A comment, and the line on which it begins.
pub type Comment = (usize, String);

/// A word, a mark, or a literal, without its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// A path that the code names.
#[derive(Debug)]
pub struct Name {
    /// From the root: `crate`, another crate, or whatever is in scope.
    pub segments: Vec<String>,
    pub line: usize,
    /// From a `use`, where one segment alone is a crate.
    pub imported: bool,
}

/// A text's tokens and comments. A string or a character becomes `""`, a number
/// `0`; of all marks only `::` is kept together.
pub fn lex(text: &str) -> (Vec<Token>, Vec<Comment>) {
    let (mut tokens, mut comments) = (Vec::new(), Vec::new());
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let name = name_length(rest);
        let (length, token) = if first.is_whitespace() {
            (first.len_utf8(), None)
        } else if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), None)
        } else if rest.starts_with("/*") {
            (block_comment(rest), None)
        } else if let Some(length) = string(rest).or_else(|| character(rest)) {
            (length, Some("\"\""))
        } else if first == '\'' {
            (1 + name_length(&rest[1..]), None) // a lifetime
        } else if first.is_ascii_digit() {
            let fraction = rest[name..].strip_prefix('.').unwrap_or_default();
            let has_fraction = fraction.starts_with(|letter: char| letter.is_ascii_digit());
            let length = name + usize::from(has_fraction) * (1 + name_length(fraction));
            (length, Some("0"))
        } else if let Some(raw) = rest.strip_prefix("r#") {
            (2 + name_length(raw), Some(&raw[..name_length(raw)]))
        } else {
            let mark = if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let length = if name > 0 { name } else { mark };
            (length, Some(&rest[..length]))
        };
        let (text, after) = rest.split_at(length);
        if let Some(token) = token {
            let text = token.to_owned();
            tokens.push(Token { text, line });
        } else if text.starts_with('/') {
            comments.push((line, text.to_owned()));
        }
        line += text.matches('\n').count();
        rest = after;
    }
    (tokens, comments)
}

/// The length of the name or number at the beginning, zero if there is none.
fn name_length(text: &str) -> usize {
    text.find(|letter| !is_name(letter)).unwrap_or(text.len())
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The length of a block comment, which may hold others.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let here = &text.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of a string literal of any kind, if the text begins with one.
fn string(text: &str) -> Option<usize> {
    let kind = ["b", "c"]
        .iter()
        .find_map(|kind| text.strip_prefix(kind))
        .unwrap_or(text);
    let raw = kind.strip_prefix('r').unwrap_or(kind);
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    let inside = raw[hashes..].strip_prefix('"')?;
    let start = text.len() - inside.len();
    if raw.len() < kind.len() {
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(
            inside
                .find(&end)
                .map_or(text.len(), |at| start + at + end.len()),
        );
    }
    if hashes > 0 {
        return None; // `b#"` is not Rust; a `#` of a macro, then a string
    }
    let mut escaped = false;
    let end = inside.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    Some(end.map_or(text.len(), |at| start + at + 1))
}

/// The length of a character literal, if the text begins with one and not with a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut letters = text.strip_prefix('\'')?.char_indices();
    let (_, first) = letters.next()?;
    let end = if first == '\\' {
        letters.next(); // the escaped letter, a quote perhaps
        letters.find(|(_, letter)| *letter == '\'')
    } else {
        letters.next().filter(|(_, letter)| *letter == '\'')
    };
    end.map(|(at, _)| at + 2)
}

/// The tokens without `#[cfg(test)]` items, and the names of those that are `mod name;`.
pub fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    const CFG_TEST: &[&str] = &["[", "cfg", "(", "test", ")", "]"];
    const CFG_ALL_TEST: &[&str] = &["[", "cfg", "(", "all", "(", "test", ","];
    let starts = |at: usize, wanted: &[&str]| {
        let here = tokens[at.min(tokens.len())..]
            .iter()
            .map(|token| token.text.as_str());
        here.take(wanted.len()).eq(wanted.iter().copied())
    };
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let inner = starts(at, &["#", "!"]);
        let attribute = at + 1 + usize::from(inner);
        if tokens[at].text != "#"
            || !(starts(attribute, CFG_TEST) || starts(attribute, CFG_ALL_TEST))
        {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        if inner {
            return (Vec::new(), modules); // the whole file is a test
        }
        at = after_group(tokens, attribute);
        while starts(at, &["#", "["]) {
            at = after_group(tokens, at + 1);
        }
        let end = after_item(tokens, at);
        if let Some([word, name, semicolon]) = tokens.get(end.saturating_sub(3)..end)
            && word.text == "mod"
            && semicolon.text == ";"
        {
            modules.push(name.text.clone());
        }
        at = end;
    }
    (kept, modules)
}

/// Behind the bracket that closes the one at `open`.
fn after_group(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth <= 1 => return at + 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Behind the item, statement, field or match arm that begins at `start`.
fn after_item(tokens: &[Token], start: usize) -> usize {
    const TO_SEMICOLON: &[&str] = &["use", "const", "static", "let", "type"];
    const TO_BRACE: &[&str] = &[
        "enum",
        "extern",
        "impl",
        "macro_rules",
        "mod",
        "struct",
        "trait",
        "union",
        "unsafe",
    ];
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut first = start;
    if text(first) == "pub" {
        first += 1;
        if text(first) == "(" {
            first = after_group(tokens, first);
        }
    }
    let is_function = (first..first + 4).any(|at| text(at) == "fn");
    let to_semicolon = !is_function && TO_SEMICOLON.contains(&text(first));
    let to_comma = !is_function && !to_semicolon && !TO_BRACE.contains(&text(first));
    let mut at = start;
    while at < tokens.len() {
        match text(at) {
            ";" => return at + 1,
            "," if to_comma => return at + 1,
            ")" | "]" | "}" => return at, // it closes what stands around
            "{" if !to_semicolon => {
                let end = after_group(tokens, at);
                return end + usize::from(to_comma && text(end) == ",");
            }
            "(" | "[" | "{" => at = after_group(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// Every path that the tokens name; `use` trees become one path for each leaf.
pub fn names(tokens: &[Token], module: &[String]) -> Vec<Name> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut inside = vec!["crate".to_owned()];
    if !["main", "lib", "bin"].contains(&module[0].as_str()) {
        inside.extend_from_slice(module);
    }
    let mut found = Vec::new();
    let (mut depth, mut inline) = (0usize, Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let before = found.len();
        match text(at) {
            "mod" if text(at + 2) == "{" => {
                inside.push(text(at + 1).to_owned());
                inline.push(depth);
                (at, depth) = (at + 3, depth + 1);
            }
            "{" => (at, depth) = (at + 1, depth + 1),
            "}" => {
                (at, depth) = (at + 1, depth.saturating_sub(1));
                if inline.pop_if(|opened| *opened == depth).is_some() {
                    inside.pop();
                }
            }
            // In `impl Trait + use<'a>` it is something else.
            "use" if text(at + 1) != "<" => at = use_tree(tokens, at + 1, &[], &mut found),
            name if name.starts_with(is_name) => {
                let line = tokens[at].line;
                let follows_a_type = at > 1 && text(at - 1) == "::" && text(at - 2) == ">";
                let mut segments = vec![name.to_owned()];
                while text(at + 1) == "::" && text(at + 2).starts_with(is_name) {
                    at += 2;
                    segments.push(text(at).to_owned());
                }
                at += 1;
                if !follows_a_type {
                    found.push(Name {
                        segments,
                        line,
                        imported: false,
                    });
                }
            }
            _ => at += 1,
        }
        for name in &mut found[before..] {
            resolve(name, &inside);
        }
    }
    found
}

/// Flattens the tree at `at`; returns the place behind it.
fn use_tree(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Name>) -> usize {
    let text = |at: usize| tokens.get(at).map_or(";", |token| token.text.as_str());
    let mut segments = prefix.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    loop {
        match text(at) {
            ";" | "," | "}" => break,
            "::" => at += 1,
            "as" => at += 2,
            "{" => {
                at += 1;
                while ![";", "}"].contains(&text(at)) {
                    at = use_tree(tokens, at, &segments, found);
                    at += usize::from(text(at) == ",");
                }
                return at + 1;
            }
            "self" if !segments.is_empty() => at += 1,
            segment => {
                segments.push(segment.to_owned());
                at += 1;
            }
        }
    }
    if !segments.is_empty() {
        found.push(Name {
            segments,
            line,
            imported: true,
        });
    }
    at
}

/// Rewrites `self::`, `super::` and, in a binary, the library's name from the crate's root.
fn resolve(name: &mut Name, inside: &[String]) {
    let is_relative = |segment: &&String| ["self", "super"].contains(&segment.as_str());
    let relative = name.segments.iter().take_while(is_relative).count();
    if relative > 0 {
        let ups = name
            .segments
            .iter()
            .filter(|segment| *segment == "super")
            .count();
        let base = &inside[..inside.len().saturating_sub(ups).max(1)];
        name.segments = [base, &name.segments[relative..]].concat();
    } else if inside.len() == 1 && name.segments[0] == env!("CARGO_PKG_NAME") {
        name.segments[0] = "crate".to_owned();
    }
}

#[test]
fn the_lexer_knows_comments_strings_characters_and_lifetimes() {
    let words = |text: &str| {
        let (tokens, _) = lex(text);
        tokens
            .into_iter()
            .map(|token| token.text)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(words("a /* b /* c */ d */ e // f\ng"), "a e g");
    assert_eq!(
        words(r#"a "b \" // c" d b"e\\" f c"g" h"#),
        "a \"\" d \"\" f \"\" h"
    );
    assert_eq!(
        words("r\"a\\\" b r#\"c\" d\"# e br##\"f\"# \"## g"),
        "\"\" b \"\" e \"\" g"
    );
    assert_eq!(
        words("'a' 'b '\\'' c '\"' d b'e' f '\\u{1F600}' g"),
        "\"\" \"\" c \"\" d b \"\" f \"\" g"
    );
    assert_eq!(
        words("fn f<'a>(x: &'a str, y: &'_ T)"),
        "fn f < > ( x : & str , y : & T )"
    );
    assert_eq!(
        words("r#type 1.5e3 1.max(2) 0..3 a.0.b"),
        "type 0 0 . max ( 0 ) 0 . . 0 a . 0 . b"
    );
    assert_eq!(words("a::b é::ü !="), "a :: b é :: ü ! =");
    let (tokens, comments) = lex("\"x\ny\" a\n/* b\n */ c // d");
    assert_eq!(
        tokens.iter().map(|token| token.line).collect::<Vec<_>>(),
        [1, 2, 4]
    );
    assert_eq!(
        comments.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [3, 4]
    );
}

#[test]
fn test_code_is_cut_out_and_nothing_else() {
    let kept = |text: &str| {
        let (tokens, _) = without_tests(&lex(text).0);
        tokens
            .into_iter()
            .map(|token| token.text)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(kept("#[cfg(test)] mod t { fn f() { x } } a"), "a");
    assert_eq!(
        kept("#[cfg(test)] #[allow(x)] pub(crate) fn f<A, B>(a: A) -> B { c } a"),
        "a"
    );
    assert_eq!(kept("#[cfg(test)] use a::{b, c}; d"), "d");
    assert_eq!(
        kept("#[cfg(test)] const A: [S; 2] = [S { b }, S { c }]; d"),
        "d"
    );
    assert_eq!(kept("#[cfg(test)] const fn f() { x } d"), "d");
    assert_eq!(
        kept("struct S { a: u8, #[cfg(test)] pub b: Vec<u8>, c: u8 }"),
        "struct S { a : u8 , c : u8 }"
    );
    assert_eq!(
        kept("match a { b => c, #[cfg(test)] d => { e } f => g }"),
        "match a { b => c , f => g }".replace("=>", "= >")
    );
    assert_eq!(kept("enum E { A, #[cfg(test)] B }"), "enum E { A , }");
    assert_eq!(kept("#[cfg(all(test, unix))] fn f() {} a"), "a");
    assert_eq!(kept("#[cfg(not(test))] a"), "# [ cfg ( not ( test ) ) ] a");
    assert_eq!(kept("#![cfg(test)] a"), "");
}
