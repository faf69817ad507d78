//! Where the files of a model are, on this machine or on the hub.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use rust_bert::resources::{RemoteResource, ResourceProvider};
use serde::de::DeserializeOwned;

use super::{error::EngineError, weights::Weights};

/// Where a model's files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// Files in a directory of this machine.
    Directory(PathBuf),
    /// A model of the Hugging Face hub (or of `HF_ENDPOINT`). Its files are
    /// fetched once and kept in rust-bert's cache.
    Hub(String),
}

impl ModelSource {
    /// What the value of a setting means: a directory if there is one of that
    /// name, else a hub id if it can be one.
    pub fn parse(setting: &'static str, value: &str) -> Result<Self, EngineError> {
        if Path::new(value).is_dir() {
            Ok(Self::Directory(value.into()))
        } else if is_hub_id(value) {
            Ok(Self::Hub(value.to_owned()))
        } else {
            Err(EngineError::Setting {
                setting,
                value: value.to_owned(),
                reason: "no such directory, and not a hub id such as owner/name".to_owned(),
            })
        }
    }

    /// The path of the model's file `name`, fetched from the hub if need be.
    /// Blocks while it does.
    pub fn file(&self, name: &str) -> Result<PathBuf, EngineError> {
        match self {
            Self::Directory(directory) => {
                let path = directory.join(name);
                path.is_file()
                    .then_some(path)
                    .ok_or_else(|| EngineError::load(self, format!("it has no {name}")))
            }
            Self::Hub(id) => {
                let url = format!("{}/{id}/resolve/main/{name}", hub());
                RemoteResource::new(&url, id)
                    .get_local_path()
                    .map_err(|fault| EngineError::load(self, format!("{url}: {fault}")))
            }
        }
    }

    /// The content of the JSON file `name`.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, EngineError> {
        let explain = |fault: String| EngineError::load(self, format!("{name}: {fault}"));
        let text = std::fs::read(self.file(name)?).map_err(|fault| explain(fault.to_string()))?;
        serde_json::from_slice(&text).map_err(|fault| explain(fault.to_string()))
    }

    /// The model's weights: `model.safetensors`, or where there is none the
    /// older `rust_model.ot`.
    pub fn weights(&self) -> Result<Weights, EngineError> {
        let read = match self.file("model.safetensors") {
            Ok(path) => Weights::from_safetensors_file(&path),
            Err(missing) => match self.file("rust_model.ot") {
                Ok(path) => Weights::from_torch_file(&path),
                Err(_) => return Err(missing),
            },
        };
        read.map_err(|fault| EngineError::load(self, fault))
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => write!(out, "in {}", directory.display()),
            Self::Hub(id) => write!(out, "{id} of the hub"),
        }
    }
}

fn hub() -> String {
    env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".to_owned())
}

/// Whether `value` is `name` or `owner/name` in the hub's alphabet.
fn is_hub_id(value: &str) -> bool {
    let word = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    value.split('/').count() <= 2 && value.split('/').all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_id_is_told_from_a_mistyped_path() {
        for id in ["bert-base", "owner/name_v1.0"] {
            assert_eq!(
                ModelSource::parse("model", id).ok(),
                Some(ModelSource::Hub(id.into()))
            );
        }
        for path in ["", "/models/none", "./none", "~/none", "a/b/c", "owner/"] {
            let fault = ModelSource::parse("model", path).expect_err(path);
            assert!(fault.to_string().contains("no such directory"), "{fault}");
        }
    }
}
