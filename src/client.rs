//! The Rust client: one connection to a server, one method for each RPC, and
//! errors with their reason decoded. It knows the wire and the token; what an
//! answer looks like on a terminal it leaves to `cli`.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use http::uri::Authority;
use tokio::time::{Instant, timeout_at};
use tokio_stream::{Stream, StreamExt as _};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use crate::proto::event::Kind;
use crate::proto::operation_service_client::OperationServiceClient;
use crate::proto::reset_service_client::ResetServiceClient;
use crate::proto::{
    CancelOperationRequest, CancelOperationResponse, CleanupRequest, CleanupResponse,
    ClearCacheRequest, ClearCacheResponse, CreateTestUserRequest, CreateTestUserResponse, Event,
    FullResetRequest, GetStatusRequest, GetStatusResponse, ListOperationsRequest,
    ListOperationsResponse, ResetTestUsersRequest, ResetTestUsersResponse, ResetUserRequest,
    ResetUserResponse, RunRecipeRequest, SetPasswordRequest, SetPasswordResponse,
    StatisticsRequest, StatisticsResponse,
};

/// The port of an address that has neither a scheme nor a port.
pub const DEFAULT_PORT: u16 = 50051;

/// How long to try to connect where the options set no timeout: a host that
/// drops packets would otherwise hold the caller for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer timeouts are cut to this: the `grpc-timeout` header has eight digits.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(365 * 24);

/// A call may be silent for long while the server works, so pings tell a
/// server that is busy from one that is gone.
const PING_EVERY: Duration = Duration::from_secs(30);

/// The metadata of an error that did not come from the server.
static NO_METADATA: BTreeMap<String, String> = BTreeMap::new();

/// A connection to a server. Calls may run side by side.
#[derive(Clone)]
pub struct Client {
    resets: ResetServiceClient<InterceptedService<Channel, Bearer>>,
    operations: OperationServiceClient<InterceptedService<Channel, Bearer>>,
    address: String,
    timeout: Option<Duration>,
}

/// The events of a running full reset or recipe, which are the same. The
/// operation does not depend on anybody reading them: dropping this does not
/// stop it.
pub struct Events {
    stream: Pin<Box<dyn Stream<Item = Result<Option<Event>, Status>> + Send>>,
    client: Client,
    started: Instant,
    finished: bool,
}

/// Where a server is and who calls. Prints itself without the token.
#[derive(Clone, Default)]
pub struct Options {
    /// `HOST:PORT`, `HOST` (port 50051), or a URL that begins with `http://`.
    pub address: String,
    /// The token in clear; calls carry no authorization when absent.
    pub token: Option<String>,
    /// The longest time that connecting, and then each call, may take. Without
    /// it a call may take as long as the server needs.
    pub timeout: Option<Duration>,
}

/// Why there is no client, or no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one of a server that this client can reach.
    #[error("cannot use the address {address:?}: {problem}")]
    Address {
        /// The address, without anything before an `@`.
        address: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The token cannot be sent.
    #[error("the token holds characters that a header cannot carry")]
    Token,
    /// No connection came about.
    #[error(
        "cannot connect to {address}: {cause}; start the server with `resetd`, or give the address of a running one"
    )]
    Connect {
        /// The server's address.
        address: String,
        /// What the network said.
        cause: String,
    },
    /// The connection broke before the answer was there.
    #[error(
        "the connection to {address} broke: {cause}; whether the call was carried out is not known"
    )]
    Broken {
        /// The server's address.
        address: String,
        /// What the network said.
        cause: String,
    },
    /// The caller's timeout passed before the answer was there.
    #[error(
        "no answer from {address} within {} s; whether the call was carried out is not known",
        timeout.as_secs_f64()
    )]
    Timeout {
        /// The server's address.
        address: String,
        /// The timeout of the call.
        timeout: Duration,
    },
    /// The server answered with an error.
    #[error(transparent)]
    Answer(Box<Answer>),
}

/// An error that the server answered with, its details decoded.
#[derive(Debug)]
pub struct Answer {
    status: Status,
    reason: Option<String>,
    metadata: BTreeMap<String, String>,
    help: Option<String>,
}

/// Puts the token on every call. It has no `Debug`, and the value that it holds
/// is marked as sensitive, so that neither a log nor an error shows it.
#[derive(Clone)]
struct Bearer(Option<MetadataValue<Ascii>>);

impl Client {
    /// Connects to a server; no call is made yet.
    ///
    /// # Errors
    ///
    /// [`Error::Address`], [`Error::Token`], and [`Error::Connect`] where
    /// nothing answers at the address.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let address = normalise(&options.address)?;
        let bearer = Bearer::new(options.token.as_deref())?;
        let timeout = options.timeout.map(|timeout| timeout.min(LONGEST_TIMEOUT));
        let refused = |error: tonic::transport::Error| Error::Connect {
            address: address.clone(),
            cause: innermost(&error),
        };
        let channel = Endpoint::from_shared(address.clone())
            .and_then(|endpoint| endpoint.user_agent(concat!("resetd/", env!("CARGO_PKG_VERSION"))))
            .map_err(refused)?
            .connect_timeout(timeout.unwrap_or(CONNECT_TIMEOUT))
            .http2_keep_alive_interval(PING_EVERY)
            .connect()
            .await
            .map_err(refused)?;
        Ok(Self {
            operations: OperationServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            resets: ResetServiceClient::with_interceptor(channel, bearer),
            address,
            timeout,
        })
    }

    /// Asks whether a target may be reset.
    ///
    /// # Errors
    ///
    /// [`Error::Answer`] with the server's reason, [`Error::Broken`] and
    /// [`Error::Timeout`]; so do all the calls.
    pub async fn get_status(&self, request: GetStatusRequest) -> Result<GetStatusResponse, Error> {
        let (request, started) = self.request(request);
        let answer = self.resets.clone().get_status(request).await;
        self.read(answer, started)
    }

    /// Counts a target's users and rows: one page of tables.
    ///
    /// # Errors
    ///
    /// See [`Client::get_status`].
    pub async fn statistics(
        &self,
        request: StatisticsRequest,
    ) -> Result<StatisticsResponse, Error> {
        let (request, started) = self.request(request);
        let answer = self.resets.clone().statistics(request).await;
        self.read(answer, started)
    }

    /// Resets one user.
    ///
    /// # Errors
    ///
    /// See [`Client::get_status`].
    pub async fn reset_user(&self, request: ResetUserRequest) -> Result<ResetUserResponse, Error> {
        let (request, started) = self.request(request);
        let answer = self.resets.clone().reset_user(request).await;
        self.read(answer, started)
    }

    /// Lists operations of the journal: one page.
    ///
    /// # Errors
    ///
    /// See [`Client::get_status`].
    pub async fn list_operations(
        &self,
        request: ListOperationsRequest,
    ) -> Result<ListOperationsResponse, Error> {
        let (request, started) = self.request(request);
        let answer = self.operations.clone().list_operations(request).await;
        self.read(answer, started)
    }

    /// Asks an operation to stop before its commit.
    ///
    /// # Errors
    ///
    /// See [`Client::get_status`].
    pub async fn cancel_operation(
        &self,
        request: CancelOperationRequest,
    ) -> Result<CancelOperationResponse, Error> {
        let (request, started) = self.request(request);
        let answer = self.operations.clone().cancel_operation(request).await;
        self.read(answer, started)
    }

    /// Resets all test users.
    ///
    /// # Errors
    ///
    /// See [`Client::get_status`].
    pub async fn reset_test_users(
        &self,
        request: ResetTestUsersRequest,
    ) -> Result<ResetTestUsersResponse, Error> {
        let (request, started) = self.request(request);
        let answer = self.resets.clone().reset_test_users(request).await;
        self.read(answer, started)
    }

    /// Removes the test data of one session, or all of it.
    ///
    /// # Errors
    ///
    /// See [`Client::get_status`].
    pub async fn cleanup(&self, request: CleanupRequest) -> Result<CleanupResponse, Error> {
        let (request, started) = self.request(request);
        let answer = self.resets.clone().cleanup(request).await;
        self.read(answer, started)
    }

    /// Begins a full reset and gives its events.
    ///
    /// # Errors
    ///
    /// See [`Client::get_status`]. Most of what can go wrong is told by
    /// [`Events::next`].
    pub async fn full_reset(&self, request: FullResetRequest) -> Result<Events, Error> {
        let (request, started) = self.request(request);
        let answer = self.resets.clone().full_reset(request).await;
        let stream = self.read(answer, started)?;
        let events = stream.map(|message| message.map(|message| message.event));
        Ok(self.events(Box::pin(events), started))
    }

    /// Begins a recipe and gives its events.
    ///
    /// # Errors
    ///
    /// See [`Client::full_reset`].
    pub async fn run_recipe(&self, request: RunRecipeRequest) -> Result<Events, Error> {
        let (request, started) = self.request(request);
        let answer = self.resets.clone().run_recipe(request).await;
        let stream = self.read(answer, started)?;
        let events = stream.map(|message| message.map(|message| message.event));
        Ok(self.events(Box::pin(events), started))
    }

    fn events(
        &self,
        stream: Pin<Box<dyn Stream<Item = Result<Option<Event>, Status>> + Send>>,
        started: Instant,
    ) -> Events {
        Events {
            stream,
            client: self.clone(),
            started,
            finished: false,
        }
    }

    /// Sets a user's password.
    ///
    /// # Errors
    ///
    /// See [`Client::get_status`].
    pub async fn set_password(
        &self,
        request: SetPasswordRequest,
    ) -> Result<SetPasswordResponse, Error> {
        let (request, started) = self.request(request);
        let answer = self.resets.clone().set_password(request).await;
        self.read(answer, started)
    }

    /// Clears the cache.
    ///
    /// # Errors
    ///
    /// See [`Client::get_status`].
    pub async fn clear_cache(
        &self,
        request: ClearCacheRequest,
    ) -> Result<ClearCacheResponse, Error> {
        let (request, started) = self.request(request);
        let answer = self.resets.clone().clear_cache(request).await;
        self.read(answer, started)
    }

    /// Creates a test user.
    ///
    /// # Errors
    ///
    /// See [`Client::get_status`].
    pub async fn create_test_user(
        &self,
        request: CreateTestUserRequest,
    ) -> Result<CreateTestUserResponse, Error> {
        let (request, started) = self.request(request);
        let answer = self.resets.clone().create_test_user(request).await;
        self.read(answer, started)
    }

    /// A request that tells the server its deadline, and when it was made.
    fn request<T>(&self, message: T) -> (Request<T>, Instant) {
        let mut request = Request::new(message);
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        (request, Instant::now())
    }

    fn read<T>(&self, answer: Result<Response<T>, Status>, started: Instant) -> Result<T, Error> {
        answer
            .map(Response::into_inner)
            .map_err(|status| self.failure(status, started.elapsed()))
    }

    /// Tells an answer of the server from a call that got none: only a status
    /// that was made on this side has a source. tonic calls a passed deadline
    /// CANCELLED, here as well as in a server that is built with it.
    fn failure(&self, status: Status, waited: Duration) -> Error {
        let address = self.address.clone();
        if let Some(timeout) = self.timeout
            && (is_timeout(&status) || status.code() == Code::Cancelled && waited >= timeout)
        {
            return Error::Timeout { address, timeout };
        }
        match status.source() {
            Some(source) => Error::Broken {
                address,
                cause: innermost(source),
            },
            None => status.into(),
        }
    }
}

impl Events {
    /// The next event, when there is one; nothing after the last.
    ///
    /// # Errors
    ///
    /// See [`Client::get_status`]. Unless `committed` came before, an
    /// [`Error::Answer`] means that nothing was changed.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        // The transport's own timeout ends with the headers of an answer.
        let next = match self.client.timeout {
            None => self.stream.next().await.transpose(),
            Some(timeout) => timeout_at(self.started + timeout, self.stream.next())
                .await
                .map(Option::transpose)
                .map_err(|_| Error::Timeout {
                    address: self.client.address.clone(),
                    timeout,
                })?,
        };
        let next = next.map_err(|status| self.client.failure(status, self.started.elapsed()))?;
        let next = next.map(Option::unwrap_or_default);
        match &next {
            Some(event) => self.finished |= matches!(event.kind, Some(Kind::Finished(_))),
            // A proxy may end a stream as if nothing were missing.
            None if !self.finished => {
                return Err(Error::Broken {
                    address: self.client.address.clone(),
                    cause: "the events ended without a result".to_owned(),
                });
            }
            None => {}
        }
        Ok(next)
    }
}

impl Error {
    /// The gRPC code: the server's, or the one that it would have chosen.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Address { .. } | Self::Token => Code::InvalidArgument,
            Self::Connect { .. } | Self::Broken { .. } => Code::Unavailable,
            Self::Timeout { .. } => Code::DeadlineExceeded,
            Self::Answer(answer) => answer.status.code(),
        }
    }

    /// The reason of the server's `ErrorInfo`, such as `NOT_A_TEST_USER`.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.answer()?.reason.as_deref()
    }

    /// What went wrong and what helps, in words.
    #[must_use]
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// The metadata of the server's `ErrorInfo`: the values that the message
    /// names. Empty when the server did not answer.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        self.answer()
            .map_or(&NO_METADATA, |answer| &answer.metadata)
    }

    /// The link of the server's `Help`, to the section that says what to do.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.answer()?.help.as_deref()
    }

    fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answer(answer) => Some(answer),
            Self::Address { .. }
            | Self::Token
            | Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Timeout { .. } => None,
        }
    }
}

impl Answer {
    /// The status as it arrived, with its other details and its headers.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        Self {
            reason: info.map(|info| info.reason.clone()),
            metadata: info
                .map(|info| info.metadata.clone().into_iter().collect())
                .unwrap_or_default(),
            help: details
                .help()
                .and_then(|help| help.links.first())
                .map(|link| link.url.clone()),
            status,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Answer(Box::new(status.into()))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status.message() {
            "" => f.write_str(self.status.code().description()),
            message => f.write_str(message),
        }
    }
}

impl std::error::Error for Answer {}

impl Bearer {
    fn new(token: Option<&str>) -> Result<Self, Error> {
        let Some(token) = token.map(str::trim).filter(|token| !token.is_empty()) else {
            return Ok(Self(None));
        };
        let mut value = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|_the_value_is_secret| Error::Token)?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("client", &self.client)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("address", &self.address)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Writes an address as a URL with a port: without a scheme it means http and
/// port 50051, with one the ports that URLs have.
fn normalise(address: &str) -> Result<String, Error> {
    let text = address.trim();
    let refuse = |problem| Error::Address {
        // What comes before an `@` may be a password.
        address: text.rsplit('@').next().unwrap_or_default().to_owned(),
        problem,
    };
    let (default_port, rest) = match text.split_once("://") {
        None => (DEFAULT_PORT, text),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (80, rest),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
            // tonic has TLS here, but no root certificates to check a server with.
            return Err(refuse(
                "this build has no root certificates for https; use http:// to a tunnel or a local port",
            ));
        }
        Some(_) => return Err(refuse("it does not begin with http://")),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Err(refuse("it names no host"));
    }
    if rest.contains('@') {
        return Err(refuse("a user or a password has no place in it"));
    }
    if rest.contains(['/', '?', '#']) {
        return Err(refuse("a path or a query has no place in it"));
    }
    let unreadable = "it is not HOST:PORT; an IPv6 address goes in brackets";
    let authority: Authority = rest.parse().map_err(|_| refuse(unreadable))?;
    let host = authority.host();
    let port = match rest.strip_prefix(host) {
        _ if host.is_empty() => return Err(refuse("it names no host")),
        Some("") => default_port,
        Some(after) => after
            .strip_prefix(':')
            .and_then(|digits| digits.parse().ok())
            .filter(|port| *port != 0)
            .ok_or_else(|| refuse("its port is not a number from 1 to 65535"))?,
        None => return Err(refuse(unreadable)),
    };
    Ok(format!("http://{host}:{port}"))
}

/// What the error at the bottom says: those above it only say "transport error".
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn is_timeout(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    #[test]
    fn addresses_are_urls_with_a_port() {
        let read = [
            ("127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("http://127.0.0.1:7/", "http://127.0.0.1:7"),
            ("HTTP://reset.test:7", "http://reset.test:7"),
            (" localhost ", "http://localhost:50051"),
            ("http://localhost", "http://localhost:80"),
            ("[::1]:50051", "http://[::1]:50051"),
            ("[::1]", "http://[::1]:50051"),
        ];
        for (address, url) in read {
            assert_eq!(normalise(address).ok().as_deref(), Some(url), "{address}");
        }
    }

    #[test]
    fn unusable_addresses_are_refused_with_the_cause() {
        let refused = [
            ("", "no host"),
            ("http://", "no host"),
            (":50051", "no host"),
            ("localhost:", "port"),
            ("localhost:0", "port"),
            ("localhost:65536", "port"),
            ("localhost:http", "port"),
            ("::1", "HOST:PORT"),
            ("local host", "HOST:PORT"),
            ("localhost:1/reset", "path"),
            ("http://localhost?x", "path"),
            ("unix:///run/resetd", "http://"),
            ("https://localhost", "root certificates"),
        ];
        for (address, cause) in refused {
            let error = normalise(address).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().contains(cause), "{address}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let error = normalise("http://ana:secret@localhost:1").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        let options = Options {
            token: Some("secret".to_owned()),
            ..Options::default()
        };
        assert!(!format!("{options:?}").contains("secret"));
        let bearer = Bearer::new(Some("secret")).unwrap();
        assert!(!format!("{:?}", bearer.0).contains("secret"));
        let error = Bearer::new(Some("secret\nline")).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }

    #[test]
    fn every_request_carries_the_token() {
        let sent = |token| {
            let mut bearer = Bearer::new(token).unwrap();
            let request = bearer.call(Request::new(())).unwrap();
            let value = request.metadata().get("authorization").cloned();
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(sent(Some("abc\n")).as_deref(), Some("Bearer abc"));
        assert_eq!(sent(Some("")), None);
        assert_eq!(sent(None), None);
    }

    #[test]
    fn the_details_of_an_answer_are_decoded() {
        let metadata = [("email".to_owned(), "ana@shop.com".to_owned())];
        let mut details = ErrorDetails::with_error_info("NOT_A_TEST_USER", "resetd", metadata);
        details.add_help_link("what to do", "https://resetd.test/#force");
        let status = Status::with_error_details(Code::FailedPrecondition, "no test user", details);
        let error = Error::from(status);
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert_eq!(error.reason(), Some("NOT_A_TEST_USER"));
        assert_eq!(error.message(), "no test user");
        assert_eq!(error.help(), Some("https://resetd.test/#force"));
        assert_eq!(
            error.metadata().get("email").map(String::as_str),
            Some("ana@shop.com")
        );
    }

    #[test]
    fn an_answer_without_details_has_a_message_all_the_same() {
        let error = Error::from(Status::new(Code::NotFound, ""));
        assert_eq!(error.reason(), None);
        assert!(error.metadata().is_empty());
        assert!(!error.message().is_empty());
    }
}
