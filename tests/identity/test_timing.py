"""The time that a sign-in takes does not tell who has an account. `timing.py` beside this has the full measurement."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from timing import ks_p_value, measure, seconds_of

from core.identity import passwords
from core.testing.tenants import MakeTenant, Tenant

SAMPLES = 20


class Watched(ThreadPoolExecutor):
    """Runs what it is given, and counts it."""

    def __init__(self) -> None:
        super().__init__(passwords.THREADS)
        self.count = 0

    def submit(self, *arguments: Any, **others: Any) -> Any:
        self.count += 1
        return super().submit(*arguments, **others)


@pytest.fixture
def argon2(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched()
    monkeypatch.setattr(passwords, "_pool", watched)
    return watched


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_password_is_hashed_once_whether_or_not_there_is_an_account(
    acme: Tenant, anonymous: httpx.AsyncClient, argon2: Watched, is_known: bool
) -> None:
    await seconds_of(anonymous, acme.email if is_known else "nobody@nowhere.example")

    assert argon2.count == 1


@pytest.mark.usefixtures("full_cost")
async def test_known_and_unknown_addresses_take_the_same_time(new_tenant: MakeTenant) -> None:
    """Few samples, on a machine that does other things as well: what it finds is a path that is much shorter."""
    tenants = [await new_tenant() for _ in range(12)]

    known, unknown = await measure(tenants, SAMPLES)

    middle = [sorted(each)[SAMPLES // 2] for each in (known, unknown)]
    assert max(middle) < 1.6 * min(middle), (middle, ks_p_value(known, unknown))


def test_the_measure_tells_different_distributions_from_equal_ones() -> None:
    low, high = [n / 100 for n in range(500)], [n / 100 + 1 for n in range(500)]

    assert ks_p_value(low, high) < 1e-6
    assert ks_p_value(low, [n / 100 + 0.001 for n in range(500)]) > 0.5
