"""A network that can be made worse."""

import socket
import time
from threading import Lock

from support.relay import Relay


class Network(Relay):
    """A relay that also delays what it passes on, and cuts connections."""

    def __init__(self, port):
        self.delay = 0
        self.lock = Lock()
        self.sockets = []
        super().__init__(port)

    def pass_on(self, source, sink, silent):
        with self.lock:
            self.sockets.append(sink)
        super().pass_on(Delayed(source, self), sink, silent)

    def cut(self):
        """Ends every connection there is, whatever is under way."""
        with self.lock:
            sockets, self.sockets = self.sockets, []
        for end in sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has ended already
                pass


class Delayed:
    """What is read from `source` takes its time."""

    def __init__(self, source, network):
        self.source = source
        self.network = network

    def recv(self, size):
        block = self.source.recv(size)
        time.sleep(self.network.delay)
        return block

    def sendall(self, block):
        self.source.sendall(block)
