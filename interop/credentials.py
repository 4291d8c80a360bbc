"""A push gateway on OpenSSL, and what `apns` says of the credentials it is given."""

import os
import socket
import ssl
import struct
import subprocess
import threading

from foreign_servers import openssl
from simulator import Failed

APNS = os.environ["APNS"]
TOKEN = "ab" * 32


class Gateway:
    """A push gateway on OpenSSL: it takes what it can read, says so by status 10, and closes."""

    def __init__(self, certificate, key, clients=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_ciphers("DEFAULT:@SECLEVEL=0")
        self.context.load_cert_chain(certificate, key)
        if clients:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(clients)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.taken = 0
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while not self._closing:
            try:
                stream, _ = self.listener.accept()
                with self.context.wrap_socket(stream, server_side=True) as stream:
                    self._take(stream)
            except OSError:
                # A client that leaves in the middle is its own affair.
                pass

    def _take(self, stream):
        data = b""
        while len(data) < 5 or len(data) < 5 + struct.unpack(">I", data[1:5])[0]:
            more = stream.recv(4096)
            if not more:
                return
            data += more
        items, identifier = data[5:], None
        while items:
            kind, length = struct.unpack(">BH", items[:3])
            if kind == 3:
                identifier = items[3:3 + length]
                break
            items = items[3 + length:]
        self.taken += 1
        stream.sendall(b"\x08\x0a" + identifier)
        stream.unwrap()

    def close(self):
        """Ends its thread first: one that goes on would accept on whatever socket gets the number of this one."""
        self._closing = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=30)
        self.listener.close()


def run(*arguments, environment=None):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("APNS_")}
    return subprocess.run([APNS, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env={**clean, **(environment or {})}, timeout=120)


def send(gateway, ca, cert, host="localhost", more=()):
    return run("send", "--binary", "--host", host, "--port", gateway.port, "--ca", ca, "--cert", cert, "--token", TOKEN,
               "--body", "x", "--timeout", "20s", *more)


def expect(what, condition, run):
    if not condition:
        raise Failed(f"{what}: status {run.returncode}\n{run.stdout}{run.stderr}")


def serve_check(path, certificate, more=""):
    config = path / "apnsd.toml"
    config.write_text(f'[apps.shop]\nenvironment = "production"\ncertificate = "{certificate}"\n{more}\n')
    return run("serve", "--check", "--config", config)


def make(path):
    """A certificate of version 1 for localhost, one for a client, and one that an authority issued."""
    for name, subject in (("server", "/CN=localhost"), ("client", "/UID=com.example.app/CN=Apple Push Services: com.example.app"),
                          ("issued", "/CN=localhost")):
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                "-keyout", path / f"{name}.key", "-out", path / f"{name}.csr")
    for name in ("server", "client"):
        openssl("x509", "-req", "-in", path / f"{name}.csr", "-signkey", path / f"{name}.key", "-days", "60",
                "-out", path / f"{name}.pem")
    openssl("x509", "-req", "-in", path / "issued.csr", "-CA", path / "server.pem", "-CAkey", path / "server.key",
            "-CAcreateserial", "-days", "60", "-out", path / "issued.pem")
    both = path / "client-all.pem"
    both.write_text((path / "client.pem").read_text() + (path / "client.key").read_text())
    return both


def trusted(gateway_files, client, ours):
    certificate, key = gateway_files
    gateway = Gateway(certificate, key, ours)
    try:
        sent = send(gateway, certificate, client)
        expect(f"{certificate} is trusted as it stands", sent.returncode == 0 and gateway.taken == 1, sent)
        names = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-text"], capture_output=True, text=True)
        if "IP Address:127.0.0.1" not in names.stdout:
            elsewhere = send(gateway, certificate, client, host="127.0.0.1")
            refused = elsewhere.returncode == 3 and "not for 127.0.0.1" in elsewhere.stderr
            expect(f"{certificate} has its name checked", refused, elsewhere)
    finally:
        gateway.close()
