//! `#[celeriac::task]` as a Rust caller sees it.

use celeriac::task::{Failure, Parameters, State, Task, TaskError, TaskOptions};
use celeriac::{Call, Context, Signature, chord, group};
use serde_json::{Value, json};

/// Adds numbers.
#[celeriac::task(
    name = "tasks.add",
    acks_late,
    ignore_result = false,
    max_retries = None,
    rate_limit = "10/m",
    time_limit = 60,
    soft_time_limit = 0.5,
    autoretry_for = ["ValueError"],
    retry_backoff,
    retry_jitter = false
)]
async fn add(
    x: i64,
    y: i64,
    z: Option<i64>,
    _context: Context,
    State(_): State<String>,
) -> Result<i64, TaskError> {
    Ok(x + y + z.unwrap_or_default())
}

#[celeriac::task(name = "tasks.mul")]
async fn mul(x: f64, #[default(2.5)] y: f64) -> Result<f64, Failure> {
    Ok(x * y)
}

#[celeriac::task(name = "tasks.describe")]
async fn describe(sum: Option<i64>, r#type: String) -> Result<String, std::fmt::Error> {
    Ok(format!("{type}: {sum:?}"))
}

#[celeriac::task]
fn unnamed() -> Result<(), TaskError> {
    Ok(())
}

#[test]
fn the_attribute_says_what_the_task_is() {
    let task = add::task();
    assert_eq!((task.name(), task.doc()), ("tasks.add", "Adds numbers."));
    let options = TaskOptions {
        acks_late: Some(true),
        ignore_result: Some(false),
        max_retries: None,
        rate_limit: "10/m".parse().ok(),
        time_limit: Some(60.0),
        soft_time_limit: Some(0.5),
        autoretry_for: vec!["ValueError".to_owned()],
        retry_backoff: 1.0,
        retry_jitter: false,
        ..TaskOptions::default()
    };
    assert_eq!(*task.options(), options);
    assert_eq!(unnamed::task().name(), "task_macro.unnamed");
}

#[test]
fn the_function_says_what_the_task_takes() {
    let parameters = |task: Task| task.parameters().clone();
    let by_hand = Parameters::default()
        .required::<i64>("x")
        .required::<i64>("y")
        .optional::<Option<i64>>("z", None);
    assert_eq!(parameters(add::task()), by_hand);
    let by_hand = Parameters::default()
        .required::<f64>("x")
        .optional::<f64>("y", 2.5);
    assert_eq!(parameters(mul::task()), by_hand);
    let by_hand = Parameters::default()
        .required::<Option<i64>>("sum")
        .required::<String>("type");
    assert_eq!(parameters(describe::task()), by_hand);
}

fn args<M, T>(call: Call<M, T>) -> Value {
    Signature::from(call).args.into()
}

#[test]
fn a_call_is_given_all_or_the_last_arguments() {
    assert_eq!(args(add::s((1, 2))), json!([1, 2]));
    assert_eq!(args(add::s((1, &2, 3))), json!([1, 2, 3]));
    assert_eq!(args(add::s((1, 2, None))), json!([1, 2, null]));
    let lacks_x: Call<(i64,), i64> = add::s((2,));
    assert_eq!(args(lacks_x), json!([2]));
    let lacks_both: Call<(i64, i64), i64> = add::s(());
    assert_eq!(args(lacks_both), json!([]));
    assert_eq!(args(describe::s((3, "sum"))), json!([3, "sum"]));
    assert!(Signature::from(add::si((1, 2))).immutable);
}

#[test]
fn calls_compose_as_signatures_do() {
    let plain = |task: &str| Signature::new(task);
    let chain: Call<(), String> = add::s((2, 2)).queue("q") | describe::s(("sum",));
    let wanted = plain("tasks.add").arg(2).arg(2).queue("q") | plain("tasks.describe").arg("sum");
    assert_eq!(Signature::from(chain.clone()), wanted);
    let wanted = wanted | plain("tasks.mul").arg(1.0).immutable();
    assert_eq!(Signature::from(chain | mul::si((1.0,))), wanted);
    let header = || (0..3).map(|n| add::s((n, n)));
    let total = plain("tasks.tsum");
    assert_eq!(
        group(header()) | total.clone(),
        chord(header(), total.clone())
    );
    assert_eq!(total.clone() | mul::s(()), total | plain("tasks.mul"));
}

#[tokio::test]
async fn the_function_remains_one() -> Result<(), Failure> {
    assert_eq!(mul(2.0, 4.0).await?, 8.0);
    Ok(())
}
