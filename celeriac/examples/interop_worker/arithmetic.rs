//! Tasks that compute.

use celeriac::TaskError;
use celeriac::task::{Args, SignatureError, Task, TaskOptions};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::python;

/// The family.
pub fn tasks() -> Result<Vec<Task>, SignatureError> {
    let ignored = TaskOptions {
        ignore_result: Some(true),
        ..TaskOptions::default()
    };
    let kept = TaskOptions {
        ignore_result: Some(false),
        ..TaskOptions::default()
    };
    Ok(vec![
        Task::new("t.integration.tasks.identity(x)", identity)?,
        Task::new("t.integration.tasks.add(x, y, z=None)", add)?,
        Task::new("t.integration.tasks.mul(x, y)", mul)?,
        Task::new("t.integration.tasks.add_not_typed(x, y)", add_two)?,
        Task::new("t.integration.tasks.add_ignore_result(x, y)", add_two)?.with(ignored),
        Task::new("t.integration.tasks.add_with_result(x, y)", add_two)?.with(kept),
        Task::new("t.integration.tasks.tsum(nums)", tsum)?,
        Task::new("t.integration.tasks.xsum(nums)", xsum)?,
        Task::new("t.integration.tasks.add_pydantic(data)", add_model)?,
        Task::new(
            "t.integration.tasks.add_pydantic_string_annotations(data)",
            add_model,
        )?,
    ])
}

async fn identity(Args((x,)): Args<(Value,)>) -> Result<Value, TaskError> {
    Ok(x)
}

async fn add(Args((x, y, z)): Args<(Value, Value, Value)>) -> Result<Value, TaskError> {
    let sum = python::add(&x, &y)?;
    Ok(if python::truth(&z) {
        python::add(&sum, &z)?
    } else {
        sum
    })
}

async fn add_two(Args((x, y)): Args<(Value, Value)>) -> Result<Value, TaskError> {
    Ok(python::add(&x, &y)?)
}

async fn mul(Args((x, y)): Args<(Value, Value)>) -> Result<Value, TaskError> {
    Ok(python::mul(&x, &y)?)
}

async fn tsum(Args((nums,)): Args<(Value,)>) -> Result<Value, TaskError> {
    Ok(python::sum(&nums)?)
}

/// Sums numbers and lists of numbers.
async fn xsum(Args((nums,)): Args<(Vec<Value>,)>) -> Result<Value, TaskError> {
    let flat = nums.into_iter().map(|num| match num {
        Value::Array(_) => python::sum(&num),
        num => Ok(num),
    });
    let flat = flat.collect::<Result<Vec<_>, _>>()?;
    Ok(python::sum(&flat.into())?)
}

#[derive(Deserialize)]
struct Operands {
    x: i64,
    y: i64,
}

#[derive(Serialize)]
struct Sum {
    result: i64,
}

async fn add_model(Args((data,)): Args<(Operands,)>) -> Result<Sum, TaskError> {
    Ok(Sum {
        result: data.x + data.y,
    })
}
