"""The conformance kit: what every module has to hold, judged on a real PostgreSQL, one test for each rule.

    from core.testing import conformance

    test_conformance = conformance.of("rsvp")

A rule is a function of the module under judgement; its name and its docstring say what it demands and how to mend a
breach of it. Only what can't be told from the code is said by its author, under `fillings`, `not_personal` and
`definer_functions`; each is an exemption by name, for somebody to read.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from inspect import getdoc
from typing import TYPE_CHECKING, Any

import pytest

from core.testing.conformance import code, jobs, privacy, routes, schema, switching
from core.testing.conformance.candidate import Allowances, Bench, Candidate, NotThere, Rule
from core.testing.fillings import Caller, Colleague, Filling, Fresh, Id, Loose, Mark
from core.testing.rows import Unfillable
from core.testing.samples import NoSample

if TYPE_CHECKING:
    from collections.abc import Coroutine

RULES: tuple[Rule, ...] = (
    *code.RULES,
    *schema.RULES,
    *routes.RULES,
    *jobs.RULES,
    *switching.RULES,
    *privacy.RULES,
)


def of(
    name: str,
    *,
    fillings: Mapping[str, Filling] | None = None,
    not_personal: Collection[str] = (),
    definer_functions: Collection[str] = (),
) -> "Callable[..., Coroutine[Any, Any, None]]":
    """The tests of one installed module, for a test file to name `test_conformance`."""
    allowances = Allowances(
        fillings=fillings or {}, not_personal=frozenset(not_personal), definer_functions=frozenset(definer_functions)
    )

    @pytest.mark.asyncio(loop_scope="session")
    @pytest.mark.parametrize("rule", RULES, ids=name_of)
    async def test_conformance(rule: Rule, conformance_bench: Bench) -> None:
        try:
            breaches = await judge(rule, conformance_bench.candidate(name, allowances))
        except NotThere as error:
            breaches = [str(error)]
        if breaches:
            told = [*(f"{name}: {breach}" for breach in breaches), "", str(getdoc(rule))]
            pytest.fail("\n".join(told), pytrace=False)

    return test_conformance


def name_of(rule: Rule) -> str:
    return rule.__name__


async def judge(rule: Rule, candidate: Candidate) -> Sequence[str]:
    """The breaches of one rule, a sentence each. What can't be tried at all is a breach of its own."""
    try:
        return await rule(candidate)
    except (NoSample, Unfillable) as error:
        return [f"{error}. Say how it is called with fillings="]


__all__ = ["RULES", "Caller", "Colleague", "Filling", "Fresh", "Id", "Loose", "Mark", "judge", "name_of", "of"]
