//! Tasks that send, return and read canvases.

use celeriac::canvas::Canvas;
use celeriac::task::{Args, SignatureError, Task};
use celeriac::{Context, Failure, Signature, TaskError, chain, chord, group};
use serde_json::Value;

/// The family.
pub fn tasks() -> Result<Vec<Task>, SignatureError> {
    let name = |rest: &str| format!("t.integration.tasks.{rest}");
    let mut tasks = vec![
        Task::new(&name("chain_add(x, y)"), chain_add)?,
        Task::new(&name("chord_add(x, y)"), chord_add)?,
        Task::new(&name("build_chain_inside_task()"), build_chain)?,
        Task::new(&name("add_to_all_to_chord(nums, val)"), add_to_all_to_chord)?,
        Task::new(&name("add_chord_to_chord(nums, val)"), add_chord_to_chord)?,
        Task::new(&name("rebuild_signature(sig_dict)"), rebuild_signature)?,
        Task::new("interop.apply(canvas)", apply)?,
        Task::new("interop.revoke(task_id)", revoke)?,
    ];
    for (outer, compose) in NESTINGS {
        for (inner, composed) in NESTINGS {
            let nested = move || async move { Ok(compose(composed(call("add")))) };
            let signature = name(&format!("return_nested_signature_{outer}_{inner}()"));
            tasks.push(Task::new(&signature, nested)?);
        }
    }
    Ok(tasks)
}

type Compose = fn(Signature) -> Signature;

const NESTINGS: [(&str, Compose); 3] = [
    ("chain", |task| Signature {
        // `chain()` would flatten what is to be nested.
        canvas: Canvas::Chain(vec![task]),
        ..Signature::new("celery.chain")
    }),
    ("group", |task| group([task])),
    ("chord", |task| chord([task], call("add"))),
];

/// A call of another task of this worker.
pub fn call(name: &str) -> Signature {
    Signature::new(format!("t.integration.tasks.{name}"))
}

/// `add(x, y)`, or `add(y)` for the next in a chain.
pub fn add<const N: usize>(operands: [&Value; N]) -> Signature {
    operands.into_iter().fold(call("add"), Signature::arg)
}

async fn chain_add(Args((x, y)): Args<(Value, Value)>, context: Context) -> Result<(), TaskError> {
    context.send(add([&x, &x]) | add([&y])).await?;
    Ok(())
}

async fn chord_add(Args((x, y)): Args<(Value, Value)>, context: Context) -> Result<(), TaskError> {
    context.send(chord!([add([&x, &x])]; add([&y]))).await?;
    Ok(())
}

async fn build_chain(context: Context) -> Result<Value, TaskError> {
    let add = |n: i64| call("add").arg(n);
    let whole = chain!(add(1).arg(1), add(2), group!(add(3), add(4)), add(5));
    Ok(context.send(whole).await?.as_tuple())
}

async fn add_to_all_to_chord(
    Args((nums, val)): Args<(Vec<Value>, Value)>,
    context: Context,
) -> Result<u64, TaskError> {
    for num in &nums {
        context.add_to_chord(add([num, &val])).await?;
    }
    Ok(0)
}

async fn add_chord_to_chord(
    Args((nums, val)): Args<(Vec<Value>, Value)>,
    context: Context,
) -> Result<u64, TaskError> {
    let sums = group(nums.iter().map(|num| add([num, &val])));
    context.add_to_chord(sums | call("tsum")).await?;
    Ok(0)
}

/// Sends any canvas; its result, as a tuple.
async fn apply(Args((canvas,)): Args<(Signature,)>, context: Context) -> Result<Value, TaskError> {
    Ok(context.send(canvas).await?.as_tuple())
}

/// Has no worker run a task.
async fn revoke(Args((id,)): Args<(String,)>, context: Context) -> Result<(), TaskError> {
    Ok(context.app().async_result(id).revoke().await?)
}

async fn rebuild_signature(Args((dict,)): Args<(Value,)>) -> Result<(), TaskError> {
    match serde_json::from_value::<Signature>(dict) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new("TypeError", error.to_string()).into()),
    }
}
