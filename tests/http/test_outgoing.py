"""Requests to others: only to public addresses, once resolved, and bounded in time and size. The servers are real."""

import asyncio
import datetime
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from core.http import outgoing
from core.http.outgoing import Outgoing, OutgoingFailed
from core.http.public_addresses import Address

type Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kind: test\r\n\r\nhello"


class Served:
    """A server on this machine, and what it was sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@asynccontextmanager
async def serving(reply: Reply | bytes, *, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Served]:
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        served.requests.append(await reader.readuntil(b"\r\n\r\n"))
        if isinstance(reply, bytes):
            writer.write(reply)
            await writer.drain()
        else:
            await reply(writer)

    served = Served(0)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    async with server:
        yield served
        for writer in writers:
            writer.transport.abort()


async def failure_of(outgoing: Outgoing, url: str, **limits: int) -> str:
    with pytest.raises(OutgoingFailed) as failed:
        await outgoing.get(url, **limits)
    assert failed.value.detail == OutgoingFailed.title  # whoever chose the address learns no more
    return failed.value.reason


async def test_an_answer_comes_whole_with_any_status() -> None:
    async with serving(HELLO.replace(b"200 OK", b"404 Not Found")) as server:
        answer = await Outgoing(loopback=True).send("POST", server.url, headers={"x-a": "b"}, content=b"{}")

    assert (answer.status, answer.body, answer.headers["x-kind"]) == (404, b"hello", "test")
    sent = server.requests[0].lower()
    assert sent.startswith(b"post / http/1.1")
    assert b"x-a: b" in sent
    assert b"accept-encoding: identity" in sent


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[::127.0.0.1]",
        "[fec0::1]",
        "169.254.169.254",
        "10.0.0.1",
        "224.0.0.1",
        "0.0.0.0",
    ],
)
async def test_no_request_goes_behind_us(host: str) -> None:
    assert await failure_of(Outgoing(), f"https://{host}/") == "not a public address"


async def test_nothing_is_sent_to_this_machine_unless_it_is_allowed() -> None:
    async with serving(HELLO) as server:
        assert await failure_of(Outgoing(), server.url.replace("http:", "https:")) == "not a public address"
        assert server.requests == []
        assert (await Outgoing(loopback=True).get(server.url)).status == 200


async def test_where_this_machine_is_allowed_its_neighbours_are_not() -> None:
    assert await failure_of(Outgoing(loopback=True), "https://10.0.0.1/") == "not a public address"
    assert await failure_of(Outgoing(loopback=True), "http://8.8.8.8/") == "not a public address"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "//example.com/",
        "https://user:password@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com:port/",
        "https://example.com:99999/",
        "https://[::1/",
        "https://example.com/\r\nHost: other",
        "https://exa mple.com/",
        "https://ex\u00e4mple.com/",
        "",
    ],
)
async def test_what_is_no_plain_https_address_is_refused_before_anything_is_asked(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[Address]:
        asked.append(host)
        return []

    monkeypatch.setattr(outgoing, "resolve", resolve)

    assert await failure_of(Outgoing(), url) in {"not https", "not an address"}
    assert asked == []


async def test_one_address_that_is_not_public_spoils_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        return [ip_address("8.8.8.8"), ip_address("10.0.0.1")]

    monkeypatch.setattr(outgoing, "resolve", resolve)

    assert await failure_of(Outgoing(), "https://two-faced.example/") == "not a public address"


async def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rebinding: a name that is another address the second time it is looked up."""
    answers = [[ip_address("127.0.0.1")], [ip_address("10.0.0.1")]]
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[Address]:
        asked.append(host)
        return answers.pop(0)

    monkeypatch.setattr(outgoing, "resolve", resolve)
    async with serving(HELLO) as server:
        answer = await Outgoing(loopback=True).get(f"http://rebinding.example:{server.port}/")

    assert answer.status == 200
    assert asked == ["rebinding.example"]
    assert f"host: rebinding.example:{server.port}".encode() in server.requests[0].lower()


async def test_the_next_address_is_tried_where_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        return [ip_address("127.0.0.2"), ip_address("127.0.0.1")]

    monkeypatch.setattr(outgoing, "resolve", resolve)
    async with serving(HELLO) as server:
        assert (await Outgoing(loopback=True).get(f"http://two.example:{server.port}/")).body == b"hello"


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with serving(HELLO) as inner:
        moved = f"HTTP/1.1 302 Found\r\nLocation: {inner.url}\r\nContent-Length: 0\r\n\r\n".encode()
        async with serving(moved) as server:
            answer = await Outgoing(loopback=True).get(server.url)

    assert (answer.status, answer.headers["location"]) == (302, inner.url)
    assert inner.requests == []


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(HELLO) as proxy, serving(HELLO) as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await Outgoing(loopback=True).get(server.url)

    assert proxy.requests == []
    assert len(server.requests) == 1


async def test_an_answer_that_is_too_large_is_given_up_early() -> None:
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while sent < 100_000_000 and not writer.is_closing():
            writer.write(b"x" * 65_536)
            sent += 65_536
            try:
                await writer.drain()
            except ConnectionError:
                return

    async with serving(flood) as server:
        assert await failure_of(Outgoing(loopback=True), server.url, most_bytes=100_000) == "too large"
    assert sent < 50_000_000


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
async def test_an_answer_that_drips_is_given_up_in_time(first: bytes) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        for _ in range(200):
            writer.write(b"x" if first else b"")
            await asyncio.sleep(0.05)

    async with serving(drip) as server:
        began = time.monotonic()
        assert await failure_of(Outgoing(seconds=0.4, loopback=True), server.url) == "timeout"
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "answer",
    [
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nA:" + b"b" * 300_000,
    ],
    ids=["no HTTP", "cut off", "endless headers"],
)
async def test_an_answer_that_is_no_http_is_a_failure(answer: bytes) -> None:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with serving(send) as server:
        assert await failure_of(Outgoing(loopback=True), server.url) == "RemoteProtocolError"


async def test_nobody_listening_and_no_such_name_are_failures() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert (
            await failure_of(Outgoing(loopback=True), f"http://127.0.0.1:{taken.getsockname()[1]}/") == "ConnectError"
        )
    assert await failure_of(Outgoing(), "https://no-such-name.invalid/") == "gaierror"


def certificate(directory: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for a name, and a client's that trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = directory / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + signed.public_bytes(Encoding.PEM))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=file)


async def test_the_certificate_is_checked_against_the_name_and_not_the_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        return [ip_address("127.0.0.1")]

    monkeypatch.setattr(outgoing, "resolve", resolve)
    tls, trusting = certificate(tmp_path, "issuer.example")
    async with serving(HELLO, tls=tls) as server:
        known = await Outgoing(loopback=True, tls=trusting).get(f"https://issuer.example:{server.port}/")
        other = await failure_of(Outgoing(loopback=True, tls=trusting), f"https://other.example:{server.port}/")
        unknown = await failure_of(Outgoing(loopback=True), f"https://issuer.example:{server.port}/")

    assert known.body == b"hello"
    assert (other, unknown) == ("ConnectError", "ConnectError")
