//! Where a value stands, for those who are to change it.

use std::fmt;
use std::path::Path;

use super::ConfigError;

/// The file, read whole.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

/// Where a value stands.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// So many bytes into the file.
    Offset(File<'a>, usize),
    /// In this variable.
    Variable(&'a str),
}

impl<'a> Place<'a> {
    /// More exactly, if it is in the file.
    pub fn at(self, span: Option<std::ops::Range<usize>>) -> Self {
        match (self, span) {
            // An empty span is that of what is made, not read.
            (Self::Offset(file, _), Some(span)) if span != (0..0) => Self::Offset(file, span.start),
            _ => self,
        }
    }

    /// What is wrong here.
    pub fn error(self, message: impl Into<String>) -> ConfigError {
        let message = message.into();
        match self {
            Self::Offset(file, offset) => ConfigError::File {
                path: file.path.to_owned(),
                line: line(file.text, offset),
                message,
            },
            Self::Variable(variable) => ConfigError::Environment {
                variable: variable.to_owned(),
                message,
            },
        }
    }
}

fn line(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or_default().matches('\n').count() + 1
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(file, offset) => {
                write!(f, "{}:{}", file.path.display(), line(file.text, *offset))
            }
            Self::Variable(variable) => write!(f, "environment variable {variable}"),
        }
    }
}
