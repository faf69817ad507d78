//! Tasks that tell what they know of their request.

use celeriac::task::{Args, SignatureError, Task};
use celeriac::value::to_value;
use celeriac::{Context, TaskError};
use serde_json::{Value, json};

/// The family.
pub fn tasks() -> Result<Vec<Task>, SignatureError> {
    Ok(vec![
        Task::new("t.integration.tasks.ids(i)", ids)?,
        Task::new("t.integration.tasks.collect_ids(res, i)", collect_ids)?,
        Task::new("t.integration.tasks.return_priority(*_)", return_priority)?,
        Task::new("t.integration.tasks.return_properties()", return_properties)?,
        Task::new(
            "t.integration.tasks.print_unicode(log_message='håå®ƒ valmuefrø', print_message='hiöäüß')",
            print_unicode,
        )?,
        Task::new(
            "t.integration.tasks.return_request_eta()",
            return_request_eta,
        )?,
    ])
}

async fn ids(Args((i,)): Args<(Value,)>, context: Context) -> Result<Value, TaskError> {
    let headers = context.headers();
    Ok(json!([headers.root_id, headers.parent_id, i]))
}

async fn collect_ids(
    Args((res, i)): Args<(Value, Value)>,
    context: Context,
) -> Result<Value, TaskError> {
    let headers = context.headers();
    Ok(json!([res, [headers.root_id, headers.parent_id, i]]))
}

async fn return_priority(context: Context) -> Result<String, TaskError> {
    let priority = context.request().message.properties.priority;
    let priority = priority.map_or_else(|| "None".to_owned(), |priority| priority.to_string());
    Ok(format!("Priority: {priority}"))
}

/// Python has beside them what its Redis transport adds, and where it was sent.
async fn return_properties(context: Context) -> Result<Value, TaskError> {
    let message = &context.request().message;
    let mut properties = to_value(&message.properties)?;
    properties["delivery_info"] = to_value(&message.delivery_info)?;
    Ok(properties)
}

async fn print_unicode(
    Args((log_message, print_message)): Args<(String, String)>,
) -> Result<(), TaskError> {
    tracing::warn!("{log_message}");
    println!("{print_message}");
    Ok(())
}

async fn return_request_eta(context: Context) -> Result<Option<String>, TaskError> {
    Ok(context.headers().eta.clone())
}
