#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""DNS over UDP, as little of it as a test needs (RFC 1035), and a client of SOCKS5's UDP ASSOCIATE
(RFC 1928 section 7). Prints JSON.

    dns.py serve PORT ADDRESS                  answers every question for an A record with it
    dns.py zone PORT FILE                      knows what FILE says at that moment, "NAME ADDRESS" a line;
                                               prints the names that are asked for
    dns.py ask [SERVER PORT NAME]...           one association, questions at once; prints answers
    dns.py hostile SERVER PORT                 datagrams that must not arrive, then one question
    dns.py keep                                an association that lasts until it is killed
"""

import json
import socket
import struct
import sys

PROXY = ("127.0.0.1", 1080)
FLAG_ANSWER, NAME_ERROR, TYPE_A, CLASS_IN, POINTER = 0x8180, 3, 1, 1, 0xc00c
TRY = 2  # seconds before a question is repeated, as resolvers do


def question(number, name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, TYPE_A, CLASS_IN)


def serve(port, address):
    """Both families; who asked what goes to standard output."""
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", int(port)))
    while True:
        data, peer = s.recvfrom(2048)
        if len(data) < 17:
            print(json.dumps({"odd": data.hex()}), flush=True)
            continue
        number, = struct.unpack_from("!H", data)
        record = struct.pack("!HHHIH", POINTER, TYPE_A, CLASS_IN, 60, 4) + socket.inet_aton(address)
        s.sendto(struct.pack("!6H", number, FLAG_ANSWER, 1, 1, 0, 0) + data[12:] + record, peer)


def name_asked(data):
    """Its labels, and where they end."""
    labels, at = [], 12
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels).lower(), at + 1


def zone(port, file):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", int(port)))
    while True:
        data, peer = s.recvfrom(2048)
        name, end = name_asked(data)
        kind, = struct.unpack_from("!H", data, end)
        print(name, flush=True)
        with open(file, encoding="ascii") as f:
            known = dict(line.split() for line in f)
        found = b""
        if kind == TYPE_A and name in known:
            found = struct.pack("!HHHIH", POINTER, TYPE_A, CLASS_IN, 60, 4) + socket.inet_aton(known[name])
        flags = FLAG_ANSWER if name in known else FLAG_ANSWER | NAME_ERROR
        s.sendto(data[:2] + struct.pack("!5H", flags, 1, bool(found), 0, 0) + data[12:end + 4] + found, peer)


class Association:
    def __init__(self):
        self.tcp = socket.create_connection(PROXY)
        self.tcp.sendall(b"\x05\x01\x00" + b"\x05\x03\x00\x01" + bytes(6))
        reply = b""
        while len(reply) < 12:
            reply += self.tcp.recv(12 - len(reply))
        assert reply[:6] == b"\x05\x00\x05\x00\x00\x01", reply
        self.to = (socket.inet_ntoa(reply[6:10]), struct.unpack("!H", reply[10:])[0])
        assert self.to[0] == "127.0.0.1", self.to
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.settimeout(TRY)

    def send(self, host, port, data, fragment=0):
        try:
            address = b"\x01" + socket.inet_pton(socket.AF_INET, host)
        except OSError:
            try:
                address = b"\x04" + socket.inet_pton(socket.AF_INET6, host)
            except OSError:
                address = b"\x03" + bytes([len(host)]) + host.encode()
        self.udp.sendto(bytes([0, 0, fragment]) + address + struct.pack("!H", int(port)) + data, self.to)

    def receive(self):
        """Where it comes from, and what it is."""
        data, peer = self.udp.recvfrom(2048)
        assert peer == self.to, peer
        assert data[:3] == bytes(3) and data[3] in (1, 4), data[:4]
        size = 4 if data[3] == 1 else 16
        host = socket.inet_ntop(socket.AF_INET if size == 4 else socket.AF_INET6, data[4:4 + size])
        port, = struct.unpack_from("!H", data, 4 + size)
        return host, port, data[6 + size:]

    def ask(self, questions):
        """[(server, port, name)]: for each, who answered and what."""
        answers = {}
        for _ in range(10):
            for number, (server, port, name) in enumerate(questions):
                if number not in answers:
                    self.send(server, port, question(number, name))
            try:
                while len(answers) < len(questions):
                    host, port, data = self.receive()
                    number, flags = struct.unpack_from("!HH", data)
                    assert flags == FLAG_ANSWER
                    assert data[12:].startswith(question(number, questions[number][2])[12:])
                    answers[number] = [host, port, socket.inet_ntoa(data[-4:])]
                break
            except TimeoutError:
                pass
        return [answers[number] for number in range(len(questions))]


def ask(*words):
    return Association().ask([words[i:i + 3] for i in range(0, len(words), 3)])


def hostile(server, port):
    """Of short data, so that the server says so if it sees any."""
    a = Association()
    a.send(server, port, b"fragment", fragment=1)
    a.send(server, port, b"last one", fragment=0x81)
    a.send("192.0.2.1", port, b"outside")
    a.send("10.0.77.77", port, b"nobody")
    a.send("nobody.omerta", port, b"no name")
    a.send("", port, b"no name")
    a.send(server, 0, b"no port")
    a.udp.sendto(b"", a.to)
    a.udp.sendto(b"\x00\x00\x00\x08" + bytes(8), a.to)
    a.udp.sendto(b"\x00\x00\x00\x03\xff" + b"short", a.to)
    answers = a.ask([(server, port, "a.example")])
    # Somebody else on this machine.
    thief = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    thief.bind(("127.0.0.1", 0))
    thief.sendto(bytes(3) + b"\x01" + socket.inet_aton(server) + struct.pack("!H", int(port)) + b"thief", a.to)
    return answers + a.ask([(server, port, "b.example")])


def keep():
    a = Association()
    a.ask([("10.0.0.1", 5353, "a.example")])
    print("up", flush=True)
    return a.tcp.recv(1).hex()


if __name__ == "__main__":
    result = globals()[sys.argv[1]](*sys.argv[2:])
    print(json.dumps(result), flush=True)
