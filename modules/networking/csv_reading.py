"""Reading contacts out of a CSV file: encoding, delimiter, header, and each row against the rules of the API.

Nothing here touches the database, so the same file always gives the same rows and the same errors.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from core.sdk import FieldError, Invalid, field_errors
from modules.networking.schemas import ContactIn

DELIMITERS = ",;\t|"
SNIFFED_CHARACTERS = 64 * 1024
MAX_FIELD_CHARACTERS = 100_000

ALIASES: Mapping[str, str] = {
    "first": "first_name",
    "given name": "first_name",
    "last": "last_name",
    "family name": "last_name",
    "surname": "last_name",
    "e-mail": "email",
    "email address": "email",
    "e-mail address": "email",
    "e-mail 1 - value": "email",
    "phone number": "phone",
    "mobile phone": "phone",
    "phone 1 - value": "phone",
    "company name": "company",
    "organization": "company",
    "organization name": "company",
    "position": "job_title",
    "title": "job_title",
    "linkedin": "linkedin_url",
    "url": "linkedin_url",
    "type": "contact_type",
    "stage": "contact_type",
    "lead status": "status",
    "note": "notes",
}
"""Headers that other programs write, next to our own field names."""

CLOSED = frozenset({"contact_type", "status", "priority"})
KNOWN = frozenset(ContactIn.__struct_fields__) - {"metadata"}


class UnreadableFile(Invalid):
    """The file as a whole can't be imported; its detail says why."""

    code = "unreadable-file"
    title = "The file can't be read"


class CsvRow(Struct, frozen=True, kw_only=True):
    """One row: a contact, or what is wrong with it."""

    line: int
    contact: ContactIn | None = None
    errors: tuple[FieldError, ...] = ()
    """`field` is the column's name as the file has it."""


def decode(content: bytes) -> str:
    """Text of a file in UTF-8, in UTF-16 with a byte order mark, or else in Windows-1252, which Excel writes."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ("utf-16",)
    else:
        encodings = ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UnreadableFile("The file's encoding is none of UTF-8, UTF-16 and Windows-1252")


def read_rows(text: str) -> Iterator[CsvRow]:
    """Every row that isn't blank, in the file's order. Raises `UnreadableFile` where there is no usable header."""
    if "\0" in text:
        raise UnreadableFile("The file holds NUL characters, so it is not text")
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter_of(text))
    try:
        header = next(reader, list[str]())
        columns = _columns(header)
        line = reader.line_num + 1
        for values in reader:
            if any(value.strip() for value in values):
                yield _row(line, header, columns, values)
            line = reader.line_num + 1
    except csv.Error as error:
        raise UnreadableFile(f"Line {reader.line_num}: {error}") from error


def _delimiter_of(text: str) -> str:
    header = text[:SNIFFED_CHARACTERS].split("\n", 1)[0]
    return max(DELIMITERS, key=header.count)


def _columns(header: list[str]) -> list[str | None]:
    """The field of each column, None for a column that is left out. The first of two columns for a field counts."""
    columns: list[str | None] = []
    for name in header:
        plain = name.strip().lower()
        field = ALIASES.get(plain, plain.replace(" ", "_"))
        columns.append(field if field in KNOWN and field not in columns else None)
    if "first_name" not in columns:
        raise UnreadableFile("The header line names no column for the first name")
    return columns


def _row(line: int, header: list[str], columns: list[str | None], values: list[str]) -> CsvRow:
    if len(values) > len(header):
        message = f"The row has {len(values)} values and the header {len(header)}"
        return CsvRow(line=line, errors=(FieldError(field="", code="width", message=message),))
    found = {field: value.strip() for field, value in zip(columns, values, strict=False) if field and value.strip()}
    try:
        return CsvRow(line=line, contact=msgspec.convert(_normalised(found), ContactIn))
    except msgspec.ValidationError:
        names = {field: name.strip() for name, field in zip(header, columns, strict=True) if field}
        errors = field_errors(_normalised(found), ContactIn)
        return CsvRow(line=line, errors=tuple(_in_words_of_the_file(error, names) for error in errors))


def _normalised(found: dict[str, str]) -> dict[str, Any]:
    """People write `Hot Lead` where the data model has `hot_lead`."""
    return {name: value.lower().replace(" ", "_") if name in CLOSED else value for name, value in found.items()}


def _in_words_of_the_file(error: FieldError, names: dict[str, str]) -> FieldError:
    return FieldError(field=names.get(error.field, error.field), code=error.code, message=error.message)
