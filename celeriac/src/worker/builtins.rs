//! The tasks that every worker has (`celery/app/builtins.py`).

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::canvas::{Canvas, Signature, chord, group};
use crate::task::{Args, Arguments, Context, Failure, Request, Task, TaskError, Tasks};
use crate::value::json;

/// All of them, by their names.
pub(super) fn tasks() -> Tasks {
    [
        Task::new("celery.accumulate(*args, **kwargs)", accumulate),
        Task::new("celery.backend_cleanup()", backend_cleanup),
        Task::new("celery.chain(*args, **kwargs)", no_task),
        Task::new(
            "celery.chord(header, body, partial_args=[], interval=None, countdown=1, \
             max_retries=None, eager=False, **kwargs)",
            send_chord,
        ),
        Task::new("celery.chunks(task, it, n)", send_chunks),
        Task::new(
            "celery.group(tasks, result, group_id, partial_args, add_to_parent=True)",
            send_group,
        ),
        Task::new("celery.map(task, it)", map),
        Task::new("celery.starmap(task, it)", starmap),
    ]
    .into_iter()
    .flatten()
    .map(|task| (task.name().to_owned(), task))
    .collect()
}

/// Results of a group that replaced a task, or the one at `index`.
async fn accumulate(Arguments { args, kwargs, .. }: Arguments) -> Result<Value, TaskError> {
    let mut args = args.unwrap_or_default();
    let index = kwargs
        .as_ref()
        .and_then(|kwargs| kwargs.get("index")?.as_u64());
    match index.map(|index| index as usize) {
        None => Ok(Value::Array(args)),
        Some(index) if index < args.len() => Ok(args.swap_remove(index)),
        Some(_) => Err(Failure::new("IndexError", "tuple index out of range").into()),
    }
}

/// Nothing to do: results expire by themselves.
async fn backend_cleanup() -> Result<(), TaskError> {
    Ok(())
}

async fn no_task() -> Result<(), TaskError> {
    Err(Failure::new("NotImplementedError", "chain is not a real task").into())
}

#[derive(Deserialize)]
struct Mapped {
    task: Signature,
    it: Vec<Value>,
}

async fn map(Args(mapped): Args<Mapped>, context: Context) -> Result<Vec<Value>, TaskError> {
    let calls = mapped.it.into_iter().map(|item| vec![item]).collect();
    call_each(&mapped.task.task, calls, &context).await
}

async fn starmap(Args(mapped): Args<Mapped>, context: Context) -> Result<Vec<Value>, TaskError> {
    let calls = mapped.it.iter().map(json::from_value);
    call_each(
        &mapped.task.task,
        calls.collect::<Result<_, _>>()?,
        &context,
    )
    .await
}

/// The name of the task that a request calls here for each of its items.
pub(super) fn mapped(request: &Request) -> Option<&str> {
    let maps = ["celery.map", "celery.starmap"];
    if !maps.contains(&request.headers().task.as_str()) {
        return None;
    }
    request.body.kwargs.get("task")?.get("task")?.as_str()
}

/// Calls a task with each list of arguments, here, one after the other.
async fn call_each(
    name: &str,
    calls: Vec<Vec<Value>>,
    context: &Context,
) -> Result<Vec<Value>, TaskError> {
    let unregistered = || Failure::new("celery.exceptions.NotRegistered", name);
    let task = context.task(name).ok_or_else(unregistered)?;
    let mut results = Vec::with_capacity(calls.len());
    for args in calls {
        let mut request = context.request().clone();
        request.body.args = args;
        request.body.kwargs = Map::new();
        let context = context.with_request(request);
        results.push(context.scope(task.run(context.clone())).await?);
    }
    Ok(results)
}

async fn send_chunks(
    Arguments { named, .. }: Arguments,
    context: Context,
) -> Result<Value, TaskError> {
    let chunks = Signature {
        canvas: Canvas::Chunks,
        kwargs: named,
        ..Signature::new("celery.chunks")
    };
    Ok(context.send(chunks).await?.as_tuple())
}

#[derive(Deserialize)]
struct SentGroup {
    tasks: Vec<Signature>,
    group_id: Option<String>,
    partial_args: Vec<Value>,
}

async fn send_group(Args(sent): Args<SentGroup>, context: Context) -> Result<Value, TaskError> {
    let mut group = group(sent.tasks);
    group.options.task_id = sent.group_id;
    group.args = sent.partial_args;
    Ok(context.send(group).await?.as_tuple())
}

#[derive(Deserialize)]
struct SentChord {
    header: Value,
    body: Signature,
    partial_args: Vec<Value>,
}

async fn send_chord(Args(sent): Args<SentChord>, context: Context) -> Result<Value, TaskError> {
    // A list of signatures, or a group.
    let header = match sent
        .header
        .get("kwargs")
        .and_then(|kwargs| kwargs.get("tasks"))
    {
        Some(tasks) => json::from_value(tasks),
        None => json::from_value(&sent.header),
    };
    let header: Vec<Signature> = header?;
    let mut chord = chord(header, sent.body);
    chord.args = sent.partial_args;
    Ok(context.send(chord).await?.as_tuple())
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_of_them_can_be_registered() {
        assert_eq!(super::tasks().len(), 8);
    }
}
