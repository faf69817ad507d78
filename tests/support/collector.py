"""An OpenTelemetry collector: takes spans by OTLP over HTTP and keeps them."""

import re
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from .twins import UUID, comparable_traceback
from .waiting import until


class Collector(ThreadingHTTPServer):
    """Every span that it is sent, with the name of its service."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def trace(self, id):
        return [(service, span) for service, span in self.spans if span.trace_id.hex() == id]

    def tree(self, id, names):
        """The one root of a trace that has spans of these names, and no others."""
        def complete():
            found = Counter(span.name for _, span in self.trace(id))
            assert found <= Counter(names), found - Counter(names)
            return found == Counter(names)

        until(complete, f"the spans of trace {id} arrive")
        return tree(self.trace(id))


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = attributes(resource.resource)["service.name"]
            for scope in resource.scope_spans:
                self.server.spans += [(service, span) for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def collecting():
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.shutdown()
        collector.server_close()
        thread.join()


def attributes(of):
    def value(any):
        kind = any.WhichOneof("value")
        plain = getattr(any, kind)
        return [value(item) for item in plain.values] if kind == "array_value" else plain

    return {attribute.key: value(attribute.value) for attribute in of.attributes}


class Node:
    """A span, the service that it is from, and what it has led to."""

    def __init__(self, service, span):
        self.service, self.span, self.children = service, span, []
        self.name = span.name
        self.attributes = attributes(span)

    def line(self):
        """From here down to the last, where each has led to one alone."""
        assert len(self.children) < 2, self.name
        return [self] + [node for child in self.children for node in child.line()]

    def comparable(self):
        """What must be the same whoever has made it, and so with its children."""
        children = [child.comparable() for child in self.children]
        return {
            "name": self.name,
            "kind": Span.SpanKind.Name(self.span.kind),
            "attributes": comparable(self.attributes),
            "status": (Status.StatusCode.Name(self.span.status.code), self.span.status.message),
            "events": [(event.name, comparable(attributes(event))) for event in self.span.events],
            "children": sorted(children, key=repr),
        }


def tree(spans):
    nodes = {span.span_id: Node(service, span) for service, span in spans}
    roots = []
    for node in nodes.values():
        parent = node.span.parent_span_id
        # A parent that is not among them fails here.
        (nodes[parent].children if parent else roots).append(node)
    [root] = roots
    return root


def comparable(found):
    """Attributes with what is each process's own replaced by its shape."""
    found = dict(found)
    # Where Python waits for a reply of the RPC backend; Rust has none.
    found.pop("celery.reply_to", None)
    for name in ("celery.eta", "celery.expires"):
        if name in found:
            found[name] = re.sub(r"\d", "0", found[name])
    if "exception.stacktrace" in found:
        found["exception.stacktrace"] = comparable_traceback(found["exception.stacktrace"])
    shape = {UUID: "<id>", re.compile(r"^gen\d+@"): "gen<pid>@", re.compile("lane-[0-9a-f]+"): "<lane>"}
    for name, value in found.items():
        for pattern, replacement in shape.items() if isinstance(value, str) else ():
            value = pattern.sub(replacement, value)
        found[name] = value
    return found
