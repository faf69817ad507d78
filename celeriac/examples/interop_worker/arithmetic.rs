//! Tasks that compute.

use celeriac::TaskError;
use celeriac::task::Task;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::python;

/// The family.
pub fn tasks() -> Vec<Task> {
    vec![
        identity::task(),
        add::task(),
        mul::task(),
        add_not_typed::task(),
        add_ignore_result::task(),
        add_with_result::task(),
        tsum::task(),
        xsum::task(),
        add_pydantic::task(),
        add_pydantic_string_annotations::task(),
    ]
}

/// Returns what it is given.
#[celeriac::task(name = "t.integration.tasks.identity")]
async fn identity(x: Value) -> Result<Value, TaskError> {
    Ok(x)
}

/// Adds two or three numbers.
#[celeriac::task(name = "t.integration.tasks.add")]
async fn add(x: Value, y: Value, z: Option<Value>) -> Result<Value, TaskError> {
    let sum = python::add(&x, &y)?;
    Ok(match z.filter(python::truth) {
        Some(z) => python::add(&sum, &z)?,
        None => sum,
    })
}

/// Multiplies two numbers.
#[celeriac::task(name = "t.integration.tasks.mul")]
async fn mul(x: Value, y: Value) -> Result<Value, TaskError> {
    Ok(python::mul(&x, &y)?)
}

#[celeriac::task(name = "t.integration.tasks.add_not_typed")]
async fn add_not_typed(x: Value, y: Value) -> Result<Value, TaskError> {
    Ok(python::add(&x, &y)?)
}

#[celeriac::task(name = "t.integration.tasks.add_ignore_result", ignore_result)]
async fn add_ignore_result(x: Value, y: Value) -> Result<Value, TaskError> {
    Ok(python::add(&x, &y)?)
}

#[celeriac::task(name = "t.integration.tasks.add_with_result", ignore_result = false)]
async fn add_with_result(x: Value, y: Value) -> Result<Value, TaskError> {
    Ok(python::add(&x, &y)?)
}

/// Sums numbers.
#[celeriac::task(name = "t.integration.tasks.tsum")]
async fn tsum(nums: Value) -> Result<Value, TaskError> {
    Ok(python::sum(&nums)?)
}

/// Sums numbers and lists of numbers.
#[celeriac::task(name = "t.integration.tasks.xsum")]
async fn xsum(nums: Vec<Value>) -> Result<Value, TaskError> {
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

/// Adds what is in a model.
#[celeriac::task(name = "t.integration.tasks.add_pydantic")]
async fn add_pydantic(data: Operands) -> Result<Sum, TaskError> {
    Ok(Sum {
        result: data.x + data.y,
    })
}

#[celeriac::task(name = "t.integration.tasks.add_pydantic_string_annotations")]
async fn add_pydantic_string_annotations(data: Operands) -> Result<Sum, TaskError> {
    add_pydantic(data).await
}
