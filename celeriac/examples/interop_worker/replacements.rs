//! Tasks that have something else run in their place.

use celeriac::task::{Args, SignatureError, State, Task};
use celeriac::{Context, Signature, TaskError, chain, group};
use redis::AsyncCommands;
use redis::aio::ConnectionManager;
use serde_json::Value;

use super::canvas::{add, call};

/// The family.
pub fn tasks() -> Result<Vec<Task>, SignatureError> {
    let name = |rest: &str| format!("t.integration.tasks.{rest}");
    Ok(vec![
        Task::new(&name("add_replaced(x, y)"), add_replaced)?,
        Task::new(
            &name("add_replaced_with_chain(x, y)"),
            add_replaced_with_chain,
        )?,
        Task::new(&name("add_to_all(nums, val)"), add_to_all)?,
        Task::new(&name("fail_replaced(*args)"), fail_replaced)?,
        Task::new(
            &name("record_replaced_task_nesting(replacements, nesting=None)"),
            record_nesting,
        )?,
        Task::new(
            &name("replace_with_chain(*args, link_msg=None)"),
            replace_with_chain,
        )?,
        Task::new(
            &name("replace_with_chain_which_raises(*args, link_msg=None)"),
            replace_with_chain_which_raises,
        )?,
        Task::new(
            &name("replace_with_chain_which_contains_a_group()"),
            replace_with_chain_which_contains_a_group,
        )?,
        Task::new(
            &name("replace_with_empty_chain(*_)"),
            replace_with_empty_chain,
        )?,
        Task::new(
            &name("replace_with_stamped_task(replace_with=None)"),
            replace_with_stamped_task,
        )?,
        Task::new(&name("replaced_with_me()"), replaced_with_me)?,
        Task::new("interop.replace(canvas)", replace)?,
        Task::new(
            &name("second_order_replace1(state=False)"),
            second_order_replace1,
        )?,
        Task::new(
            &name("second_order_replace2(state=False)"),
            second_order_replace2,
        )?,
    ])
}

async fn add_replaced(
    Args((x, y)): Args<(Value, Value)>,
    context: Context,
) -> Result<Value, TaskError> {
    context.replace(add([&x, &y]))
}

async fn add_replaced_with_chain(
    Args((x, y)): Args<(Value, Value)>,
    context: Context,
) -> Result<Value, TaskError> {
    context.replace(add([&x, &y]) | call("identity"))
}

async fn add_to_all(
    Args((nums, val)): Args<(Vec<Value>, Value)>,
    context: Context,
) -> Result<Value, TaskError> {
    context.replace(group(nums.iter().map(|num| add([num, &val]))))
}

async fn fail_replaced(
    Args((args,)): Args<(Vec<Value>,)>,
    context: Context,
) -> Result<Value, TaskError> {
    context.replace(with_args("fail", args).immutable())
}

async fn record_nesting(
    Args((replacements, nesting)): Args<(u64, Option<Vec<u32>>)>,
    context: Context,
) -> Result<Vec<u32>, TaskError> {
    let mut nesting = nesting.unwrap_or_default();
    nesting.push(context.headers().replaced_task_nesting);
    match replacements {
        0 => Ok(nesting),
        more => {
            let again = call("record_replaced_task_nesting").arg(more - 1);
            context.replace(again.arg(nesting))
        }
    }
}

async fn replace_with_chain(
    Args((link_msg, args)): Args<(Option<Value>, Vec<Value>)>,
    context: Context,
) -> Result<Value, TaskError> {
    let chain = with_args("identity", args) | call("identity");
    context.replace(chain.link(echo(link_msg)))
}

async fn replace_with_chain_which_raises(
    Args((link_msg, args)): Args<(Option<Value>, Vec<Value>)>,
    context: Context,
) -> Result<Value, TaskError> {
    let chain = with_args("identity", args) | call("raise_error");
    context.replace(chain.link_error(echo(link_msg)))
}

async fn replace_with_chain_which_contains_a_group(context: Context) -> Result<Value, TaskError> {
    let add = |n: i64| call("add").arg(n);
    context.replace(add(1).arg(2) | group!(add(1), add(1)))
}

async fn replace_with_empty_chain(context: Context) -> Result<Value, TaskError> {
    context.replace(chain!())
}

async fn replace_with_stamped_task(
    Args((with,)): Args<(Option<Signature>,)>,
    context: Context,
) -> Result<Value, TaskError> {
    let with = with.unwrap_or_else(|| call("replaced_with_me"));
    context.replace(with.stamp("StampOnReplace", "This is the replaced task"))
}

/// Any canvas takes its place.
async fn replace(
    Args((canvas,)): Args<(Signature,)>,
    context: Context,
) -> Result<Value, TaskError> {
    context.replace(canvas)
}

async fn replaced_with_me() -> Result<bool, TaskError> {
    Ok(true)
}

async fn second_order_replace1(
    Args((state,)): Args<(bool,)>,
    State(redis): State<ConnectionManager>,
    context: Context,
) -> Result<Value, TaskError> {
    if state {
        return say(&redis, "Out A").await;
    }
    say(&redis, "In A").await?;
    let again = call("second_order_replace1").kwarg("state", true);
    context.replace(call("second_order_replace2") | again.immutable())
}

async fn second_order_replace2(
    Args((state,)): Args<(bool,)>,
    State(redis): State<ConnectionManager>,
    context: Context,
) -> Result<Value, TaskError> {
    if state {
        return say(&redis, "Out B").await;
    }
    say(&redis, "In B").await?;
    let again = call("second_order_replace2").kwarg("state", true);
    context.replace(call("redis_echo").arg("In/Out C") | again.immutable())
}

async fn say(redis: &ConnectionManager, text: &str) -> Result<Value, TaskError> {
    let () = redis.clone().rpush("redis-echo", text).await?;
    Ok(Value::Null)
}

fn with_args(name: &str, args: Vec<Value>) -> Signature {
    args.into_iter().fold(call(name), Signature::arg)
}

/// Echoes its argument, or else this message.
fn echo(message: Option<Value>) -> Signature {
    match message {
        Some(message) => call("redis_echo").arg(message).immutable(),
        None => call("redis_echo"),
    }
}
