#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A router that maps UDP ports, for tests: by PCP, NAT-PMP and UPnP, and really (nftables).

    router.py LAN-ADDRESS --external ADDRESS --speaks pcp,nat-pmp,upnp --log FILE
              [--claims ADDRESS] [--age SECONDS] [--announce]

Runs in the router's namespace until it is ended. Each question is a line of JSON in the log. What it
does not speak it is silent about. --claims: says that this is its outside address. --age: it runs for so long already."""

import argparse
import http.server
import ipaddress
import json
import re
import selectors
import socket
import socketserver
import struct
import subprocess
import threading
import time

SERVER, CLIENT, SSDP = 5351, 5350, 1900
UPNP_PORT = 5000

parser = argparse.ArgumentParser()
parser.add_argument("address")
parser.add_argument("--external", required=True)
parser.add_argument("--claims")
parser.add_argument("--speaks", default="pcp,nat-pmp,upnp")
parser.add_argument("--log", required=True)
parser.add_argument("--age", type=int, default=0)
parser.add_argument("--announce", action="store_true")
args = parser.parse_args()
claims = ipaddress.ip_address(args.claims or args.external)
speaks = args.speaks.split(",")
begun = time.monotonic() - args.age
mappings = {}  # outside port -> (address, port)
lock = threading.Lock()


def log(**what):
    with lock, open(args.log, "a") as f:
        f.write(json.dumps(what) + "\n")


def epoch():
    return int(time.monotonic() - begun)



def program():
    """All mappings, as the kernel is to have them."""
    rules = ["table ip portmap {}", "delete table ip portmap", "table ip portmap {",
             "chain prerouting { type nat hook prerouting priority -100;"]
    rules += [f"ip daddr {args.external} udp dport {outside} dnat to {address}:{port};"
              for outside, (address, port) in mappings.items()]
    rules += ["}", "chain postrouting { type nat hook postrouting priority 100;",
              f"ip saddr {args.address}/24 ip daddr != {args.address}/24 masquerade;", "}", "}"]
    subprocess.run(["nft", "-f", "-"], input="\n".join(rules), text=True, check=True)


def change(by, address, port, outside, lifetime):
    """Return: the outside port."""
    for known, target in list(mappings.items()):
        if target == (address, port):
            if lifetime > 0:
                outside = known
            else:
                del mappings[known]
    if lifetime > 0:
        while outside in mappings and mappings[outside] != (address, port):
            outside += 1
        mappings[outside] = (address, port)
    program()
    log(by=by, address=address, port=port, outside=outside, lifetime=lifetime,
        mapped=len(mappings))
    return outside


def pcp(data, address):
    version, opcode, lifetime, client = data[0], data[1], *struct.unpack(">I16s", data[4:24])
    header = struct.pack(">BBBBII12x", 2, 0x80 | opcode, 0, 0, lifetime, epoch())
    if opcode == 0:
        log(by="pcp", announce=True)
        return header
    inside, outside = struct.unpack(">HH", data[40:44])
    asked = ipaddress.ip_address(client)
    if asked.ipv4_mapped != ipaddress.ip_address(address):
        return struct.pack(">BBBBII12x", 2, 0x80 | opcode, 0, 12, 30, epoch()) + data[24:]
    outside = change("pcp", address, inside, outside or inside, lifetime)
    return (header + data[24:40] + struct.pack(">HH", inside, outside)
            + b"\0" * 10 + b"\xff\xff" + claims.packed)


def nat_pmp(data, address):
    if data[1] == 0:
        log(by="nat-pmp", look=True)
        return struct.pack(">BBHI", 0, 128, 0, epoch()) + claims.packed
    inside, outside, lifetime = struct.unpack(">HHI", data[4:12])
    outside = change("nat-pmp", address, inside, outside or inside, lifetime)
    return struct.pack(">BBHIHHI", 0, 129, 0, epoch(), inside, outside, lifetime)


def answer(data, address):
    if data[0] == 2 and "pcp" in speaks:
        return pcp(data, address)
    if data[0] == 0 and "nat-pmp" in speaks:
        return nat_pmp(data, address)
    return None


DESCRIPTION = f"""<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>
<serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
<controlURL>/control</controlURL><eventSubURL>/event</eventSubURL><SCPDURL>/scpd</SCPDURL>
</service></serviceList></device></deviceList></device></deviceList></device></root>
"""


class Igd(http.server.BaseHTTPRequestHandler):
    def reply(self, code, text):
        self.send_response(code)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def soap(self, action, inner):
        self.reply(200, '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/'
                   f'envelope/"><s:Body><u:{action}Response xmlns:u="urn:schemas-upnp-org:service:'
                   f'WANIPConnection:1">{inner}</u:{action}Response></s:Body></s:Envelope>')

    def do_GET(self):
        self.reply(200, DESCRIPTION)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        action = self.headers["SOAPAction"].strip('"').split("#")[1]

        def field(name):
            return re.search(f"<{name}>(.*?)</{name}>", body)[1]

        if action == "AddPortMapping":
            change("upnp", field("NewInternalClient"), int(field("NewInternalPort")),
                   int(field("NewExternalPort")), int(field("NewLeaseDuration")) or 1)
            self.soap(action, "")
        elif action == "DeletePortMapping":
            outside = int(field("NewExternalPort"))
            if outside in mappings:
                change("upnp", *mappings[outside], outside, 0)
            self.soap(action, "")
        elif action == "GetExternalIPAddress":
            self.soap(action, f"<NewExternalIPAddress>{claims}</NewExternalIPAddress>")
        else:
            self.reply(500, "")

    def log_message(self, *_):
        pass


def udp(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    return s


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True


program()
server, selector = udp(args.address, SERVER), selectors.DefaultSelector()
selector.register(server, selectors.EVENT_READ)
if "upnp" in speaks:
    search = udp("", SSDP)
    search.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                      socket.inet_aton("239.255.255.250") + socket.inet_aton(args.address))
    selector.register(search, selectors.EVENT_READ)
    threading.Thread(target=Server((args.address, UPNP_PORT), Igd).serve_forever,
                     daemon=True).start()
if args.announce:
    # RFC 6887 section 14.1.2, RFC 6886 section 3.2.1: after a restart everybody is told.
    server.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(args.address))
    if "pcp" in speaks:
        server.sendto(struct.pack(">BBBBII12x", 2, 0x80, 0, 0, 0, epoch()), ("224.0.0.1", CLIENT))
    if "nat-pmp" in speaks:
        server.sendto(struct.pack(">BBHI", 0, 128, 0, epoch()) + claims.packed,
                      ("224.0.0.1", CLIENT))
log(ready=True)
while True:
    for key, _ in selector.select():
        data, peer = key.fileobj.recvfrom(2048)
        if key.fileobj is server:
            reply = answer(data, peer[0]) if data else None
            if reply:
                server.sendto(reply, peer)
        elif data.startswith(b"M-SEARCH") and b"InternetGatewayDevice:1" in data:
            log(by="upnp", search=True)
            key.fileobj.sendto(
                ("HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
                 "USN: uuid:1\r\nCACHE-CONTROL: max-age=120\r\nEXT:\r\nSERVER: test\r\n"
                 f"LOCATION: http://{args.address}:{UPNP_PORT}/root.xml\r\n\r\n").encode(), peer)
