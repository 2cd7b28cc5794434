"""Search over contacts: what was asked in words, and who is found, the best first.

A contact is found by having every word, anywhere in its name, company, title or address, or at the beginning of a word
of its notes. Only where nobody has, contacts are found whose words are spelt alike; of an address, what stands before
the @. Who the viewer may not see counts as nobody here too: else the answer would tell that somebody has the name.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    Integer,
    Subquery,
    Text,
    Uuid,
    bindparam,
    column,
    func,
    select,
    union_all,
)

from modules.networking.visibility import SeenColumns, visible

MAX_WORDS = 8
PATTERNS = bindparam("q", type_=ARRAY(Text))
SEARCHED = ("words", "whole", "query")
"""What a search takes beside `q`."""


def search_values(q: str | None) -> Mapping[str, Any]:
    """The values of a search; none where there is nothing to search for. The longest word is the one looked up first.

    Words are taken literally: what means something in a pattern or in a text query means nothing here.
    """
    words = (q or "").lower().split()[:MAX_WORDS]
    if not words:
        return {}
    longest_first = sorted(words, key=len, reverse=True)
    return {
        "q": [f"%{_plain_in_like(word)}%" for word in longest_first],
        "words": sorted([_own_part(word) for word in words], key=len, reverse=True),
        "whole": " ".join(words),
        "query": " & ".join(f"'{_plain_in_query(word)}':*" for word in longest_first),
    }


def _own_part(word: str) -> str:
    """What spelling is compared by. Of an address, what stands before the @: its domain is that of many others, and is
    much alike to every other domain."""
    return word.partition("@")[0] or word


def _plain_in_like(word: str) -> str:
    return word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _plain_in_query(word: str) -> str:
    return word.replace("\\", r"\\").replace("'", "''")


def hits(*, is_deleted: bool) -> Subquery:
    """`contact_id` and `relevance` of whoever is found: 400 for the very name, 300 for its beginning, 200 for words of
    it, 100 for words of other columns, 50 for words of the notes; likeness counts from 1 to 40."""
    exact = _kept(
        func.networking.search_contacts(PATTERNS, bindparam("whole", type_=Text()), bindparam("query", type_=Text())),
        is_deleted=is_deleted,
    ).cte("exact")
    alike = _kept(func.networking.search_alike(bindparam("words", type_=ARRAY(Text))), is_deleted=is_deleted)
    nobody = ~select(exact.c.contact_id).exists()
    return union_all(select(exact.c.contact_id, exact.c.relevance), alike.where(nobody)).subquery("hits")


def _kept(function: Any, *, is_deleted: bool) -> Any:
    found = function.table_valued(
        column("contact_id", Uuid()),
        column("relevance", Integer()),
        column("is_deleted", Boolean()),
        column("visibility", Text()),
        column("owner_id", Uuid()),
    )
    of_list = found.c.is_deleted if is_deleted else ~found.c.is_deleted
    return select(found.c.contact_id, found.c.relevance).where(of_list, visible(SeenColumns(found.c)))
