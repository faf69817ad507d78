//! `POST /signin`: a name for a token.

use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use crate::problem::{Detail, INTERNAL, SigninProblem};
use crate::tags::Tag;
use crate::token::Tokens;

/// Longest name, in characters.
const MAX_NAME: usize = 200;

/// Who wants to sign in.
#[derive(Object)]
#[oai(example)]
pub struct Credentials {
    /// Any name; it is written into the token.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: String,
}

impl Example for Credentials {
    fn example() -> Self {
        Self {
            name: "Ada".to_owned(),
        }
    }
}

/// A token and whose it is.
#[derive(Object)]
#[oai(example)]
pub struct Session {
    /// The name given at sign-in.
    pub name: String,
    /// The JSON web token to send with every other request, as `Authorization: Bearer TOKEN`.
    pub token: String,
}

impl Example for Session {
    fn example() -> Self {
        Self {
            name: "Ada".to_owned(),
            token: "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.signature".to_owned(),
        }
    }
}

/// The operation.
pub struct Signin {
    /// What issues the tokens.
    pub tokens: Tokens,
}

#[OpenApi]
impl Signin {
    /// Sign in
    ///
    /// Gives a token for a name. The token is valid for a day unless configured otherwise.
    #[oai(
        path = "/signin",
        method = "post",
        operation_id = "signin",
        tag = "Tag::Signin"
    )]
    async fn signin(&self, body: Json<Credentials>) -> Result<Json<Session>, SigninProblem> {
        let name = body.0.name;
        if name.trim().is_empty() || name.chars().count() > MAX_NAME {
            let reason = format!("`name` must have 1 to {MAX_NAME} characters");
            return Err(SigninProblem::Unprocessable(Detail::json(reason)));
        }
        match self.tokens.issue(&name) {
            Ok(token) => Ok(Json(Session { name, token })),
            Err(error) => {
                tracing::error!(%error, "a token could not be signed");
                Err(SigninProblem::Internal(Detail::json(INTERNAL)))
            }
        }
    }
}
