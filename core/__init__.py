"""The core: what every module stands on. Modules import `core.sdk`, never these rooms themselves."""

import sys


def _import_structlog_alone() -> None:
    """structlog imports rich where it finds it, and rich imports Pygments: a tenth of a second of each start, for
    tracebacks that are not used here. Where somebody else has imported rich already, nothing is lost."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # pyright: ignore[reportArgumentType]  # to Python: there is none
    try:
        import structlog  # noqa: F401, PLC0415  # pyright: ignore[reportUnusedImport]
    finally:
        del sys.modules["rich"]


_import_structlog_alone()
