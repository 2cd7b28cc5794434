"""Where a request comes from: the peer, unless it is a proxy of ours, and then whom the proxies have seen."""

from ipaddress import ip_network
from typing import Any

import pytest
from asking import problem_of
from litestar import Request
from msgspec import structs
from serving import serving
from test_rate_limits import from_address

from core.http.addresses import client_address
from core.identity.origins import origin_of
from core.sdk import get
from core.settings import Settings, SettingsError, load_settings

OURS = (ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48"))


def found(peer: str | None, *lines: str, header: str = "x-forwarded-for") -> str | None:
    headers = [(header.encode(), line.encode("latin-1")) for line in lines]
    scope: Any = {"type": "http", "client": None if peer is None else (peer, 1), "headers": headers}
    return client_address(scope, proxies=OURS, header=header.encode())


CHAINS = {
    "a stranger's word counts for nothing": ("198.51.100.1", ["203.0.113.7"], "198.51.100.1"),
    "a proxy's word counts": ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
    "the rightmost that is not ours": ("10.0.0.1", ["1.1.1.1, 203.0.113.7, 10.2.3.4"], "203.0.113.7"),
    "headers are one list": ("10.0.0.1", ["1.1.1.1", "203.0.113.7", "10.9.9.9"], "203.0.113.7"),
    "all are ours": ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    "no header": ("10.0.0.1", [], "10.0.0.1"),
    "an empty header": ("10.0.0.1", [""], "10.0.0.1"),
    "nonsense ends the chain": ("10.0.0.1", ["203.0.113.7, nonsense, 10.0.0.2"], "10.0.0.2"),
    "nonsense alone": ("10.0.0.1", ["<script>"], "10.0.0.1"),
    "with a port": ("10.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
    "IPv6": ("2001:db8:ffff::1", ["2001:db8:1::7"], "2001:db8:1::7"),
    "IPv6 with a port": ("10.0.0.1", ["[2001:db8:1::7]:4711"], "2001:db8:1::7"),
    "IPv4 as IPv6": ("::ffff:10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
    "a long chain": ("10.0.0.1", [", ".join(["1.1.1.1"] * 5000 + ["10.0.0.9"] * 40)], "10.0.0.9"),
    "not ASCII": ("10.0.0.1", ["\xe9\xff"], "10.0.0.1"),
    "a socket": (None, ["203.0.113.7"], None),
}


@pytest.mark.parametrize(("peer", "lines", "expected"), CHAINS.values(), ids=CHAINS)
def test_of_a_chain_of_proxies_only_ours_are_believed(peer: str | None, lines: list[str], expected: str | None) -> None:
    assert found(peer, *lines) == expected


FORWARDED = {
    "plain": ("for=203.0.113.7", "203.0.113.7"),
    "with other parameters": ("by=10.0.0.1;for=203.0.113.7;proto=https", "203.0.113.7"),
    "quoted IPv6": ('For="[2001:db8:1::7]:4711"', "2001:db8:1::7"),
    "a chain": ("for=1.1.1.1, for=203.0.113.7, for=10.2.2.2", "203.0.113.7"),
    "hidden": ("for=_hidden", "10.0.0.1"),
    "unknown": ("for=203.0.113.7, for=unknown", "10.0.0.1"),
    "without for": ("proto=https", "10.0.0.1"),
}


@pytest.mark.parametrize(("line", "expected"), FORWARDED.values(), ids=FORWARDED)
def test_the_standard_header_is_read_where_it_is_the_one_set(line: str, expected: str) -> None:
    assert found("10.0.0.1", line, header="forwarded") == expected


@get("/origin", operation_id="origin", opt={"public": True})
async def origin(request: Request[Any, Any, Any]) -> str | None:
    return origin_of(request).address


@pytest.mark.parametrize(("header", "expected"), [("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "10.0.0.1")])
async def test_only_the_header_that_is_set_counts(settings: Settings, header: str, expected: str) -> None:
    own = structs.replace(settings, trusted_proxies="10.0.0.0/8")
    async with serving(own, origin) as application, from_address(application, "10.0.0.1") as client:
        answer = await client.get("/api/v1/scratch/origin", headers={header: "203.0.113.7"})

    assert answer.text == expected


async def test_without_trusted_proxies_nobody_is_believed(settings: Settings) -> None:
    async with serving(settings, origin) as application, from_address(application, "127.0.0.1") as client:
        answer = await client.get("/api/v1/scratch/origin", headers={"X-Forwarded-For": "203.0.113.7"})

    assert answer.text == "127.0.0.1"


async def test_headers_beyond_the_limit_are_refused(settings: Settings) -> None:
    async with serving(settings) as application, from_address(application, "127.0.0.1") as client:
        answer = await client.get("/health/live", headers={"x": "x" * settings.header_limit})

    assert problem_of(answer, 431, "headers-too-large")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PLUGS_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("PLUGS_TRUSTED_PROXIES", "everybody"),
        ("PLUGS_CORS_ORIGINS", "https://app.example/"),
        ("PLUGS_CORS_ORIGINS", "app.example"),
        ("PLUGS_CORS_ORIGINS", "https://*.example"),
        ("PLUGS_CORS_ORIGINS", "null"),
        ("PLUGS_CORS_ORIGINS", "*, https://app.example"),
        ("PLUGS_RATE_READ", "subject=0/60"),
        ("PLUGS_RATE_READ", "everybody=1/60"),
        ("PLUGS_RATE_READ", "subject=1"),
    ],
)
def test_a_setting_that_can_not_be_used_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        load_settings({variable: value}, env_file=None)


def test_every_origin_gets_no_credentials() -> None:
    environ = {"PLUGS_CORS_ORIGINS": "*", "PLUGS_CORS_CREDENTIALS": "true"}
    with pytest.raises(SettingsError, match="PLUGS_CORS_ORIGINS"):
        load_settings(environ, env_file=None)
