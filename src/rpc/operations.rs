//! The operation service: the journal, as an interface.

use std::{pin::Pin, sync::Arc};

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use super::{Call, convert, reply, status};
use crate::{
    engine::{Engine, Event},
    error::Error,
    proto::{
        CancelOperationRequest, CancelOperationResponse, GetOperationRequest, GetOperationResponse,
        ListOperationsRequest, ListOperationsResponse, WatchOperationRequest,
        WatchOperationResponse, operation_service_server::OperationService,
    },
};

/// The operation service over one engine.
#[derive(Debug, Clone)]
pub struct Operations {
    engine: Arc<Engine>,
}

impl Operations {
    /// The service over this engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// The status of a call that comes to nothing; one that the caller may not
    /// make is recorded.
    fn refused(&self, call: &Call, error: Error) -> Status {
        if let Error::Denied(denied) = &error {
            let actor = call.principal.subject.clone();
            self.engine
                .refused(actor, status::denied_reason(denied), denied.to_string());
        }
        status::failure(&call.failed(error))
    }
}

/// What a watcher is told, the last of it the operation or a status.
type Watched = Pin<Box<dyn Stream<Item = Result<WatchOperationResponse, Status>> + Send>>;

#[tonic::async_trait]
impl OperationService for Operations {
    async fn get_operation(
        &self,
        request: Request<GetOperationRequest>,
    ) -> Result<Response<GetOperationResponse>, Status> {
        let call = Call::of(&request)?;
        let early = |error| self.refused(&call, error);
        let which = convert::which(request.into_inner()).map_err(early)?;
        let record = self.engine.operation(&call.principal, &which).await;
        let operation = Some(reply::operation(record.map_err(early)?));
        Ok(Response::new(GetOperationResponse { operation }))
    }

    async fn list_operations(
        &self,
        request: Request<ListOperationsRequest>,
    ) -> Result<Response<ListOperationsResponse>, Status> {
        let call = Call::of(&request)?;
        let early = |error| self.refused(&call, error);
        let mut filter = convert::filter(request.into_inner()).map_err(early)?;
        let size = filter.limit;
        // One more tells whether there is another page.
        filter.limit += 1;
        let found = self.engine.operations(&call.principal, filter).await;
        let mut found = found.map_err(early)?;
        let has_more = found.len() > size;
        found.truncate(size);
        let last = found.last().filter(|_| has_more);
        Ok(Response::new(ListOperationsResponse {
            next_page_token: last.map_or_else(String::new, |last| last.operation.to_string()),
            operations: found.into_iter().map(reply::operation).collect(),
        }))
    }

    type WatchOperationStream = Watched;

    async fn watch_operation(
        &self,
        request: Request<WatchOperationRequest>,
    ) -> Result<Response<Self::WatchOperationStream>, Status> {
        let call = Call::of(&request)?;
        let early = |error| self.refused(&call, error);
        let message = request.into_inner();
        let after = convert::number("after_number", message.after_number).map_err(early)?;
        let (principal, id) = (&call.principal, &message.operation_id);
        let events = self.engine.watch(principal, id, after).await;
        let events = events.map_err(early)?;
        let told = events.map(move |event| match event {
            Ok(Event::Progress(number, progress)) => {
                let kind = reply::kind(progress, &message.operation_id);
                Ok(reply::watched(reply::event(number, kind)))
            }
            Ok(Event::Ended(number, record)) => Ok(reply::ended(number, *record)),
            Err(error) => Err(status::failure(&call.failed(error))),
        });
        Ok(Response::new(Box::pin(told)))
    }

    async fn cancel_operation(
        &self,
        request: Request<CancelOperationRequest>,
    ) -> Result<Response<CancelOperationResponse>, Status> {
        let call = Call::of(&request)?;
        let early = |error| self.refused(&call, error);
        let id = request.into_inner().operation_id;
        let record = self.engine.cancel(&call.principal, &id).await;
        let operation = Some(reply::operation(record.map_err(early)?));
        Ok(Response::new(CancelOperationResponse { operation }))
    }
}
