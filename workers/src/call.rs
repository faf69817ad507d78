//! A call as it travels to `insights.process`.
