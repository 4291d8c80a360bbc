"""Servers that are not ours, to which `apns send` delivers over HTTP/2 and TLS."""

import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from simulator import Failed, wait_until

COUNT = 20_000
SERVERS = Path(__file__).parent / "servers"


def token(number):
    return f"{number:08x}" + "ab" * 28


def openssl(*arguments, environment=None):
    command = ["openssl", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def make_certificates(path, environment=None):
    """An authority, a server certificate for loopback, and a client certificate."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=Interop Authority", "-keyout", path / "ca.key", "-out", path / "ca.pem", environment=environment)
    for name, extension in (("server", "subjectAltName=DNS:localhost,IP:127.0.0.1"), ("client", "basicConstraints=CA:FALSE")):
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={name}", "-keyout", path / f"{name}.key", "-out", path / f"{name}.csr")
        (path / f"{name}.ext").write_text(extension + "\n")
        openssl("x509", "-req", "-in", path / f"{name}.csr", "-CA", path / "ca.pem", "-CAkey", path / "ca.key",
                "-CAcreateserial", "-days", "2", "-extfile", path / f"{name}.ext", "-out", path / f"{name}.pem",
                environment=environment)


class Server:
    """One foreign server, from `with` to its end. It takes every push and writes down what it took."""

    def __init__(self, path, command, port=None, cwd=None):
        self._path, self._command, self._cwd = path, command, cwd
        self.port = port

    def __enter__(self):
        self.log = self._path / "server.log"
        with open(self.log, "w") as log:
            self._process = subprocess.Popen(
                list(map(str, self._command)), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self._cwd)
        wait_until("the server listens", self._listens)
        return self

    def _listens(self):
        if self._process.poll() is not None:
            raise Failed(f"the server ended with status {self._process.returncode}:\n{self.log.read_text()[:2000]}")
        if self.port is None:
            found = re.search(r"^listens at (\d+)$", self.log.read_text(), re.MULTILINE)
            self.port = found and int(found[1])
        return self.port is not None and self._accepts()

    def _accepts(self):
        import socket
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(timeout=30)


def free_port():
    import socket
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def send(path, port, count, body):
    """Sends so many notifications with `apns send`; the outcome of each."""
    batch = path / "batch.jsonl"
    batch.write_text("".join(json.dumps({"token": token(number)}) + "\n" for number in range(count)))
    command = [os.environ["APNS"], "send", "--host", "127.0.0.1", "--port", port, "--ca", path / "ca.pem"]
    command += ["--cert", path / "client.pem", "--cert-key", path / "client.key", "--topic", "com.example.app"]
    command += ["--body", body, "--batch", batch, "--json"]
    ran = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if ran.returncode != 0:
        raise Failed(f"apns send ended with status {ran.returncode}:\n{ran.stderr[-2000:]}\n{ran.stdout[:2000]}")
    return [json.loads(line) for line in ran.stdout.splitlines()]


BODY = "Tea is ready"


def check(name, path, server, taken, count=COUNT, body=BODY):
    with server:
        rows = send(path, server.port, count, body)
    outcomes = collections.Counter(row["outcome"] for row in rows)
    if outcomes != {"accepted": count}:
        raise Failed(f"{name}: {dict(outcomes)}")
    pushes = collections.Counter(taken(server.log))
    wanted = collections.Counter(f"/3/device/{token(number)}" for number in range(count))
    if pushes != wanted:
        twice = sum(times > 1 for times in pushes.values())
        raise Failed(f"{name}: its log has {len(pushes)} of {count} pushes, {twice} of them more than once")
    print(f"ok {name}: {count} accepted, each once in its log", flush=True)


def paths_in(log):
    return re.findall(r"^POST (\S+)$", log.read_text(), re.MULTILINE)


def acknowledged(log, count):
    """Whether the SETTINGS changed in mid-flight, as the server says at its end."""
    found = re.search(r"^(\d+) changes of settings were acknowledged$", log.read_text(), re.MULTILINE)
    if not found or int(found[1]) < count // 100:
        raise Failed(f"its SETTINGS did not change: {log.read_text()[:500]}")
    return True


def nghttpd_paths_in(log):
    """Requests that were refused for their stream's number are not followed by an answer; what is counted is answers."""
    text = log.read_text(errors="replace")
    paths = dict(re.findall(r"recv \(stream_id=(\d+)[^)]*\) :path: (\S+)", text))
    answered = re.findall(r"send HEADERS frame <[^>]*stream_id=(\d+)>", text)
    return [paths[stream] for stream in answered if stream in paths]


def make_pages(path, count):
    """A file for each device token, for which nghttpd answers 200."""
    pages = path / "pages" / "3" / "device"
    pages.mkdir(parents=True)
    for number in range(count):
        (pages / token(number)).touch()


def nghttpd(path, *options):
    port = free_port()
    command = [shutil.which("nghttpd"), "-v", *options, "-d", path / "pages", "-a", "127.0.0.1", port]
    return Server(path, [*command, path / "server.key", path / "server.pem"], port)


def usual():
    """Servers with the settings that they have."""
    with tempfile.TemporaryDirectory(prefix="apns-interop-") as directory:
        path = Path(directory)
        make_certificates(path)
        key, certificate = path / "server.key", path / "server.pem"

        node = ["node", SERVERS / "http2.js", key, certificate, path / "node.log", len(BODY)]
        check("Node's http2", path, Server(path, node), lambda _: paths_in(path / "node.log"))
        for crate in ("h2", "hyper"):
            command = [os.environ["PLAIN_HTTP2"], key, certificate, len(BODY), crate]
            check(f"the {crate} crate", path, Server(path, command), paths_in)

        make_pages(path, COUNT)
        check("nghttpd", path, nghttpd(path, "-m", "7"), nghttpd_paths_in)


# What a server on hyper announces: streams, window of a stream, window of the connection, largest frame.
HYPER = {
    "one stream": (1, 65_535, 65_535, 16_384),
    "seven streams and windows of 255 and 1023 bytes": (7, 255, 1023, 16_384),
    "1000 streams and windows of 1000 and 65535 bytes": (1000, 1000, 65_535, 20_000),
    "large windows": (200, 1 << 20, 1 << 24, 1 << 20),
}

# What nghttpd announces, and with how many bytes of text the notifications are sent. Windows are powers of two less one.
UNUSUAL = {
    "no header table": (["--header-table-size=0"], 12),
    "a header table of 100 bytes": (["--header-table-size=100"], 12),
    "a header table of 200 bytes": (["--header-table-size=200"], 12),
    "a header table of 65536 bytes": (["--header-table-size=65536", "--encoder-header-table-size=65536"], 12),
    "a stream window of 255 bytes": (["-w", "8"], 2000),
    "a connection window of 1023 bytes": (["-W", "10"], 2000),
    "both windows and one stream": (["-w", "8", "-W", "10", "-m", "1"], 2000),
    "both windows and seven streams": (["-w", "8", "-W", "10", "-m", "7"], 2000),
    "one stream": (["-m", "1"], 12),
}


def unusual():
    """Servers with settings that a client meets once in its life."""
    count = int(os.environ.get("INTEROP_UNUSUAL", 2000))
    with tempfile.TemporaryDirectory(prefix="apns-interop-") as directory:
        path = Path(directory)
        make_certificates(path)
        make_pages(path, count)
        for name, (options, length) in UNUSUAL.items():
            check(f"nghttpd with {name}", path, nghttpd(path, *options), nghttpd_paths_in, count, "x" * length)

        key, certificate = path / "server.key", path / "server.pem"
        for name, settings in HYPER.items():
            command = [os.environ["PLAIN_HTTP2"], key, certificate, 2000, "hyper", *settings]
            check(f"the hyper crate with {name}", path, Server(path, command), paths_in, count, "x" * 2000)

        log = path / "changing.log"
        for length in (100, 3000):
            command = [sys.executable, SERVERS / "changing_settings.py", key, certificate, log, length, length]
            check(f"Python's h2, whose SETTINGS change, {length} bytes of text", path, Server(path, command),
                  lambda _: paths_in(log), count, "x" * length)
            command = ["node", SERVERS / "http2.js", key, certificate, log, length, length]
            check(f"Node's http2, whose SETTINGS change, {length} bytes of text", path, Server(path, command),
                  lambda server: acknowledged(server, count) and paths_in(log), count, "x" * length)
