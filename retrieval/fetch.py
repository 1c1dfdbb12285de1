"""A picture from the network, for a search by example: bounded in size and in time."""

import ipaddress
import socket
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection

from retrieval.errors import UnreadablePicture

MOST_BYTES = 64 << 20
SECONDS = 20.0  # all told
BLOCK = 1 << 16


def fetch(
    url: str, seconds: float = SECONDS, most: int = MOST_BYTES, *, private: bool = True
) -> bytes:
    """What is at an http or https address. Raises UnreadablePicture.

    private: False refuses all but public addresses, wherever names and redirections lead, and asks
    no proxy: for a server, which must not be led to what only its machine can reach.
    """
    end = time.monotonic() + seconds
    request = urllib.request.Request(url, headers={"User-Agent": "retrieve"})
    data = bytearray()
    try:
        with _opener(private).open(request, timeout=seconds) as answer:
            while block := answer.read1(BLOCK):
                data += block
                if len(data) > most:
                    raise UnreadablePicture(f"cannot fetch {url}: it has more than {most:,} bytes")
                if time.monotonic() > end:
                    raise TimeoutError
    except TimeoutError as error:
        raise UnreadablePicture(f"cannot fetch {url}: it takes more than {seconds:g} s") from error
    except urllib.error.HTTPError as error:
        with error:
            raise UnreadablePicture(f"cannot fetch {url}: {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        said = getattr(error, "reason", None) or error
        raise UnreadablePicture(f"cannot fetch {url}: {said}") from error
    return bytes(data)


def _opener(private: bool) -> urllib.request.OpenerDirector:
    """For http and https alone, wherever a redirection leads: not to files of this machine."""
    opener = urllib.request.OpenerDirector()
    anywhere = urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler
    for handler in (
        *([each() for each in anywhere] if private else [PublicHandler(), PublicTLSHandler()]),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


# -- public addresses only -----------------------------------------------------------------------

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # its last 32 bits are an IPv4 address


class PublicConnection(HTTPConnection):
    """Connects to the very address that was found to be public: a name may have another next."""

    def connect(self) -> None:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            if not is_public(str(address[0])):
                raise OSError(f"{address[0]} is not a public address")
            self.sock = socket.socket(family, kind, protocol)
            try:
                self.sock.settimeout(self.timeout)
                self.sock.connect(address)
                return
            except OSError:
                self.sock.close()
        raise OSError(f"{self.host} does not answer")


class PublicTLSConnection(HTTPSConnection, PublicConnection):
    """The same, encrypted."""


class PublicHandler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(PublicConnection, request)


class PublicTLSHandler(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(PublicTLSConnection, request)


def is_public(address: str) -> bool:
    """Also of the IPv4 address that an IPv6 one may stand for."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        within = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in NAT64:
            within.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if not all(each is None or is_public(str(each)) for each in within):
            return False
        if ip.ipv4_mapped:
            return True
    return ip.is_global and not ip.is_multicast
