//! The daemon.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use resetd::{
    access::Role,
    admin::{arm, check, grants, init, journal, token},
    config::{Config, LISTEN, Variables},
    demo::Demo,
    failpoint, server, telemetry,
};
use tokio::signal;

/// Gives test and development databases their clean data back, and cannot
/// touch production.
#[derive(Debug, Parser)]
#[command(name = "resetd", version, about)]
struct Arguments {
    /// What to log, such as `info,resetd::engine=debug`.
    #[arg(long, env = "RESETD_LOG", global = true, value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve an embedded demo database (the default).
    Demo(DemoArguments),
    /// Serve the targets of a configuration.
    Serve(ServeArguments),
    /// Write a first configuration and policy for a live database.
    Init(InitArguments),
    /// Check that every policy fits its database, and say what it does.
    Check(CheckArguments),
    /// Print the statements that give a database role what resets need.
    Grants(GrantsArguments),
    /// Make a database say that it may be reset.
    Arm(ArmArguments),
    /// Make tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Look after the audit journal.
    #[command(subcommand)]
    Journal(JournalCommand),
}

#[derive(Debug, Args)]
struct DemoArguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value_t = LISTEN)]
    listen: SocketAddr,
    /// The folder of the demo's files; its database is made anew there.
    #[arg(long, default_value = ".resetd/demo", value_name = "DIR")]
    data: PathBuf,
}

#[derive(Debug, Args)]
struct ConfigArguments {
    /// The configuration file. Without it, ENVIRONMENT and DATABASE_URL make
    /// one target named `default`; `.env` stands in for unset variables.
    #[arg(long, env = "RESETD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The policy, when there is no configuration file.
    #[arg(
        long,
        env = "RESETD_POLICY",
        default_value = "policy.toml",
        value_name = "FILE"
    )]
    policy: PathBuf,
    /// The folder of journal and tokens, when there is no configuration file.
    #[arg(
        long,
        env = "RESETD_DATA",
        default_value = ".resetd",
        value_name = "DIR"
    )]
    data: PathBuf,
}

#[derive(Debug, Args)]
struct ServeArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Where to listen, instead of where the configuration says.
    #[arg(long)]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
struct InitArguments {
    /// The database's URL; DATABASE_URL when not given.
    #[arg(long)]
    url: Option<String>,
    /// The environment that the database is for.
    #[arg(long, default_value = "development")]
    environment: String,
    /// The users' table, instead of a guess.
    #[arg(long, value_name = "TABLE")]
    users: Option<String>,
    /// An e-mail domain of test users; can be given several times.
    #[arg(long = "test-domain", value_name = "DOMAIN", default_values = ["test.com", "example.com"])]
    test_domains: Vec<String>,
    /// The folder that the files are written to.
    #[arg(long, default_value = ".", value_name = "DIR")]
    out: PathBuf,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct CheckArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The target; all when not given.
    #[arg(long)]
    target: Option<String>,
}

#[derive(Debug, Args)]
struct GrantsArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The target; needed when there are several.
    #[arg(long)]
    target: Option<String>,
    /// The role, or account, that the server connects as.
    #[arg(long, value_name = "NAME")]
    role: String,
}

#[derive(Debug, Args)]
struct ArmArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The target; needed when there are several.
    #[arg(long)]
    target: Option<String>,
    /// The database's name, as a sign that it is meant; a terminal is asked.
    #[arg(long)]
    database: Option<String>,
    /// For how many days the database may be reset.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Make the database say that it is never reset.
    #[arg(long)]
    protect: bool,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// Check that every record is as it was written and none is missing.
    Verify(ConfigArguments),
    /// Make a new key for seals and plan tokens; earlier ones still count.
    RotateKey(ConfigArguments),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Print a new token and the lines that configure it.
    New {
        /// Whom it stands for, as the journal records it.
        #[arg(long)]
        subject: String,
        /// viewer, tester, admin or superuser.
        #[arg(long)]
        role: Role,
    },
}

type Failure = Box<dyn std::error::Error>;

/// How long work that blocks, such as on a file system that hangs, may keep
/// the process from its end.
const LAST_WORK: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("resetd: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run());
    runtime.shutdown_timeout(LAST_WORK);
    code
}

async fn run() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::start(arguments.log.as_deref());
    let command = arguments.command.unwrap_or(Command::Demo(DemoArguments {
        listen: LISTEN,
        data: PathBuf::from(".resetd/demo"),
    }));
    let done = match command {
        Command::Demo(arguments) => demo(arguments).await,
        Command::Serve(arguments) => serve(arguments).await,
        Command::Init(arguments) => init(arguments).await,
        Command::Check(arguments) => check(arguments).await,
        Command::Grants(arguments) => print_grants(arguments).await,
        Command::Arm(arguments) => arm(arguments).await,
        Command::Journal(command) => look_after(command).await,
        Command::Token(TokenCommand::New { subject, role }) => {
            token::print(&subject, role).map_err(Failure::from)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("resetd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn variables() -> Result<Variables, Failure> {
    Ok(Variables::read(".env".as_ref())?)
}

async fn demo(arguments: DemoArguments) -> Result<(), Failure> {
    // The port first: a second demo must not replace the first one's files.
    let listener = server::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    let demo = Demo::make(&arguments.data, address, &variables()?).await?;
    let ready = || {
        let told = demo.greet(address).map_err(Failure::from);
        if let Err(error) = told.and_then(|()| Ok(demo.announce(address)?)) {
            tracing::error!(%error, "the demo cannot be announced");
        }
    };
    Ok(server::run(demo.config.clone(), listener, stop(), ready).await?)
}

impl ConfigArguments {
    fn read(&self) -> Result<Config, Failure> {
        let variables = variables()?;
        match &self.config {
            Some(path) => Ok(Config::from_file(path, &variables)?),
            None => Ok(Config::from_environment(
                &variables,
                &self.policy,
                &self.data,
            )?),
        }
    }
}

async fn serve(arguments: ServeArguments) -> Result<(), Failure> {
    failpoint::install(variables()?.get("RESETD_FAILPOINTS"));
    let mut config = arguments.config.read()?;
    if arguments.config.config.is_none() {
        config.tokens = token::kept(&arguments.config.data)?;
    }
    let listener = server::bind(arguments.listen.unwrap_or(config.listen)).await?;
    let address = listener.local_addr()?;
    let ready = || tracing::info!(%address, "serving");
    Ok(server::run(config, listener, stop(), ready).await?)
}

async fn init(arguments: InitArguments) -> Result<(), Failure> {
    let (url, variable) = match arguments.url {
        Some(url) => (url, None),
        None => {
            let variables = variables()?;
            let url = variables.get("DATABASE_URL");
            let url = url.ok_or("give the database's url with --url, or set DATABASE_URL")?;
            (url.to_owned(), Some("DATABASE_URL".to_owned()))
        }
    };
    let request = init::Request {
        url,
        variable,
        environment: arguments.environment,
        users: arguments.users,
        test_domains: arguments.test_domains,
        folder: arguments.out,
        force: arguments.force,
    };
    let written = init::run(&request).await?;
    let config = written.config.display();
    println!(
        "found {} tables; the users are in {}\n",
        written.tables, written.users
    );
    println!(
        "wrote {}, a first policy: read it once",
        written.policy.display()
    );
    println!("wrote {config}");
    println!(
        "wrote {}, a token for each role\n",
        written.tokens.display()
    );
    println!("next:");
    println!("  resetd check --config {config}");
    println!(
        "  resetd arm --config {config} --database {}",
        written.database
    );
    println!("  resetd serve --config {config}");
    Ok(())
}

async fn check(arguments: CheckArguments) -> Result<(), Failure> {
    let config = arguments.config.read()?;
    Ok(check::run(&config, arguments.target.as_deref()).await?)
}

async fn print_grants(arguments: GrantsArguments) -> Result<(), Failure> {
    let config = arguments.config.read()?;
    Ok(grants::run(&config, arguments.target.as_deref(), &arguments.role).await?)
}

async fn look_after(command: JournalCommand) -> Result<(), Failure> {
    match command {
        JournalCommand::Verify(config) => Ok(journal::verify(&config.read()?).await?),
        JournalCommand::RotateKey(config) => Ok(journal::rotate(&config.read()?).await?),
    }
}

async fn arm(arguments: ArmArguments) -> Result<(), Failure> {
    let config = arguments.config.read()?;
    let request = arm::Request {
        target: arguments.target,
        database: arguments.database,
        days: arguments.days,
        protect: arguments.protect,
    };
    let marker = arm::run(&config, &request).await?;
    match marker.protected {
        true => println!("{} is protected: it is never reset", marker.database),
        false => println!(
            "{} is armed for {} until {}",
            marker.database, marker.environment, marker.expires_at
        ),
    }
    Ok(())
}

/// Completes at Ctrl-C or SIGTERM, counted from this call on and not from the
/// first poll. A second one ends the process at once.
fn stop() -> impl Future<Output = ()> {
    let mut signals = Signals::listen();
    async move {
        signals.next().await;
        tracing::info!("stopping; a second signal stops at once");
        tokio::spawn(async move {
            signals.next().await;
            std::process::abort();
        });
    }
}

/// The signals that stop a process, listened to once and for all, so that
/// none is missed between two.
#[cfg(unix)]
struct Signals(Vec<signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    fn listen() -> Self {
        use signal::unix::SignalKind;
        let kinds = [SignalKind::terminate(), SignalKind::interrupt()];
        let listened = kinds.map(signal::unix::signal).into_iter();
        Self(listened.filter_map(Result::ok).collect())
    }

    async fn next(&mut self) {
        use std::task::Poll;
        std::future::poll_fn(|context| {
            let mut signals = self.0.iter_mut();
            match signals.any(|signal| signal.poll_recv(context).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Self {
        Self
    }

    async fn next(&mut self) {
        drop(signal::ctrl_c().await);
    }
}
