"""Several tags in one cell: as programs write them, and as our own export does, so that it reads the same again."""

import re
from collections.abc import Iterable

from modules.networking.keys import name_key
from modules.networking.values import ImportSource

QUOTED = re.compile(r'"((?:[^"]|"")*)"\s*(?=$|:::|[;,])')
SEPARATOR = re.compile(r":::|[;,]")
NEEDS_QUOTES = re.compile(r"[;,\"]|:::|^'")
"""An apostrophe in front would go when the file is read, as if the export had put it there against formulas."""
OF_GOOGLE = "* "
"""Before the groups that everybody has there; that somebody is among one's contacts says nothing."""
EVERYBODY = "mycontacts"


def tags_cell(names: Iterable[str]) -> str:
    return "; ".join(_quoted(name) for name in names)


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""')) if NEEDS_QUOTES.search(name) else name


def tags_in(text: str, source: ImportSource) -> list[str]:
    """Between ` ::: ` (Google), semicolons (Outlook, our own) or commas; a name in quotes may hold any of them
    (Mailchimp, our own). Each name once."""
    found: dict[str, str] = {}
    for part in _parts(text):
        is_googles = source is ImportSource.GOOGLE and part.startswith(OF_GOOGLE)
        name = part.removeprefix(OF_GOOGLE).strip() if is_googles else part
        key = name_key(name)
        if key and not (is_googles and key.replace(" ", "") == EVERYBODY):
            found.setdefault(key, name)
    return list(found.values())


def _parts(text: str) -> Iterable[str]:
    place = 0
    while place < len(text):
        while place < len(text) and text[place].isspace():
            place += 1
        if quoted := QUOTED.match(text, place):
            yield quoted[1].replace('""', '"')
            place = quoted.end()
        separator = SEPARATOR.search(text, place)
        if not quoted:
            yield text[place : separator.start() if separator else None].strip()
        place = separator.end() if separator else len(text)
