//! Figures for Prometheus, in one of the two text formats that it reads.

use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What `/metrics` answers.
pub enum Figures {
    /// OpenMetrics.
    OpenMetrics(String),
    /// Prometheus' own format, the older one.
    Plain(String),
}

impl Figures {
    /// The same in the older format, which names a counter as its samples are named, and knows
    /// neither units nor an end.
    pub fn plain(open_metrics: &str) -> Self {
        let is_counter = |name: &str| open_metrics.contains(&format!("# TYPE {name} counter\n"));
        let lines = open_metrics.lines().filter_map(|line| {
            let mut words = line.splitn(4, ' ');
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some("#"), Some("UNIT" | "EOF"), ..) => None,
                (Some("#"), Some(word), Some(name), Some(rest)) if is_counter(name) => {
                    Some(format!("# {word} {name}_total {rest}\n"))
                }
                _ => Some(format!("{line}\n")),
            }
        });
        Self::Plain(lines.collect())
    }
}

impl IntoResponse for Figures {
    fn into_response(self) -> Response {
        let (text, kind) = match self {
            Self::OpenMetrics(text) => (text, OPEN_METRICS),
            Self::Plain(text) => (text, PLAIN),
        };
        text.with_content_type(kind).into_response()
    }
}

impl ApiResponse for Figures {
    fn meta() -> MetaResponses {
        let content = [PLAIN, OPEN_METRICS].map(|content_type| MetaMediaType {
            content_type,
            schema: String::schema_ref(),
        });
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The figures.",
                status: Some(200),
                status_range: None,
                content: content.into(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn the_older_format_names_counters_as_their_samples() {
        let figures = "# HELP a_requests Requests answered.\n# TYPE a_requests counter\n\
            a_requests_total{path=\"/\"} 2\n# HELP a_seconds Time.\n# TYPE a_seconds histogram\n\
            # UNIT a_seconds seconds\na_seconds_sum 0.5\n# EOF\n";
        let Figures::Plain(plain) = Figures::plain(figures) else {
            return;
        };
        assert_eq!(
            plain,
            "# HELP a_requests_total Requests answered.\n# TYPE a_requests_total counter\n\
            a_requests_total{path=\"/\"} 2\n# HELP a_seconds Time.\n# TYPE a_seconds histogram\n\
            a_seconds_sum 0.5\n"
        );
    }
}
