"""A contact's profile as text, and how alike two vectors are. Pure."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

PROFILE = ("job_title", "company", "industry", "business_type", "network_type", "bio")
"""Fields that are compared. Notes are not: they say what others think."""


class BadVector(Exception):
    """The embedder made something that can't be compared."""


class Profile(NamedTuple):
    text: str
    fields: list[str]
    """Of which the text is made."""

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.text.encode()).digest()


def profile_of(values: Mapping[str, Any]) -> Profile:
    """A line for each field that says anything."""
    said = {name: str(values[name]).strip() for name in PROFILE if (values[name] or "").strip()}
    lines = [f"{name.replace('_', ' ').capitalize()}: {text}" for name, text in said.items()]
    return Profile("\n".join(lines), list(said))


def unit(vector: Sequence[float], dimensions: int) -> list[float] | None:
    """The vector at length one; None for one of zeros. Raises `BadVector`."""
    if len(vector) != dimensions or not all(map(math.isfinite, vector)):
        raise BadVector(f"expected {dimensions} finite numbers")
    length = math.hypot(*vector)
    return [number / length for number in vector] if length else None


def likeness(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of two vectors of length one, to four places: 1 for the same direction."""
    return round(math.sumprod(one, other), 4)


def compared(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Fields that both have; where there is none such, those that either has."""
    both = [name for name in PROFILE if name in one and name in other]
    return both or [name for name in PROFILE if name in one or name in other]
