"""`apns bridge` in front of the simulator's HTTP/2 side, and what old clients deliver through it."""

import hashlib
import re
import shutil
import struct
import subprocess
from collections import Counter

from delivery import BAD_REQUEST, INVALID_TOKEN, KEY_ID, TEAM_ID, TOPIC, accepted, expect, expect_equal, refused
from foreign_servers import openssl
from simulator import Client, Running, Simulator, wait_until

COUNT = 2_000
# The first, the last, neighbours, and some between them.
BAD_PLACES = (0, 2, 3, 57, 400, 401, 402, 777, 1000, 1234, 1500, 1800, 1998, 1999)
GONE_PLACES = (1, 4, 100, 399, 403, 500, 999, 1001, 1400, 1700, 1900, 1997)
GONE = 410
GONE_SINCE = 1_700_000_000


class Bridge(Running):
    """Looks to clients like a gateway. When it has ended, what it took is settled, or on disk."""

    name = "bridge"
    listens = "the bridge's {}"
    ends_within = 60
    http2_port = None

    def __init__(self, simulator, errors="frame"):
        self._simulator = simulator
        self._errors = errors

    def _command(self):
        there = self._simulator.path
        command = ["bridge", "--host", "localhost", "--port", str(self._simulator.http2_port)]
        command += ["--ca", there / "ca.pem", "--p8", there / "AuthKey_SIMULATOR0.p8", "--key-id", KEY_ID]
        command += ["--team-id", TEAM_ID, "--topic", TOPIC, "--data", self.path / "data", "--errors", self._errors]
        return command + ["--listen", "127.0.0.1:0", "--feedback", "127.0.0.1:0"]

    def _is_ready(self):
        return self._port("push gateway") and self._port("feedback service")

    def _started(self):
        self.gateway_port = self._port("push gateway")
        self.feedback_port = self._port("feedback service")
        for name in ("client.pem", "client.key", "both.pem"):
            shutil.copy(self._simulator.path / name, self.path / name)
        shutil.copy(self._authority(), self.path / "ca.pem")

    def _authority(self):
        """What clients have to trust: the bridge's own."""
        return self.path / "data" / "bridge-tls" / "ca.pem"

    def recognised(self):
        """How many it took for what they were, sent again: it says so when it stops."""
        found = re.search(r"error responses, and (\d+) recognised that were sent again$", self.said(), re.MULTILINE)
        return int(found[1]) if found else 0


class RsaBridge(Bridge):
    """Has a server certificate of RSA, whose key is in one of the two forms of PEM."""

    def __init__(self, simulator, form):
        super().__init__(simulator)
        self._form = form

    def _command(self):
        key, server = self.path / "server.key", self.path / "server.pem"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=gateway.push.apple.com",
                "-addext", "subjectAltName=DNS:gateway.push.apple.com", "-keyout", key, "-out", server)
        if self._form == "PKCS#1":
            openssl("rsa", "-traditional", "-in", key, "-out", key)
        begin = {"PKCS#1": "-----BEGIN RSA PRIVATE KEY-----", "PKCS#8": "-----BEGIN PRIVATE KEY-----"}[self._form]
        expect(key.read_text().startswith(begin), f"openssl wrote another form than {self._form}")
        return super()._command() + ["--server-cert", server, "--server-key", key]

    def _authority(self):
        return self.path / "server.pem"

    def s_client(self, *options):
        """`openssl s_client` that trusts this bridge, and tells old protocols by their version like an old client."""
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.gateway_port}", "-quiet", "-verify_return_error"]
        command += ["-verify_hostname", "gateway.push.apple.com", "-CAfile", self.path / "server.pem"]
        command += ["-cert", self.path / "client.pem", "-key", self.path / "client.key", *options]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def rsa_check(form):
    """OpenSSL, kept to what its version 1.0 knew about RSA, delivers; what there is no way for is said in the log."""
    old = ["-tls1_2", "-sigalgs", "RSA+SHA512:RSA+SHA256:RSA+SHA1:ECDSA+SHA256", "-curves", "P-256"]
    suites = ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384")
    with Simulator() as simulator:
        with RsaBridge(simulator, form) as bridge:
            tokens = [hashlib.sha256(suite.encode()).digest() for suite in suites]
            for suite, token in zip(suites, tokens):
                payload = b'{"aps":{"alert":"Tea is ready"}}'
                client = bridge.s_client(*old, "-cipher", suite)
                client.stdin.write(struct.pack(">BIIH", 1, 1, 2_000_000_000, 32) + token)
                client.stdin.write(struct.pack(">H", len(payload)) + payload)
                client.stdin.flush()
                arrived = lambda: token.hex() in accepted(simulator.records())
                try:
                    wait_until(f"a notification arrives over {suite}", arrived)
                finally:
                    client.kill()
                    said, _ = client.communicate()
                expect("error" not in said.decode(errors="replace"), f"{suite}: {said}")
            suite = "it offers none of the cipher suites here: ECDHE-RSA with AES-GCM or ChaCha20"
            hopeless = {
                "RSA key exchange": (["-tls1_2", "-cipher", "AES128-GCM-SHA256:AES128-SHA"], suite),
                "CBC": (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-SHA256"], suite),
                "TLS 1.1": (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "its TLS is older than 1.2, the oldest that is spoken here"),
            }
            for name, (options, line) in hopeless.items():
                before = bridge.said().count("is not let in: ")
                client = bridge.s_client(*options)
                client.communicate(timeout=30)
                expect(client.returncode != 0, f"{name}: the client has nothing to complain about")
                # The same words for the same client are said once a minute.
                new = lambda: name == "CBC" or bridge.said().count("is not let in: ") > before
                # The client may hear of it before the log does.
                wait_until(f"{name}: the bridge says why", lambda: f"is not let in: {line}" in bridge.said() and new())
            bridge.stop()
        simulator.stop()
        expect_equal("accepted by the simulator", accepted(simulator.records()), Counter(token.hex() for token in tokens))
    return f"{len(suites)} suites of TLS 1.2 for RSA deliver; {', '.join(hopeless)} alone are turned away in plain words"


class BridgedDelivery:
    """Notifications for device tokens of which the service does not know some, and on some of which the app is gone."""

    def __init__(self, same_alert=False):
        self.tokens = [hashlib.sha256(f"device {n}".encode()).hexdigest() for n in range(COUNT)]
        self.bad = [self.tokens[place] for place in BAD_PLACES]
        self.gone = {self.tokens[place]: GONE_SINCE + place for place in GONE_PLACES}
        self.good = [token for token in self.tokens if token not in self.bad and token not in self.gone]
        unregistered = [{"token": token, "timestamp_ms": 1000 * at + 999} for token, at in self.gone.items()]
        self._script = {"invalid_tokens": self.bad, "http2": {"unregistered": unregistered}}
        alerts = ["Notification für dich 🎈"] * COUNT if same_alert else [f"Notification {n} für dich 🎈" for n in range(COUNT)]
        self._plan = {"tokens": self.tokens, "alerts": alerts, "expiration": 2_000_000_000}

    def check(self, program, mode):
        """Sends, reads feedback twice, and returns what was found right."""
        with Simulator(self._script) as simulator:
            with Bridge(simulator) as bridge:
                report = self._send(simulator, bridge, program, mode)
                for expected in (Counter(self.gone.items()), Counter()):
                    with Client(bridge, program, "feedback", {}) as client:
                        told = client.finish()
                    told = Counter((line["token"], line["timestamp"]) for line in told)
                    expect_equal("unregistered, as the client's feedback call tells", told, expected)
                bridge.stop()
                again = bridge.recognised()
            simulator.stop()
            records = simulator.records()
        expect(again > 0, "nothing was sent again, so there was nothing to recognise")
        expect_equal("accepted by the simulator", accepted(records), Counter(self.good))
        asked = Counter((token, BAD_REQUEST) for token in self.bad) + Counter((token, GONE) for token in self.gone)
        expect_equal("refused by the simulator", refused(records), asked)
        told = Counter((line["refused"], line["status"]) for line in report if "refused" in line)
        expect_equal("refused, as the client reports", told, Counter((token, INVALID_TOKEN) for token in self.bad))
        expect_equal("trouble that the client reports", [line for line in report if "trouble" in line], [])
        good, bad, gone = len(self.good), len(self.bad), len(self.gone)
        fates = f"{good} of {COUNT} delivered once each, {bad} refused with 8 and reported, {gone} read as feedback"
        return f"{fates}, {again} recognised that were sent again"

    def _send(self, simulator, bridge, program, mode):
        with Client(bridge, program, mode, self._plan) as client:

            def settled():
                records = simulator.records()
                reported = {line["refused"] for line in client.report() if "refused" in line}
                looked_at = {record["token"] for record in records}
                return looked_at >= set(self.tokens) and reported >= set(self.bad)

            client.wait_until("every notification is delivered or reported", settled)
            return client.finish()
