"""A row of a file as values of a contact, judged by the rules of the API."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from core.sdk import Email, FieldError, LongText, OptionalText, Phone, ShortText, Url, field_errors
from modules.networking.exporting import FORMULA_STARTS
from modules.networking.field_schemas import CUSTOM
from modules.networking.field_values import Field, judged, read
from modules.networking.importing.records import Record
from modules.networking.importing.tag_cells import tags_in
from modules.networking.keys import Key, keys_of, linkedin_key, phone_key
from modules.networking.schemas import MAX_EMAILS, StageReason
from modules.networking.tag_schemas import TagNames
from modules.networking.values import (
    Consent,
    ContactStatus,
    ContactType,
    FieldKind,
    ImportField,
    ImportSource,
    Priority,
)

SEVERAL = re.compile(r":::|[;,]")
"""What stands between addresses in one cell: Google writes ` ::: `, HubSpot `;`."""
EXTENSION = re.compile(r"\s*(?:ext\.?|extension)\s*", re.IGNORECASE)
UNSEEN = re.compile("[\u00a0\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Marks that programs put around numbers and nobody sees."""
CLOSED = frozenset({ImportField.CONTACT_TYPE, ImportField.STATUS, ImportField.PRIORITY, ImportField.MARKETING_CONSENT})
YES = frozenset({"true", "yes", "1", "ja"})
FIELDS = frozenset(ImportField)
VCARD_VERSIONS = frozenset({"3.0", "4.0"})


class RowValues(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a row says of a contact. An empty cell says nothing, so it never empties what is stored."""

    id: UUID | UnsetType = UNSET
    first_name: ShortText | UnsetType = UNSET
    last_name: OptionalText | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    additional_emails: list[Email] | UnsetType = UNSET
    phone: Phone | UnsetType = UNSET
    company: OptionalText | UnsetType = UNSET
    job_title: OptionalText | UnsetType = UNSET
    linkedin_url: Url | UnsetType = UNSET
    bio: LongText | UnsetType = UNSET
    avatar_url: Url | UnsetType = UNSET
    contact_type: ContactType | UnsetType = UNSET
    status: ContactStatus | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    business_type: OptionalText | UnsetType = UNSET
    network_type: OptionalText | UnsetType = UNSET
    industry: OptionalText | UnsetType = UNSET
    notes: LongText | UnsetType = UNSET
    marketing_consent: Consent | UnsetType = UNSET
    tags: TagNames | UnsetType = UNSET
    stage_reason: StageReason | UnsetType = UNSET


class Row(Struct, kw_only=True):
    """A row that was read: columns of a contact with their values, or what is wrong with them."""

    line: int
    cells: list[str]
    contact_id: UUID | None = None
    """What the file says that the contact's id is."""
    stage_reason: str | None = None
    tags: list[str] = []
    values: dict[str, Any] = {}
    keys: list[Key] = []
    errors: list[FieldError] = []
    """`field` is the column's name as the file has it."""


class RowReader:
    """Makes rows of one file's records. `country` is where phone numbers without a country code are at home."""

    def __init__(
        self,
        *,
        columns: Sequence[str],
        fields: Sequence[str],
        source: ImportSource,
        country: str | None,
        custom: Mapping[str, Field] = MappingProxyType({}),
    ) -> None:
        """`fields` are empty for columns that are left out."""
        self._columns = columns
        self._mapped = [(index, ImportField(field)) for index, field in enumerate(fields) if field in FIELDS]
        self._own = [
            (index, custom[field.removeprefix(CUSTOM)])
            for index, field in enumerate(fields)
            if field.startswith(CUSTOM) and field.removeprefix(CUSTOM) in custom
        ]
        self._custom = custom
        self._names = {field.value: columns[index] for index, field in reversed(self._mapped)}
        self._names |= {CUSTOM + field.key: columns[index] for index, field in reversed(self._own)}
        self._source = source
        self._country = country

    def read(self, record: Record) -> Row:
        row = Row(line=record.line, cells=record.cells)
        is_vcard = self._source is ImportSource.VCARD
        if len(record.cells) > len(self._columns) and not is_vcard:
            message = f"The row has {len(record.cells)} values and the header {len(self._columns)}"
            row.errors = [FieldError(field="", code="width", message=message)]
        elif is_vcard and record.cells[0] not in VCARD_VERSIONS:
            message = "Expected a card of version 3.0 or 4.0"
            row.errors = [FieldError(field="VERSION", code="version", message=message)]
        else:
            self._fill(row, self._said(record.cells))
        return row

    def name_of(self, field: str) -> str:
        """The column that fills a field, as the file names it."""
        if field.startswith(CUSTOM):
            field = ".".join(field.split(".")[:2])
            return self._names.get(field, field)
        field = field.partition(".")[0]
        other = {"additional_emails": ImportField.EMAIL, "first_name": ImportField.FULL_NAME}.get(field, field)
        return self._names.get(field) or self._names.get(other, field)

    def _fill(self, row: Row, said: dict[str, Any]) -> None:
        own = judged(self._custom, self._said_of_own(row.cells), stored={})
        try:
            taken = msgspec.convert(said, RowValues)
        except msgspec.ValidationError:
            row.errors = self._named([*field_errors(said, RowValues), *own.errors])
            return
        if own.errors:
            row.errors = self._named(own.errors)
            return
        values = {name: getattr(taken, name) for name in said}
        row.contact_id, row.stage_reason = values.pop("id", None), values.pop("stage_reason", None)
        row.tags = values.pop("tags", [])
        if "phone" in values:
            values["phone_e164"] = phone_key(values["phone"], self._country)
        if "linkedin_url" in values:
            values["linkedin_key"] = linkedin_key(values["linkedin_url"])
        if own.values:
            values["custom"] = own.values
        row.values = values
        row.keys = keys_of(values)

    def _named(self, errors: Sequence[FieldError]) -> list[FieldError]:
        """One for each column, by the file's name for it."""
        by_column = {self.name_of(error.field): error for error in errors}
        return [FieldError(field=name, code=e.code, message=e.message) for name, e in by_column.items()]

    def _said_of_own(self, cells: Sequence[str]) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for index, field in self._own:
            if text := _disarmed(cells[index].strip()) if index < len(cells) else "":
                said.setdefault(field.key, read(field, _url(text) if field.kind is FieldKind.URL else text))
        return said

    def _said(self, cells: Sequence[str]) -> dict[str, Any]:
        said: dict[str, Any] = {}
        emails: list[str] = []
        tags: list[str] = []
        for index, field in self._mapped:
            text = _disarmed(cells[index].strip()) if index < len(cells) else ""
            if not text:
                continue
            match field:
                case ImportField.EMAIL:
                    emails += [address.strip().lower() for address in SEVERAL.split(text) if address.strip()]
                case ImportField.FULL_NAME:
                    said.setdefault("full_name", text)
                case ImportField.WEBSITE:
                    if linkedin_key(url := _url(text)):
                        said.setdefault("linkedin_url", url)
                case ImportField.TAGS:
                    tags += tags_in(text, self._source)
                case ImportField.OPTED_OUT:
                    if text.lower() in YES:
                        said["marketing_consent"] = Consent.WITHDRAWN.value
                case _:
                    said.setdefault(field.value, _written(field, text))
        _name(said)
        if tags:
            said["tags"] = tags
        if emails:
            first, *others = dict.fromkeys(emails)
            said["email"] = first
            said |= {"additional_emails": others[: MAX_EMAILS - 1]} if others else {}
        return said


def _name(said: dict[str, Any]) -> None:
    """`Okafor, Ada` and `Ada Okafor`, where the file has no columns for the two."""
    whole = said.pop("full_name", None)
    if not whole or "first_name" in said:
        return
    if "," in whole:
        last, _, first = whole.partition(",")
    else:
        first, _, last = whole.partition(" ")
    said["first_name"] = first.strip() or whole
    if last.strip():
        said.setdefault("last_name", last.strip())


def _written(field: ImportField, text: str) -> str:
    """What people and programs write, as the API takes it."""
    if field in CLOSED:
        return text.lower().replace(" ", "_")
    if field is ImportField.PHONE:
        return EXTENSION.sub(" x", UNSEEN.sub(" ", text.split(":::", maxsplit=1)[0])).strip()
    if field in {ImportField.LINKEDIN_URL, ImportField.AVATAR_URL}:
        return _url(text)
    return text


def _url(text: str) -> str:
    text = text.split(" ::: ", maxsplit=1)[0]
    return text if "://" in text or ":" in text.split("/")[0] else f"https://{text}"


def _disarmed(text: str) -> str:
    """Our own export puts an apostrophe before what a spreadsheet would run; here it goes again."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_STARTS) else text
