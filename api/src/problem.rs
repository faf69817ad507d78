//! Refusals and failures: always JSON, always `{"detail": "…"}`.

use poem::error::ParsePathError as RouteParsePathError;
use poem::http::{StatusCode, header};
use poem::{Error, IntoResponse, Response};
use poem_openapi::error::{ParseParamError, ParsePathError, ParseRequestPayloadError};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object};
use store::StoreError;

/// Why a request was refused or failed.
#[derive(Debug, Object)]
#[oai(example)]
pub struct Detail {
    /// The reason, in plain words.
    pub detail: String,
}

impl Detail {
    /// A detail with this reason, ready to be sent.
    pub fn json(reason: impl Into<String>) -> Json<Self> {
        Json(Self {
            detail: reason.into(),
        })
    }
}

impl poem_openapi::types::Example for Detail {
    fn example() -> Self {
        Self {
            detail: "the reason, in plain words".to_owned(),
        }
    }
}

/// Declares the ways an operation can go wrong, so that the documentation has exactly them.
/// Some are answered by the extractors in front of the operation, and never by itself.
macro_rules! problems {
    ($(#[$doc:meta])* $name:ident { $($(#[$why:meta])* $variant:ident = $status:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, ApiResponse)]
        #[allow(dead_code)]
        pub enum $name {
            $($(#[$why])* #[oai(status = $status)] $variant(Json<Detail>),)+
        }
    };
}

problems! {
    /// What can go wrong at sign-in.
    SigninProblem {
        /// The body is not JSON.
        BadRequest = 400,
        /// The body is too large.
        TooLarge = 413,
        /// The body is not sent as `application/json`.
        UnsupportedMediaType = 415,
        /// The name is missing, empty or too long.
        Unprocessable = 422,
        /// The service failed; its log says why.
        Internal = 500,
    }
}

problems! {
    /// What can go wrong when calls are listed.
    ListProblem {
        /// The bearer token is missing, not ours, or expired.
        Unauthorized = 401,
        /// A parameter is malformed or out of its range.
        Unprocessable = 422,
        /// The service failed; its log says why.
        Internal = 500,
        /// The database is away.
        Unavailable = 503,
    }
}

problems! {
    /// What can go wrong when one call is asked for.
    CallProblem {
        /// The bearer token is missing, not ours, or expired.
        Unauthorized = 401,
        /// There is no processed call with this id.
        NotFound = 404,
        /// The id is not a UUID.
        Unprocessable = 422,
        /// The service failed; its log says why.
        Internal = 500,
        /// The database is away, or too many ask at once.
        Unavailable = 503,
    }
}

problems! {
    /// What can go wrong when figures are asked for.
    FiguresProblem {
        /// The bearer token is missing, not ours, or expired.
        Unauthorized = 401,
        /// The service failed; its log says why.
        Internal = 500,
        /// The database is away.
        Unavailable = 503,
    }
}

/// The store's failures are the log's business; clients learn only whether to come back.
macro_rules! from_store_error {
    ($($name:ident),+) => {$(
        impl From<StoreError> for $name {
            fn from(error: StoreError) -> Self {
                tracing::error!(%error, "the store failed");
                if error.is_unavailable() {
                    Self::Unavailable(Detail::json("the database is away, try again later"))
                } else {
                    Self::Internal(Detail::json(INTERNAL))
                }
            }
        }
    )+};
}

from_store_error!(ListProblem, CallProblem, FiguresProblem);

/// What clients learn of a failure of ours.
pub const INTERNAL: &str = "internal error";

/// The answer to a request that an operation or anything in front of it refused.
pub fn explain(error: Error) -> Response {
    if error.is_from_response() {
        return error.into_response();
    }
    let status = status(&error);
    let reason = match status {
        StatusCode::UNAUTHORIZED => "a valid bearer token is required, see POST /signin".to_owned(),
        StatusCode::NOT_FOUND => "there is nothing at this address".to_owned(),
        StatusCode::METHOD_NOT_ALLOWED => "this address does not take this method".to_owned(),
        status if status.is_server_error() => {
            tracing::error!(%error, "a request failed");
            INTERNAL.to_owned()
        }
        _ => error.to_string(),
    };
    let mut response = Detail::json(reason).into_response();
    response.set_status(status);
    if status == StatusCode::UNAUTHORIZED {
        let scheme = header::HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// A parameter or a body that can be read but makes no sense is 422; a body that is not even
/// JSON is 400.
fn status(error: &Error) -> StatusCode {
    let senseless = error.is::<ParseParamError>()
        || error.is::<ParsePathError>()
        || error.is::<RouteParsePathError>()
        || error
            .downcast_ref::<ParseRequestPayloadError>()
            .is_some_and(|error| !is_syntax_error(&error.reason));
    if senseless {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        error.status()
    }
}

/// The JSON parser's complaints end with the place; those about a value's shape do not.
fn is_syntax_error(reason: &str) -> bool {
    let Some((_, place)) = reason.rsplit_once(" at line ") else {
        return false;
    };
    place
        .split(" column ")
        .all(|number| number.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::is_syntax_error;

    #[test]
    fn broken_json_is_told_from_a_wrong_shape() {
        assert!(is_syntax_error(
            "EOF while parsing a value at line 1 column 12"
        ));
        assert!(!is_syntax_error(
            "failed to parse \"Credentials\": at line dancing"
        ));
        assert!(!is_syntax_error("Type \"string\" expects an input value."));
    }
}
