"""`apns sim` in a process of its own, and a client that is not ours beside it."""

import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

CLIENTS = Path(__file__).parent / "clients"


class Failed(Exception):
    """Something was not as it has to be."""


def wait_until(what, condition, seconds=60):
    """Asks `condition` again and again, but not for ever."""
    pause = 0.02
    for _ in range(int(seconds / pause)):
        if condition():
            return
        time.sleep(pause)
    raise Failed(f"waited {seconds} s in vain: {what}")


class Running:
    """A command of `apns` that runs from `with` to its end, in a folder of its own."""

    # What it is called, how it says where a service listens, and how long it may take to end.
    name = ""
    listens = ""
    ends_within = 30

    def __enter__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="apns-interop-")
        self.path = Path(self._directory.name)
        self._said = self.path / f"{self.name}.txt"
        command = [os.environ["APNS"], *self._command()]
        with open(self._said, "w") as said:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                                             env=self._environment())
        try:
            wait_until(f"the {self.name} listens", self._asked)
        except Failed as failed:
            self.stop()
            raise Failed(f"{failed}\n{self.said()}") from None
        self._started()
        return self

    def __exit__(self, *_):
        self.stop()
        self._directory.cleanup()

    def _environment(self):
        """Its environment, where it is not this process's."""

    def _asked(self):
        if self._process.poll() is not None:
            raise Failed(f"the {self.name} ended with status {self._process.returncode}")
        return self._is_ready()

    def _port(self, service):
        line = self.listens.format(service)
        found = re.search(rf"^{line} listens at 127\.0\.0\.1:(\d+)$", self.said(), re.MULTILINE)
        return found and int(found[1])

    def said(self):
        """What it wrote for a person."""
        return self._said.read_text()

    def stop(self):
        """Ends it. What it has to write is written then."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=self.ends_within)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise Failed(f"the {self.name} did not end when it was told to") from None


class Simulator(Running):
    """The simulator. `max_tls` is "1.2" for clients that cannot do more; `inbox` has the names that
    the inbox is to know, if it is wanted; `lenient` has it take what Apple's recipes do."""

    name = "simulator"
    listens = "{}"

    def __init__(self, script=None, max_tls="1.3", inbox=None, lenient=False):
        self.lenient = lenient
        self._inbox = inbox
        self._script = script or {}
        self._max_tls = max_tls

    def _command(self):
        (self.path / "script.json").write_text(json.dumps(self._script))
        self._log = self.path / "log.jsonl"
        command = ["sim", "--gateway", "127.0.0.1:0", "--feedback", "127.0.0.1:0", "--http2", "127.0.0.1:0"]
        command += ["--certs", self.path, "--script", self.path / "script.json", "--log", self._log]
        command += ["--max-tls", self._max_tls]
        command += ["--lenient"] * self.lenient
        if self._inbox is None:
            command += ["--inbox", "off"]
        else:
            (self.path / "names.json").write_text(json.dumps(self._inbox))
            command += ["--inbox", "127.0.0.1:0", "--inbox-names", self.path / "names.json"]
        return command

    def _is_ready(self):
        there = all(map(self._port, ("gateway", "feedback", "http2"))) and (self.path / "client.key").exists()
        return there and (self._inbox is None or self._page())

    def _page(self):
        found = re.search(r"^the inbox: (http://127\.0\.0\.1:\d+)/$", self.said(), re.MULTILINE)
        return found and found[1]

    def _started(self):
        self.gateway_port = self._port("gateway")
        self.feedback_port = self._port("feedback")
        self.http2_port = self._port("http2")
        self.inbox = None if self._inbox is None else self._page()
        signer = re.search(r"--p8 (\S+) --key-id (\S+) --team-id (\S+)$", self.said(), re.MULTILINE)
        if signer:
            self.signing_key, self.key_id, self.team_id = self.path / signer[1], signer[2], signer[3]
        # Some clients want certificate and key in one file.
        both = (self.path / "client.pem").read_text() + (self.path / "client.key").read_text()
        (self.path / "both.pem").write_text(both)

    def records(self):
        """The notifications and requests that arrived so far, in their order."""
        text = self._log.read_text() if self._log.exists() else ""
        # The last line may be on its way.
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [record for record in map(json.loads, lines) if record["event"] in ("notification", "request")]


class Client:
    """A program of `clients/`, which gets the plan in a file.

    It writes one line of JSON for each thing that it is told about its notifications. One that cannot know when there
    is nothing more to come runs until its standard input ends.
    """

    def __init__(self, simulator, program, mode, plan):
        self._name = f"{program} {mode}"
        self._output = simulator.path / "client.jsonl"
        self._errors = simulator.path / "client.txt"
        plan_file = simulator.path / "plan.json"
        paths = {name: str(simulator.path / file) for name, file in FILES.items()}
        ports = {name: getattr(simulator, name) for name in ("gateway_port", "feedback_port", "http2_port")}
        plan_file.write_text(json.dumps({**ports, **paths, **plan}))
        interpreter = "node" if program.endswith(".js") else "python3"
        command = [interpreter, CLIENTS / program, mode, plan_file]
        with open(self._output, "w") as output, open(self._errors, "w") as errors:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=errors)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdin.close()

    def report(self):
        """What it reported so far."""
        text = self._output.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def wait_until(self, what, condition):
        """Waits for something that happens while it runs."""

        def asked():
            if condition():
                return True
            if self._process.poll() not in (None, 0):
                raise Failed(f"{self._name} ended with status {self._process.returncode}")
            return False

        try:
            wait_until(what, asked)
        except Failed as failed:
            raise Failed(f"{failed}\nits report: {self.report()}\n{self._errors.read_text()}") from None

    def finish(self):
        """Ends its input, waits for its end and returns the report."""
        self._process.stdin.close()
        self.wait_until(f"{self._name} ends", lambda: self._process.poll() == 0)
        return self.report()


FILES = {
    "ca": "ca.pem",
    "cert": "client.pem",
    "key": "client.key",
    "both": "both.pem",
    "signing_key": "AuthKey_SIMULATOR0.p8",
}
