"""What each row of an import will do. Pure: contacts that have a row's keys go in, decisions come out.

A dry run decides with the same code as the real one. What earlier rows of the file would have changed is remembered
here, so the two agree although one of them writes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

from msgspec import Struct

from core.sdk import FieldError, new_id
from modules.networking.field_values import required_error
from modules.networking.importing.rows import Row
from modules.networking.keys import Key, keys_of
from modules.networking.schemas import MAX_EMAILS
from modules.networking.services.duplicates import Match
from modules.networking.values import Consent, DuplicatePolicy, ImportMode, MatchKey, RowOutcome

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


class Planner:
    """Decides row by row, in the file's order."""

    def __init__(
        self,
        *,
        mode: ImportMode,
        match_key: MatchKey,
        duplicates: DuplicatePolicy,
        required: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`required` are the keys of custom fields that a new contact must have, and what the file calls them."""
        self.mode = mode
        self.match_key = match_key
        self.duplicates = duplicates
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

    @property
    def changes_contacts(self) -> bool:
        """Whether a row can change a contact that there is."""
        return self.mode is not ImportMode.CREATE or self.duplicates is DuplicatePolicy.UPDATE

    def keys_of(self, row: Row) -> list[Key]:
        return [*row.keys, Key("id", str(row.contact_id))] if row.contact_id else row.keys

    def decide(
        self, row: Row, matches: Mapping[Key, list[Match]], stored: Mapping[UUID, Values], *, name_column: str
    ) -> Decision:
        """`stored` has the columns of the contacts that may be changed; `name_column` is where a first name stands."""
        if row.errors:
            return Decision(row=row, outcome=RowOutcome.FAILED, code="invalid", errors=row.errors)
        decision = self._decide(row, matches)
        if decision.outcome in WRITTEN and self._brings_back(row, matches):
            return Decision(row=row, outcome=RowOutcome.SKIPPED, code=ERASED_PERSON)
        if decision.outcome is RowOutcome.CREATED and (lacking := self._lacking(row, name_column)):
            return Decision(row=row, outcome=RowOutcome.FAILED, code="invalid", errors=lacking)
        if decision.outcome is RowOutcome.CREATED:
            decision.contact_id = new_id()
            self.created.add(decision.contact_id)
        if decision.contact_id and decision.outcome in WRITTEN:
            self._remember(decision.contact_id, row, stored.get(decision.contact_id, {}))
        return decision

    def _lacking(self, row: Row, name_column: str) -> list[FieldError]:
        """What a new contact must have and the row has not."""
        names = [] if "first_name" in row.values else [name_column]
        own = row.values.get("custom", {})
        names += [name for key, name in self.required.items() if key not in own]
        return [required_error(name) for name in names]

    def _brings_back(self, row: Row, matches: Mapping[Key, list[Match]]) -> bool:
        """Whether the row has what identified somebody who was erased, and no contact has it now."""
        return any(key in self.erased and not self._owners([key], matches)[0] for key in row.keys)

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
