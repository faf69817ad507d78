//! The documentation: the OpenAPI specification, and a page to read it and try it on.

use poem::endpoint::make_sync;
use poem::web::Html;
use poem::{Endpoint, IntoResponse};
use poem_openapi::{OpenApi, OpenApiService};

/// `/openapi.json`
pub fn specification<T: OpenApi, W: poem_openapi::Webhook>(
    service: &OpenApiService<T, W>,
) -> impl Endpoint + 'static {
    let specification = with_slash(&service.spec());
    make_sync(move |_| {
        let specification = specification.clone();
        specification.with_content_type("application/json")
    })
}

/// `/docs`: Swagger UI with all that it needs in one page, so that it works offline.
pub fn page<T: OpenApi, W: poem_openapi::Webhook>(
    service: &OpenApiService<T, W>,
) -> impl Endpoint + 'static {
    let page = with_slash(&service.swagger_ui_html());
    make_sync(move |_| Html(page.clone()))
}

/// The listing's address ends with a slash, which poem-openapi leaves out.
fn with_slash(text: &str) -> String {
    text.replace(r#""/api/v1/calls":"#, r#""/api/v1/calls/":"#)
}
