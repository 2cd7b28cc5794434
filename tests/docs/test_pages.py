"""Every code block of docs/modules is run, as a reader would run it, in an environment of its own.

What the reader starts there is forked (`core.testing.forking`). Really started, `plugs` is in
`tests/processes/test_up.py`, and `python` beside a forked one in `tests/processes/test_forking.py`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from msgspec import structs
from sqlalchemy import delete

from core.demo import make_demo
from core.runtime import make_runtime
from core.settings import Settings
from core.tasks.models import OutboxJob
from core.testing.forking import make_environment
from core.testing.processes import environment_of, free_port, run
from core.testing.stage import Addresses, clone_template, cloned
from tests.docs.run_page import RUN, Unclassified, blocks_of

DOCS = Path(__file__).parents[2] / "docs" / "modules"
PAGES = sorted(DOCS.glob("*.md"))
RUNNER = Path(__file__).with_name("run_page.py")
SECONDS = 280
NOT_THEIRS = " ".join(f"-p no:{plugin}" for plugin in ("faker", "hypothesispytest", "schemathesis", "time_machine"))
"""Plugins of pytest that come with what we develop with, and not with `the-plugs[testing]`."""


@asynccontextmanager
async def one_at_a_time(addresses: Addresses) -> AsyncGenerator[asyncpg.Connection]:
    """A connection to the stage's server; no other worker is in here meanwhile."""
    connection = await asyncpg.connect(addresses.postgres)
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtext('pages'))")
        yield connection
    finally:
        await connection.close()


@pytest.fixture(scope="session")
async def demo_template(addresses: Addresses) -> str:
    """The name of a database with the demo's organizations, which `plugs up` makes on a database of its own. What five
    hundred new contacts lead to is no page's matter, so no worker finds it to be done.

    The first that asks makes it, for all workers. It goes with the server.
    """
    name = f"{addresses.template}_demo"
    async with one_at_a_time(addresses) as server:
        if await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            return name
        async with cloned(addresses, f"making_{name}") as settings:
            runtime = make_runtime(settings)
            async with runtime.open_database("demo") as opened:
                await make_demo(runtime, opened)
                async with opened.system() as system:
                    await system.execute(delete(OutboxJob))
            await clone_template(addresses, name, template=f"making_{name}")
    return name


@pytest.fixture
async def settings_of_page(addresses: Addresses, demo_template: str) -> AsyncGenerator[Settings]:
    async with cloned(addresses, f"page_{uuid4().hex[:12]}", template=demo_template) as settings:
        yield structs.replace(settings, port=free_port(), log_level="info")


@pytest.mark.timeout(SECONDS + 20)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_the_page_runs(
    page: Path, settings_of_page: Settings, addresses: Addresses, tmp_path: Path
) -> None:
    reader = make_environment(tmp_path / "venv")
    env = (
        environment_of(settings_of_page)
        | addresses.lend()
        | {
            "HOME": str(tmp_path),
            "PATH": f"{reader / 'bin'}:{environment_of(settings_of_page)['PATH']}",
            "VIRTUAL_ENV": str(reader),
            "PIP_NO_INDEX": "1",  # nothing is downloaded: what a page installs is in the folder, or here already
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's own way of saying "without"
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTEST_ADDOPTS": NOT_THEIRS,
        }
    )
    here = tmp_path / "here"
    here.mkdir()

    ended = run(str(reader / "bin" / "python"), str(RUNNER), str(page), env=env, cwd=here, seconds=SECONDS)

    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-8000:]
    assert ended.stdout.endswith(f"{len(list(blocks_of(page.read_text())))} blocks\n")


def test_no_page_and_no_kind_of_block_is_left_out() -> None:
    kinds = {block.kind for page in PAGES for block in blocks_of(page.read_text())}

    assert len(PAGES) >= 10
    assert kinds <= RUN.keys()


@pytest.mark.parametrize(
    "page",
    [
        "```\nx\n```",
        "```ruby\nx\n```",
        "```sh file=x\nx\n```",
        "```diff\n-x\n```",
        "```python skip\n1\n```",
        "```sh\nx",
    ],
)
def test_a_block_that_does_not_say_what_it_is_fails_its_page(page: str) -> None:
    with pytest.raises(Unclassified):
        list(blocks_of(page))


@pytest.mark.parametrize(
    "page",
    [
        "```python\nassert False\n```",
        "```python\nimport asyncio\nawait asyncio.sleep(0)\nraise ValueError\n```",
        "```sh\nfalse\n```",
        "```sh fails\ntrue\n```",
        "```sh\necho yes\n```\n```text\nno\n```",
        "```sh elsewhere\nplugs no-such-command\n```",
        "```sh elsewhere\nplugs modules enable rsvp --no-such-option\n```",
        "```toml\n=\n```",
        "```python file=a.py\nx = 1\n```\n```diff file=a.py\n-x = 2\n+x = 3\n```",
    ],
)
def test_a_block_that_does_not_hold_fails_its_page(page: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(page)

    ended = run("python", str(RUNNER), str(path), env=environment_of(Settings()), cwd=tmp_path)

    assert ended.returncode == 1
    assert "page.md, line" in ended.stderr
