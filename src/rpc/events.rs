//! The events of a streaming operation.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::{Stream, StreamExt as _, wrappers::UnboundedReceiverStream};
use tonic::Status;

use super::{reply, status};
use crate::{
    engine::Running,
    operation::Progress,
    proto::{self, Event, event::Kind},
};

/// The events of one operation, the last of them its result or a status.
pub(super) type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What an operation tells, each with its number, as a message of the call.
/// The operation does not depend on anybody reading this.
pub(super) fn of<T: 'static>(
    running: Running,
    progress: UnboundedReceiver<(u64, Progress)>,
    message: fn(Event) -> T,
) -> Events<T> {
    let operation = running.operation.to_string();
    let last = Arc::new(AtomicU64::new(0));
    let told = UnboundedReceiverStream::new(progress).map({
        let last = Arc::clone(&last);
        move |(number, progress)| {
            last.store(number, Ordering::Relaxed);
            Ok(reply::event(number, reply::kind(progress, &operation)))
        }
    });
    let end = tokio_stream::once(running).then(move |running| {
        let last = Arc::clone(&last);
        async move {
            let finished = running.end().await;
            let finished = finished.map_err(|failure| status::failure(&failure))?;
            let result = reply::result(&finished).ok_or_else(status::invariant)?;
            let finished = Kind::Finished(proto::Finished {
                result: Some(result),
            });
            let number = last.load(Ordering::Relaxed) + 1;
            Ok(reply::event(number, finished))
        }
    });
    let events = told.chain(end);
    Box::pin(events.map(move |event: Result<Event, Status>| event.map(message)))
}
