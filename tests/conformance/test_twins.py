"""Every rule of the conformance kit has a bad twin: a module that breaks it, and no other, and is caught."""

import asyncio
import os
import re
from pathlib import Path

import msgspec
import pytest

from core.testing.conformance import RULES, name_of
from core.testing.forking import Forked
from core.testing.stage import Addresses
from tests.conformance.judging import VERDICTS
from tests.conformance.twinning import SOUND, names

ROOT = Path(__file__).parents[2]
OUTPUT = "output.txt"
SECONDS = 300
"""Every rule on every twin: a quarter of a minute's work, on a machine that may have other work."""


def test_every_rule_has_a_twin() -> None:
    assert names() == sorted(name_of(rule) for rule in RULES)


def test_every_rule_says_what_it_demands_and_stands_in_the_documentation() -> None:
    page = (ROOT / "docs" / "modules" / "conformance.md").read_text()

    assert [name_of(rule) for rule in RULES if not rule.__doc__] == []
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [name_of(rule) for rule in RULES]


@pytest.mark.timeout(SECONDS)
async def test_every_twin_breaks_its_rule_and_no_other(addresses: Addresses, tmp_path: Path) -> None:
    judging = Forked(
        *("python", "-m", "tests.conformance.judging", str(tmp_path)),
        env=os.environ | addresses.lend() | {"PYTHONDONTWRITEBYTECODE": "1"},
        cwd=ROOT,
        output=tmp_path / OUTPUT,
    )
    try:
        code = await asyncio.to_thread(judging.wait, SECONDS)
    finally:
        judging.kill()
    assert code == 0, (tmp_path / OUTPUT).read_text()

    verdicts = msgspec.json.decode((tmp_path / VERDICTS).read_bytes(), type=dict[str, dict[str, list[str]]])

    broken = {twin: set(breaches) for twin, breaches in verdicts.items()}
    assert broken == {SOUND: set()} | {name: {name} for name in names()}, verdicts
