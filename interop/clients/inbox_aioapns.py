"""aioapns 4.0 sends what it is given: one push of each kind. Push types that it has no name for are given by their word."""

import asyncio
import json
import ssl
import sys
from pathlib import Path
from types import SimpleNamespace

from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol


def push_type(word):
    known = {one.value: one for one in PushType}
    return known.get(word) or SimpleNamespace(value=word)


async def main(plan):
    APNsProductionClientProtocol.APNS_SERVER = "127.0.0.1"
    APNsProductionClientProtocol.APNS_PORT = plan["http2_port"]
    context = ssl.create_default_context(cafile=plan["ca"])
    context.set_alpn_protocols(["h2"])
    key = {"key": Path(plan["signing_key"]).read_text(), "key_id": plan["key_id"], "team_id": plan["team_id"]}
    # It has one topic for each connection.
    for push in plan["pushes"]:
        service = APNs(**key, topic=push["topic"], ssl_context=context, max_connections=1)
        request = NotificationRequest(
            plan["token"], push["payload"], priority=push["priority"], push_type=push_type(push["type"]),
            collapse_key=push.get("collapse_id"),
        )
        result = await service.send_notification(request)
        said = {"accepted": push["kind"]} if result.is_successful else {"trouble": result.description, "kind": push["kind"]}
        print(json.dumps(said), flush=True)


with open(sys.argv[2]) as file:
    asyncio.run(main(json.load(file)))
