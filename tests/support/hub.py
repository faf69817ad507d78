"""A data sets server in the shape of the Hugging Face hub's, which fails as told."""

import json
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit


class Hub:
    """Serves `rows`, each a dictionary, unless `refusal` is an answer:
    `(status, headers, body)`."""

    def __init__(self, rows, truncated=()):
        self.rows, self.truncated = rows, list(truncated)
        self.refusal, self.requests = None, []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, query):
        self.requests.append(query)
        if self.refusal:
            return self.refusal
        offset, length = int(query["offset"]), int(query["length"])
        rows = [{"row_idx": n, "row": row, "truncated_cells": self.truncated}
                for n, row in enumerate(self.rows)][offset:offset + length]
        features = [{"feature_idx": n, "name": name, "type": {"dtype": "string", "_type": "Value"}}
                    for n, name in enumerate(self.rows[0])]
        page = {"features": features, "rows": rows, "num_rows_total": len(self.rows),
                "num_rows_per_page": 100, "partial": False}
        return 200, {"content-type": "application/json"}, json.dumps(page)


def handler(hub):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            status, headers, body = hub.answer(query)
            # What is fetched ahead may be given up meanwhile.
            with suppress(ConnectionError):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    return Handler
