"""A server on Python's h2 that changes its SETTINGS at random while requests come in.

It takes every push whose body arrived whole, and writes down its path. h2 applies the settings of its first unacknowledged
frame with the acknowledgement of any, so only one is under way at a time.
"""

import json
import random
import socket
import ssl
import sys
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
from h2.settings import SettingCodes

LENGTH = int(sys.argv[4])
# A change for so many requests, at the least.
CHANGE_EVERY = 20


class Connection:
    def __init__(self, stream, random_source, log):
        self._stream, self._random, self._log = stream, random_source, log
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._requests = {}
        self._since_change, self._acknowledged = 0, True

    def serve(self):
        self._h2.initiate_connection()
        self._acknowledged = False
        self._send()
        while data := self._stream.recv(65536):
            for event in self._h2.receive_data(data):
                self._handle(event)
            self._send()

    def _send(self):
        if data := self._h2.data_to_send():
            self._stream.sendall(data)

    def _handle(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self._requests[event.stream_id] = (dict(event.headers)[b":path"].decode(), bytearray())
        elif isinstance(event, h2.events.DataReceived):
            if event.stream_id in self._requests:
                self._requests[event.stream_id][1].extend(event.data)
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._answer(event.stream_id, *self._requests.pop(event.stream_id))
        elif isinstance(event, h2.events.StreamReset):
            self._requests.pop(event.stream_id, None)
        elif isinstance(event, h2.events.SettingsAcknowledged):
            self._acknowledged = True
            self._open_windows()

    def _answer(self, stream_id, path, body):
        whole = len(json.loads(body)["aps"]["alert"]["body"]) == LENGTH
        status = "200" if whole else "500"
        self._h2.send_headers(stream_id, [(":status", status), ("apns-id", "00000000-0000-0000-0000-000000000000")], end_stream=True)
        if whole:
            self._log.write(f"POST {path}\n")
            self._log.flush()
        self._since_change += 1
        if self._acknowledged and self._since_change >= CHANGE_EVERY:
            self._change()

    def _open_windows(self):
        """Where a smaller initial window left a stream without any, h2 waits for bytes that may not come."""
        initial = self._h2.local_settings.initial_window_size
        for stream_id in self._requests:
            missing = initial - self._h2.remote_flow_control_window(stream_id)
            if missing > 0:
                self._h2.increment_flow_control_window(missing, stream_id)

    def _change(self):
        """Some of the settings, never all, in an order of their own."""
        choices = {
            SettingCodes.MAX_CONCURRENT_STREAMS: self._random.choice([1, 2, 7, 100, 1000]),
            SettingCodes.INITIAL_WINDOW_SIZE: self._random.choice([256, 1000, 16384, 65535, 1 << 20]),
            SettingCodes.HEADER_TABLE_SIZE: self._random.choice([0, 64, 100, 200, 4096, 65536]),
            SettingCodes.MAX_FRAME_SIZE: self._random.choice([16384, 20000, 1 << 20]),
        }
        chosen = self._random.sample(list(choices.items()), self._random.randint(1, 3))
        self._h2.update_settings(dict(chosen))
        self._since_change, self._acknowledged = 0, False


def main():
    key, certificate, log, _, seed = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listens at {listener.getsockname()[1]}", flush=True)
    with open(log, "w") as out:
        for number in range(1 << 30):
            tcp, _ = listener.accept()
            threading.Thread(target=serve, args=(context, tcp, random.Random(f"{seed} {number}"), out), daemon=True).start()


def serve(context, tcp, random_source, log):
    try:
        with context.wrap_socket(tcp, server_side=True) as stream:
            Connection(stream, random_source, log).serve()
    except (ssl.SSLError, ConnectionError):
        # A client that leaves in the middle is its own affair.
        pass


main()
