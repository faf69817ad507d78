//! A model's numbers, by name.

use std::{collections::HashMap, path::Path};

use tch::{Kind, TchError, Tensor, nn::VarStore};

/// A model's tensors by name, in single precision.
///
/// Tensors are shared, not copied, between a `Weights` and the networks that
/// it was put into, so two networks that differ in some layers only cost those
/// layers twice.
pub struct Weights(HashMap<String, Tensor>);

impl Weights {
    /// Reads a safetensors file of any floating-point precision.
    pub fn from_safetensors_file(path: &Path) -> Result<Self, TchError> {
        Tensor::read_safetensors(path).map(Self::single_precision)
    }

    /// Reads a file that libtorch wrote, such as rust-bert's `rust_model.ot`.
    pub fn from_torch_file(path: &Path) -> Result<Self, TchError> {
        Tensor::load_multi(path).map(Self::single_precision)
    }

    fn single_precision(tensors: Vec<(String, Tensor)>) -> Self {
        let float = |(name, tensor): (String, Tensor)| (name, tensor.to_kind(Kind::Float));
        Self(tensors.into_iter().map(float).collect())
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// The same weights with the tensors in `changed` in place of theirs.
    pub fn with(&self, changed: HashMap<String, Tensor>) -> Self {
        let mut tensors: HashMap<_, _> = self
            .0
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect();
        tensors.extend(changed);
        Self(tensors)
    }

    /// Gives every variable of `network` its tensor. Fails, in plain words, if
    /// one is missing or of another shape; tensors without a variable are left
    /// out.
    pub fn fill(&self, network: &mut VarStore) -> Result<(), String> {
        network.freeze();
        for (name, mut variable) in network.variables() {
            let tensor = self
                .get(&name)
                .ok_or_else(|| format!("the weights have no {name}"))?;
            if tensor.size() != variable.size() {
                let (has, wants) = (tensor.size(), variable.size());
                return Err(format!("{name} has the shape {has:?} instead of {wants:?}"));
            }
            variable
                .f_set_data(tensor)
                .map_err(|fault| fault.to_string())?;
        }
        Ok(())
    }
}
