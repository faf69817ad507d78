"""Where a Rust worker sends what its tasks and canvases call."""


def test_a_router_says_where_what_follows_a_task_goes(app, rust, python):
    def identity(*args, **options):
        return app.signature("t.integration.tasks.identity", args=args, options=options)

    # The interop worker has a router that looks at the first argument.
    value = {"by_router": python.queue}
    result = (identity(value, queue=rust.queue) | identity()).apply_async()
    assert result.get(timeout=15) == value
    assert rust.meta(result.parent)["worker"] == "rust_worker@test"
    assert python.meta(result)["worker"] == "python_worker@test"
