"""Downloads reach known servers only, and never what lies behind this machine."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from data import mirrors
from data.http import Settings, Web
from data.mirrors import WrongMirror

QUICK = Settings(attempts=1, timeout=5.0)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        server.asked += 1
        if server.to:
            self.send_response(302)
            self.send_header("Location", server.to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked, self.to = 0, ""


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_only_known_and_named_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    known = ["s3.amazonaws.com"]
    mirrors.check("https://S3.amazonaws.com./google-landmark", known)
    monkeypatch.setenv(mirrors.ENV, "a.example, B.example")
    mirrors.check("http://b.example:8000/x", known)
    for url in ("http://c.example/", "http://s3.amazonaws.com@c.example/", "http://[::1]/"):
        with pytest.raises(WrongMirror, match="not one of the known servers: s3"):
            mirrors.check(url, known)
    monkeypatch.setenv(mirrors.ENV, "*")
    mirrors.check("http://c.example/", known)


@pytest.mark.parametrize("mirror", ["", "*", "other.example"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1", "[::1]"])
def test_loopback_is_refused_however_it_is_written(
    server: _Server, monkeypatch: pytest.MonkeyPatch, mirror: str, host: str
) -> None:
    monkeypatch.setenv(mirrors.ENV, mirror)
    with pytest.raises(WrongMirror, match="private address"):
        Web(QUICK).get(f"http://{host}:{server.server_port}/")
    assert server.asked == 0


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.8",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "fe80::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
    ],
)
def test_a_name_is_judged_by_what_it_resolves_to(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 80))]
    monkeypatch.setattr(mirrors.socket, "getaddrinfo", lambda *args, **kwargs: found)
    with pytest.raises(WrongMirror, match=r"harmless\.example is at"):
        Web(QUICK).get("http://harmless.example/")


def test_a_name_that_resolves_otherwise_a_moment_later(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check's own look-up tells of a public address, the connection goes to a private one."""
    answers = [("8.8.8.8", 80), ("127.0.0.1", server.server_port)]

    def resolve(*args: object, **kwargs: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", answers.pop(0))]

    monkeypatch.setattr(mirrors.socket, "getaddrinfo", resolve)
    with pytest.raises(WrongMirror, match=r"is at 127\.0\.0\.1"):
        Web(QUICK).get("http://rebound.example/")
    assert answers == [] and server.asked == 0


def test_a_redirect_leads_to_no_private_address(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _Server() as inner:
        threading.Thread(target=inner.serve_forever, daemon=True).start()
        monkeypatch.setenv(mirrors.ENV, "127.0.0.1")
        server.to = f"http://localhost:{inner.server_port}/secret"
        with pytest.raises(WrongMirror, match="localhost is at"):
            Web(QUICK).get(f"http://127.0.0.1:{server.server_port}/")
        assert server.asked == 1 and inner.asked == 0
        monkeypatch.setenv(mirrors.ENV, "127.0.0.1,localhost")
        assert Web(QUICK).get(f"http://127.0.0.1:{server.server_port}/") == b"ok"
        inner.shutdown()


def test_a_redirect_to_a_file_is_refused(server: _Server) -> None:
    server.to = "file:///etc/passwd"
    with pytest.raises(Exception, match="no address of a file"):
        Web(QUICK).get(f"http://127.0.0.1:{server.server_port}/")


def test_the_owners_own_server(server: _Server) -> None:
    assert Web(QUICK).get(f"http://127.0.0.1:{server.server_port}/") == b"ok"
