"""apns-client 0.2.1, as its documentation shows it: send, look at the result, send the retry."""

import json
import sys
from datetime import timezone

from OpenSSL import SSL

# The client asks for SSL 3 and nothing else, which OpenSSL no longer has.
SSL.SSLv3_METHOD = SSL.TLS_CLIENT_METHOD

from apnsclient import APNs, Message, Session  # noqa: E402: after the line above


def say(**line):
    print(json.dumps(line), flush=True)


def send(plan):
    """One message for all device tokens. The client sends command 2 and calls each by its place."""
    session = Session()
    connection = session.get_connection(("127.0.0.1", plan["gateway_port"]), cert_file=plan["both"])
    service = APNs(connection)
    message = Message(plan["tokens"], alert=plan["alerts"][0], expiry=plan["expiration"], priority=5)
    while message is not None:
        result = service.send(message)
        for token, (status, _) in result.failed.items():
            say(refused=token, status=status)
        for error in result.errors:
            say(trouble=error)
        message = result.retry()
    say(sent=len(plan["tokens"]))


def feedback(plan):
    connection = Session().new_connection(("127.0.0.1", plan["feedback_port"]), cert_file=plan["both"])
    for token, since in APNs(connection).feedback():
        # It gives local time without saying so.
        say(token=token.decode(), timestamp=int(since.astimezone(timezone.utc).timestamp()))


MODES = {"send": send, "feedback": feedback}

with open(sys.argv[2]) as file:
    MODES[sys.argv[1]](json.load(file))
