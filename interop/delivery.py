"""What a client is given to send, and what has to become of it."""

import hashlib
import sys
from collections import Counter

from simulator import Client, Failed, Simulator

COUNT = 200
# The first, the last, neighbours, and some between them.
BAD_PLACES = (0, 2, 3, 57, 120, 121, 122, 180, 199)
INVALID_TOKEN = 8
BAD_REQUEST = 400
# What the simulator's certificate and signing key are for.
TOPIC = "com.example.app"
KEY_ID = "SIMULATOR0"
TEAM_ID = "TEAMID0000"


class Delivery:
    """Notifications for device tokens of which the service does not know some."""

    def __init__(self, count=COUNT, bad_places=BAD_PLACES):
        self.tokens = [hashlib.sha256(f"device {n}".encode()).hexdigest() for n in range(count)]
        self.bad = [self.tokens[place] for place in bad_places]
        self.good = [token for token in self.tokens if token not in self.bad]
        self.script = {"invalid_tokens": self.bad}
        self.plan = {
            "tokens": self.tokens,
            # More than ASCII, so that bytes and characters are not the same number.
            "alerts": [f"Notification {n} für dich 🎈" for n in range(count)],
            "expiration": 2_000_000_000,
        }

    def run(self, program, mode, max_tls="1.3"):
        """Lets a client send until everything has its fate, and returns the simulator's log and the client's report."""
        with Simulator(self.script, max_tls) as simulator, Client(simulator, program, mode, self.plan) as client:

            def settled():
                records = simulator.records()
                refused = {line["refused"] for line in client.report() if "refused" in line}
                accepted = {record["token"] for record in records if record["accepted"]}
                return accepted >= set(self.good) and refused >= set(self.bad)

            client.wait_until("every notification is accepted or refused", settled)
            report = client.finish()
            simulator.stop()
            return simulator.records(), report

    def expect_fates(self, records, report):
        """Each good one was taken once, each bad one refused once, and the client knows it."""
        expect_equal("accepted by the simulator", accepted(records), Counter(self.good))
        bad = Counter((token, INVALID_TOKEN) for token in self.bad)
        expect_equal("refused by the simulator", refused(records), bad)
        reported = Counter((line["refused"], line["status"]) for line in report if "refused" in line)
        expect_equal("refused, as the client reports", reported, bad)
        expect_equal("trouble that the client reports", [line for line in report if "trouble" in line], [])
        expect_answers_end_connections(records)

    def expect_resent_in_order(self, records):
        """Each connection begins with what followed the bad one of the connection before."""
        expect_equal("order of arrival", [record["token"] for record in records], self.tokens)
        connection = 1
        for record in records:
            expect_equal(f"connection of arrival {record['seq']}", record["connection"], connection)
            connection += not record["accepted"]

    def expect_alerts(self, records):
        """Every payload arrived as it was meant."""
        alerts = dict(zip(self.tokens, self.plan["alerts"]))
        for record in records:
            alert = record["payload"]["aps"]["alert"]
            expect_equal(f"alert of arrival {record['seq']}", alert, alerts[record["token"]])


def http2_checks(name, program, expiration):
    """The checks of a client of the provider API, one for each kind of credential."""

    def certificate():
        return check("certificate", "certificate")

    def token():
        return check("token", {"token": {"key_id": KEY_ID, "team_id": TEAM_ID}})

    def check(mode, authenticated_by):
        delivery = Delivery()
        delivery.plan |= {"topic": TOPIC, "key_id": KEY_ID, "team_id": TEAM_ID}
        with Simulator(delivery.script) as simulator:
            with Client(simulator, program, mode, delivery.plan) as client:
                report = client.finish()
            simulator.stop()
            records = simulator.records()
        bad = Counter((token, BAD_REQUEST) for token in delivery.bad)
        expect_equal("trouble that the client reports", [line for line in report if "trouble" in line], [])
        expect_equal("accepted by the simulator", accepted(records), Counter(delivery.good))
        expect_equal("refused by the simulator", refused(records), bad)
        told = Counter(line["accepted"] for line in report if "accepted" in line)
        expect_equal("accepted, as the client reports", told, Counter(delivery.good))
        told = Counter((line["refused"], line["status"]) for line in report if "refused" in line)
        expect_equal("refused, as the client reports", told, bad)
        reasons = {line["reason"] for line in report if "refused" in line}
        expect_equal("reasons that the client reports", reasons, {"BadDeviceToken"})
        delivery.expect_alerts(records)
        expect_each(records, topic=TOPIC, push_type="alert", priority=5, authenticated_by=authenticated_by)
        for record in records:
            expect(expiration(record["expiration"], delivery.plan), f"expiration of arrival {record['seq']}")
        fates = f"{len(delivery.good)} accepted once each, {len(bad)} refused as BadDeviceToken and reported"
        return f"{name}, HTTP/2 with {mode}: {fates}"

    return certificate, token


class Feedback:
    """Records of the feedback service: more than fit into what clients read at once."""

    def __init__(self, count=300):
        tokens = [hashlib.sha256(f"gone {n}".encode()).hexdigest() for n in range(count)]
        self.records = [{"token": token, "timestamp": 1_700_000_000 + n} for n, token in enumerate(tokens)]
        self.script = {"feedback": {"records": self.records}}

    def check(self, program, max_tls="1.3"):
        """Reads twice: all records, then none, for reading clears the list."""
        with Simulator(self.script, max_tls) as simulator:
            for expected in (self.records, []):
                with Client(simulator, program, "feedback", {}) as client:
                    report = client.finish()
                expect_equal("feedback records", report, expected)
        return len(self.records)


def accepted(records):
    """How often something was taken for each device token."""
    return Counter(record["token"] for record in records if record["accepted"])


def refused(records):
    """How often which device token was refused with which status."""
    return Counter((record["token"], record["status"]) for record in records if not record["accepted"])


def expect_answers_end_connections(records):
    """An error response is the last word on its connection."""
    ended = set()
    for record in records:
        expect(record["connection"] not in ended, f"arrival {record['seq']} came after the error response")
        if not record["accepted"]:
            ended.add(record["connection"])


def expect_each(records, **fields):
    """Every record has these values."""
    for record in records:
        for name, value in fields.items():
            expect_equal(f"{name} of arrival {record['seq']}", record[name], value)


def expect_equal(what, found, expected):
    """Both are the same; says where they are not."""
    if found == expected:
        return
    if isinstance(found, Counter) and isinstance(expected, Counter):
        raise Failed(f"{what}: too many: {short(found - expected)}; missing: {short(expected - found)}")
    raise Failed(f"{what}: found {short(found)}, expected {short(expected)}")


def short(value):
    """Its beginning and how much there is of it."""
    if isinstance(value, Counter):
        return f"{value.total()} such as {value.most_common(3)}" if value else "none"
    text = repr(value)
    return text if len(text) <= 1000 else f"{text[:1000]}… ({len(text)} characters)"


def expect(condition, what):
    """It holds."""
    if not condition:
        raise Failed(what)


def main(*checks):
    """Runs functions that return what they found right, up to the first that fails."""
    for check in checks:
        try:
            print(f"ok {check()}", flush=True)
        except Failed as failed:
            name = check.__name__.replace("_", " ")
            print(f"failed {sys.argv[0].rsplit('/', 1)[-1]}, {name}: {failed}", flush=True)
            sys.exit(1)
