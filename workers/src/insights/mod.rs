//! Insights.
