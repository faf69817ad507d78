//! The update that makes a judge of sentiment of the encoder.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tch::{Kind, Tensor};

use super::weights::Weights;

/// A low-rank update of an encoder's linear layers, with the head that was
/// trained along with it.
///
/// The file is in safetensors format. For each updated layer it holds
/// `<layer>.lora_a` [rank, in] and `<layer>.lora_b` [out, rank], whose product
/// `lora_b · lora_a` is added to `<layer>.weight` (the scale is already in
/// it), and perhaps `<layer>.bias_delta`, which is added to `<layer>.bias`;
/// beside these `head.weight` [1, hidden] and `head.bias` [1]. Its metadata
/// tells `max_len`, the length in tokens that it was trained for.
pub struct Lora {
    tensors: HashMap<String, Tensor>,
    max_len: usize,
}

/// The update shipped with this crate. `scripts/train_sentiment.py` makes it.
static SHIPPED: &[u8] = include_bytes!("../../models/sentiment-lora.safetensors");

/// The length when the file does not tell.
const MAX_LEN: usize = 128;

impl Lora {
    /// The update shipped with this crate.
    pub fn shipped() -> Result<Self, String> {
        Self::parse(SHIPPED)
    }

    /// Reads a file's content.
    pub fn parse(file: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(file).map_err(|fault| fault.to_string())?;
        let max_len = header
            .metadata()
            .as_ref()
            .and_then(|all| all.get("max_len"));
        let views = SafeTensors::deserialize(file).map_err(|fault| fault.to_string())?;
        let tensors = views
            .iter()
            .map(|(name, view)| Ok((name.to_owned(), tensor(&view)?)));
        Ok(Self {
            tensors: tensors.collect::<Result<_, String>>()?,
            max_len: max_len.and_then(|len| len.parse().ok()).unwrap_or(MAX_LEN),
        })
    }

    /// The longest sequence it was trained for, in tokens.
    pub fn max_len(&self) -> usize {
        self.max_len
    }

    /// The head: weight [1, hidden] and bias [1].
    pub fn head(&self) -> Result<(Tensor, Tensor), String> {
        Ok((
            self.tensor("head.weight")?.shallow_clone(),
            self.tensor("head.bias")?.shallow_clone(),
        ))
    }

    /// The encoder's weights with the update merged in.
    pub fn merge(&self, encoder: &Weights) -> Result<Weights, String> {
        let mut merged = HashMap::new();
        for name in self.tensors.keys() {
            let Some((layer, part)) = name.rsplit_once('.') else {
                continue;
            };
            let (target, delta) = match part {
                "lora_a" => {
                    let b = self.tensor(&format!("{layer}.lora_b"))?;
                    (format!("{layer}.weight"), b.f_matmul(&self.tensors[name]))
                }
                "bias_delta" => (
                    format!("{layer}.bias"),
                    Ok(self.tensors[name].shallow_clone()),
                ),
                _ => continue,
            };
            let base = encoder
                .get(&target)
                .ok_or_else(|| format!("it updates {target}, which the encoder has not"))?;
            let sum = delta.and_then(|delta| base.f_add(&delta));
            merged.insert(target, sum.map_err(|fault| format!("{name}: {fault}"))?);
        }
        Ok(encoder.with(merged))
    }

    fn tensor(&self, name: &str) -> Result<&Tensor, String> {
        self.tensors
            .get(name)
            .ok_or_else(|| format!("it has no {name}"))
    }
}

/// A tensor in single precision from one of the precisions such files use.
fn tensor(view: &TensorView<'_>) -> Result<Tensor, String> {
    let kind = match view.dtype() {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        other => return Err(format!("tensors of the type {other:?} are not understood")),
    };
    let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
    Tensor::f_from_data_size(view.data(), &shape, kind)
        .map(|tensor| tensor.to_kind(Kind::Float))
        .map_err(|fault| fault.to_string())
}
