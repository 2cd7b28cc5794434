"""Imported once by the process that all of `core.testing.forking` are forked from: what any command may import."""

import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from importlib.metadata import entry_points

COMMANDS = ("core.app", "core.cli.database", "core.cli.doctor", "core.cli.serving")
WHEN_FIRST_USED = (
    "alembic.command",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
)
"""What else a command imports, but not at its beginning."""

_ASKED_FOR = {"", *os.environ.get("PYTHONPATH", "").split(os.pathsep)}
PATH = [folder for folder in sys.path if folder not in _ASKED_FOR]
"""Where this interpreter looks by itself."""

for name in (*COMMANDS, *WHEN_FIRST_USED):
    import_module(name)
for point in entry_points(group="plugs.modules"):
    with suppress(Exception):  # one that can't be imported says so where it is discovered
        point.load()
gc.freeze()  # so that no collection in a child touches, and thereby copies, what all of them share
