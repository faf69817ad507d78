"""Messages as they lie in Redis, made comparable."""

import base64
import json
import re

from .twins import UUID

#: Where a Rust worker's message may differ from a Python worker's.
ALLOWED = re.compile(r"""
    headers\.lang                       # each names its own
    | body.*\.options\.reply_to         # for backends that reply, in what is sent later
    | properties\.origin                # a retry of Python's repeats the header there
""", re.VERBOSE)
#: What Python writes out of an option that nobody gave.
UNSAID = re.compile(r"body.*\.options\.\w+")


def comparable(message):
    """A message with what is its sender's or this moment's own replaced."""
    message = json.loads(message)
    message["body"] = json.loads(base64.b64decode(message["body"]))
    text = UUID.sub("<id>", json.dumps(message))
    message = json.loads(re.sub(r"gen\d+@", "gen@", text))
    headers, properties = message["headers"], message["properties"]
    for name in ("eta", "expires"):
        headers[name] = headers[name] and re.sub(r"\d", "0", headers[name])
    if "expiration" in properties:
        # To ten seconds: for a retry it is what is left by then.
        properties["expiration"] = str(round(int(properties["expiration"]), -4))
    return message


def flat(value, path=""):
    """Every leaf by its path."""
    items = (value.items() if isinstance(value, dict) else
             enumerate(value) if isinstance(value, list) else ())
    found = {}
    for name, item in items:
        found |= flat(item, f"{path}.{name}" if path else str(name))
    return found or {path: value}


def differences(theirs, ours):
    """Where two messages differ, a line for each place."""
    theirs, ours = flat(comparable(theirs)), flat(comparable(ours))
    for path in sorted(theirs.keys() | ours.keys()):
        values = [message.get(path, "absent") for message in (theirs, ours)]
        if UNSAID.fullmatch(path):
            values = [None if value in ("absent", [], None) else value for value in values]
        if values[0] != values[1] and not ALLOWED.fullmatch(path):
            yield "{}: Python {!r}, Rust {!r}".format(path, *values)
