"""Discovery: modules come by entry point, in dependency order, and a bad one harms only itself."""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from core.plugs.discovery import GROUP, BadModule, Plugs, discover

type Install = Callable[..., EntryPoint]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Write a module's file and return the entry point that leads to it."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name: str, source: str = "", *, point: str | None = None) -> EntryPoint:
        package = f"plug_{name}_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{package}.py").write_text(source or f"module = Module(name={name!r}, title='T')")
        text = (tmp_path / f"{package}.py").read_text()
        (tmp_path / f"{package}.py").write_text("from core.sdk import *\nfrom core.sdk import Module, hook\n" + text)
        sys.modules.pop(package, None)
        return EntryPoint(name=point or name, value=f"{package}:module", group=GROUP)

    return install


def reason(plugs: Plugs, name: str) -> str:
    return plugs.quarantined[name].reason


def test_our_own_modules_come_the_same_way_as_anybodys() -> None:
    plugs = discover()

    assert plugs.plugs["networking"].distribution == "the-plugs"
    assert plugs.quarantined == {}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("raise ValueError('broken inside')", "broken inside"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import no_such_library", "no_such_library"),
        ("def module(:", "SyntaxError"),
        ("module = 'a string'", "not a Module"),
        ("other = 1", "module"),
        ("module = Module(name='another', title='T')", "another"),
        ("module = Module(name='core', title='T')", "can't be a module's name"),
        ("module = Module(name='bad', title='T', permissions=[Permission('x:read', 'X')])", "x:read"),
    ],
)
def test_a_bad_module_is_set_aside_and_the_others_serve(install: Install, source: str, says: str) -> None:
    plugs = discover([install("bad", source), install("good")])

    assert list(plugs.plugs) == ["good"]
    assert says in reason(plugs, "bad")


def test_a_module_that_hangs_at_import_is_given_up_and_the_others_serve(install: Install) -> None:
    points = [install("slow", "import threading; threading.Event().wait(60)"), install("good")]

    plugs = discover(points, import_seconds=0.2)

    assert list(plugs.plugs) == ["good"]
    assert "0.2 seconds" in reason(plugs, "slow")


def test_with_abort_every_bad_module_is_named_and_nothing_starts(install: Install) -> None:
    points = [install("bad", "raise ValueError('one')"), install("worse", "import sys; sys.exit(3)"), install("good")]

    with pytest.raises(BadModule) as refused:
        discover(points, abort=True)

    assert "bad" in str(refused.value)
    assert "worse" in str(refused.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("schedules=[Schedule(actor=actor(name='bad.a')(f), every=timedelta(1))]", "not listed under actors"),
        ("actors=[actor(name='bad.a')(f), actor(name='bad.a')(f)]", "declared 2 times"),
        ("requires=['bad']", "depend on itself"),
        ("settings=Open", "frozen"),
        ("settings=Needy", "a default for limit"),
        ("emits=[Typed]", "Typed: `type` and `version` are the event's own"),
        ("emits=[Loud]", "'bad.Loud', version 1: an event's type is lower-case words"),
        ("emits=[Unborn]", "'bad.unborn', version 0: an event's type is"),
        ("emits=[Versioned]", "Versioned: `type` and `version` are the event's own"),
        ("routes=[talk]", "is no route of HTTP"),
        ("routes=[Talks]", "is no route of HTTP"),
        ("routes=[Router('/nested', route_handlers=[Router('/more', route_handlers=[Talks])])]", "is no route of HTTP"),
        ("routes=[mounted]", "is no route of HTTP"),
    ],
)
def test_a_manifest_that_could_not_work_is_refused_before_it_does_harm(
    install: Install, source: str, says: str
) -> None:
    head = """
from datetime import timedelta
from msgspec import Struct
async def f(ctx): ...
class Open(Struct): a: int = 0
class Needy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True): limit: int
class Typed(Event, frozen=True, kw_only=True): type: str
class Loud(Event, frozen=True, kw_only=True): type = "bad.Loud"
class Unborn(Event, frozen=True, kw_only=True):
    type = "bad.unborn"
    version = 0
class Versioned(Event, frozen=True, kw_only=True):
    type = "bad.versioned"
    version: int
from litestar import Controller, Router, WebSocket, asgi, get, websocket
@get("/fine")
async def fine() -> None: ...
@websocket("/talk")
async def talk(socket: WebSocket) -> None: ...
class Talks(Controller):
    fine = fine
    talk = talk
@asgi("/mounted", is_mount=True)
async def mounted(scope: dict, receive: object, send: object) -> None: ...
"""

    plugs = discover([install("bad", f"{head}module = Module(name='bad', title='T', {source})"), install("good")])

    assert list(plugs.plugs) == ["good"]
    assert says in reason(plugs, "bad")


def test_requirements_come_first(install: Install) -> None:
    points = [
        install("a", "module = Module(name='a1', title='T', requires=['b1'])", point="a1"),
        install("b", "module = Module(name='b1', title='T', optional=['c1', 'absent'])", point="b1"),
        install("c", "module = Module(name='c1', title='T')", point="c1"),
    ]

    assert list(discover(points).plugs) == ["c1", "b1", "a1"]


def test_a_module_without_its_requirement_is_set_aside_and_so_is_who_requires_it(install: Install) -> None:
    points = [
        install("a", "module = Module(name='a1', title='T', requires=['b1'])", point="a1"),
        install("b", "module = Module(name='b1', title='T', requires=['absent'])", point="b1"),
        install("good"),
    ]

    plugs = discover(points)

    assert list(plugs.plugs) == ["good"]
    assert "absent" in reason(plugs, "b1")
    assert "b1" in reason(plugs, "a1")


def test_a_cycle_is_named(install: Install) -> None:
    points = [
        install("a", "module = Module(name='a1', title='T', requires=['b1'])", point="a1"),
        install("b", "module = Module(name='b1', title='T', requires=['a1'])", point="b1"),
        install("good"),
    ]

    plugs = discover(points)

    assert list(plugs.plugs) == ["good"]
    assert "a1" in reason(plugs, "b1")
    assert "→" in reason(plugs, "b1")


def test_two_distributions_of_one_name_leave_one(install: Install) -> None:
    points = [install("twin"), install("other", "module = Module(name='twin', title='T')", point="twin")]

    plugs = discover(points)

    assert list(plugs.plugs) == ["twin"]
    assert "already provides" in reason(plugs, "twin")


def test_a_misspelt_hook_sets_its_module_aside(install: Install) -> None:
    source = """
import sys
@hook
def seed_dmeo(ctx): ...
module = Module(name='bad', title='T', hooks=sys.modules[__name__])
"""

    plugs = discover([install("bad", source), install("good")])

    assert list(plugs.plugs) == ["good"]
    assert "seed_dmeo" in reason(plugs, "bad")


async def test_a_hook_that_raises_harms_no_other(install: Install) -> None:
    source = """
import sys
from contextlib import asynccontextmanager
opened = []
@hook
@asynccontextmanager
async def lifespan():
    {body}
    opened.append(1)
    yield
    opened.append(2)
module = Module(name={name!r}, title='T', hooks=sys.modules[__name__])
"""
    bad = install("bad", source.format(body="raise ValueError", name="bad"))
    good = install("good", source.format(body="pass", name="good"))
    plugs = discover([bad, good])

    async with plugs.lifespan():
        assert sys.modules[good.module].opened == [1]

    assert sys.modules[good.module].opened == [1, 2]
    assert sys.modules[bad.module].opened == []
