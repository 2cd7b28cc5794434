"""What is promised of events stands in files, and is kept: of every event that there is, and of any module's."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from core.cli.new_module import write_module
from core.plugs.event_schemas import FOLDER, EventSchemas, UnfitSchemas, as_json, schema_of
from core.runtime import Runtime
from core.sdk import Ctx, Event, subscribe
from core.tasks.jobs import JobRunner
from core.tasks.models import OutboxJob
from core.tasks.registry import TaskRegistry
from core.testing.tenants import Tenant


def visited(*fields: Any, version: int = 1, doc: str | None = None, type: str = "fair.visited") -> type[Event]:  # noqa: A002
    namespace = {"type": type, "version": version, "__doc__": doc}
    return msgspec.defstruct("Visited", fields, bases=(Event,), frozen=True, kw_only=True, namespace=namespace)


FIRST = visited(("guest", str))
SECOND = visited(("guest", str), ("seats", int, 1), version=2)


class Fair:
    """A module whose events change while its promises stand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def schemas(self, *events: type[Event]) -> EventSchemas:
        return EventSchemas(module="fair", events=events, directory=self.directory)

    @property
    def files(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in (self.directory / FOLDER).glob("*")}


@pytest.fixture
def fair(tmp_path: Path) -> Fair:
    fair = Fair(tmp_path)
    fair.schemas(FIRST).write()
    return fair


def subclasses(kind: type) -> set[type]:
    return {found for direct in kind.__subclasses__() for found in {direct, *subclasses(direct)}}


def test_every_event_of_the_core_and_the_modules_is_promised_and_kept(runtime: Runtime) -> None:
    promised = {event for schemas in runtime.event_schemas for event in schemas.events}
    ours = {event for event in subclasses(Event) if event.__module__.startswith(("core.", "modules."))}

    assert ours == promised
    assert [complaint for schemas in runtime.event_schemas for complaint in schemas.complaints()] == []


def test_an_event_without_a_file_is_named_with_the_command_that_writes_it(tmp_path: Path) -> None:
    schemas = Fair(tmp_path).schemas(FIRST)

    assert schemas.complaints() == [
        "fair.visited v1 has no up-to-date schema file: `plugs events schemas fair --write`"
    ]
    assert [file.name for file in schemas.write()] == ["fair.visited.v1.json"]
    assert schemas.complaints() == []
    assert schemas.write() == []


def test_a_new_version_with_an_optional_field_adds_a_file_and_leaves_the_old_one(fair: Fair) -> None:
    before = fair.files

    fair.schemas(SECOND).write()

    assert fair.schemas(SECOND).complaints() == []
    assert fair.files.keys() - before.keys() == {"fair.visited.v2.json"}
    assert fair.files | before == fair.files


@pytest.mark.parametrize("name", ["seats", "title", "description", "default"])
def test_another_field_without_another_version_is_refused(fair: Fair, name: str) -> None:
    changed, before = fair.schemas(visited(("guest", str), (name, int, 1))), fair.files

    assert changed.complaints() == ["fair.visited v1 has other fields than it was written with: raise its version to 2"]
    with pytest.raises(UnfitSchemas):
        changed.write()
    assert fair.files == before


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ([], "fair.visited: guest was removed"),
        ([("guest", int)], "fair.visited: guest was string and is integer"),
        ([("guest", str), ("seats", int)], "fair.visited: seats was added without a default"),
        ([("guest", str, "")], "fair.visited: guest is no longer required"),
    ],
)
def test_a_breaking_change_is_refused_whatever_version_it_claims(
    fair: Fair, fields: list[Any], says: str, version: int
) -> None:
    changed, before = fair.schemas(visited(*fields, version=version)), fair.files

    complaint = changed.complaints()[0]

    assert says in complaint
    assert "needs a new type of event" in complaint
    with pytest.raises(UnfitSchemas, match=says.partition(" and ")[0]):
        changed.write()
    assert fair.files == before


def test_a_later_version_is_held_to_all_earlier_ones(fair: Fair) -> None:
    fair.schemas(SECOND).write()
    third = visited(("guest", str), version=3)

    assert fair.schemas(third).complaints() == [
        "fair.visited: seats was removed; a change like this needs a new type of event"
    ]


def test_a_version_never_goes_back(fair: Fair) -> None:
    fair.schemas(SECOND).write()

    assert fair.schemas(FIRST).complaints() == [
        "fair.visited v1: there is a version 2 already; a version never goes back"
    ]


def test_an_event_that_is_not_emitted_any_more_is_named(fair: Fair) -> None:
    other = visited(("guest", str), type="fair.left")
    fair.schemas(FIRST, other).write()

    assert fair.schemas(other).complaints() == ["fair.visited is not emitted any more, and others may follow it"]


def test_a_new_type_beside_the_old_one_may_be_anything(fair: Fair) -> None:
    schemas = fair.schemas(FIRST, visited(("guest", int), type="fair.visited_again"))
    schemas.write()

    assert schemas.complaints() == []


def test_other_words_are_written_into_the_file_of_the_same_version(fair: Fair) -> None:
    told = fair.schemas(visited(("guest", str), doc="Somebody came."))

    assert len(told.complaints()) == 1
    told.write()

    assert told.complaints() == []
    assert json.loads(fair.files["fair.visited.v1.json"])["description"] == "Somebody came."


def test_an_event_without_words_of_its_own_has_not_those_of_its_base() -> None:
    assert Event.__doc__
    assert "description" not in schema_of(FIRST)


def test_a_file_that_can_not_be_read_is_named(fair: Fair) -> None:
    (fair.directory / FOLDER / "fair.visited.v1.json").write_text("{")

    with pytest.raises(UnfitSchemas, match=r"fair.visited.v1.json can't be read"):
        fair.schemas(FIRST).complaints()


def test_files_of_another_module_in_the_same_folder_are_none_of_its_business(fair: Fair) -> None:
    market = EventSchemas(module="fairground", events=(), directory=fair.directory)

    assert market.complaints() == []


def test_the_file_that_a_new_module_starts_with_is_the_one_that_is_written(tmp_path: Path) -> None:
    write_module("ball", path=str(tmp_path / "ball"), title=None)
    scope: dict[str, Any] = {"__name__": "contract"}
    package = tmp_path / "ball" / "plugs_ball"
    exec((package / "contract.py").read_text(), scope)  # noqa: S102 # ours, from the template

    kept = (package / FOLDER / "ball.answered.v1.json").read_bytes()

    assert kept == as_json(schema_of(scope["Answered"]))


async def deliver(tenant: Tenant, event: type[Event], payload: dict[str, Any]) -> list[Any]:
    """Let a job that lies in the outbox with this payload meet a subscriber that knows `event`."""
    heard: list[Any] = []

    @subscribe(event)
    async def note(ctx: Ctx, event: Event) -> None:
        heard.append(event)

    subscriber = msgspec.structs.replace(note, name="fair.note")
    runtime = tenant.application.runtime
    ctx = tenant.ctx()
    job_id = ctx.enqueue(subscriber, payload=payload)
    await ctx.commit()
    await ctx.close()
    runner = JobRunner(
        database=tenant.database,
        registry=TaskRegistry([subscriber], modules=runtime.registry.modules),
        cursors=runtime.cursors,
        modules=tenant.application.litestar.state.services.modules,
        lease_seconds=runtime.settings.job_lease,
    )
    await runner.run(tenant.organization_id, job_id)
    async with tenant.database.system() as system:
        assert await system.scalar(select(OutboxJob.done_at).where(OutboxJob.id == job_id)) is not None
    return heard


async def test_what_was_stored_under_an_earlier_version_reaches_todays_subscriber(acme: Tenant) -> None:
    assert await deliver(acme, SECOND, {"guest": "Ada"}) == [SECOND(guest="Ada", seats=1)]


async def test_what_a_newer_process_stored_reaches_the_subscriber_of_an_older_one(acme: Tenant) -> None:
    """While a new version is rolled out, workers of both run."""
    assert await deliver(acme, FIRST, {"guest": "Ada", "seats": 3}) == [FIRST(guest="Ada")]
