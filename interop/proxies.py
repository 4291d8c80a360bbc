"""Proxies that are not ours, between `apns` and the simulator."""

import collections
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from foreign_servers import free_port, make_certificates, token
from simulator import Failed, Simulator, wait_until

COUNT = int(os.environ.get("INTEROP_PROXIED", 20_000))
# So many a second, so that there is a middle in which to restart a proxy.
RATE = 8000
USER, PASSWORD = "me", "s3cret"
HOST = "api.push.apple.com"


class Proxy:
    """A proxy of Debian's, from `with` to its end. What it needs is in a folder that its own user can read."""

    # The beginning of its URL, the host to send to, and whether it wants a user and a password.
    scheme = "http"
    host = "localhost"
    guarded = True

    def __init__(self, path):
        self.path = path
        self.port = free_port()
        self._process = None
        self._log = path / "proxy.log"
        self._command = list(map(str, self.configure()))

    @property
    def url(self):
        user = f"{USER}@" if self.guarded else ""
        return f"{self.scheme}://{user}127.0.0.1:{self.port}"

    def __enter__(self):
        with open(self._log, "a") as log:
            # In a group of its own, with the processes that it starts itself.
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             start_new_session=True)
        wait_until(f"{self._command[0]} listens", self._listens)
        return self

    def _listens(self):
        if self._process.poll() is not None:
            raise Failed(f"{self._command} ended with status {self._process.returncode}:\n{self._log.read_text()[-2000:]}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def restart(self):
        """Ends it with all its connections, and starts it again at the same port."""
        self.__exit__()
        self.__enter__()


class Squid(Proxy):
    """Squid, which finds Apple's names in a file of its own: nobody else here could."""

    host = HOST
    listens = "http_port 127.0.0.1:{port}"

    def configure(self):
        hosts, users, config = (self.path / name for name in ("hosts", "users", "squid.conf"))
        hosts.write_text(f"127.0.0.1 {HOST} gateway.push.apple.com feedback.push.apple.com\n")
        digest = subprocess.check_output(["openssl", "passwd", "-apr1", PASSWORD], text=True).strip()
        users.write_text(f"{USER}:{digest}\n")
        config.write_text(f"""
            {self.listens.format(port=self.port, path=self.path)}
            auth_param basic program /usr/lib/squid/basic_ncsa_auth {users}
            auth_param basic children 2 startup=1
            acl users proxy_auth REQUIRED
            http_access allow users
            http_access deny all
            hosts_file {hosts}
            cache deny all
            access_log none
            cache_log {self.path}/cache.log
            cache_store_log none
            pid_filename none
            netdb_filename none
            coredump_dir none
            pinger_enable off
            visible_hostname localhost
        """)
        return ["squid", "-N", "-f", config]


class SquidWithTls(Squid):
    """The same, with TLS to the proxy."""

    scheme = "https"
    listens = "https_port 127.0.0.1:{port} tls-cert={path}/server.pem tls-key={path}/server.key"


class Tinyproxy(Proxy):
    """tinyproxy, which has processes or threads of its own."""

    def configure(self):
        config = self.path / "tinyproxy.conf"
        config.write_text(f"Port {self.port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 100\nBasicAuth {USER} {PASSWORD}\n")
        return ["tinyproxy", "-d", "-c", config]


class Microsocks(Proxy):
    """microsocks, with a user and a password."""

    scheme = "socks5h"

    def configure(self):
        return ["microsocks", "-i", "127.0.0.1", "-p", self.port, "-u", USER, "-P", PASSWORD]


class Dante(Proxy):
    """Dante, which lets everybody of this machine in."""

    scheme = "socks5h"
    guarded = False

    def configure(self):
        config = self.path / "danted.conf"
        config.write_text(f"""
            logoutput: {self.path}/dante.log
            internal: 127.0.0.1 port = {self.port}
            external: 127.0.0.1
            clientmethod: none
            socksmethod: none
            user.unprivileged: nobody
            client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
            socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
        """)
        return [shutil.which("danted") or "/usr/sbin/danted", "-f", config]


PROXIES = {
    "squid": Squid,
    "squid with TLS to it": SquidWithTls,
    "tinyproxy": Tinyproxy,
    "microsocks": Microsocks,
    "Dante": Dante,
}


def arguments(command, simulator, proxy, host, port, password="password"):
    given = [os.environ["APNS"], *command, "--host", host, "--port", port, "--ca", simulator.path / "ca.pem"]
    given += ["--cert", simulator.path / "client.pem", "--cert-key", simulator.path / "client.key"]
    given += ["--proxy", proxy.url, "--proxy-ca", proxy.path / "ca.pem"]
    if proxy.guarded:
        given += ["--proxy-password-file", proxy.path / password]
    return list(map(str, given))


def restarted_in_the_middle(simulator, proxy, sending):
    """Restarts the proxy when a part has arrived; how many had arrived then."""
    log = simulator.path / "log.jsonl"
    # A record has some hundred bytes.
    enough = COUNT * 60

    def some_arrived():
        if sending.poll() is not None:
            raise Failed("everything was sent before the proxy could be restarted")
        return log.exists() and log.stat().st_size > enough

    wait_until("some arrive", some_arrived)
    proxy.restart()


def deliver(name, proxy, http2):
    """Sends all, restarts the proxy in the middle, and compares the outcomes with what arrived."""
    protocol = "HTTP/2" if http2 else "binary"
    with Simulator() as simulator:
        batch = simulator.path / "batch.jsonl"
        batch.write_text("".join(json.dumps({"token": token(number)}) + "\n" for number in range(COUNT)))
        port = simulator.http2_port if http2 else simulator.gateway_port
        host = proxy.host if http2 else proxy.host.replace("api.", "gateway.")
        command = ["send", "--batch", batch, "--body", "Tea is ready", "--json", "--rate", RATE]
        command += ["--topic", "com.example.app"] if http2 else ["--binary"]
        with open(simulator.path / "rows.jsonl", "w") as rows, open(simulator.path / "said.txt", "w") as said:
            sending = subprocess.Popen(arguments(command, simulator, proxy, host, port),
                                       stdin=subprocess.DEVNULL, stdout=rows, stderr=said)
        try:
            restarted_in_the_middle(simulator, proxy, sending)
            status = sending.wait(timeout=300)
        finally:
            sending.kill()
            sending.wait()
        simulator.stop()
        said = (simulator.path / "said.txt").read_text()
        rows = [json.loads(line) for line in (simulator.path / "rows.jsonl").read_text().splitlines()]
        taken = collections.Counter(record["token"] for record in simulator.records() if record["accepted"])
    outcomes = collections.Counter(row["outcome"] for row in rows)
    what = f"{name}, {protocol}"
    if sorted(row["n"] for row in rows) != list(range(1, COUNT + 1)):
        raise Failed(f"{what}: {len(rows)} rows for {COUNT} notifications, status {status}:\n{said[-2000:]}")
    for row in rows:
        times, outcome = taken[token(row["n"] - 1)], row["outcome"]
        true = times == 1 if outcome == "accepted" else outcome == "unknown" and times <= 1
        if not true:
            raise Failed(f"{what}: number {row['n']} is {outcome} and was taken {times} times:\n{said[-2000:]}")
    if status != (0 if outcomes == {"accepted": COUNT} else 1):
        raise Failed(f"{what}: status {status} with {dict(outcomes)}:\n{said[-2000:]}")
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"ok {what}, restarted in the middle: {told}; {len(taken)} arrived, each once", flush=True)


def refuse(name, proxy):
    """A wrong password is a matter of the proxy, and nothing arrives."""
    (proxy.path / "wrong").write_text("wrong\n")
    with Simulator() as simulator:
        command = ["send", "--token", token(1), "--body", "x", "--topic", "com.example.app"]
        given = arguments(command, simulator, proxy, proxy.host, simulator.http2_port, "wrong")
        ran = subprocess.run(given, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        simulator.stop()
        arrived = simulator.records()
    if ran.returncode != 3 or "the proxy opened no tunnel" not in ran.stderr or "wrong" in ran.stderr or arrived:
        raise Failed(f"{name}: a wrong password ends with {ran.returncode}, {len(arrived)} arrived:\n{ran.stderr}")
    if "refuse" not in ran.stderr and "does not take the user and the password" not in ran.stderr:
        raise Failed(f"{name}: the password is not said to be wrong:\n{ran.stderr}")
    print(f"ok {name}, wrong password: {ran.stderr.splitlines()[0]}", flush=True)


def feedback(name, proxy):
    """The list of the feedback service comes through as well."""
    records = [{"token": token(number), "timestamp": 1_700_000_000} for number in range(100)]
    with Simulator({"feedback": {"records": records}}) as simulator:
        host = proxy.host.replace("api.", "feedback.")
        given = arguments(["feedback", "--json"], simulator, proxy, host, simulator.feedback_port)
        ran = subprocess.run(given, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if ran.returncode != 0 or [json.loads(line) for line in ran.stdout.splitlines()] != records:
        raise Failed(f"{name}: feedback ends with {ran.returncode}:\n{ran.stderr}\n{ran.stdout[:1000]}")
    print(f"ok {name}, feedback: {len(records)} records", flush=True)


def check():
    for name, kind in PROXIES.items():
        with tempfile.TemporaryDirectory(prefix="apns-interop-") as directory:
            path = Path(directory)
            make_certificates(path)
            (path / "password").write_text(PASSWORD + "\n")
            # For a proxy that gives up its rights.
            path.chmod(0o777)
            for file in path.iterdir():
                file.chmod(0o644)
            with kind(path) as proxy:
                deliver(name, proxy, http2=True)
                deliver(name, proxy, http2=False)
                feedback(name, proxy)
                if proxy.guarded:
                    refuse(name, proxy)
