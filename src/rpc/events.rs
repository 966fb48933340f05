//! The events of a streaming operation.

use std::pin::Pin;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::{Stream, StreamExt as _, wrappers::UnboundedReceiverStream};
use tonic::Status;

use super::{reply, status};
use crate::{
    engine::Running,
    operation::Progress,
    proto::{self, FullResetResponse, full_reset_response::Event},
};

/// The events of one operation, the last of them its result or a status.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<FullResetResponse, Status>> + Send>>;

/// What an operation tells, numbered from 1. The operation does not depend on
/// anybody reading this.
pub(super) fn of(running: Running, progress: UnboundedReceiver<Progress>) -> Events {
    let operation = running.operation.to_string();
    let told = UnboundedReceiverStream::new(progress)
        .map(move |progress| Ok(reply::event(progress, &operation)));
    let end = tokio_stream::once(running).then(|running| async {
        let finished = running.end().await;
        let finished = finished.map_err(|failure| status::failure(&failure))?;
        let result = reply::result(&finished).ok_or_else(status::invariant)?;
        Ok(Event::Finished(proto::Finished {
            result: Some(result),
        }))
    });
    let mut number = 0;
    let numbered = told.chain(end).map(move |event: Result<Event, Status>| {
        number += 1;
        event.map(|event| FullResetResponse {
            number,
            event: Some(event),
        })
    });
    Box::pin(numbered)
}
