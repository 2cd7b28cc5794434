"""vCard 3.0 (RFC 2426) and 4.0 (RFC 6350), each card as a row of the same columns.

No library: the kept ones read a whole file into objects, and none tells at which byte a card ends.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from modules.networking.importing.records import Lines, Records
from modules.networking.importing.tag_cells import tags_cell
from modules.networking.values import ImportField

MANY = 5
"""Addresses of a card that are taken."""
FIELDS: dict[str, ImportField | None] = {
    "VERSION": None,
    "FN": ImportField.FULL_NAME,
    "Given name": ImportField.FIRST_NAME,
    "Family name": ImportField.LAST_NAME,
    **{f"EMAIL {number}": ImportField.EMAIL for number in range(1, MANY + 1)},
    **{f"TEL {number}": ImportField.PHONE for number in range(1, MANY + 1)},
    "ORG": ImportField.COMPANY,
    "TITLE": ImportField.JOB_TITLE,
    **{f"URL {number}": ImportField.WEBSITE for number in range(1, MANY + 1)},
    "NOTE": ImportField.NOTES,
    "UID": None,
    "CATEGORIES": ImportField.TAGS,
}
"""The columns of a card, and what each fills."""
COLUMNS = list(FIELDS)
URLS = frozenset({"URL", "X-SOCIALPROFILE", "SOCIALPROFILE"})
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
UNESCAPED_COMMA = re.compile(r"(?<!\\)((?:\\\\)*),")
UNESCAPED_SEMICOLON = re.compile(r"(?<!\\)((?:\\\\)*);")
NAME = re.compile(r'^(?:[A-Za-z0-9-]+\.)?([A-Za-z0-9-]+)((?:;(?:[^":]|"[^"]*")*)?):')
PREFERENCE = re.compile(r"PREF=\"?(\d{1,3})", re.IGNORECASE)


class Property(NamedTuple):
    name: str
    parameters: str
    value: str

    @property
    def rank(self) -> int:
        """1 for the preferred one: `PREF=1` in version 4, `TYPE=pref` in version 3."""
        if found := PREFERENCE.search(self.parameters):
            return int(found[1])
        return 1 if re.search(r"(?:TYPE=|,|;)\"?pref\b", self.parameters, re.IGNORECASE) else 101


class VcardRecords(Records):
    def split(self, lines: Lines) -> Iterator[list[str] | None]:
        card: list[str] | None = None
        for line in lines:
            bare = line.strip().upper()
            if bare == "BEGIN:VCARD":
                card = []
            elif bare == "END:VCARD" and card is not None:
                yield cells_of(card)
                card = None
            elif card is not None:
                card.append(line)
            else:
                yield None
        if card:
            yield cells_of(card)


def cells_of(lines: list[str]) -> list[str]:
    """A card's values in the order of `COLUMNS`."""
    properties = list(_properties(lines))

    def values(*names: str) -> list[str]:
        found = sorted((one for one in properties if one.name in names), key=lambda one: one.rank)
        return [_plain(one.value) for one in found]

    def first(name: str) -> str:
        return next(iter(values(name)), "")

    family, given = _components(next((one.value for one in properties if one.name == "N"), ""), 2)
    company = next((_components(one.value, 1)[0] for one in properties if one.name == "ORG"), "")
    phones = [value.removeprefix("tel:") for value in values("TEL")]
    return [
        first("VERSION"),
        first("FN"),
        given,
        family,
        *_padded(values("EMAIL")),
        *_padded(phones),
        company,
        first("TITLE"),
        *_padded(sorted(values(*URLS), key=lambda url: "linkedin." not in url)),
        first("NOTE"),
        first("UID"),
        tags_cell(part for one in properties if one.name == "CATEGORIES" for part in _listed(one.value)),
    ]


def _properties(lines: list[str]) -> Iterator[Property]:
    unfolded: list[str] = []
    for line in lines:
        bare = line.rstrip("\r\n")
        if bare[:1] in {" ", "\t"} and unfolded:
            unfolded.append(bare[1:])
            continue
        yield from _property("".join(unfolded))
        unfolded = [bare]
    yield from _property("".join(unfolded))


def _property(line: str) -> Iterator[Property]:
    if found := NAME.match(line):
        yield Property(found[1].upper(), found[2], line[found.end() :])


def _components(value: str, count: int) -> list[str]:
    """The first parts of a structured value."""
    parts = [_plain(part) for part in UNESCAPED_SEMICOLON.sub("\\1\0", value).split("\0")]
    return [*parts[:count], *[""] * (count - len(parts))]


def _listed(value: str) -> list[str]:
    """The parts of a value that is a list."""
    return [plain for part in UNESCAPED_COMMA.sub("\\1\0", value).split("\0") if (plain := _plain(part))]


def _plain(value: str) -> str:
    return ESCAPE.sub(lambda found: "\n" if found[1] in "nN" else found[1], value).strip()


def _padded(values: list[str]) -> list[str]:
    return [*values[:MANY], *[""] * (MANY - len(values))]
