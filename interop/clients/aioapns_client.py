"""aioapns 4.0, as its documentation shows it. Host and port are attributes of a class."""

import asyncio
import json
import ssl
import sys
from pathlib import Path

from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol


def say(**line):
    print(json.dumps(line), flush=True)


async def send(plan, credentials):
    """Everything at once; the client keeps to the stream limit."""
    APNsProductionClientProtocol.APNS_SERVER = "127.0.0.1"
    APNsProductionClientProtocol.APNS_PORT = plan["http2_port"]
    # Its own context does not know the simulator's authority and asks for no protocol.
    context = ssl.create_default_context(cafile=plan["ca"])
    context.set_alpn_protocols(["h2"])
    service = APNs(**credentials, topic=plan["topic"], ssl_context=context, max_connections=1)

    async def one(token, alert):
        message = {"aps": {"alert": alert}}
        request = NotificationRequest(token, message, priority=5, push_type=PushType.ALERT, time_to_live=3600)
        try:
            result = await service.send_notification(request)
        except Exception as error:
            say(trouble=repr(error), device=token)
            return
        if result.is_successful:
            say(accepted=token)
        else:
            say(refused=token, status=int(result.status), reason=result.description)

    await asyncio.gather(*map(one, plan["tokens"], plan["alerts"]))


with open(sys.argv[2]) as file:
    plan = json.load(file)
CREDENTIALS = {
    "certificate": lambda: {"client_cert": plan["both"]},
    "token": lambda: {
        "key": Path(plan["signing_key"]).read_text(),
        "key_id": plan["key_id"],
        "team_id": plan["team_id"],
    },
}
asyncio.run(send(plan, CREDENTIALS[sys.argv[1]]()))
