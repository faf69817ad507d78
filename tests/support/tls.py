"""A Redis that speaks TLS alone, with an authority of its own."""

import subprocess

import redis as redis_client

from .redis_server import RedisServer, free_port


class Authority:
    """Signs certificates."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.certificate, self.key = directory / "ca.crt", directory / "ca.key"
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                     "-subj", "/CN=An authority", "-keyout", self.key, "-out", self.certificate)

    def issue(self, name, *hosts):
        """A certificate and its key; for a server it names hosts."""
        certificate, key = (self.directory / f"{name}.{end}" for end in ("crt", "key"))
        request, options = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        names = ",".join(hosts) or f"DNS:{name}"
        options.write_text(f"subjectAltName={names}\n")
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                     "-keyout", key, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
                     "-CAcreateserial", "-days", "2", "-extfile", options, "-out", certificate)
        return certificate, key

    def openssl(self, *words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


class TlsServer(RedisServer):
    """Its certificate is one of 127.0.0.1. `clients`: whether they must show one, too."""

    def __init__(self, directory, authority, clients=False, hosts=("IP:127.0.0.1",)):
        self.authority = authority
        self.directory = directory
        self.port = free_port()
        certificate, key = authority.issue("server", *hosts)
        self.options = ["--save", "", "--tls-port", self.port, "--port", 0,
                        "--tls-cert-file", certificate, "--tls-key-file", key,
                        "--tls-ca-cert-file", authority.certificate,
                        "--tls-auth-clients", "yes" if clients else "no"]
        self.url = f"rediss://127.0.0.1:{self.port}/0"
        shown = authority.issue("tester")
        self.client = redis_client.Redis(
            port=self.port, decode_responses=True, ssl=True, ssl_ca_certs=authority.certificate,
            ssl_check_hostname=False, ssl_certfile=shown[0], ssl_keyfile=shown[1])
        self.start()

    def to(self, **query):
        """Its URL with a query."""
        return self.url + "?" + "&".join(f"{key}={value}" for key, value in query.items())
