"""The schemas of a module's events, kept as files beside its code: what was promised to whoever follows them.

One JSON Schema file for each version of each event, `event_schemas/rsvp.answered.v1.json`, written by
`plugs events schemas rsvp --write` and never changed afterwards. An event may gain optional fields, with its `version`
raised; whatever would break a reader of an earlier version, or the reading of what was stored under it, needs a new
type of event.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct

from core.plugs.schema_changes import Schema, breaking_changes, without_notes
from core.tasks.registry import Event

FOLDER = "event_schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILE = re.compile(r"^(?P<type>[a-z0-9_.]+)\.v(?P<version>[1-9][0-9]*)\.json\Z")


class UnfitSchemas(Exception):
    """Schemas can't be written before the events are mended; each sentence says what is wrong with one."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


class EventSchemas(Struct, frozen=True, kw_only=True):
    """The events that a module emits, and the folder with what it promised of them."""

    module: str
    events: tuple[type[Event], ...]
    directory: Path
    """The folder of the module's package; the files are in `event_schemas` below it."""

    @property
    def folder(self) -> Path:
        return self.directory / FOLDER

    def complaints(self) -> list[str]:
        """What is not as it was promised, or was not promised yet, a sentence each; empty where all is well."""
        kept = self._kept()
        write = f"`plugs events schemas {self.module} --write`"
        return self._wrong(kept) or [
            f"{_label(event)} has no up-to-date schema file: {write}" for event in self._unwritten(kept)
        ]

    def write(self) -> list[Path]:
        """Write the files that are missing; returns them. Of an existing one only titles and descriptions change.

        Raises `UnfitSchemas` where an event breaks what was promised; then nothing is written.
        """
        kept = self._kept()
        if wrong := self._wrong(kept):
            raise UnfitSchemas(wrong)
        written: list[Path] = []
        for event in self._unwritten(kept):
            self.folder.mkdir(exist_ok=True)
            file = self.folder / f"{event.type}.v{event.version}.json"
            file.write_bytes(as_json(schema_of(event)))
            written.append(file)
        return written

    def _wrong(self, kept: Mapping[str, Mapping[int, Schema]]) -> list[str]:
        """What only a change of the events themselves can mend."""
        emitted = {event.type for event in self.events}
        return [
            *(sentence for event in self.events for sentence in _broken(event, kept.get(event.type, {}))),
            *(f"{gone} is not emitted any more, and others may follow it" for gone in sorted(kept.keys() - emitted)),
        ]

    def _unwritten(self, kept: Mapping[str, Mapping[int, Schema]]) -> Iterable[type[Event]]:
        return [event for event in self.events if kept.get(event.type, {}).get(event.version) != schema_of(event)]

    def _kept(self) -> dict[str, dict[int, Schema]]:
        """By type and version. A folder may be shared by modules that are single files."""
        found: dict[str, dict[int, Schema]] = {}
        for file in sorted(self.folder.glob(f"{self.module}.*.json")):
            if name := FILE.match(file.name):
                try:
                    schema = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
                except msgspec.DecodeError as error:
                    raise UnfitSchemas([f"{file.name} can't be read: {error}"]) from error
                found.setdefault(name["type"], {})[int(name["version"])] = schema
        return found


def _broken(event: type[Event], kept: Mapping[int, Schema]) -> list[str]:
    """How an event breaks what was promised of it."""
    if event.version < max(kept, default=1):
        return [f"{_label(event)}: there is a version {max(kept)} already; a version never goes back"]
    now = schema_of(event)
    changes = (change for schema in kept.values() for change in breaking_changes(schema, now))
    if broken := list(dict.fromkeys(changes)):
        return [f"{change}; a change like this needs a new type of event" for change in broken]
    same = kept.get(event.version)
    if same is not None and without_notes(same) != without_notes(now):
        return [f"{_label(event)} has other fields than it was written with: raise its version to {event.version + 1}"]
    return []


def _label(event: type[Event]) -> str:
    return f"{event.type} v{event.version}"


def schema_of(event: type[Event]) -> Schema:
    """What a payload of the event looks like, as JSON Schema. Its title is the event's type."""
    (root,), definitions = msgspec.json.schema_components([event], ref_template="#/$defs/{name}")
    definitions = cast("dict[str, Schema]", definitions)
    reference = root["$ref"]
    own = definitions.pop(reference.rpartition("/")[2])
    schema = {"$schema": DIALECT, **own, "title": event.type, "x-version": event.version}
    return schema | ({"$defs": dict(sorted(definitions.items()))} if definitions else {})


def as_json(schema: Schema) -> bytes:
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"
