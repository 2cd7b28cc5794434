"""The reference is complete: what can be used stands on its page, and what stands there can be used."""

import re
from inspect import signature
from itertools import chain
from pathlib import Path

import pytest

from core import sdk
from core.cli import main
from core.plugs import hookspecs
from core.plugs.manifest import Module
from core.settings import VARIABLES
from tests.docs.run_page import blocks_of

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "modules").glob("*.md"))
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
NAMED_ELSEWHERE = {"Module", "hook"}
"""Names of the SDK that have a page of their own."""


def page(name: str) -> str:
    return (DOCS / "modules" / f"{name}.md").read_text()


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def first_cells(text: str) -> set[str]:
    """What is in code marks in the first column of the tables."""
    rows = [line.split("|")[1] for line in without_blocks(text).splitlines() if line.startswith("|")]
    return set(chain.from_iterable(CODE.findall(cell) for cell in rows))


def hooks() -> dict[str, list[str]]:
    """Every hook, and the arguments that it is called with."""
    found = {name: value for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec")}
    return {name: list(signature(value).parameters) for name, value in found.items()}


def test_every_name_of_the_sdk_stands_on_its_page_and_none_that_is_not_there() -> None:
    told = {name for name in first_cells(page("sdk")) if name.isidentifier()}

    assert set(sdk.__all__) - told == NAMED_ELSEWHERE
    assert told - set(sdk.__all__) == set()


def test_what_the_sdk_imports_is_what_it_offers() -> None:
    public = {name for name in vars(sdk) if name.isidentifier() and not name.startswith("_")}

    assert public == set(sdk.__all__)


def test_every_field_of_the_manifest_stands_on_its_page_and_none_that_is_not_there() -> None:
    table = page("manifest").partition("## Fields")[2].partition("## What is refused")[0]
    told = [CODE.findall(line.split("|")[1])[0] for line in table.splitlines() if line.startswith("| `")]

    assert told == list(Module.__struct_fields__)


def test_every_hook_stands_on_its_page_with_its_arguments_and_an_example() -> None:
    headings = re.findall(r"^## `(.+)`$", page("hooks"), re.MULTILINE)
    examples = "".join(block.text for block in blocks_of(page("hooks")) if block.kind == "python")

    assert headings == [f"{name}({', '.join(arguments)})" for name, arguments in hooks().items()]
    assert [name for name in hooks() if not re.search(rf"@hook\n(@\w+\n)?async def {name}\(", examples)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_variable_that_a_page_names_exists(path: Path) -> None:
    named = set(re.findall(r"\bPLUGS_[A-Z_]+\b", path.read_text()))

    assert named - set(VARIABLES.values()) == set()


def anchors(path: Path) -> set[str]:
    """Those that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path", [*DOCS.rglob("*.md"), DOCS.parent / "README.md"], ids=lambda path: str(path.relative_to(DOCS.parent))
)
def test_every_link_leads_somewhere(path: Path) -> None:
    links = [link for link in LINK.findall(without_blocks(path.read_text())) if not re.match(r"https?:", link)]
    broken: list[str] = []
    for link in links:
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)

    assert broken == []


def test_every_command_that_the_readme_gives_exists() -> None:
    scripts = re.findall(r"^```sh\n(.*?)^```$", (DOCS.parent / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    given = [line for script in scripts for line in script.splitlines() if line.startswith("plugs ")]
    named = {line.split()[1] for line in given} - {"--help"}

    assert len(given) >= 3
    assert named - set(main.commands) == set()


def test_every_page_is_listed_and_so_are_the_decisions() -> None:
    listed = set(LINK.findall((DOCS / "modules" / "README.md").read_text()))
    decisions = set(LINK.findall((DOCS / "decisions" / "README.md").read_text()))

    assert {path.name for path in PAGES} - {"README.md"} == listed
    assert {path.name for path in (DOCS / "decisions").glob("0*.md")} == decisions
