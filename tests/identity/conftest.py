"""Letters arrive over real SMTP, and an issuer of OpenID Connect runs in a process of its own."""

from collections.abc import AsyncGenerator, Iterator

import pytest
from issuing import Browser, LocalIssuer, forget_issuers, local_issuer, provider, trusting
from letterbox import Letterbox, open_letterbox

from core.app import Application
from core.settings import Settings
from core.testing.passwords import FULL, hashing_with


@pytest.fixture
async def letterbox(application: Application) -> AsyncGenerator[Letterbox]:
    async with open_letterbox(application) as opened:
        yield opened


@pytest.fixture
def full_cost() -> Iterator[None]:
    """Passwords cost what they cost in production."""
    with hashing_with(FULL):
        yield


@pytest.fixture(scope="session")
def issuer_process() -> Iterator[LocalIssuer]:
    with local_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(issuer_process: LocalIssuer) -> LocalIssuer:
    """As good as new: it does nothing wrong."""
    issuer_process.will()
    return issuer_process


@pytest.fixture(scope="session")
async def trusting_application(settings: Settings, issuer_process: LocalIssuer) -> AsyncGenerator[Application]:
    async with trusting(settings, provider(issuer_process)) as application:
        yield application


@pytest.fixture
def trustful(trusting_application: Application, issuer: LocalIssuer) -> Application:
    """An application that lets people sign in with the issuer, and has not asked it for anything yet."""
    forget_issuers(trusting_application)
    return trusting_application


@pytest.fixture
async def browser(trustful: Application) -> AsyncGenerator[Browser]:
    browser = Browser(trustful)
    async with browser.client:
        yield browser
