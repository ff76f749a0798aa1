"""Which servers downloads go to: the known ones, and those that the owner of the machine names.

``PLAYGROUND_MIRRORS`` names more hosts, separated by commas; ``*`` stands for every public one. A
host that is not named is never reached at a private, link-local or loopback address, whatever its
name resolves to and wherever a redirect leads: a visitor's address must not open what only this
machine can reach.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import requests  # type: ignore[import-untyped]
import requests.adapters  # type: ignore[import-untyped]
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from data.errors import PlaygroundError

ENV, ANY = "PLAYGROUND_MIRRORS", "*"


class WrongMirror(PlaygroundError):  # noqa: N818 (read as a word, like NotFound)
    """Nothing is fetched from there."""


def host_of(url: str) -> str:
    """The host's name in lower case; empty where the text is no address."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def named() -> frozenset[str]:
    """The hosts that the owner names."""
    return frozenset(
        one.strip().lower() for one in os.environ.get(ENV, "").split(",") if one.strip()
    )


def check(url: str, known: Collection[str]) -> None:
    """Refuse an address whose host is neither known nor named.

    Args:
        known: hosts; empty: every public one is.

    Raises:
        WrongMirror: the message says how the owner names it.
    """
    host, mine = host_of(url), named()
    if host and known and host not in known and host not in mine and ANY not in mine:
        raise WrongMirror(
            f"{host} is not one of the known servers: {', '.join(sorted(known))}. Whoever runs the "
            f"playground may add it: {ENV}={host}"
        )


def session() -> requests.Session:
    """A session that never reaches a private address, redirects included."""
    made = requests.Session()
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Adapter())
    return made


def _is_public(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    ip = mapped or ip
    return ip.is_global and not ip.is_multicast


def _refuse(host: str, addresses: Collection[str]) -> None:
    if host.lower().rstrip(".") in named():
        return
    private = [one for one in addresses if not _is_public(one)]
    if private:
        raise WrongMirror(
            f"{host} is at {private[0]}, a private address, from which nothing is fetched. Whoever "
            f"runs the playground may allow it: {ENV}={host}"
        )


class _Checked(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        # Before anything is sent there: what the name resolves to now, ...
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            found = []  # the connection itself says so, in words that are known
        _refuse(self.host, [str(info[4][0]) for info in found])
        made = super()._new_conn()
        try:
            # ... and what it was connected to, since a name may resolve to another a moment later.
            _refuse(self.host, [str(made.getpeername()[0])])
        except BaseException:
            made.close()
            raise
        return made


class _CheckedTls(_Checked, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Checked


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _CheckedTls


class _Adapter(requests.adapters.HTTPAdapter):  # type: ignore[misc]
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        # Through a proxy it is the proxy that resolves names; an address needs no resolving.
        host = host_of(request.url or "")
        literal = host.replace(".", "").replace(":", "")
        if ":" in host or literal.isdigit() or host == "localhost":
            _refuse(host, ["127.0.0.1" if host == "localhost" else host])
        return super().send(request, *args, **kwargs)
