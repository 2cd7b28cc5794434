"""The pytest plugin: fixtures on real servers. `plugs_stage = true` in the pytest configuration turns it on.

The servers start once, in the process that the run was started in; parallel workers each clone the migrated template
and share nothing else.
"""

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:  # the plugin is loaded into every pytest run of an environment, so it must cost nothing
    import httpx

    from core.app import Application
    from core.db.database import Database
    from core.runtime import Runtime
    from core.settings import Settings
    from core.testing.conformance.candidate import Bench
    from core.testing.stage import Addresses, Stage
    from core.testing.tenants import MakeTenant, Tenant

ADDRESSES: "pytest.StashKey[Addresses]" = pytest.StashKey()
STAGE: "pytest.StashKey[Stage]" = pytest.StashKey()
WORKER_KEY = "plugs_addresses"
FORKING_KEY = "plugs_forking"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("plugs_stage", "Start PostgreSQL and Redis for the tests.", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getini("plugs_stage") or config.option.collectonly:
        return
    from core.testing.stage import Addresses, set_stage

    if (handed := getattr(config, "workerinput", {}).get(WORKER_KEY)) is not None:
        from core.testing.forking import PRELOADED

        config.stash[ADDRESSES] = Addresses.from_text(handed)
        PRELOADED.share(getattr(config, "workerinput", {})[FORKING_KEY])
        return
    config.stash[STAGE] = stage = set_stage()
    config.stash[ADDRESSES] = stage.start()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Called in the controller of a parallel run for each worker that it starts."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    if ADDRESSES in config.stash:
        from core.testing.forking import PRELOADED

        node.workerinput[WORKER_KEY] = config.stash[ADDRESSES].as_text()  # type: ignore[attr-defined]
        node.workerinput[FORKING_KEY] = PRELOADED.address  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    if STAGE in config.stash:
        config.stash[STAGE].stop()


@pytest.fixture(scope="session")
def addresses(pytestconfig: pytest.Config) -> "Addresses":
    """Where the test run's PostgreSQL and Redis are."""
    return pytestconfig.stash[ADDRESSES]


@pytest.fixture(scope="session")
def cheap_passwords() -> Generator[None]:
    """Nobody waits for a hash, but where `core.testing.passwords` puts the full cost back."""
    from core.testing.passwords import CHEAP, hashing_with

    with hashing_with(CHEAP):
        yield


@pytest.fixture(scope="session")
async def settings(
    addresses: "Addresses", request: pytest.FixtureRequest, cheap_passwords: None
) -> AsyncGenerator["Settings"]:
    """Settings on a database that is this worker's own."""
    from core.testing.stage import cloned

    worker: str = getattr(request.config, "workerinput", {}).get("workerid", "main")
    async with cloned(addresses, f"{addresses.template}_{worker}") as settings:
        yield settings


@pytest.fixture
async def scratch(addresses: "Addresses", cheap_passwords: None) -> AsyncGenerator["Runtime"]:
    """A migrated database that is this test's own to break."""
    from core.runtime import make_runtime
    from core.testing.stage import cloned

    async with cloned(addresses, f"scratch_{uuid4().hex[:12]}") as settings:
        yield make_runtime(settings)


@pytest.fixture(scope="session")
def runtime(settings: "Settings") -> "Runtime":
    from core.runtime import make_runtime

    return make_runtime(settings)


@pytest.fixture(scope="session")
async def application(runtime: "Runtime") -> AsyncGenerator["Application"]:
    """The whole application, started."""
    from core.app import create_app
    from core.testing.tenants import running

    async with running(create_app(runtime)) as application:
        yield application


@pytest.fixture(scope="session")
async def conformance_bench(application: "Application", addresses: "Addresses") -> AsyncGenerator["Bench"]:
    """What `core.testing.conformance` judges modules on."""
    from core.runtime import make_runtime
    from core.testing.conformance.candidate import Bench
    from core.testing.stage import cloned

    async with cloned(addresses, f"bench_{uuid4().hex[:12]}") as settings:
        yield Bench(application=application, scratch=make_runtime(settings, application.runtime.plugs))


@pytest.fixture(scope="session")
def database(application: "Application") -> "Database":
    return application.litestar.state.services.database


@pytest.fixture
async def anonymous(application: "Application") -> AsyncGenerator["httpx.AsyncClient"]:
    """A client that is not signed in."""
    from core.testing.tenants import client_of

    async with client_of(application) as client:
        yield client


@pytest.fixture
def new_tenant(application: "Application") -> "MakeTenant":
    """Makes a new organization with a signed-in owner."""
    from core.testing.tenants import make_tenant

    async def make(slug: str | None = None) -> "Tenant":
        return await make_tenant(application, slug)

    return make


@pytest.fixture
async def acme(new_tenant: "MakeTenant") -> "Tenant":
    """One organization, made for this test."""
    return await new_tenant()


@pytest.fixture
async def globex(new_tenant: "MakeTenant") -> "Tenant":
    """The other organization: none of the first one's business."""
    return await new_tenant()
