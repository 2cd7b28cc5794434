"""Rules about the package: what importing it does, what it imports, what its manifest and its events say."""

import ast
import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from litestar.handlers import HTTPRouteHandler

from core.http.routers import handlers_in
from core.permissions import Permission
from core.plugs.event_schemas import EventSchemas, UnfitSchemas
from core.tasks.registry import Actor, Event
from core.testing.conformance.candidate import NOT_CODE, Candidate, Rule
from core.testing.import_watch import observed_imports

SDK = "core.sdk"
OF_MIGRATIONS = ("core.db.tenancy", "core.db.types", "core.db.operations", "alembic")
"""What revisions may import beside the SDK."""
DENIED = {
    "asyncpg": "connections come with ctx",
    "psycopg": "connections come with ctx",
    "psycopg2": "connections come with ctx",
    "alembic": "only revisions migrate",
    "dramatiq": "actors are made with @actor",
    "redis": "keys in Redis know no tenant",
}
"""Libraries that lead past the tenant's walls, and what there is instead."""
ENGINES = {"create_engine", "create_async_engine", "async_sessionmaker", "sessionmaker", "create_async_pool_from_url"}


async def importing_does_nothing(candidate: Candidate) -> Sequence[str]:
    """Importing the module must touch nothing: no socket, no file written, no process, no thread.

    Every process imports every module, the command line too. What has to be opened is opened in the `lifespan` hook.
    """
    package = candidate.plug.package
    return (await asyncio.to_thread(observed_imports, package))[package]


async def the_manifest_lists_what_there_is(candidate: Candidate) -> Sequence[str]:
    """Whatever the package defines is listed in its manifest, and what a route needs is declared there.

    An actor that is not listed never runs, an event that is not listed is promised to nobody.
    """
    module = candidate.plug.module
    actors, permissions = {id(actor) for actor in candidate.jobs}, {p.name for p in module.permissions}
    mounted = {handler.fn for handler in candidate.routes.values()}
    unlisted = [
        *(f"{at}, an actor" for at, actor in _own_actors(candidate) if id(actor) not in actors),
        *(f"{at}, an event" for at, event in _own_events(candidate) if event not in module.emits),
        *(f"{at}, a route" for at, handler in candidate.defined(HTTPRouteHandler) if handler.fn not in mounted),
        *(
            f"{at}, a permission"
            for at, permission in candidate.defined(Permission)
            if permission.name.startswith(f"{candidate.name}:") and permission.name not in permissions
        ),
    ]
    return [*(f"the manifest doesn't list {each}" for each in unlisted), *_unnamed(candidate)]


def _own_actors(candidate: Candidate) -> Iterator[tuple[str, Actor]]:
    return ((at, actor) for at, actor in candidate.defined(Actor) if actor.name.startswith(f"{candidate.name}."))


def _own_events(candidate: Candidate) -> Iterator[tuple[str, type[Event]]]:
    files = {file.__name__ for file in candidate.files}
    for at, kind in candidate.defined(type):
        if issubclass(kind, Event) and kind.__module__ in files and "type" in vars(kind):
            yield at, kind


def _unnamed(candidate: Candidate) -> list[str]:
    """Clients are generated from operation ids; one that Litestar makes up changes when another route is added."""
    times = Counter(handler.operation_id for _, handler in handlers_in(candidate.application.litestar.routes))
    return [
        f"{route} has no operation_id, or one that another route has"
        for route, handler in candidate.routes.items()
        if handler.operation_id is None or times[handler.operation_id] > 1
    ]


async def imports_stay_in_bounds(candidate: Candidate) -> Sequence[str]:
    """The package imports `core.sdk`, itself, another module's `contract`, and libraries that open no doors of their
    own. Whose contract it imports it names under `requires` or `optional`.
    """
    found: list[str] = []
    for file in _sources(candidate):
        in_migrations = "migrations" in file.parts
        tree = ast.parse(await asyncio.to_thread(file.read_bytes), filename=str(file))
        for line, name in _imported(tree, candidate, file):
            if reason := _out_of_bounds(candidate, name, in_migrations=in_migrations):
                found.append(f"{file.name}:{line} imports {name}: {reason}")
    return found


def _sources(candidate: Candidate) -> list[Path]:
    package = candidate.files[0]
    if not hasattr(package, "__path__"):
        return [Path(str(package.__file__))]
    root = candidate.plug.directory
    tests = NOT_CODE[1]
    return [file for file in sorted(root.rglob("*.py")) if tests not in file.relative_to(root).parts]


def _imported(tree: ast.AST, candidate: Candidate, file: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that is imported, wherever it stands."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = module or ""
                if level:
                    folders = file.relative_to(candidate.plug.directory).parts[:-1]
                    above = folders[: len(folders) - level + 1]
                    base = ".".join([candidate.plug.package, *above, *filter(None, [base])])
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in names)
            case _:
                pass


def _out_of_bounds(candidate: Candidate, name: str, *, in_migrations: bool) -> str | None:
    top, last = name.partition(".")[0], name.rpartition(".")[2]
    if _within(name, candidate.plug.package) or (in_migrations and any(_within(name, each) for each in OF_MIGRATIONS)):
        return None
    if top == "core":
        return None if _within(name, SDK) else f"{SDK} is all of the core that is public"
    for other in candidate.runtime.plugs:
        if other.name != candidate.name and _within(name, other.package):
            return _not_by_contract(candidate, other.name, other.package, name)
    if top == "sqlalchemy" and last in ENGINES:
        return "connections come with ctx"
    return DENIED.get(top)


def _not_by_contract(candidate: Candidate, module: str, package: str, name: str) -> str | None:
    if not _within(name, f"{package}.contract"):
        return f"of {module} only its contract may be imported"
    known = (*candidate.plug.module.requires, *candidate.plug.module.optional)
    return None if module in known else f"{module} stands neither under requires nor under optional"


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


async def events_only_grow(candidate: Candidate) -> Sequence[str]:
    """Each event is as its schema file promised: it may gain optional fields, with a higher version, and lose nothing.

    `plugs events schemas NAME --write` writes the files; a change that breaks them needs a new type of event.
    """
    module = candidate.plug.module
    schemas = EventSchemas(module=module.name, events=tuple(module.emits), directory=candidate.plug.directory)
    try:
        return await asyncio.to_thread(schemas.complaints)
    except UnfitSchemas as error:
        return error.sentences


RULES: tuple[Rule, ...] = (
    importing_does_nothing,
    the_manifest_lists_what_there_is,
    imports_stay_in_bounds,
    events_only_grow,
)
