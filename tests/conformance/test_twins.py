"""Every rule of the conformance kit has a bad twin: a module that breaks it, and no other, and is caught."""

import asyncio
import os
import re
import sys
from pathlib import Path

import msgspec
import pytest

from core.testing.conformance import RULES, name_of
from core.testing.stage import Addresses
from tests.conformance.judging import VERDICTS
from tests.conformance.twinning import SOUND, names

ROOT = Path(__file__).parents[2]
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
    judging = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.conformance.judging", str(tmp_path)),
        cwd=ROOT,
        env=os.environ | addresses.lend() | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        assert await judging.wait() == 0
    finally:
        if judging.returncode is None:
            judging.kill()
            await judging.wait()

    verdicts = msgspec.json.decode((tmp_path / VERDICTS).read_bytes(), type=dict[str, dict[str, list[str]]])

    broken = {twin: set(breaches) for twin, breaches in verdicts.items()}
    assert broken == {SOUND: set()} | {name: {name} for name in names()}, verdicts
