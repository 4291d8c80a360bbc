"""A provider API on Python's h2, which judges the provider token of each request that has one."""

import base64
import collections
import json
import socket
import ssl
import threading
import time
from email.utils import formatdate

import h2.config
import h2.connection
import h2.events

# Providers that sent no other apns-id get this one.
NO_ID = "00000000-0000-0000-0000-000000000000"


def right_clock(issued_at):
    """What the service says of a token of this age: nothing, or the reason of a refusal."""
    age = time.time() - issued_at
    if age < -60:
        return "InvalidProviderToken"
    return "ExpiredProviderToken" if age > 3600 else None


class ProviderApi:
    """Listens on loopback until the process ends. `judge` gets a token's `iat` and returns the reason of a refusal. With
    `clients`, a file of authorities, it wants a certificate from one of them."""

    def __init__(self, certificates, judge=right_clock, clients=None):
        self.judge = judge
        # Headers and body of each request.
        self.requests = []
        self.connections = 0
        self.refused = collections.Counter()
        self.accepted = collections.Counter()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        self._context.set_alpn_protocols(["h2"])
        if clients:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(clients)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            tcp, _ = self._listener.accept()
            self.connections += 1
            threading.Thread(target=self._serve, args=(tcp,), daemon=True).start()

    def _serve(self, tcp):
        try:
            with self._context.wrap_socket(tcp, server_side=True) as stream:
                self._converse(stream)
        except OSError:
            # A client that leaves in the middle is its own affair.
            pass

    def _converse(self, stream):
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        stream.sendall(connection.data_to_send())
        requests = {}
        while data := stream.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    requests[event.stream_id] = (dict(event.headers), bytearray())
                elif isinstance(event, h2.events.DataReceived):
                    requests[event.stream_id][1].extend(event.data)
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self._answer(connection, event.stream_id, *requests.pop(event.stream_id))
            stream.sendall(connection.data_to_send())

    def _answer(self, connection, stream, headers, body):
        self.requests.append((headers, bytes(body)))
        reason = None
        if "authorization" in headers:
            claims = headers["authorization"].removeprefix("bearer ").split(".")[1]
            reason = self.judge(json.loads(base64.urlsafe_b64decode(claims + "=="))["iat"])
        answer = [(":status", "403" if reason else "200"), ("apns-id", headers.get("apns-id", NO_ID))]
        answer.append(("date", formatdate(usegmt=True)))
        connection.send_headers(stream, answer, end_stream=not reason)
        if reason:
            self.refused[reason] += 1
            connection.send_data(stream, json.dumps({"reason": reason}).encode(), end_stream=True)
        else:
            self.accepted[headers[":path"].rsplit("/", 1)[1]] += 1
