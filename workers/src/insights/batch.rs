//! Several texts as one input of a model.

use tch::{Kind, Tensor};

/// Token sequences of several texts, padded to the longest of them.
pub struct Batch {
    /// Token ids, one row a text.
    pub ids: Tensor,
    /// 1 where a row has a token, 0 where it is padding. Taken from the
    /// lengths, not from the ids: a text may spell out `[PAD]` itself.
    pub mask: Tensor,
}

impl Batch {
    /// Pads `rows`. The id that fills them does not matter, the mask hides it.
    pub fn new(rows: &[&[i64]]) -> Self {
        let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let ids: Vec<i64> = rows
            .iter()
            .flat_map(|row| (0..width).map(|at| row.get(at).copied().unwrap_or(0)))
            .collect();
        let mask: Vec<i64> = rows
            .iter()
            .flat_map(|row| (0..width).map(|at| i64::from(at < row.len())))
            .collect();
        let shape = [rows.len() as i64, width as i64];
        Self {
            ids: Tensor::from_slice(&ids).reshape(shape),
            mask: Tensor::from_slice(&mask).reshape(shape),
        }
    }

    /// The mean of each row of `hidden`, a model's last hidden state, over the
    /// row's tokens.
    pub fn mean(&self, hidden: &Tensor) -> Tensor {
        let mask = self.mask.unsqueeze(-1).to_kind(hidden.kind());
        let over_tokens = [1i64].as_slice();
        let sum = (hidden * &mask).sum_dim_intlist(over_tokens, false, Kind::Float);
        let tokens = mask.sum_dim_intlist(over_tokens, false, Kind::Float);
        sum / tokens.clamp_min(1e-9)
    }
}
