//! The README against the programs: its reasons are those of the proto, its
//! files are read by resetd's own parsers and leave no key out, and its
//! commands do what it says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use prost_reflect::DescriptorPool;
use resetd::{
    config::{Config, Variables},
    demo,
    policy::Policy,
    proto::{DESCRIPTORS, ErrorReason},
    rpc,
};
use toml::{Table, Value};

const README: &str = include_str!("../README.md");

/// The database of the README's own examples.
const EXAMPLE_URL: &str = "postgresql://me:secret@localhost/shop_test";

/// How long the demo may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// grpcurl as the README calls it, through buf: one order of arguments, so
/// that a line which is written otherwise fails rather than is misread.
const GRPCURL: &str = r#"grpcurl() {
    test $# = 7 && test "$1$2$4" = -plaintext-H-d || return 64
    buf curl --protocol grpc --http2-prior-knowledge -H "$3" -d "$5" "http://$6/$7"
}
buf() { "$RESETD_BUF" "$@"; }
"#;

#[test]
fn every_reason_has_its_section_and_no_section_is_without_a_reason() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let reasons = pool.get_enum_by_name("resetd.v1.ErrorReason").unwrap();
    let declared: BTreeSet<String> = reasons
        .values()
        .filter(|value| value.number() != 0)
        .map(|value| value.name().replacen("ERROR_REASON_", "", 1))
        .collect();
    let headings: Vec<&str> = README
        .lines()
        .filter_map(|line| line.strip_prefix("#### `")?.strip_suffix('`'))
        .collect();
    let told: BTreeSet<String> = headings.iter().map(ToString::to_string).collect();
    assert_eq!(told, declared);
    assert_eq!(
        headings.len(),
        declared.len(),
        "a section stands there twice"
    );
}

/// What the server sends along with an error leads to its section.
#[test]
fn every_reason_links_to_its_section() {
    let anchors: BTreeSet<String> = README.lines().filter_map(anchor).collect();
    let mut linked = BTreeSet::new();
    for number in 1.. {
        // Numbers that are free again are passed over.
        let Ok(reason) = ErrorReason::try_from(number) else {
            if number > 1000 {
                break;
            }
            continue;
        };
        let link = rpc::section(reason);
        let section = link.strip_prefix("README.md#").unwrap().to_owned();
        assert!(anchors.contains(&section), "{reason:?}: {link}");
        linked.insert(section);
    }
    let sections = README.matches("\n#### `").count();
    assert_eq!(linked.len(), sections);
}

#[test]
fn every_section_says_what_it_means_and_what_to_do() {
    let mut sections = 0;
    for section in README.split("\n#### `").skip(1) {
        let (reason, rest) = section.split_once("`\n\n").unwrap();
        let text = rest.split("\n\n").next().unwrap();
        assert_eq!(text.lines().count(), 2, "{reason}: {text}");
        sections += 1;
    }
    assert!(sections > 0);
}

#[test]
fn links_lead_to_files_and_sections_that_are_there() {
    let anchors: BTreeSet<String> = README.lines().filter_map(anchor).collect();
    let links = README.split("](").skip(1);
    let links: Vec<&str> = links.filter_map(|rest| rest.split(')').next()).collect();
    assert!(!links.is_empty());
    for link in links {
        match link.strip_prefix('#') {
            Some(section) => assert!(anchors.contains(section), "{link}"),
            None => assert!(root().join(link).exists(), "{link}"),
        }
    }
}

/// The anchor that a heading gets.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
    let text: String = heading.chars().filter(kept).collect();
    Some(text.to_lowercase().replace(' ', "-"))
}

#[test]
fn the_configuration_is_read_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let (config, policy) = (example("[[targets]]"), example("[users]"));
    let variables = variables(folder.path());
    fs::write(folder.path().join("policy.toml"), &policy).unwrap();
    for seed in ["seed.sql", "progress.sql"] {
        fs::write(folder.path().join(seed), "SELECT 1;").unwrap();
    }
    let path = folder.path().join("resetd.toml");
    fs::write(&path, &config).unwrap();
    let read = Config::from_file(&path, &variables).unwrap();
    assert_eq!(read.targets.len(), 2);
    assert_eq!(read.tokens.len(), 1);
    assert_eq!(read.targets[0].policy, Policy::parse(&policy).unwrap());
}

#[test]
fn the_configuration_leaves_no_key_out() {
    let folder = tempfile::tempdir().unwrap();
    let variables = variables(folder.path());
    let path = folder.path().join("resetd.toml");
    let complaint = |text: &str| {
        fs::write(&path, text).unwrap();
        let read = Config::from_file(&path, &variables);
        Some(read.err()?.to_string())
    };
    assert_complete(&example("[[targets]]"), &complaint, 6);
}

#[test]
fn the_policy_leaves_no_key_out() {
    let complaint = |text: &str| Some(Policy::parse(text).err()?.to_string());
    assert_complete(&example("[users]"), &complaint, 16);
}

/// Puts a key that nobody knows into each table of an example. The parser's
/// complaint lists the keys that it knows, and the example has to show each of
/// them, in this table or in one of a list of the same name.
fn assert_complete(text: &str, complaint: &dyn Fn(&str) -> Option<String>, least: usize) {
    let example: Value = text.parse::<Table>().unwrap().into();
    let paths = tables(&example);
    let mut asked = 0;
    for path in &paths {
        let mut changed = example.clone();
        let stranger = ("stranger".to_owned(), Value::Boolean(true));
        at(&mut changed, path).extend([stranger]);
        // Some tables have names of the database as keys.
        let complaint = complaint(&toml::to_string(&changed).unwrap()).unwrap_or_default();
        let Some((_, known)) = complaint.split_once("expected ") else {
            continue;
        };
        asked += 1;
        // What a list holds looks the same wherever the list is called so.
        let in_list = matches!(path.last(), Some(Step::Place(_)));
        let is_sibling = |other: &&Vec<Step>| match in_list {
            true => keys(other).last() == keys(path).last(),
            false => keys(other).eq(keys(path)),
        };
        let siblings = paths.iter().filter(is_sibling);
        let shown: BTreeSet<String> = siblings
            .flat_map(|other| at(&mut example.clone(), other).clone())
            .map(|(key, _)| key)
            .collect();
        for key in known.split('`').skip(1).step_by(2) {
            assert!(shown.contains(key), "{path:?} does not show {key}");
        }
    }
    assert!(asked >= least, "only {asked} tables were asked");
}

/// A way without its places in lists.
fn keys(path: &[Step]) -> impl Iterator<Item = &Step> {
    path.iter().filter(|step| matches!(step, Step::Key(_)))
}

/// One step into a TOML value.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Place(usize),
}

/// The ways to all tables in a value.
fn tables(value: &Value) -> Vec<Vec<Step>> {
    let inside: Vec<(Step, &Value)> = match value {
        Value::Table(table) => {
            let inside = table.iter();
            inside
                .map(|(key, value)| (Step::Key(key.clone()), value))
                .collect()
        }
        Value::Array(list) => {
            let inside = list.iter().enumerate();
            inside
                .map(|(place, value)| (Step::Place(place), value))
                .collect()
        }
        _ => Vec::new(),
    };
    let deeper = inside.into_iter().flat_map(|(step, value)| {
        let deeper = tables(value).into_iter();
        deeper.map(move |path| [vec![step.clone()], path].concat())
    });
    let own = matches!(value, Value::Table(_)).then(Vec::new);
    own.into_iter().chain(deeper).collect()
}

fn at<'a>(value: &'a mut Value, path: &[Step]) -> &'a mut Table {
    let mut value = value;
    for step in path {
        value = match step {
            Step::Key(key) => &mut value[key.as_str()],
            Step::Place(place) => &mut value[*place],
        };
    }
    value.as_table_mut().unwrap()
}

#[tokio::test]
async fn the_commands_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Shell::new(folder.path(), &buf());
    let demo = Demo::start(folder.path()).await;
    let mut ran = [0; 3];
    for line in lines() {
        if let Some(place) = ["resetctl ", "grpcurl ", "buf "]
            .iter()
            .position(|name| line.starts_with(name))
        {
            shell.run(&line);
            ran[place] += 1;
        } else {
            shell.remember(&line);
        }
    }
    the_fixtures_clean_up(&shell, folder.path());
    drop(demo);
    let [resetctl, grpcurl, buf] = ran;
    println!("ran {resetctl} resetctl lines, {grpcurl} grpcurl lines, {buf} buf lines");
    assert!(resetctl >= 10 && grpcurl >= 2 && buf >= 1, "{ran:?}");
}

/// The fixtures for those who move here, as pytest would use them.
fn the_fixtures_clean_up(shell: &Shell, folder: &Path) {
    let mut fixtures = blocks("python");
    fixtures.retain(|text| text.contains("pytest") && text.contains("resetctl"));
    assert_eq!(fixtures.len(), 1);
    fs::write(folder.join("fixtures.py"), &fixtures[0]).unwrap();
    let stub = "def fixture(function=None, **_):\n    return function or (lambda inner: inner)\n";
    fs::write(folder.join("pytest.py"), stub).unwrap();
    let used = "import fixtures, subprocess\n\
        def create(*more): subprocess.run(['resetctl', 'create-user', *more], check=True)\n\
        create('fixture@test.com')\n\
        fixtures.clean_users()\n\
        create('fixture@test.com')\n\
        session = fixtures.session()\n\
        create('marked@test.com', '--session', next(session))\n\
        assert list(session) == []\n\
        create('marked@test.com')\n";
    fs::write(folder.join("used.py"), used).unwrap();
    shell.run("python3 used.py");
}

#[tokio::test]
async fn ones_own_database_takes_a_few_commands() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("shop_test");
    let address = "127.0.0.1:1".parse().unwrap();
    let variables = Variables::default();
    let demo = demo::Demo::make(folder.path(), address, &variables).await;
    drop(demo.unwrap());
    fs::rename(folder.path().join("demo.db"), &database).unwrap();

    let mut shell = Shell::new(folder.path(), Path::new("buf"));
    let url = format!("sqlite:{}", database.display());
    let mut ran = 0;
    for line in lines() {
        let line = line.replace(EXAMPLE_URL, &url);
        // Serving does not end.
        if line.starts_with("resetd ") && !line.starts_with("resetd serve") {
            shell.run(&line);
            ran += 1;
        } else {
            shell.remember(&line);
        }
    }
    assert!(ran >= 4, "only {ran} lines were run");
    assert!(folder.path().join("shop/tokens.json").exists());
}

/// Runs the README's lines in the folder that its reader would be in.
struct Shell {
    folder: PathBuf,
    path: OsString,
    buf: PathBuf,
    /// The lines before that set variables or define functions.
    remembered: String,
}

impl Shell {
    fn new(folder: &Path, buf: &Path) -> Self {
        let programs = [env!("CARGO_BIN_EXE_resetd"), env!("CARGO_BIN_EXE_resetctl")];
        let programs = programs.map(|program| Path::new(program).parent().unwrap().to_owned());
        let usual = std::env::var_os("PATH").unwrap();
        let path = programs.into_iter().chain(std::env::split_paths(&usual));
        Self {
            folder: folder.to_owned(),
            path: std::env::join_paths(path).unwrap(),
            buf: buf.to_owned(),
            remembered: GRPCURL.to_owned(),
        }
    }

    fn remember(&mut self, line: &str) {
        if line.starts_with("export ") || line.contains("() {") {
            self.remembered.push_str(line);
            self.remembered.push('\n');
        }
    }

    /// Runs a line and holds it to the exit code that it names, else to 0.
    fn run(&self, line: &str) {
        let expected = line
            .split_once(" # exit ")
            .map_or("0", |(_, code)| code.trim());
        let output = self.output(line);
        assert_eq!(
            output.status.code().map(|code| code.to_string()).as_deref(),
            Some(expected),
            "{line}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }

    fn output(&self, line: &str) -> Output {
        // The surroundings of a test run are not the reader's.
        let inherited = [
            "RESETCTL_OUTPUT",
            "RESETD_CONFIG",
            "RESETD_POLICY",
            "DATABASE_URL",
        ];
        let mut command = Command::new("bash");
        for name in inherited {
            command.env_remove(name);
        }
        command
            .args(["-c", &format!("{}{line}", self.remembered)])
            .current_dir(&self.folder)
            .env("PATH", &self.path)
            .env("RESETD_BUF", &self.buf)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

/// The demo, where the README's reader has it, but on a free port. A test that
/// fails ends it too.
struct Demo(Child);

impl Demo {
    async fn start(folder: &Path) -> Self {
        let data = folder.join(".resetd/demo");
        let mut demo = Self::spawn(folder, &data);
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while !data.join("demo.json").exists() {
            assert!(begun.elapsed() < PATIENCE, "the demo does not start");
            assert_eq!(demo.0.try_wait().unwrap(), None, "the demo ended");
            ticks.tick().await;
        }
        demo
    }

    fn spawn(folder: &Path, data: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_resetd"))
            .args(["demo", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .current_dir(folder)
            // What is refused here is refused on purpose.
            .env("RESETD_LOG", "error")
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The blocks of a language, without their fences.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in README.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(found), None) => open = Some((found == language, String::new())),
            (Some(_), Some(_)) => {
                blocks.extend(
                    open.take()
                        .filter(|(wanted, _)| *wanted)
                        .map(|(_, text)| text),
                );
            }
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// The lines of the blocks that are meant to be run.
fn lines() -> Vec<String> {
    let text = blocks("sh").concat().replace("\\\n", " ");
    text.lines().map(str::to_owned).collect()
}

/// The one example that has this table.
fn example(table: &str) -> String {
    let mut examples = blocks("toml");
    examples.retain(|text| text.lines().any(|line| line == table));
    assert_eq!(examples.len(), 1, "there is not one example with {table}");
    examples.remove(0)
}

/// The variables that the configuration's example names.
fn variables(folder: &Path) -> Variables {
    let dotenv = folder.join(".env");
    let redis = "redis://localhost:7000,redis://localhost:7001";
    let lines = format!(
        "SHOP_QA_URL={EXAMPLE_URL}\nSHOP_QA_REDIS={redis}\n\
         ADMIN_EMAIL=admin@corp.example\nADMIN_PASSWORD=secret\n"
    );
    fs::write(&dotenv, lines).unwrap();
    Variables::read(&dotenv).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// buf, which `tests/run` installs.
fn buf() -> PathBuf {
    let installed = || {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        target.join("tools/node_modules/.bin/buf")
    };
    let buf = std::env::var_os("RESETD_BUF").map_or_else(installed, PathBuf::from);
    assert!(
        buf.exists(),
        "{} is missing: `tests/run readme` installs it",
        buf.display()
    );
    std::path::absolute(buf).unwrap()
}
