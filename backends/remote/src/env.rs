//! Secrets from the environment.

use std::env;

use kv_api::{Error, ErrorKind, Result};
use secrecy::SecretString;

/// The secret in the environment variable `name`; `None` when it is not set, or empty.
///
/// # Errors
/// `Unauthorized` when it is not UTF-8. The message names the variable and shows nothing of it.
pub fn secret_from_env(name: &str) -> Result<Option<SecretString>> {
    match env::var(name) {
        Ok(secret) if !secret.is_empty() => Ok(Some(SecretString::from(secret))),
        Ok(_) | Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(Error::new(ErrorKind::Unauthorized, format!("the environment variable {name} is not UTF-8")))
        }
    }
}
