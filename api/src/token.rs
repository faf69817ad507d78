//! Bearer tokens: JSON web tokens signed with HS256.

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, errors,
    get_current_timestamp,
};
use poem::http::StatusCode;
use poem::{Request, Result};
use poem_openapi::SecurityScheme;
use poem_openapi::auth::Bearer;
use serde::{Deserialize, Serialize};

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The name given at sign-in.
    pub sub: String,
    /// When the token was issued, in seconds since 1970.
    pub iat: u64,
    /// When it ceases to be valid, in seconds since 1970.
    pub exp: u64,
}

/// Issues and checks tokens.
#[derive(Clone)]
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    /// How long a token is valid, in seconds.
    ttl: u64,
}

impl Tokens {
    /// Tokens signed with `secret`, valid for `ttl` seconds.
    pub fn new(secret: &str, ttl: u64) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // One clock issues and checks them, so there is nothing to be lenient about.
        validation.leeway = 0;
        Self {
            encoding: EncodingKey::from_secret(secret.as_bytes()),
            decoding: DecodingKey::from_secret(secret.as_bytes()),
            validation,
            ttl,
        }
    }

    /// A token for `name`.
    ///
    /// # Errors
    /// When signing fails, which it never should.
    pub fn issue(&self, name: &str) -> errors::Result<String> {
        let now = get_current_timestamp();
        let claims = Claims {
            sub: name.to_owned(),
            iat: now,
            exp: now.saturating_add(self.ttl),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }

    /// What the token says, if it is one of ours and still valid.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, token: &str) -> errors::Result<Claims> {
        Ok(decode(token, &self.decoding, &self.validation)?.claims)
    }
}

/// A token from `POST /signin`, in the header `Authorization: Bearer TOKEN`.
#[derive(SecurityScheme)]
#[oai(
    rename = "bearerAuth",
    ty = "bearer",
    bearer_format = "JWT",
    checker = "check"
)]
pub struct SignedIn(#[allow(dead_code)] Claims); // that there are claims is what counts

async fn check(request: &Request, bearer: Bearer) -> Result<Claims> {
    let tokens: &Tokens = request.data().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    let refused = |_| StatusCode::UNAUTHORIZED.into();
    tokens.check(&bearer.token).map_err(refused)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test fails by panicking

    use super::*;

    #[test]
    fn a_token_is_valid_until_it_expires() {
        let tokens = Tokens::new("secret", 60);
        let claims = tokens.check(&tokens.issue("Ann").unwrap()).unwrap();
        assert_eq!(claims.sub, "Ann");
        assert_eq!(claims.exp, claims.iat + 60);
    }

    #[test]
    fn nobody_elses_token_is() {
        let tokens = Tokens::new("secret", 60);
        let others = Tokens::new("another", 60).issue("Ann").unwrap();
        assert!(tokens.check(&others).is_err());
        assert!(tokens.check("").is_err());
        assert!(tokens.check("a.b.c").is_err());
    }
}
