"""Its event has a field more, and the version that it had."""

from tests.conformance.twinning import CONTRACT, Change

CHANGES = [Change("    going: bool\n", '    going: bool\n    note: str = ""\n', CONTRACT)]
