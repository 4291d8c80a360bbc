"""pyapns's way of working, as a yardstick: `notify` answers as soon as its bytes are with the socket.

usage: hand_to_socket.py PORT GATEWAY_PORT CERTIFICATE KEY

Twisted, one connection to the gateway, command 0, no storage, no outcomes: what pyapns 0.4.1 does, written anew for
today's Python. Nothing of it should be used to send anything.
"""

import json
import struct
import sys

from twisted.internet import endpoints, protocol, reactor, ssl
from twisted.web import server, xmlrpc


class Gateway(protocol.Protocol):
    def dataReceived(self, data):
        sys.exit("the gateway answered, which it does only to refuse")


class Interface(xmlrpc.XMLRPC):
    def __init__(self, gateway):
        super().__init__(allowNone=True)
        self.gateway = gateway

    def xmlrpc_notify(self, app, token, payload):
        token = bytes.fromhex(token)
        payload = json.dumps(payload, separators=(",", ":")).encode()
        frame = struct.pack("!BH32sH", 0, 32, token, len(payload)) + payload
        self.gateway.transport.write(frame)


def main():
    port, gateway_port, certificate, key = sys.argv[1:]
    with open(certificate, "rb") as file, open(key, "rb") as other:
        own = ssl.PrivateCertificate.loadPEM(file.read() + other.read())
    target = endpoints.SSL4ClientEndpoint(reactor, "127.0.0.1", int(gateway_port), own.options())

    def connected(gateway):
        reactor.listenTCP(int(port), server.Site(Interface(gateway)), interface="127.0.0.1")
        print("ready", flush=True)

    endpoints.connectProtocol(target, Gateway()).addCallbacks(connected, lambda why: sys.exit(str(why)))
    reactor.run()


main()
