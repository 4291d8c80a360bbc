"""tapns3 3.0.0, a fork of PyAPNs, as its documentation shows it."""

import json
import os
import struct
import sys
import time
from datetime import timezone
from ssl import SSLWantReadError

from apns import APNs, Frame, Payload


def say(**line):
    print(json.dumps(line), flush=True)


def gateway_of(plan, enhanced):
    apns = APNs(cert_file=plan["cert"], key_file=plan["key"], enhanced=enhanced)
    gateway = apns.gateway_server
    gateway.server, gateway.port = "127.0.0.1", plan["gateway_port"]
    return gateway


def simple(plan):
    """Command 0. The application reads the answer itself, where there is one."""
    gateway = gateway_of(plan, enhanced=False)
    for token, alert in zip(plan["tokens"], plan["alerts"]):
        gateway.send_notification(token, Payload(alert=alert))
    say(sent=len(plan["tokens"]))
    if plan["answered"]:
        say(answer=gateway.read(6).hex())


def enhanced(plan):
    """Command 1. A thread of the client reads the answers and sends again what followed."""
    gateway = gateway_of(plan, enhanced=True)

    def listener(response):
        say(refused=plan["tokens"][response["identifier"]], status=response["status"])

    gateway.register_response_listener(listener)
    for place, (token, alert) in enumerate(zip(plan["tokens"], plan["alerts"])):
        gateway.send_notification(token, Payload(alert=alert), identifier=place, expiry=plan["expiration"])
    sys.stdin.read()
    # The thread would notice a close only after ten seconds.
    os._exit(0)


def frame(plan):
    """Command 2, all in one frame. That starts no thread, so the application reads the answer and frames what followed.

    A single notification behind the frame would start the thread, but both would then use the connection at once: the
    thread comes with a lock of its own while the sender still holds the one before. Python crashes on that.
    """
    first = 0
    while first < len(plan["tokens"]):
        gateway = gateway_of(plan, enhanced=True)
        frame = Frame()
        for place in range(first, len(plan["tokens"])):
            payload = Payload(alert=plan["alerts"][place])
            frame.add_item(plan["tokens"][place], payload, place, plan["expiration"], 5)
        gateway.send_notification_multiple(frame)
        _, status, culprit = struct.unpack("!BBI", read_when_there(gateway))
        say(refused=plan["tokens"][culprit], status=status)
        first = culprit + 1


def read_when_there(gateway):
    for _ in range(3000):
        try:
            return gateway.read(6)
        except SSLWantReadError:
            time.sleep(0.01)
    raise TimeoutError("no answer to the frame")


def feedback(plan):
    apns = APNs(cert_file=plan["cert"], key_file=plan["key"])
    service = apns.feedback_server
    service.server, service.port = "127.0.0.1", plan["feedback_port"]
    for token, since in service.items():
        say(token=token.decode(), timestamp=int(since.replace(tzinfo=timezone.utc).timestamp()))


MODES = {"simple": simple, "enhanced": enhanced, "frame": frame, "feedback": feedback}

with open(sys.argv[2]) as file:
    MODES[sys.argv[1]](json.load(file))
