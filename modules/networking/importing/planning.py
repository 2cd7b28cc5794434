"""What each row of an import will do. Pure: contacts that have a row's keys go in, decisions come out.

A dry run decides with the same code as the real one. What earlier rows of the file would have changed is remembered
here, so the two agree although one of them writes nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from core.sdk import FieldError, new_id
from modules.networking.field_schemas import CUSTOM
from modules.networking.field_values import required_error
from modules.networking.importing.rows import Row
from modules.networking.keys import Key, keys_of
from modules.networking.pipeline import NOT_ALLOWED, STAGE, PipelineRules, check_move, filled
from modules.networking.schemas import MAX_EMAILS
from modules.networking.services.duplicates import Match
from modules.networking.values import Consent, ContactType, DuplicatePolicy, ImportMode, MatchKey, RowOutcome

type Values = dict[str, Any]

SAID = {
    "no-match": "No contact has this key",
    "no-key": "The row has no value by which its contact could be found",
    "ambiguous": "More than one contact has it",
    "in-trash": "A contact in the trash has it",
    "read-only": "The contact is shared for reading only",
}


WRITTEN = frozenset({RowOutcome.CREATED, RowOutcome.UPDATED})
ERASED_PERSON = "erased-person"
"""Why a row was skipped. The report keeps nothing else of it."""


class Decision(Struct, kw_only=True):
    """What becomes of one row."""

    row: Row
    outcome: RowOutcome
    code: str | None = None
    contact_id: UUID | None = None
    errors: list[FieldError] = []


class Standing(NamedTuple):
    """Where a contact is in the pipeline, and which of the fields hold something that stages ask for."""

    stage: str
    filled: frozenset[str]

    @classmethod
    def of(cls, values: Values) -> "Standing":
        return cls(values[STAGE], filled(values))

    def with_row(self, said: Values) -> "Standing":
        """A row empties nothing."""
        return Standing(said.get(STAGE, self.stage), self.filled | filled(said))

    @property
    def values(self) -> Values:
        own = {field.removeprefix(CUSTOM) for field in self.filled if field.startswith(CUSTOM)}
        return {STAGE: self.stage, **dict.fromkeys(self.filled, "x"), "custom": dict.fromkeys(own, "x")}


NEW = Standing(ContactType.TARGET, frozenset())


class Planner:
    """Decides row by row, in the file's order."""

    def __init__(
        self,
        *,
        mode: ImportMode,
        match_key: MatchKey,
        duplicates: DuplicatePolicy,
        pipeline: PipelineRules,
        required: Collection[str] = (),
    ) -> None:
        """`required` are the keys of custom fields that a new contact must have."""
        self.mode = mode
        self.match_key = match_key
        self.duplicates = duplicates
        self.pipeline = pipeline
        self.required = required
        self.read_only: set[UUID] = set()
        """Contacts that whoever started the import may see and not change."""
        self.created: set[UUID] = set()
        """Contacts that this run made, or in a dry run would have made."""
        self.erased: set[Key] = set()
        """Those of people who were erased. Their rows are left out, but where somebody has added them again by hand."""
        self._gained: defaultdict[Key, list[UUID]] = defaultdict(list)
        self._lost: set[tuple[Key, UUID]] = set()
        self._held: dict[UUID, tuple[Key, ...]] = {}
        """The keys of contacts that earlier rows made or changed."""
        self._standing: dict[UUID, Standing] = {}

    @property
    def changes_contacts(self) -> bool:
        """Whether a row can change a contact that there is."""
        return self.mode is not ImportMode.CREATE or self.duplicates is DuplicatePolicy.UPDATE

    def look_again(self) -> None:
        """What earlier rows did is stored by now, and others may have changed the contacts since."""
        for remembered in (self.created, self._gained, self._lost, self._held, self._standing):
            remembered.clear()

    def keys_of(self, row: Row) -> list[Key]:
        return [*row.keys, Key("id", str(row.contact_id))] if row.contact_id else row.keys

    def decide(
        self,
        row: Row,
        matches: Mapping[Key, list[Match]],
        stored: Mapping[UUID, Values],
        *,
        name_of: Callable[[str], str],
    ) -> Decision:
        """`stored` has the columns of the contacts that may be changed; `name_of` a field's column in the file."""
        if row.errors:
            return Decision(row=row, outcome=RowOutcome.FAILED, code="invalid", errors=row.errors)
        decision = self._decide(row, matches)
        if decision.outcome not in WRITTEN:
            return decision
        if self._brings_back(row, matches):
            return Decision(row=row, outcome=RowOutcome.SKIPPED, code=ERASED_PERSON)
        standing = self._standing_of(decision, stored)
        if errors := self._judge(row, standing):
            code = NOT_ALLOWED if errors[0].code == NOT_ALLOWED else "invalid"
            named = [msgspec.structs.replace(error, field=name_of(error.field)) for error in errors]
            return Decision(row=row, outcome=RowOutcome.FAILED, code=code, errors=named)
        contact_id = decision.contact_id = decision.contact_id or new_id()
        if decision.outcome is RowOutcome.CREATED:
            self.created.add(contact_id)
        if self.changes_contacts:
            self._standing[contact_id] = (standing or NEW).with_row(row.values)
        self._remember(contact_id, row, stored.get(contact_id, {}))
        return decision

    def _standing_of(self, decision: Decision, stored: Mapping[UUID, Values]) -> Standing | None:
        """None for a contact that comes new."""
        if decision.outcome is RowOutcome.CREATED or decision.contact_id is None:
            return None
        return self._standing.get(decision.contact_id) or Standing.of(stored[decision.contact_id])

    def _judge(self, row: Row, standing: Standing | None) -> list[FieldError]:
        if standing is not None:
            return check_move(standing.values, standing.with_row(row.values).values, row.stage_reason, self.pipeline)
        errors = check_move(None, {STAGE: ContactType.TARGET, **row.values}, None, self.pipeline)
        if "first_name" not in row.values:
            errors.insert(0, required_error("first_name"))
        if self.required:
            named = {error.field for error in errors}
            lacking = {CUSTOM + key for key in self.required} - filled(row.values) - named
            errors += map(required_error, sorted(lacking))
        return errors

    def _brings_back(self, row: Row, matches: Mapping[Key, list[Match]]) -> bool:
        """Whether the row has what identified somebody who was erased, and no contact has it now."""
        return bool(self.erased) and any(key in self.erased and not self._owners([key], matches)[0] for key in row.keys)

    def _decide(self, row: Row, matches: Mapping[Key, list[Match]]) -> Decision:
        if self.mode is not ImportMode.CREATE:
            wanted = [key for key in self.keys_of(row) if key.kind == self.match_key]
            living, trashed = self._owners(wanted, matches)
            if living:
                return self._update(row, living)
            if trashed:
                return Decision(row=row, outcome=RowOutcome.SKIPPED, code="in-trash", contact_id=trashed[0])
            if self.mode is ImportMode.UPDATE:
                return _failed(row, "no-match" if wanted else "no-key")
        if self.duplicates is DuplicatePolicy.CREATE:
            return Decision(row=row, outcome=RowOutcome.CREATED)
        living, trashed = self._owners(self.keys_of(row), matches)
        if living and self.duplicates is DuplicatePolicy.UPDATE:
            return self._update(row, living)
        if living:
            return Decision(row=row, outcome=RowOutcome.SKIPPED, code="duplicate", contact_id=living[0])
        if trashed:
            return Decision(row=row, outcome=RowOutcome.SKIPPED, code="in-trash", contact_id=trashed[0])
        return Decision(row=row, outcome=RowOutcome.CREATED)

    def _update(self, row: Row, living: list[UUID]) -> Decision:
        if len(living) > 1:
            return _failed(row, "ambiguous")
        if living[0] in self.read_only:
            return _failed(row, "read-only")
        return Decision(row=row, outcome=RowOutcome.UPDATED, contact_id=living[0])

    def _owners(self, keys: Iterable[Key], matches: Mapping[Key, list[Match]]) -> tuple[list[UUID], list[UUID]]:
        """Who has one of the keys by now: living contacts, and those in the trash. The oldest first."""
        living: set[UUID] = set()
        trashed: set[UUID] = set()
        for key in keys:
            for match in matches.get(key, ()):
                if (key, match.contact_id) not in self._lost:
                    (trashed if match.is_deleted else living).add(match.contact_id)
            living.update(self._gained.get(key, ()))
        return sorted(living), sorted(trashed)

    def _remember(self, contact_id: UUID, row: Row, stored: Values) -> None:
        held = self._held.get(contact_id) or tuple(keys_of(stored))
        replaced = {key.kind for key in row.keys} - {"email"}  # an address that is replaced becomes an additional one
        left = [key for key in held if key.kind not in replaced or key in row.keys]
        self._held[contact_id] = tuple(dict.fromkeys([*left, *row.keys]))
        for key in set(held) - set(left):
            self._lost.add((key, contact_id))
            if contact_id in self._gained.get(key, ()):
                self._gained[key].remove(contact_id)
        for key in row.keys:
            self._lost.discard((key, contact_id))
            if contact_id not in self._gained[key]:
                self._gained[key].append(contact_id)


def _failed(row: Row, code: str) -> Decision:
    error = FieldError(field="", code=code, message=SAID[code])
    return Decision(row=row, outcome=RowOutcome.FAILED, code=code, errors=[error])


def updated(stored: Values, said: Values) -> Values:
    """The contact's columns once a row has been taken. What it doesn't say stays; consent is never widened again."""
    values = stored | said
    if "email" in said:
        others = [*stored["additional_emails"], stored["email"], *said.get("additional_emails", ())]
        kept = [address for address in dict.fromkeys(others) if address and address != said["email"]]
        values["additional_emails"] = kept[: MAX_EMAILS - 1]
    if "custom" in said:
        values["custom"] = stored["custom"] | said["custom"]
    if Consent.WITHDRAWN in {stored["marketing_consent"], said.get("marketing_consent")}:
        values["marketing_consent"] = Consent.WITHDRAWN
    return values
