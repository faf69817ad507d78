"""A way to Redis that can fall silent, as a network does that loses every packet."""

import socket
import time
from threading import Event, Lock, Thread

BLOCK = 65536


class Relay:
    """Passes on what it gets, both ways, between its own port and another's."""

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.silent = Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}/0"
        Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:  # it is closed
                return
            server = socket.create_connection(self.target)
            for ends in ((client, server), (server, client)):
                Thread(target=self.pass_on, args=(*ends, self.silent), daemon=True).start()

    def pass_on(self, source, sink, silent):
        try:
            while block := source.recv(BLOCK):
                if not silent.is_set():
                    sink.sendall(block)
        except OSError:
            pass
        sink.close()

    def fall_silent(self):
        """Nothing comes through the connections there are; new ones are as good as ever."""
        self.silent.set()
        self.silent = Event()

    def close(self):
        self.listener.close()
        self.fall_silent()


class SlowRelay(Relay):
    """Passes on so many bytes a second each way, all connections together."""

    def __init__(self, port, rate):
        self.rate = rate
        self.turns = {}
        super().__init__(port)

    def pass_on(self, source, sink, silent):
        # One way's connections share its bytes.
        turn = self.turns.setdefault(source.getpeername()[1] == self.target[1], Lock())
        source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BLOCK)
        try:
            while block := source.recv(BLOCK // 4):
                with turn:
                    time.sleep(len(block) / self.rate)
                    sink.sendall(block)
        except OSError:
            pass
        sink.close()
