"""A Redis of the suite's own, on a free port and in a directory of its own."""

import socket

import redis as redis_client

from .process import Process
from .waiting import until


given = set()


def free_port():
    """One that was not given before: kombu keeps its connections by address, those
    to a server that has ended among them."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        if port not in given:
            given.add(port)
            return port


class RedisServer:
    def __init__(self, directory, durable=False):
        """`durable`: every write is on disk before it is answered."""
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis_client.Redis(port=self.port, decode_responses=True)
        self.options = ["--save", ""]
        if durable:
            self.options += ["--appendonly", "yes", "--appendfsync", "always"]
        self.start()

    def start(self):
        self.process = Process(
            f"redis-{self.port}",
            ["redis-server", "--port", self.port, "--bind", "127.0.0.1",
             "--dir", self.directory, *self.options],
            self.directory,
        )
        until(self.answers, "Redis answers")

    def answers(self):
        try:
            return self.client.ping()
        except redis_client.ConnectionError:  # also: it is still loading its data
            return False

    def stop(self):
        self.process.stop()

    def kill(self):
        self.process.kill()
