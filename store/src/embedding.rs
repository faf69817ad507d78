//! Embeddings as the database holds them: 32-bit floats, little-endian.

/// Packs the components, four bytes each.
pub(crate) fn pack(components: &[f32]) -> Vec<u8> {
    components.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Unpacks the components, or `None` when the bytes are not whole floats.
pub(crate) fn unpack(bytes: &[u8]) -> Option<Vec<f32>> {
    let (floats, []) = bytes.as_chunks::<4>() else {
        return None;
    };
    Some(
        floats
            .iter()
            .map(|&float| f32::from_le_bytes(float))
            .collect(),
    )
}

/// The dot product of `components` with a packed embedding: the cosine of their angle where both
/// are normalised, as the insights' are. `None` when they are not of the same length.
pub(crate) fn cosine(components: &[f32], packed: &[u8]) -> Option<f32> {
    let (floats, rest) = packed.as_chunks::<4>();
    if !rest.is_empty() || floats.len() != components.len() {
        return None;
    }
    let products = components.iter().zip(floats);
    Some(products.map(|(x, &y)| x * f32::from_le_bytes(y)).sum())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test fails by panicking

    use super::*;

    #[test]
    fn what_is_packed_unpacks_to_the_same_numbers() {
        let numbers = [0.0, -1.5, f32::MIN_POSITIVE, 0.1];
        assert_eq!(unpack(&pack(&numbers)).unwrap(), numbers);
        assert_eq!(pack(&[1.0]), [0, 0, 0x80, 0x3f]);
        assert_eq!(unpack(&[0, 0, 0]), None);
    }

    #[test]
    fn cosine_needs_equal_lengths() {
        assert_eq!(cosine(&[0.6, 0.8], &pack(&[0.6, 0.8])).unwrap(), 1.0);
        assert_eq!(cosine(&[0.6, 0.8], &pack(&[1.0])), None);
        assert_eq!(cosine(&[1.0], &[0, 0, 0]), None);
    }
}
