//! One file of `src/`: its place in the house, and the words that it says.

use std::collections::BTreeSet;

use crate::rust::{Comment, Name, Token, lex, names, without_tests};

/// A file of `src/`, as far as the rules look into it.
pub struct Source {
    pub path: String,
    /// `["rpc", "status"]`; `["bin", "resetctl"]`; `["lib"]`.
    pub module: Vec<String>,
    pub comments: Vec<Comment>,
    /// The code with its tests.
    pub whole: Code,
    /// The code without them.
    pub product: Code,
}

/// Tokens, and the paths that they name.
pub struct Code {
    pub tokens: Vec<Token>,
    pub names: Vec<Name>,
    /// What the file declares with `mod`: it hides a crate of that name.
    children: BTreeSet<String>,
}

impl Source {
    /// Reads paths and texts. `#[cfg(test)] mod tests;` makes that file, and
    /// what lies below it, a test; so they are read together.
    pub fn read_all(files: impl IntoIterator<Item = (String, String)>) -> Vec<Source> {
        let mut tests = BTreeSet::new();
        let mut sources = Vec::new();
        for (path, text) in files {
            let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
            let parts = inside.split('/').filter(|part| *part != "mod");
            let module: Vec<String> = parts.map(str::to_owned).collect();
            let (tokens, comments) = lex(&text);
            let (kept, test_modules) = without_tests(&tokens);
            for name in test_modules {
                tests.insert([&module[..], &[name]].concat());
            }
            sources.push(Source {
                whole: Code::new(tokens, &module),
                product: Code::new(kept, &module),
                path,
                module,
                comments,
            });
        }
        for source in &mut sources {
            if (1..=source.module.len()).any(|depth| tests.contains(&source.module[..depth])) {
                source.product = Code::new(Vec::new(), &source.module);
            }
        }
        sources
    }

    /// The top module that the file is in; the crates' roots are in none.
    pub fn room(&self) -> Option<&str> {
        let room = self.module.first()?;
        (!["main", "lib", "bin"].contains(&room.as_str())).then_some(room)
    }
}

impl Code {
    fn new(tokens: Vec<Token>, module: &[String]) -> Code {
        let children = declared(&tokens).map(|name| name.text.clone());
        Code {
            children: children.collect(),
            names: names(&tokens, module),
            tokens,
        }
    }

    /// The lines on which a word is said. A word is `name`, `name!`, `.name`,
    /// `.name()` or a path: `std::env` from its root, `sqlx::` a crate,
    /// `Type::name` and `Type::` anywhere in a path, `::name` at its end.
    pub fn says(&self, word: &str) -> BTreeSet<usize> {
        if let Some(name) = word.strip_suffix('!') {
            return self.sequence(&[&[name], &["!"], &["(", "[", "{"]]);
        }
        if let Some(name) = word.strip_prefix('.') {
            return match name.strip_suffix("()") {
                Some(name) => self.sequence(&[&["."], &[name], &["("]]),
                None => self.sequence(&[&["."], &[name]]),
            };
        }
        if let Some(last) = word.strip_prefix("::") {
            return self.sequence(&[&["::"], &[last]]);
        }
        if !word.contains("::") {
            return self.sequence(&[&[word]]);
        }
        let names = self.names.iter().filter(|name| self.is(name, word));
        names.map(|name| name.line).collect()
    }

    fn is(&self, name: &Name, word: &str) -> bool {
        let goes_on = word.ends_with("::");
        let is_crate = wanted_is_crate(word);
        let wanted: Vec<&str> = word.trim_end_matches("::").split("::").collect();
        let at = |start: usize| {
            let here = name.segments[start..].iter().take(wanted.len());
            here.map(String::as_str).eq(wanted.iter().copied())
                && (name.segments.len() > start + wanted.len()
                    || (name.imported && is_crate)
                    || !goes_on)
        };
        if wanted[0].starts_with(char::is_lowercase) {
            at(0) && !self.children.contains(wanted[0])
        } else {
            (0..name.segments.len()).any(at)
        }
    }

    /// Where tokens follow one another, each one of its alternatives.
    fn sequence(&self, wanted: &[&[&str]]) -> BTreeSet<usize> {
        let windows = self.tokens.windows(wanted.len());
        let hits = windows.filter(|window| {
            let mut pairs = window.iter().zip(wanted);
            pairs.all(|(token, any)| any.contains(&token.text.as_str()))
        });
        hits.map(|window| window[0].line).collect()
    }
}

/// An imported crate is a use of all that is in it; an imported type is not
/// yet a use of what it can do.
fn wanted_is_crate(word: &str) -> bool {
    word.starts_with(char::is_lowercase)
}

/// The names that stand behind `mod`.
pub fn declared(tokens: &[Token]) -> impl Iterator<Item = &Token> {
    let pairs = tokens.windows(2).filter(|pair| pair[0].text == "mod");
    pairs.map(|pair| &pair[1])
}
