#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs for both ends of connections through a user's daemon, good ones and all others. Run on
the machines by tests; each prints one line of JSON.

    hostile.py serve PORT                      what a connection's first line says, see Served
    hostile.py full PORT                       listens, and never accepts
    hostile.py load GONE COUNT PARALLEL        connections of every kind of KINDS
    hostile.py ask NAME=HEX...                 SOCKS requests at once: replies and seconds
    hostile.py hold COUNT                      as many as there can be, until it is killed
    hostile.py wait PORT                       connects, and does nothing more
    hostile.py silent                          never finishes its handshake
    hostile.py send HOST                       sends until it fails; "." when 10 MB were taken
"""

import asyncio
import collections
import json
import socket
import struct
import sys
import time

PROXY = ("127.0.0.1", 1080)
HOST, PORT = "10.0.0.1", 7001
PATIENCE = 60  # seconds any one connection of the load may take
MB = 1_000_000
RESET = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# -- the bytes --

def request(host, port, command=1):
    """RFC 1928 section 4, with the greeting before it."""
    try:
        address = b"\x01" + socket.inet_pton(socket.AF_INET, host)
    except OSError:
        try:
            address = b"\x04" + socket.inet_pton(socket.AF_INET6, host)
        except OSError:
            address = b"\x03" + bytes([len(host)]) + host.encode()
    return b"\x05\x01\x00\x05" + bytes([command]) + b"\x00" + address + struct.pack("!H", port)


def reset(s):
    s.setsockopt(*RESET)
    s.close()


class Connection:
    """One through the proxy. Closed at the end of its "async with"."""

    async def __aenter__(self):
        self.loop = asyncio.get_running_loop()
        self.s = socket.socket()
        self.s.setblocking(False)
        await self.loop.sock_connect(self.s, PROXY)
        return self

    async def __aexit__(self, *_):
        self.s.close()

    async def send(self, data):
        await self.loop.sock_sendall(self.s, data)

    async def read(self, n):
        data = b""
        while len(data) < n:
            part = await self.loop.sock_recv(self.s, n - len(data))
            if not part:
                raise EOFError(f"{len(data)} bytes of {n}")
            data += part
        return data

    async def read_end(self):
        n = 0
        while part := await self.loop.sock_recv(self.s, 65536):
            n += len(part)
        return n

    async def reply(self):
        """The greeting's answer and that of the request."""
        assert await self.read(2) == b"\x05\x00"
        head = await self.read(4)
        assert head[0] == 5 and head[2] == 0, head
        await self.read({1: 4, 4: 16}[head[3]] + 2)
        return head[1]

    async def dial(self, host, port, expected=0):
        await self.send(request(host, port))
        reply = await self.reply()
        assert reply == expected, f"reply {reply} for {host} port {port}"


# -- the server --

class Served(asyncio.Protocol):
    """"answer N": N bytes, and waits for the end; "finish N": ends first; "count 0": how many
    bytes until the client's end; "reset N": a reset when N bytes have come; "dots 0": one for each MB."""

    def connection_made(self, transport):
        self.transport, self.kind, self.buffer, self.n = transport, None, b"", 0

    def data_received(self, data):
        self.n += len(data)
        if self.kind == "dots":
            while self.dots < self.n // MB:
                self.dots += 1
                self.transport.write(b".")
        if self.kind == "reset" and self.n >= self.size:
            self.transport.get_extra_info("socket").setsockopt(*RESET)
            self.transport.abort()
        if self.kind:
            return
        self.buffer += data
        line, newline, rest = self.buffer.partition(b"\n")
        if not newline:
            return
        self.n, self.dots = len(rest), 0
        self.kind, size = line.decode().split()
        self.size = int(size)
        if self.kind in ("answer", "finish"):
            self.transport.write(b"x" * self.size)
        if self.kind == "finish":
            self.transport.close()

    def eof_received(self):
        if self.kind == "count":
            self.transport.write(b"%d\n" % self.n)


async def serve(port):
    server = await asyncio.get_running_loop().create_server(Served, None, int(port), backlog=512)
    await server.serve_forever()


async def full(port):
    s = socket.create_server(("", int(port)), backlog=0)
    await asyncio.get_running_loop().create_future()
    s.close()


# -- the load --

async def client_ends_first(c, gone):
    await c.dial(HOST, PORT)
    await c.send(b"answer 1000\n")
    await c.read(1000)


async def server_ends_first(c, gone):
    await c.dial(HOST, PORT)
    await c.send(b"finish 5000\n")
    assert await c.read_end() == 5000


async def half_close(c, gone):
    await c.dial(HOST, PORT)
    await c.send(b"count 0\n" + b"y" * 3000)
    c.s.shutdown(socket.SHUT_WR)
    assert await c.read(5) == b"3000\n" and await c.read_end() == 0


async def http(c, gone):
    await c.send(f"CONNECT {HOST}:{PORT} HTTP/1.1\r\n\r\nfinish 100\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await c.read(1)
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert await c.read_end() == 100


async def client_resets(c, gone):
    await c.dial(HOST, PORT)
    await c.send(b"answer 300000\n")
    await c.read(1000)
    reset(c.s)


async def server_resets(c, gone):
    # With data on the way: a reset that is lost, as packets are, comes again.
    await c.dial(HOST, PORT)
    await c.send(b"reset 100000\n")
    try:
        while True:
            await c.send(b"z" * 20000)
    except (ConnectionResetError, BrokenPipeError):
        pass


async def says_nothing(c, gone):
    pass


async def leaves_in_handshake(c, gone):
    await c.send(request(HOST, PORT)[:7])
    await c.read(2)


async def resets_in_handshake(c, gone):
    await c.send(request(HOST, PORT)[:5])
    reset(c.s)


async def leaves_while_dialing(c, gone):
    await c.send(request(gone, PORT))
    await c.read(2)


async def refused(c, gone):
    await c.dial(HOST, 7, 5)


async def unknown_address(c, gone):
    await c.dial("10.0.77.77", PORT, 4)


async def unknown_name(c, gone):
    await c.dial("nobody.omerta", PORT, 4)


KINDS = [client_ends_first, server_ends_first, half_close, http, client_resets, server_resets,
         says_nothing, leaves_in_handshake, resets_in_handshake, leaves_while_dialing, refused,
         unknown_address, unknown_name]


async def load(gone, count, parallel):
    done, wrong = collections.Counter(), []
    numbers = iter(range(int(count)))

    async def one(kind):
        async with Connection() as c:
            await kind(c, gone)

    async def worker():
        for i in numbers:
            kind = KINDS[i % len(KINDS)]
            try:
                await asyncio.wait_for(one(kind), PATIENCE)
                done[kind.__name__] += 1
            except Exception as e:  # whatever it is, it is told
                wrong.append(f"{kind.__name__}: {type(e).__name__}: {e}")

    await asyncio.gather(*[worker() for _ in range(int(parallel))])
    return {"done": done, "kinds": len(KINDS), "wrong": len(wrong), "first": wrong[:5]}


# -- single cases --

async def ask(*cases):
    """A request that is answered with 0 is followed by an exchange."""

    async def one(data):
        start = time.monotonic()
        async with Connection() as c:
            await c.send(bytes.fromhex(data))
            reply = await c.reply()
            if reply == 0:
                await c.send(b"finish 10\n")
                assert await c.read_end() == 10
            return reply, time.monotonic() - start

    named = [case.split("=") for case in cases]
    results = await asyncio.gather(*[one(data) for _, data in named])
    return {name: result for (name, _), result in zip(named, results)}


async def silent():
    start = time.monotonic()
    async with Connection() as c:
        await c.send(b"\x05\x01")
        assert await c.read_end() == 0
        return time.monotonic() - start


async def wait(port):
    async with Connection() as c:
        await c.dial(HOST, int(port))
        print("connected", flush=True)
        await asyncio.get_running_loop().create_future()


async def hold(count):
    """Holds those that are let in, and says what the others met."""
    met = collections.Counter()
    held = []

    async def one():
        c = await Connection().__aenter__()
        try:
            await c.send(request(HOST, PORT))
            reply = await c.reply()
            met[f"reply {reply}"] += 1
            if reply == 0:
                await c.send(b"answer 10\n")
                await c.read(10)
                held.append(c)
                return
        except (EOFError, OSError):
            met["closed"] += 1
        c.s.close()

    # At once, and one after the other.
    await asyncio.gather(*[one() for _ in range(int(count) // 2)])
    for _ in range(int(count) // 2):
        await one()
    print(json.dumps(met), flush=True)
    await asyncio.get_running_loop().create_future()


async def send(host):
    async with Connection() as c:
        await c.dial(host, PORT)
        await c.send(b"dots 0\n")

        async def upload():
            while True:
                await c.send(b"z" * 65536)

        uploading = asyncio.ensure_future(upload())
        await c.read(10)
        print(".", flush=True)
        start = time.monotonic()
        try:
            await c.read_end()
            end = "end"
        except OSError as e:
            end = type(e).__name__
        uploading.cancel()
        return end, time.monotonic() - start


if __name__ == "__main__":
    result = asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
    print(json.dumps(result), flush=True)
