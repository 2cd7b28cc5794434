"""The settings: one typed Struct, read from the environment and `.env` in this one place.

Variables in the environment win over `.env`. Every bad value is reported at once, and production refuses the
secrets that only the local default may have.
"""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from dotenv import dotenv_values
from msgspec import Meta, Struct

LOCAL_SECRET = "local-only-secret-which-production-refuses"  # noqa: S105
DEMO_PASSWORD = "correct-horse-local"  # noqa: S105


ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?")
"""As browsers write it: in small letters, without a path."""


class Environment(StrEnum):
    LOCAL = "local"
    PRODUCTION = "production"


class SettingsError(Exception):
    """The environment holds values that can't be used; `problems` has one line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("The settings are not usable:\n" + "\n".join(f"  - {problem}" for problem in problems))
        self.problems = problems


type Port = Annotated[int, Meta(ge=1, le=65535)]
type Count = Annotated[int, Meta(ge=1, le=1000)]
type Seconds = Annotated[float, Meta(gt=0, le=86_400)]
type Sender = Annotated[str, Meta(pattern=r"^[^@<>\r\n]*<?[^@<>\s]+@[A-Za-z0-9.-]+>?$")]
type Bytes = Annotated[int, Meta(ge=1024)]
_RATE = r"(subject|organization|address)=[1-9]\d{0,8}/[1-9]\d{0,4}"
type Rate = Annotated[str, Meta(pattern=rf"^(off|{_RATE}( {_RATE}){{0,2}})$")]
"""`subject=600/60 organization=6000/60`: how many requests, in how many seconds, for each; or `off`."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each field is set by the variable of the name that `VARIABLES` gives it."""

    environment: Environment = Environment.LOCAL
    secret_key: Annotated[str, Meta(min_length=32)] = LOCAL_SECRET
    """Signs access tokens and cursors. At least 32 characters."""
    encryption_keys: str = ""
    """`name:base64,name2:base64`: 32 random bytes each, the first wraps data keys. Local: derived from `secret_key`."""
    host: str = "127.0.0.1"
    port: Port = 8000
    data_dir: Path = Path(".plugs")
    """Where the local default keeps PostgreSQL, Redis and their logs."""

    database_url: str = ""
    """PostgreSQL 16 or newer. Its login is made a member of the roles it acts in (see docs/decisions/0003)."""
    database_system_url: str = ""
    """Login for the system role; `database_url` where empty."""
    database_owner_url: str = ""
    """Login that migrates; `database_url` where empty."""
    database_replica_url: str = ""
    """One streaming replica, no balancer over several, for requests that change nothing; the primary where empty."""
    database_pool: Count = 10
    """Connections a process keeps at most for reads, and as many for writes; the system role has half of it for
    transactions and a third for lone statements."""
    redis_url: str = ""
    redis_namespace: Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,40}$")] = "plugs"
    """Prefix of every Redis key, so that deployments can share a server."""

    smtp_url: str = ""
    """`smtp://user:password@host:port`, or `smtps://`. Where empty, letters go into `mailbox` below `data_dir`."""
    mail_from: Sender = "The Plugs <plugs@localhost>"
    """Sender of every letter."""
    public_url: str = "http://127.0.0.1:8000"
    """Where people reach the console; links in letters start with it."""

    access_token_seconds: Seconds = 900
    refresh_token_seconds: Annotated[float, Meta(gt=0)] = 14 * 86_400
    body_limit: Bytes = 1_048_576
    """Largest request body in bytes; a route may declare its own."""

    header_limit: Bytes = 32_768
    """Most bytes of a request's headers, all together."""
    request_seconds: Seconds = 30
    """Seconds that a route may take until its answer starts; what the client takes to send its body is not counted."""
    body_seconds: Seconds = 10
    """Seconds of patience for a body, beyond those that its bytes take on a slow line."""

    trusted_proxies: str = ""
    """Networks of our own proxies (`10.0.0.0/8, 2001:db8::/32`): their word on where a request comes from counts."""
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    """The header in which the proxies say it; clients can send the other one, so it is ignored."""
    cors_origins: str = ""
    """Origins whose pages may call the API from a browser (`https://app.example, https://…`), or `*`."""
    cors_credentials: bool = False
    """Whether those pages may send cookies and the like; never together with `*`."""
    hsts_seconds: Annotated[int, Meta(ge=0, le=63_072_000)] = 31_536_000
    """How long browsers shall insist on https; sent in production alone, and not where it is 0."""

    rate_read: Rate = "subject=1200/60 organization=12000/60 address=3000/60"
    rate_write: Rate = "subject=600/60 organization=6000/60 address=1500/60"
    rate_expensive: Rate = "subject=30/60 organization=120/60 address=60/60"
    """Exports, imports and the like."""
    rate_sign_in: Rate = "address=60/60"
    """What people do who are not signed in: signing in, registering, asking for letters."""
    rate_fail_open: bool = True
    """Whether requests are let through while Redis is away. The throttle of sign-ins is in PostgreSQL and holds."""

    redis_seconds: Seconds = 0.2
    """How long a request waits for Redis before it goes on without."""

    oidc_providers: str = ""
    """Issuers with which people may sign in, as a JSON array; see `OidcProvider`."""
    outgoing_seconds: Annotated[float, Meta(gt=0, le=25)] = 5
    """For a whole exchange with somebody else's server, from the look-up of its name to its answer's last byte."""
    outgoing_loopback: bool = False
    """Whether requests to others may go to this machine itself, and without TLS there; never in production."""

    drain_seconds: Annotated[float, Meta(ge=0, le=60)] = 0
    """Seconds between failing readiness and closing the port, for a load balancer to notice."""

    worker_threads: Count = 8
    """Jobs of each queue that one worker process runs at a time."""
    job_lease: Seconds = 15
    """Seconds a worker holds a job without a sign of life; a dead worker's job is taken up again after this."""
    relay_poll: Seconds = 0.5
    """Seconds between looks at the outbox where no doorbell rings."""
    resend_after: Seconds = 5
    """Seconds until a job that was sent but not done is sent again; doubles with each send, up to an hour."""

    default_modules: Annotated[str, Meta(pattern=r"^[a-z0-9_,* ]*$")] = "*"
    """Modules that an organization has until somebody switches them off, with commas between; `*` is every one."""
    on_bad_module: Literal["quarantine", "abort"] = "quarantine"
    """Whether a module that can't be used is set aside, or stops the process."""
    import_seconds: Seconds = 10
    """For a module to be imported; one that takes longer is set aside."""
    module_retention_days: Count = 30
    """Days that the data of a module which was disabled are kept at the least."""

    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    demo_password: Annotated[str, Meta(min_length=15)] = DEMO_PASSWORD

    def __repr__(self) -> str:
        """Without values: secrets and passwords in URLs must not reach a log by way of a printed object."""
        return f"<Settings of a {self.environment} environment>"

    @property
    def wrapping_keys(self) -> dict[str, bytes]:
        """The keys of `encryption_keys` by name, the primary one first."""
        if self.encryption_keys:
            return parse_encryption_keys(self.encryption_keys)
        secret = hashlib.sha256(self.secret_key.encode()).digest()
        name = f"local-{hashlib.blake2b(b'name', key=secret, digest_size=4).hexdigest()}"
        return {name: hashlib.blake2b(b"encryption-keys", key=secret, digest_size=32).digest()}

    @property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Raises `ValueError` where `trusted_proxies` holds something else."""
        return tuple(ip_network(part, strict=False) for part in _parts(self.trusted_proxies))

    @property
    def allowed_origins(self) -> frozenset[str]:
        return frozenset(_parts(self.cors_origins))

    @property
    def sign_in_providers(self) -> tuple["OidcProvider", ...]:
        """Raises `ValueError` where `oidc_providers` holds something else."""
        return parse_oidc_providers(self.oidc_providers, loopback=self.outgoing_loopback)

    @property
    def rates(self) -> dict[str, str]:
        """The rate of each class of routes."""
        return {
            "read": self.rate_read,
            "write": self.rate_write,
            "expensive": self.rate_expensive,
            "sign-in": self.rate_sign_in,
        }

    @property
    def strict_transport_seconds(self) -> int:
        return self.hsts_seconds if self.environment is Environment.PRODUCTION else 0

    @property
    def system_url(self) -> str:
        return self.database_system_url or self.database_url

    @property
    def owner_url(self) -> str:
        return self.database_owner_url or self.database_url


class OidcProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An issuer of OpenID Connect, at which this deployment is registered as a client."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}$(?!\n)")]
    """In our addresses; the issuer sends people back to `<public_url>/oidc/<name>/callback`."""
    title: Annotated[str, Meta(min_length=1, max_length=80)]
    """What people read on the button."""
    issuer: Annotated[str, Meta(max_length=500, pattern=r"^https?://[a-z0-9.:\[\]-]+(/[!-~]*)?$(?!\n)")]
    """Exactly as the issuer writes itself. Of Microsoft, one tenant's: `https://login.microsoftonline.com/<id>/v2.0`."""
    client_id: Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[!-~]+$(?!\n)")]
    client_secret: Annotated[str, Meta(max_length=500, pattern=r"^[!-~]*$(?!\n)")] = ""
    """Empty for a client that has none."""
    scopes: Annotated[str, Meta(pattern=r"^openid( [!-~]+)*$(?!\n)")] = "openid email"

    def __repr__(self) -> str:
        """Without the secret."""
        return f"<OidcProvider {self.name}>"


UNPREFIXED = {
    "database_url",
    "database_system_url",
    "database_owner_url",
    "database_replica_url",
    "redis_url",
    "smtp_url",
}
VARIABLES: dict[str, str] = {
    field: field.upper() if field in UNPREFIXED else f"PLUGS_{field.upper()}" for field in Settings.__struct_fields__
}
"""Which environment variable sets which field."""
NO_SETTINGS = frozenset({"PLUGS_OWNER_PASSWORD"})
"""Variables of ours that a single command reads."""


def load_settings(environ: Mapping[str, str] | None = None, *, env_file: Path | None = Path(".env")) -> Settings:
    """Read the settings. Raises `SettingsError` that names every variable which is wrong."""
    known = {} if env_file is None else {k: v for k, v in dotenv_values(env_file).items() if v is not None}
    known.update(os.environ if environ is None else environ)
    types = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field, variable in VARIABLES.items():
        if not (raw := known.get(variable, "").strip()):
            continue
        try:
            values[field] = msgspec.convert(raw, types[field], strict=False, dec_hook=_decode)
        except msgspec.ValidationError as error:
            problems.append(f"{variable}: {str(error).lower()}")
    ours = {*VARIABLES.values(), *NO_SETTINGS}
    misspelt = sorted(name for name in known if name.startswith("PLUGS_") and name not in ours)
    problems += [f"{name}: no such setting" for name in misspelt]
    settings = Settings(**values)
    problems += _unfit_for_production(settings)
    problems += _bad_urls(settings)
    problems += _bad_keys(settings)
    problems += _bad_origins(settings)
    problems += _bad_providers(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def parse_encryption_keys(given: str) -> dict[str, bytes]:
    """Raises `ValueError` that says what is wrong, and nothing of the keys."""
    keys: dict[str, bytes] = {}
    for part in given.split(","):
        name, _, encoded = part.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,39}", name) or len(key) != 32:
            raise ValueError("must be name:base64key, comma, name2:base64key; each key 32 random bytes")
        if name in keys:
            raise ValueError("names a key twice")
        keys[name] = key
    return keys


def parse_oidc_providers(given: str, *, loopback: bool = False) -> tuple[OidcProvider, ...]:
    """Raises `ValueError` that says what is wrong, and nothing of a secret."""
    if not given:
        return ()
    try:
        providers = msgspec.json.decode(given, type=tuple[OidcProvider, ...])
    except msgspec.MsgspecError as error:
        raise ValueError(f"must be a JSON array of providers: {str(error).lower()}") from None
    if len({provider.name for provider in providers}) < len(providers):
        raise ValueError("names a provider twice")
    if not loopback and any(not provider.issuer.startswith("https://") for provider in providers):
        raise ValueError("an issuer must start with https://")
    if any("?" in provider.issuer or "#" in provider.issuer for provider in providers):
        raise ValueError("an issuer has neither a query nor a fragment")
    return providers


def _decode(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)


def _unfit_for_production(settings: Settings) -> list[str]:
    if settings.environment is not Environment.PRODUCTION:
        return []
    problems: list[str] = []
    if settings.secret_key == LOCAL_SECRET:
        problems.append("PLUGS_SECRET_KEY: production needs a secret of its own, at least 32 random characters")
    if not settings.encryption_keys:
        problems.append("PLUGS_ENCRYPTION_KEYS: production needs keys of its own, as name:base64 of 32 random bytes")
    if not settings.database_url:
        problems.append("DATABASE_URL: production brings its own PostgreSQL")
    if not settings.redis_url:
        problems.append("REDIS_URL: production brings its own Redis")
    if settings.outgoing_loopback:
        problems.append("PLUGS_OUTGOING_LOOPBACK: production calls public addresses only")
    if not settings.smtp_url:
        problems.append("SMTP_URL: production brings its own SMTP server")
    return problems


def _bad_urls(settings: Settings) -> list[str]:
    schemes = {
        "database_url": ("postgresql://", "postgres://"),
        "database_system_url": ("postgresql://", "postgres://"),
        "database_owner_url": ("postgresql://", "postgres://"),
        "database_replica_url": ("postgresql://", "postgres://"),
        "redis_url": ("redis://", "rediss://", "unix://"),
        "smtp_url": ("smtp://", "smtps://"),
        "public_url": ("https://", "http://"),
    }
    return [
        f"{VARIABLES[field]}: must start with {' or '.join(allowed)}"
        for field, allowed in schemes.items()
        if (value := getattr(settings, field)) and not value.startswith(allowed)
    ]


def _bad_keys(settings: Settings) -> list[str]:
    try:
        _ = settings.wrapping_keys
    except ValueError as error:
        return [f"{VARIABLES['encryption_keys']}: {error}"]
    return []


def _bad_origins(settings: Settings) -> list[str]:
    """Who may say where a request comes from, and which pages may call."""
    problems: list[str] = []
    try:
        _ = settings.proxy_networks
    except ValueError:
        problems.append(f"{VARIABLES['trusted_proxies']}: must be networks such as 10.0.0.0/8, with commas between")
    origins = settings.allowed_origins
    if any(origin != "*" and not ORIGIN.fullmatch(origin) for origin in origins):
        problems.append(f"{VARIABLES['cors_origins']}: must be origins such as https://app.example, or *")
    if "*" in origins and (settings.cors_credentials or len(origins) > 1):
        problems.append(f"{VARIABLES['cors_origins']}: * stands alone, and without {VARIABLES['cors_credentials']}")
    return problems


def _bad_providers(settings: Settings) -> list[str]:
    try:
        _ = settings.sign_in_providers
    except ValueError as error:
        return [f"{VARIABLES['oidc_providers']}: {error}"]
    return []


def _parts(listed: str) -> list[str]:
    return [part.strip() for part in listed.split(",") if part.strip()]
