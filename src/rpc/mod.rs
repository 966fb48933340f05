//! The services: each method turns a message into an action, asks for leave,
//! has the engine do it, and turns what came of it into a message.

pub mod authn;
mod convert;
mod events;
mod limits;
mod operations;
mod reply;
mod status;

pub use authn::Authenticator;
pub use limits::{NormaliseErrors, panicked};
pub use operations::Operations;
pub use status::{reason, section};

use std::{sync::Arc, time::Instant};

use tonic::{Request, Response, Status};

use crate::{
    access::{self, Demands, Grant, Principal},
    engine::{Done, Engine, Finished, Terms},
    error::{Error, Failure},
    operation::Action,
    policy::MinimumRole,
    proto::{
        CleanupRequest, CleanupResponse, ClearCacheRequest, ClearCacheResponse,
        CreateTestUserRequest, CreateTestUserResponse, Event, FullResetRequest, FullResetResponse,
        GetStatusRequest, GetStatusResponse, ResetTestUsersRequest, ResetTestUsersResponse,
        ResetUserRequest, ResetUserResponse, RunRecipeRequest, RunRecipeResponse,
        SetPasswordRequest, SetPasswordResponse, StatisticsRequest, StatisticsResponse,
        reset_service_server::ResetService,
    },
    target::Deadline,
};

/// The header that carries an operation's id in the initial metadata.
const OPERATION_ID: &str = "resetd-operation-id";

/// The reset service over one engine.
#[derive(Debug, Clone)]
pub struct Resets {
    engine: Arc<Engine>,
}

/// What is known of a call besides its message.
struct Call {
    principal: Principal,
    deadline: Deadline,
    begun: Instant,
}

impl Resets {
    /// The service over this engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Leave for an action, or a refusal that is recorded.
    fn grant(&self, call: &Call, target: &str, action: Action) -> Result<Grant, Error> {
        convert::target(target)?;
        // An unknown target is told only to those who may use it.
        let known = self.engine.served(target);
        let admins = known
            .as_ref()
            .ok()
            .and_then(|served| served.target.policy().users.admins.as_ref());
        let recipe = match (&action, known.as_ref()) {
            (Action::RunRecipe(action), Ok(served)) => {
                served.target.policy().recipes.get(&action.recipe)
            }
            _ => None,
        };
        let demands = Demands {
            admin_types: admins.map_or(&[][..], |admins| &admins.values),
            recipe_of_superusers: recipe
                .is_some_and(|recipe| recipe.minimum_role == MinimumRole::Superuser),
        };
        let name = known.as_ref().map_or(target, |served| served.target.name());
        let granted = access::authorize(&call.principal, name, action, demands);
        if let Err(denied) = &granted {
            let actor = call.principal.subject.clone();
            self.engine
                .refused(actor, status::denied_reason(denied), denied.to_string());
        }
        let grant = granted?;
        known?;
        Ok(grant)
    }

    async fn change(
        &self,
        call: &Call,
        target: &str,
        terms: Result<Terms, Error>,
        action: Result<Action, Error>,
    ) -> Result<Finished<Done>, Status> {
        let early = |error| status::failure(&call.failed(error));
        let (action, terms) = (action.map_err(early)?, terms.map_err(early)?);
        let grant = self.grant(call, target, action).map_err(early)?;
        let failed = |failure: Failure| status::failure(&failure);
        let running = self
            .engine
            .start(grant, terms, call.deadline, None)
            .map_err(failed)?;
        running.end().await.map_err(failed)
    }
}

impl Resets {
    /// Starts an operation whose events are told as they happen.
    fn follow<T: 'static>(
        &self,
        call: &Call,
        target: &str,
        (terms, action): (Result<Terms, Error>, Result<Action, Error>),
        message: fn(Event) -> T,
    ) -> Result<Response<events::Events<T>>, Status> {
        let early = |error| status::failure(&call.failed(error));
        let terms = terms.map_err(early)?;
        let grant = self.grant(call, target, action.map_err(early)?);
        let grant = grant.map_err(early)?;
        let (watcher, progress) = tokio::sync::mpsc::unbounded_channel();
        let started = self
            .engine
            .start(grant, terms, call.deadline, Some(watcher));
        let running = started.map_err(|failure| status::failure(&failure))?;
        Ok(with_id(
            running.operation,
            events::of(running, progress, message),
        ))
    }
}

impl Call {
    fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let begun = Instant::now();
        let principal = request.extensions().get::<Principal>().cloned();
        Ok(Self {
            principal: principal.ok_or_else(status::unauthenticated)?,
            deadline: limits::deadline(request.metadata(), begun),
            begun,
        })
    }

    fn failed(&self, error: Error) -> Failure {
        Failure {
            error,
            operation: None,
            took: self.begun.elapsed(),
        }
    }
}

/// A reply with the operation's id in its initial metadata.
fn with_id<T>(operation: crate::operation::OperationId, message: T) -> Response<T> {
    let mut response = Response::new(message);
    if let Ok(value) = operation.to_string().parse() {
        response.metadata_mut().insert(OPERATION_ID, value);
    }
    response
}

#[tonic::async_trait]
impl ResetService for Resets {
    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let call = Call::of(&request)?;
        let early = |error| status::failure(&call.failed(error));
        let target = request.into_inner().target;
        let grant = self
            .grant(&call, &target, Action::GetStatus)
            .map_err(early)?;
        let observed = self.engine.status(&grant).await.map_err(early)?;
        let served = self.engine.served(grant.target()).map_err(early)?;
        let took = call.begun.elapsed();
        Ok(Response::new(reply::status(observed, served, took)))
    }

    async fn statistics(
        &self,
        request: Request<StatisticsRequest>,
    ) -> Result<Response<StatisticsResponse>, Status> {
        let call = Call::of(&request)?;
        let early = |error| status::failure(&call.failed(error));
        let message = request.into_inner();
        let page = convert::page(&message).map_err(early)?;
        let what = convert::statistics(&message);
        let action = Action::Statistics(what.clone());
        let grant = self.grant(&call, &message.target, action).map_err(early)?;
        let report = self.engine.statistics(&grant, &what).await.map_err(early)?;
        let took = call.begun.elapsed();
        Ok(Response::new(reply::report(report, &page, took)))
    }

    async fn reset_user(
        &self,
        request: Request<ResetUserRequest>,
    ) -> Result<Response<ResetUserResponse>, Status> {
        let call = Call::of(&request)?;
        let message = request.into_inner();
        let target = message.target.clone();
        let terms = convert::terms(&message.request_id, &message.plan_token);
        let finished = self
            .change(&call, &target, terms, convert::reset_user(message))
            .await?;
        let result = reply::result(&finished).ok_or_else(status::invariant)?;
        Ok(with_id(
            finished.operation,
            ResetUserResponse {
                result: Some(result),
            },
        ))
    }

    async fn reset_test_users(
        &self,
        request: Request<ResetTestUsersRequest>,
    ) -> Result<Response<ResetTestUsersResponse>, Status> {
        let call = Call::of(&request)?;
        let message = request.into_inner();
        let target = message.target.clone();
        let terms = convert::terms(&message.request_id, &message.plan_token);
        let action = convert::reset_test_users(message);
        let finished = self.change(&call, &target, terms, action).await?;
        let result = reply::result(&finished).ok_or_else(status::invariant)?;
        Ok(with_id(
            finished.operation,
            ResetTestUsersResponse {
                result: Some(result),
            },
        ))
    }

    async fn cleanup(
        &self,
        request: Request<CleanupRequest>,
    ) -> Result<Response<CleanupResponse>, Status> {
        let call = Call::of(&request)?;
        let message = request.into_inner();
        let target = message.target.clone();
        let terms = convert::terms(&message.request_id, &message.plan_token);
        let finished = self
            .change(&call, &target, terms, convert::cleanup(message))
            .await?;
        let response = reply::cleaned(&finished).ok_or_else(status::invariant)?;
        Ok(with_id(finished.operation, response))
    }

    type FullResetStream = events::Events<FullResetResponse>;

    async fn full_reset(
        &self,
        request: Request<FullResetRequest>,
    ) -> Result<Response<Self::FullResetStream>, Status> {
        let call = Call::of(&request)?;
        let message = request.into_inner();
        let target = message.target.clone();
        let terms = convert::terms(&message.request_id, &message.plan_token);
        let action = convert::full_reset(message);
        self.follow(&call, &target, (terms, action), |event| FullResetResponse {
            event: Some(event),
        })
    }

    type RunRecipeStream = events::Events<RunRecipeResponse>;

    async fn run_recipe(
        &self,
        request: Request<RunRecipeRequest>,
    ) -> Result<Response<Self::RunRecipeStream>, Status> {
        let call = Call::of(&request)?;
        let message = request.into_inner();
        let target = message.target.clone();
        let terms = convert::terms(&message.request_id, &message.plan_token);
        let action = convert::run_recipe(message);
        self.follow(&call, &target, (terms, action), |event| RunRecipeResponse {
            event: Some(event),
        })
    }

    async fn set_password(
        &self,
        request: Request<SetPasswordRequest>,
    ) -> Result<Response<SetPasswordResponse>, Status> {
        let call = Call::of(&request)?;
        let message = request.into_inner();
        let target = message.target.clone();
        let terms = convert::terms(&message.request_id, "");
        let action = convert::set_password(message);
        let finished = self.change(&call, &target, terms, action).await?;
        let response = reply::password(&finished).ok_or_else(status::invariant)?;
        Ok(with_id(finished.operation, response))
    }

    async fn clear_cache(
        &self,
        request: Request<ClearCacheRequest>,
    ) -> Result<Response<ClearCacheResponse>, Status> {
        let call = Call::of(&request)?;
        let message = request.into_inner();
        let target = message.target.clone();
        let terms = convert::terms(&message.request_id, "");
        let action = Ok(convert::clear_cache(&message));
        let finished = self.change(&call, &target, terms, action).await?;
        let response = reply::cleared(&finished).ok_or_else(status::invariant)?;
        Ok(with_id(finished.operation, response))
    }

    async fn create_test_user(
        &self,
        request: Request<CreateTestUserRequest>,
    ) -> Result<Response<CreateTestUserResponse>, Status> {
        let call = Call::of(&request)?;
        let message = request.into_inner();
        let target = message.target.clone();
        let terms = convert::terms(&message.request_id, "");
        let finished = self
            .change(&call, &target, terms, convert::create_user(message))
            .await?;
        let response = reply::created(&finished).ok_or_else(status::invariant)?;
        Ok(with_id(finished.operation, response))
    }
}
