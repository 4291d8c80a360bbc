"""Header blocks of our encoder, and what nghttp2 and Python's hpack read in them."""

import collections
import ctypes
import ctypes.util
import json
import os
import subprocess

import hpack

from simulator import Failed

# Over four kinds of requests.
COUNT = 8000
# The first table of a connection (RFC 9113 section 6.5.2).
TABLE = 4096


class PythonHpack:
    name = "Python's hpack"

    def __init__(self):
        self._decoder = hpack.Decoder()

    def set_table(self, size):
        self._decoder.max_allowed_table_size = size

    def read(self, block):
        return [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]


class Field(ctypes.Structure):
    """`nghttp2_nv`."""

    _fields_ = [("name", ctypes.c_void_p), ("value", ctypes.c_void_p), ("namelen", ctypes.c_size_t),
                ("valuelen", ctypes.c_size_t), ("flags", ctypes.c_uint8)]


class Nghttp2:
    """`nghttp2_hd_inflate_*` of the library that nghttpd brings along."""

    name = "nghttp2"
    EMITS, ENDS = 2, 1

    def __init__(self):
        self._library = ctypes.CDLL(ctypes.util.find_library("nghttp2") or "libnghttp2.so.14")
        self._library.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t
        self._inflater = ctypes.c_void_p()
        self._expect(self._library.nghttp2_hd_inflate_new(ctypes.byref(self._inflater)))

    def _expect(self, status):
        if status < 0:
            raise Failed(f"nghttp2 says {status}")
        return status

    def set_table(self, size):
        self._expect(self._library.nghttp2_hd_inflate_change_table_size(self._inflater, ctypes.c_size_t(size)))

    def read(self, block):
        fields, field, flags = [], Field(), ctypes.c_int()
        rest = block
        while True:
            read = self._expect(self._library.nghttp2_hd_inflate_hd2(
                self._inflater, ctypes.byref(field), ctypes.byref(flags), rest, ctypes.c_size_t(len(rest)), 1))
            rest = rest[read:]
            if flags.value & self.EMITS:
                fields.append((ctypes.string_at(field.name, field.namelen), ctypes.string_at(field.value, field.valuelen)))
            if flags.value & self.ENDS:
                self._library.nghttp2_hd_inflate_end_headers(self._inflater)
                return fields
            if not rest and not flags.value & self.EMITS:
                raise Failed("nghttp2 waits for more of a whole block")

    def __del__(self):
        self._library.nghttp2_hd_inflate_del(self._inflater)


def updates_in(block):
    """How many dynamic table size updates a block begins with (RFC 7541 section 6.3)."""
    count, at = 0, 0
    while block[at] & 0xe0 == 0x20:
        count += 1
        at += 1
        if block[at - 1] & 0x1f == 0x1f:
            while block[at] & 0x80:
                at += 1
            at += 1
    return count


def lines(count, seed):
    ran = subprocess.run([os.environ["HEADER_BLOCKS"], str(count), str(seed)], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=300)
    if ran.returncode != 0:
        raise Failed(f"header_blocks ended with status {ran.returncode}:\n{ran.stderr[-2000:]}")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def check(decoder_type, told):
    decoder, tables, blocks, updates, connection = None, collections.Counter(), 0, 0, None
    table = TABLE
    for line in told:
        if "connection" in line:
            connection, decoder, table = line["connection"], decoder_type(), TABLE
        elif "table" in line:
            table = line["table"]
            decoder.set_table(table)
        else:
            block = bytes.fromhex(line["block"])
            meant = [(name.encode(), value.encode()) for name, value in line["fields"]]
            # Their order is the encoder's choice, but the pseudo-header fields come first.
            read = decoder.read(block)
            if sorted(read) != sorted(meant) or [name for name, _ in read[:4] if not name.startswith(b":")]:
                raise Failed(f"{decoder_type.name} reads {read} in {line['block']} ({connection}), meant is {meant}")
            blocks += 1
            updates += updates_in(block)
            tables[table] += 1
    if blocks < COUNT or updates < 250 or len(tables) < 5:
        raise Failed(f"too little was tried: {blocks} blocks, {updates} updates, tables {dict(tables)}")
    print(f"ok {decoder_type.name}: {blocks} header blocks say what they mean, with tables of "
          f"{', '.join(map(str, sorted(tables)))} bytes and {updates} changes among them", flush=True)


def all_decoders():
    told = lines(COUNT, int(os.environ.get("INTEROP_SEED", 1)))
    for decoder_type in (PythonHpack, Nghttp2):
        check(decoder_type, told)
