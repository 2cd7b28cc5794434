"""Runs every code block of one page of documentation, in order, where it stands: `python run_page.py PAGE`.

Started in an empty folder by an environment of its own (see `test_pages`). What a block is, its fence says:

    python                 run, in one namespace for the page; `await` may stand at the top
    python file=PATH       written to a file; so are toml, yaml and json
    diff file=PATH         applied to a file: the old lines must stand there exactly once
    sh                     run; must end well
    sh fails               run; must end with an error
    sh background          started, and left running until the page ends, once the API is ready
    sh elsewhere           for another machine: only each `plugs` command in it is checked
    text                   what the block before said; `…` stands for anything
    toml, yaml, json       must be readable
"""

import ast
import asyncio
import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
import types
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import yaml

from core.cli import main as plugs

FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
READY_SECONDS = 60
LOCAL = "127.0.0.1:8000"


class Block(NamedTuple):
    line: int
    kind: str
    file: str | None
    text: str


class Unclassified(Exception):
    """A block of which the fence doesn't say what it is."""


def blocks_of(page: str) -> Iterator[Block]:
    opened: tuple[int, str, str] | None = None
    inside: list[str] = []
    for number, line in enumerate(page.splitlines(), 1):
        found = FENCE.match(line)
        if opened is None and found:
            opened, inside = (number, found["fence"], found["info"]), []
        elif opened is not None and found and found["fence"] == opened[1] and not found["info"]:
            yield _classified(opened[0], opened[2], "".join(f"{line}\n" for line in inside))
            opened = None
        else:
            inside.append(line)
    if opened is not None:
        raise Unclassified(f"line {opened[0]}: the block has no end")


def _classified(line: int, info: str, text: str) -> Block:
    kind, _, file = info.partition(" file=")
    if kind not in RUN or (file and kind not in WRITTEN) or (kind == "diff" and not file):
        raise Unclassified(f"line {line}: a block can't be {info!r}")
    return Block(line, kind, file or None, text)


class Page:
    """One page while it is run."""

    def __init__(self, name: str) -> None:
        self.module = types.ModuleType(f"page_{name}")
        sys.modules[self.module.__name__] = self.module
        self.said = ""
        self.loop = asyncio.Runner()
        self.started: list[subprocess.Popen[bytes]] = []

    def run(self, block: Block) -> None:
        if block.file and block.kind != "diff":
            path = Path(block.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        else:
            RUN[block.kind](self, block)

    def python(self, block: Block) -> None:
        code = compile(block.text, f"line {block.line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, self.module.__dict__)  # noqa: S307
        if code.co_flags & inspect.CO_COROUTINE:
            self.loop.run(result)

    def shell(self, block: Block, *, fails: bool = False) -> None:
        ended = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", _here(block.text)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        self.said = ended.stdout
        if (ended.returncode != 0) != fails:
            raise RuntimeError(f"it ended with {ended.returncode}:\n{self.said[-6000:]}")

    def fail(self, block: Block) -> None:
        self.shell(block, fails=True)

    def start(self, block: Block) -> None:
        log = Path(f"background-{len(self.started)}.log")
        with log.open("wb") as output:
            command = ["bash", "-c", f"exec {block.text}"]
            self.started.append(subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True))
        wait_until_ready(self.started[-1], log)

    def compare(self, block: Block) -> None:
        pattern = ".*?".join(re.escape(part) for part in block.text.strip().split("…"))
        if not re.search(pattern, self.said, re.DOTALL):
            raise RuntimeError(f"the block before did not say so, but:\n{self.said}")

    def patch(self, block: Block) -> None:
        path = Path(str(block.file))
        old = "".join(f"{line[1:]}\n" for line in block.text.splitlines() if line[:1] != "+")
        new = "".join(f"{line[1:]}\n" for line in block.text.splitlines() if line[:1] != "-")
        if (times := path.read_text().count(old)) != 1:
            raise RuntimeError(f"the old lines stand {times} times in {path}")
        path.write_text(path.read_text().replace(old, new))

    def close(self) -> None:
        self.loop.close()
        for process in self.started:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(40)


def _here(script: str) -> str:
    """With the port that this run has."""
    return script.replace(LOCAL, f"127.0.0.1:{os.environ.get('PLUGS_PORT', '8000')}")


def wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with opener.open(_here(f"http://{LOCAL}/health/ready"), timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"it is not ready:\n{log.read_text()[-4000:]}")


def check_commands(_: Page, block: Block) -> None:
    """Each `plugs` command is one that there is, with options that it takes."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["plugs"]:
            _check_command(words[1:])


def _check_command(words: list[str]) -> None:
    command: click.Command = plugs
    context = click.Context(plugs)
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
        context = click.Context(command, parent=context)
    if isinstance(command, click.Group) and words and not words[0].startswith("-"):
        raise RuntimeError(f"there is no command {words[0]!r}")
    given, left, _ = command.make_parser(context).parse_args(list(words))
    missing = [
        parameter.name for parameter in command.params if parameter.required and not given.get(str(parameter.name))
    ]
    if missing or left:
        raise RuntimeError(f"it lacks {missing} and has {left} too many")


def _read(parse: Callable[[str], object]) -> Callable[[Page, Block], None]:
    def check(_: Page, block: Block) -> None:
        parse(block.text)

    return check


RUN: dict[str, Callable[[Page, Block], Any]] = {
    "python": Page.python,
    "diff": Page.patch,
    "sh": Page.shell,
    "sh fails": Page.fail,
    "sh background": Page.start,
    "sh elsewhere": check_commands,
    "text": Page.compare,
    "toml": _read(tomllib.loads),
    "yaml": _read(yaml.safe_load),
    "json": _read(json.loads),
}
WRITTEN = {"python", "toml", "yaml", "json", "diff"}


def run_page(path: Path) -> int:
    """How many blocks were run. Raises what a block raises, with its line."""
    page, count = Page(path.stem), 0
    try:
        for count, block in enumerate(blocks_of(path.read_text()), 1):  # noqa: B007
            try:
                page.run(block)
            except BaseException as error:
                error.add_note(f"{path.name}, line {block.line}:\n{block.text}")
                raise
    finally:
        page.close()
    return count


if __name__ == "__main__":
    sys.stdout.write(f"{run_page(Path(sys.argv[1]))} blocks\n")
