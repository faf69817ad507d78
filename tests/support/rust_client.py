"""The Rust client, asked from Python a line at a time."""

import json
import os
import subprocess

from .workers import example, toml


class RustClient:
    def __init__(self, directory, broker, backend=None, **settings):
        config = directory / f"client-{len(list(directory.glob('client-*')))}.toml"
        backend = {"result_backend": backend} if backend else {}
        config.write_text(toml({"broker_url": broker, **backend, **settings}))
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("CELERY_")}
        self.child = subprocess.Popen([example("interop_client"), config], env=environment,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, do, **order):
        """Its answer, or `{"error": why}`."""
        self.child.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline())
        return answer.get("answer") if "answer" in answer else answer

    def send(self, signature):
        """The result's tuple."""
        return self.ask("send", signature=dict(signature))

    def stop(self):
        self.child.stdin.close()
        self.child.stdout.close()
        return self.child.wait(timeout=10)
