//! Numbers as the service shows them.

/// Rounds to two decimals, never to a negative zero.
pub fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::hundredths;

    #[test]
    fn zero_has_no_sign() {
        assert!(hundredths(-0.004).is_sign_positive());
        assert_eq!(hundredths(-0.006), -0.01);
    }
}
