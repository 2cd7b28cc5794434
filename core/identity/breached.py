"""Passwords that attackers try first.

`breached_words.txt` holds the words at the head of the published rankings of leaked passwords. It was written down from
what is commonly known of them, not copied from a leak, and is short; the rules below stretch each word as people do, so
that it stands for some hundred passwords: capitals, look-alike signs (`p4$$w0rd`), the word twice, and digits, years
and signs around it. Runs over the keyboard, counted or repeated signs need no list.

A deployment that can reach a full list of leaked passwords should ask that as well.
"""

import re
from functools import cache
from importlib.resources import files

LOOK_ALIKES = str.maketrans("04@31!57$8", "oaaeiistsb")
ROWS = (
    "`1234567890-=",
    "qwertyuiop[]\\",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "abcdefghijklmnopqrstuvwxyz",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "01234567890123456789",
)
RUN = 4
"""Signs in a row that count as a run."""
DECORATION = re.compile(r"^[\W\d_]*(.*?)[\W\d_]*$", re.DOTALL)


@cache
def words() -> frozenset[str]:
    return frozenset(files("core.identity").joinpath("breached_words.txt").read_text().split())


def is_breached(password: str) -> bool:
    """Whether it is a known word with the usual trimmings, or a plain run, or one piece again and again."""
    lower = "".join(password.lower().split())
    return _is_runs(lower) or any(_is_common(piece) for piece in (lower, _repeated_piece(lower)))


def _is_common(text: str) -> bool:
    spellings = {text, text.translate(LOOK_ALIKES)}
    bare = {found[1] for spelling in spellings if (found := DECORATION.match(spelling))}
    bare |= {spelling.translate(LOOK_ALIKES) for spelling in bare}
    return any(_is_made_of_words(spelling) for spelling in spellings | bare if spelling)


def _is_made_of_words(text: str) -> bool:
    """One word, or the same word again: `passwordpassword`, `iloveyou`."""
    return _repeated_piece(text) in words()


def _repeated_piece(text: str) -> str:
    """`abcabcabc` is `abc`; what doesn't repeat is itself."""
    at = (text + text).find(text, 1)
    return text[:at] if 0 < at < len(text) else text


def _is_runs(text: str) -> bool:
    """Nothing but stretches of a keyboard row, of the alphabet, of numbers, or of one sign."""
    at = 0
    while at < len(text):
        length = _run_at(text, at)
        if length < RUN:
            return False
        at += length
    return True


def _run_at(text: str, at: int) -> int:
    """How long the longest run is that starts here."""
    longest = len(text[at:]) - len(text[at:].lstrip(text[at]))
    for row in (*ROWS, *(row[::-1] for row in ROWS)):
        end = len(text)
        while end - at > longest:
            if text[at:end] in row:
                longest = end - at
                break
            end -= 1
    return longest
