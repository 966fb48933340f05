//! What the transport answers by itself, put into our own words; and the
//! caller's deadline.

use std::{
    any::Any,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tonic::{body::Body, metadata::MetadataMap};
use tower::{Layer, Service};

use super::status;
use crate::target::Deadline;

/// The transport drops a handler at the caller's deadline and answers
/// CANCELLED. Ours comes this much earlier, so that the answer is the true
/// one and the work is rolled back, and durably recorded so, by then: a tenth,
/// at least 2 ms and at most 500 ms.
fn margin(timeout: Duration) -> Duration {
    (timeout / 10).clamp(Duration::from_millis(2), Duration::from_millis(500))
}

/// The caller's deadline, from `grpc-timeout`. One that cannot be read counts
/// as none, as in the transport.
pub(super) fn deadline(metadata: &MetadataMap, begun: Instant) -> Deadline {
    let text = metadata
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok());
    text.and_then(timeout)
        .map_or_else(Deadline::default, |timeout| {
            Deadline::at(begun + timeout.saturating_sub(margin(timeout)))
        })
}

/// At most eight digits and a unit, as the gRPC specification says.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// The answer of a handler that panicked.
#[must_use]
pub fn panicked(panic: Box<dyn Any + Send>) -> http::Response<Body> {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!(panic = text, "handler panicked");
    status::invariant().into_http()
}

/// Puts what the transport says of a message that is too large
/// (OUT_OF_RANGE) or that cannot be decoded (INTERNAL) into our words.
#[derive(Debug, Clone, Copy, Default)]
pub struct NormaliseErrors;

/// The service that [`NormaliseErrors`] makes.
#[derive(Debug, Clone)]
pub struct Normalised<S> {
    inner: S,
}

impl<S> Layer<S> for NormaliseErrors {
    type Service = Normalised<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Normalised { inner }
    }
}

impl<S, R> Service<http::Request<R>> for Normalised<S>
where
    S: Service<http::Request<R>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = std::pin::Pin<
        Box<dyn std::future::Future<Output = Result<Self::Response, Self::Error>> + Send>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<R>) -> Self::Future {
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            let headers = response.headers();
            let is = |code: tonic::Code| {
                let status = headers.get("grpc-status").map(http::HeaderValue::as_bytes);
                status == Some((code as i32).to_string().as_bytes())
            };
            // Every error of ours has details.
            let is_ours = headers.contains_key("grpc-status-details-bin");
            if is(tonic::Code::OutOfRange) && !is_ours {
                return Ok(status::too_large().into_http());
            }
            if is(tonic::Code::Internal) && !is_ours {
                return Ok(status::unreadable().into_http());
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_specification_says() {
        assert_eq!(timeout("1S"), Some(Duration::from_secs(1)));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for wrong in ["", "S", "1", "1s", "-1S", "123456789S", "1.5S", "é"] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn our_deadline_comes_before_the_transports() {
        let begun = Instant::now();
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "1m".parse().unwrap());
        assert!(deadline(&metadata, begun).is_over());
        metadata.insert("grpc-timeout", "10S".parse().unwrap());
        let moment = deadline(&metadata, begun).moment().unwrap();
        assert_eq!(moment - begun, Duration::from_millis(9_500));
        metadata.insert("grpc-timeout", "soon".parse().unwrap());
        assert_eq!(deadline(&metadata, begun).moment(), None);
    }
}
