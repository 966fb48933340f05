//! A caller: the generated client with a token, and every error read as
//! `design/api.md` promises it.

use std::collections::BTreeMap;

use resetd::proto::{
    CreateTestUserRequest, CreateTestUserResponse, GetStatusRequest, GetStatusResponse, ResetLevel,
    ResetResult, ResetUserRequest, StatisticsRequest, StatisticsResponse,
    reset_service_client::ResetServiceClient, reset_user_request::User,
};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Someone with a token, on one connection.
#[derive(Clone)]
pub struct Caller {
    pub client: ResetServiceClient<Channel>,
    secret: String,
}

/// An error, taken apart. Whoever makes one has checked what every error of
/// every call has.
#[derive(Debug)]
pub struct Told {
    pub code: Code,
    pub reason: String,
    pub message: String,
    pub metadata: BTreeMap<String, String>,
    pub details: ErrorDetails,
    /// The operation's id, when there was an operation.
    pub operation: Option<String>,
}

impl Told {
    #[track_caller]
    pub fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let info = info.unwrap_or_else(|| panic!("an error without ErrorInfo: {status:?}"));
        assert_eq!(info.domain, "resetd", "{status:?}");
        let took: f64 = info.metadata["duration_ms"].parse().unwrap();
        assert!(took >= 0.0, "{status:?}");
        let help = details.help().expect("an error names the README's section");
        let section = format!("README.md#{}", info.reason.to_lowercase());
        assert!(help.links[0].url.ends_with(&section), "{help:?}");
        let message = status.message();
        assert!(!message.is_empty() && message.len() <= 4096, "{status:?}");
        assert!(status.details().len() <= 8192, "past what a client reads");
        let everything = format!("{message} {details:?}");
        for internal in ["sqlx", "panicked", "src/", "SELECT ", "RUST_"] {
            assert!(!everything.contains(internal), "{internal} in {everything}");
        }
        let operation = status.metadata().get("resetd-operation-id");
        let operation = operation.map(|id| id.to_str().unwrap().to_owned());
        assert_eq!(info.metadata.get("operation_id"), operation.as_ref());
        Self {
            code: status.code(),
            reason: info.reason.clone(),
            message: message.to_owned(),
            metadata: info.metadata.clone().into_iter().collect(),
            operation,
            details,
        }
    }

    #[track_caller]
    pub fn is(&self, code: Code, reason: &str) -> &Self {
        assert_eq!(
            (self.code, self.reason.as_str()),
            (code, reason),
            "{self:#?}"
        );
        self
    }

    /// A refusal that names a fix: in its metadata, and in each violation.
    #[track_caller]
    pub fn fix(&self, expected: &str) -> &Self {
        let fix = &self.metadata["fix"];
        assert!(fix.contains(expected), "{fix}");
        assert!(self.message.contains(fix), "{self:#?}");
        let failure = self.details.precondition_failure();
        let violations = &failure.expect("PreconditionFailure").violations;
        let violation = violations.iter().find(|v| v.r#type == self.reason);
        let violation = violation.unwrap_or_else(|| panic!("{violations:?}"));
        assert!(violation.description.contains(fix), "{violation:?}");
        assert_eq!(violation.subject, self.metadata["layer"]);
        self
    }

    /// A complaint about a field, by its name.
    #[track_caller]
    pub fn field(&self, field: &str) -> &Self {
        self.is(Code::InvalidArgument, "INVALID_FIELD");
        let bad = self.details.bad_request().expect("BadRequest");
        assert_eq!(bad.field_violations[0].field, field, "{self:#?}");
        assert_eq!(self.metadata["field"], field);
        self
    }
}

impl Caller {
    pub fn new(channel: Channel, secret: &str) -> Self {
        Self {
            client: ResetServiceClient::new(channel),
            secret: secret.to_owned(),
        }
    }

    /// A message with this caller's token.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let header = format!("Bearer {}", self.secret).parse().unwrap();
        request.metadata_mut().insert("authorization", header);
        request
    }

    pub async fn reset(&self, message: ResetUserRequest) -> Result<ResetResult, Told> {
        self.send_reset(self.request(message)).await
    }

    pub async fn send_reset(
        &self,
        request: Request<ResetUserRequest>,
    ) -> Result<ResetResult, Told> {
        let answer = self.client.clone().reset_user(request).await;
        let response = answer.map_err(|status| Told::of(&status))?;
        let operation = response.metadata().get("resetd-operation-id").cloned();
        let result = response.into_inner().result.expect("a result");
        assert_eq!(operation.unwrap().to_str().unwrap(), result.operation_id);
        assert!(result.success && result.duration.is_some() && result.finish_time.is_some());
        let counted = |t: &resetd::proto::TableCounts| t.deleted + t.restored + t.detached;
        let total: i64 = result.tables.iter().map(counted).sum();
        assert_eq!(result.total_rows, total, "{result:#?}");
        assert!(result.tables.iter().all(|table| counted(table) > 0));
        Ok(result)
    }

    pub async fn create(
        &self,
        message: CreateTestUserRequest,
    ) -> Result<CreateTestUserResponse, Told> {
        let request = self.request(message);
        let answer = self.client.clone().create_test_user(request).await;
        let response = answer.map_err(|status| Told::of(&status))?;
        let operation = response.metadata().get("resetd-operation-id").cloned();
        let created = response.into_inner();
        assert_eq!(operation.unwrap().to_str().unwrap(), created.operation_id);
        assert!(created.duration.is_some() && created.finish_time.is_some());
        Ok(created)
    }

    pub async fn status(&self, message: GetStatusRequest) -> Result<GetStatusResponse, Told> {
        let request = self.request(message);
        let answer = self.client.clone().get_status(request).await;
        let status = answer.map_err(|status| Told::of(&status))?.into_inner();
        assert!(status.duration.is_some() && status.observed_at.is_some());
        Ok(status)
    }

    pub async fn statistics(&self, message: StatisticsRequest) -> Result<StatisticsResponse, Told> {
        let request = self.request(message);
        let answer = self.client.clone().statistics(request).await;
        let statistics = answer.map_err(|status| Told::of(&status))?.into_inner();
        assert!(statistics.duration.is_some());
        Ok(statistics)
    }
}

/// A reset of the whole user, by e-mail.
pub fn by_email(email: &str) -> ResetUserRequest {
    ResetUserRequest {
        user: Some(User::Email(email.to_owned())),
        ..ResetUserRequest::default()
    }
}

/// A reset of the whole user, by key.
pub fn by_id(id: &str) -> ResetUserRequest {
    ResetUserRequest {
        user: Some(User::UserId(id.to_owned())),
        ..ResetUserRequest::default()
    }
}

/// The same at another level.
pub fn at(level: ResetLevel, request: ResetUserRequest) -> ResetUserRequest {
    ResetUserRequest {
        level: level.into(),
        ..request
    }
}

/// The same as a dry run.
pub fn dry(request: ResetUserRequest) -> ResetUserRequest {
    ResetUserRequest {
        validate_only: true,
        ..request
    }
}

/// The creation of a user with the policy's defaults.
pub fn new_user(email: &str) -> CreateTestUserRequest {
    CreateTestUserRequest {
        email: email.to_owned(),
        ..CreateTestUserRequest::default()
    }
}
