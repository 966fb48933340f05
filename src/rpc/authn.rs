//! Who is calling: a bearer token becomes a principal.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tonic::{Request, Status, service::Interceptor};

use super::status;
use crate::{
    access::{Principal, Token},
    engine::{Engine, now},
};

/// Lets calls with a known token through, as its principal.
#[derive(Debug, Clone)]
pub struct Authenticator {
    tokens: Arc<[Token]>,
    engine: Arc<Engine>,
}

/// Why a caller is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// There is no authorization header.
    Missing,
    /// There are several.
    Several,
    /// It is no bearer token, or none of this server's.
    Invalid,
    /// Its time is over.
    Expired,
}

impl Authenticator {
    /// Knows these tokens; refused calls are recorded by the engine.
    #[must_use]
    pub fn new(tokens: Vec<Token>, engine: Arc<Engine>) -> Self {
        Self {
            tokens: tokens.into(),
            engine,
        }
    }

    fn principal(&self, request: &Request<()>) -> Result<Principal, Unknown> {
        let mut headers = request.metadata().get_all("authorization").iter();
        let header = headers.next().ok_or(Unknown::Missing)?;
        if headers.next().is_some() {
            return Err(Unknown::Several);
        }
        let text = header.to_str().map_err(|_| Unknown::Invalid)?;
        let (scheme, secret) = text.split_once(' ').ok_or(Unknown::Invalid)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unknown::Invalid);
        }
        let digest: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        // Every token is compared, however early one matches.
        let mut found = None;
        for token in self.tokens.iter() {
            if bool::from(token.digest.ct_eq(&digest)) {
                found = Some(token);
            }
        }
        let token = found.ok_or(Unknown::Invalid)?;
        match token.expires {
            Some(moment) if moment <= now() => Err(Unknown::Expired),
            _ => Ok(token.principal.clone()),
        }
    }
}

impl Interceptor for Authenticator {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        match self.principal(&request) {
            Ok(principal) => {
                request.extensions_mut().insert(principal);
                Ok(request)
            }
            Err(unknown) => {
                let status = status::unknown_caller(unknown);
                let message = status.message().to_owned();
                self.engine
                    .refused(String::new(), status::unknown_reason(unknown), message);
                Err(status)
            }
        }
    }
}
