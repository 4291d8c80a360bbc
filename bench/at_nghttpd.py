#!/usr/bin/env python3
"""The client, the minimal loop on the h2 crate, h2load and the limit, one after the other at the same nghttpd.

    bench/at_nghttpd.py [ROUNDS] [BIN] [STREAMS]

Each round is made with bodies of 100 and of 2048 bytes and with so many requests in flight (100,1000).

Wants Debian's nghttp2-server and nghttp2-client, and release builds in BIN (target/release). Prints a line of JSON for
each measurement, as `apns bench` does.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "interop"))

from foreign_servers import Server, free_port, make_certificates  # noqa: E402

COUNT = 50_000
# What the senders send before their clocks run, counted down from the largest number.
WARM_UP = 200
MASK = (1 << 64) - 1


def token(number):
    """The device token with this number, as all senders make it."""
    digits, state = "", number
    for _ in range(4):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        digits += f"{mixed ^ (mixed >> 31):016x}"
    return f"{digits[:56]}{number:08x}"


def measure(binaries, path, port, payload, streams):
    task = {"protocol": "http2", "what": "throughput", "count": COUNT, "payload": payload, "distinct": False,
            "connections": 1, "port": port, "certs": str(path)}
    for sender in ("apns", "h2-loop", "h2load", "h2-bytes"):
        # It opens a hundred before it looks at what the server allows, and those above the limit are refused.
        if sender == "h2load" and streams < 100:
            continue
        program = [binaries / "apns", "bench"] if sender == "apns" else [binaries / "apns-yardsticks", sender]
        command = [*map(str, program), "--task", json.dumps(task)]
        row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        if row["accepted"] != COUNT:
            sys.exit(f"{sender}: {row['accepted']} of {COUNT} were accepted")
        del row["task"]["certs"]
        row["streams"] = streams
        print(json.dumps(row), flush=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    binaries = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "target" / "release"
    in_flight = [int(streams) for streams in (sys.argv[3] if len(sys.argv) > 3 else "100,1000").split(",")]
    # In memory, so that no disk is measured.
    with tempfile.TemporaryDirectory(prefix="apns-bench-", dir="/dev/shm") as directory:
        path = Path(directory)
        make_certificates(path)
        # It answers 200 where there is a file.
        pages = path / "pages" / "3" / "device"
        pages.mkdir(parents=True)
        for number in [*range(COUNT), *(2**32 - 1 - n for n in range(WARM_UP))]:
            (pages / token(number)).touch()
        servers = {streams: server(path, streams) for streams in in_flight}
        with contextlib.ExitStack() as stack:
            for started, _ in servers.values():
                stack.enter_context(started)
            for _ in range(rounds):
                for streams, (_, port) in servers.items():
                    for payload in (100, 2048):
                        measure(binaries, path, port, payload, streams)


def server(path, streams):
    """An nghttpd that allows so many streams, and its port."""
    port = free_port()
    command = ["nghttpd", "-m", streams, "-d", path / "pages", "-a", "127.0.0.1", port, path / "server.key", path / "server.pem"]
    return Server(path, command, port), port


if __name__ == "__main__":
    main()
