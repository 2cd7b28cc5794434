"""The second factor: asked for after the right password alone, and each of its codes counts once."""

import asyncio
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import time_machine
from factors import MFA, code_of, enrol, seed_in, sign_in, turn_on
from letterbox import Letterbox
from sqlalchemy import select, text

from core import clock
from core.identity.credential_models import RecoveryCode, SignInAttempts, TotpFactor
from core.identity.totp import code_at, matching_step, step_at
from core.testing.tenants import PASSWORD, Tenant

AUTH = "/api/v1/auth"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    assert code_at(b"12345678901234567890", seconds // 30) == code


def test_a_code_counts_a_step_early_and_a_step_late_and_no_more() -> None:
    seed, now = b"12345678901234567890", clock.now()
    steps = range(-3, 4)

    found = {steps_off: matching_step(seed, code_at(seed, step_at(now) + steps_off), now=now) for steps_off in steps}

    assert {steps_off for steps_off, step in found.items() if step is not None} == {-1, 0, 1}


async def test_an_authenticator_app_is_told_what_it_needs(acme: Tenant) -> None:
    answer = await acme.client.post(f"{MFA}/totp", json={"password": PASSWORD})

    uri = urlsplit(answer.json()["otpauth_uri"])
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert parse_qs(uri.query) == {"secret": [answer.json()["secret"]], "issuer": ["The Plugs"]}
    assert len(seed_in(answer.json())) == 20


async def test_a_factor_counts_only_once_it_is_confirmed(acme: Tenant) -> None:
    seed = await enrol(acme)

    assert (await sign_in(acme)).status_code == 200
    wrong = await acme.client.post(f"{MFA}/totp/confirm", json={"code": code_of(seed, steps=5)})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong-code")
    assert (await acme.client.get(MFA)).json() == {"totp": False, "recovery_codes_left": 0}
    right = await acme.client.post(f"{MFA}/totp/confirm", json={"code": code_of(seed)})
    assert right.status_code == 200
    assert (await acme.client.get(MFA)).json() == {"totp": True, "recovery_codes_left": 10}


async def test_enrolling_needs_the_password(acme: Tenant) -> None:
    refused = await acme.client.post(f"{MFA}/totp", json={"password": "not the password"})

    assert (refused.status_code, refused.json()["code"]) == (403, "wrong-password")


async def test_a_factor_that_is_on_can_not_be_enrolled_over(acme: Tenant) -> None:
    await turn_on(acme)

    again = await acme.client.post(f"{MFA}/totp", json={"password": PASSWORD})

    assert (again.status_code, again.json()["code"]) == (409, "mfa-already-on")


async def test_the_right_password_alone_does_not_get_in(acme: Tenant) -> None:
    seed, _ = await turn_on(acme)

    without = await sign_in(acme)
    with_code = await sign_in(acme, totp_code=code_of(seed))

    assert (without.status_code, without.json()["code"]) == (401, "mfa-required")
    assert with_code.status_code == 200


async def test_a_wrong_password_is_not_told_of_a_second_factor(acme: Tenant) -> None:
    seed, _ = await turn_on(acme)

    refused = [
        await sign_in(acme, password="not the password"),
        await sign_in(acme, password="not the password", totp_code=code_of(seed)),
        await sign_in(acme, email="nobody@nowhere.example"),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(401, "invalid-credentials")}
    assert (await sign_in(acme, totp_code=code_of(seed))).status_code == 200  # nor was the code used up


async def test_50_uses_of_one_code_at_once_are_one_success(acme: Tenant) -> None:
    seed, _ = await turn_on(acme)
    code = code_of(seed)

    async def use() -> httpx.Response:
        """Fifty at once are more than the pools hold on a busy machine: whoever is told to come back does."""
        for _ in range(20):
            if (answer := await sign_in(acme, totp_code=code)).status_code != 503:
                break
            await asyncio.sleep(0.1)
        return answer

    answers = await asyncio.gather(*(use() for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 49
    assert {answer.json()["code"] for answer in answers if answer.status_code == 401} == {"invalid-code"}


async def test_an_older_code_does_not_count_after_a_younger_one(acme: Tenant) -> None:
    seed, _ = await turn_on(acme)
    assert (await sign_in(acme, totp_code=code_of(seed, steps=1))).status_code == 200

    assert (await sign_in(acme, totp_code=code_of(seed))).status_code == 401


async def test_a_recovery_code_works_once_however_it_is_typed(acme: Tenant) -> None:
    _, codes = await turn_on(acme)

    first = await sign_in(acme, recovery_code=codes[0].upper().replace("-", " "))
    again = await sign_in(acme, recovery_code=codes[0])

    assert len(set(codes)) == 10
    assert (first.status_code, again.status_code) == (200, 401)
    assert (await acme.client.get(MFA)).json()["recovery_codes_left"] == 9


async def test_one_recovery_code_at_once_lets_in_once_at_most(acme: Tenant) -> None:
    _, codes = await turn_on(acme)

    answers = await asyncio.gather(*(sign_in(acme, recovery_code=codes[0]) for _ in range(20)))

    assert sum(answer.status_code == 200 for answer in answers) <= 1
    assert (await acme.client.get(MFA)).json()["recovery_codes_left"] == 9


async def test_another_persons_code_does_not_count(acme: Tenant, globex: Tenant) -> None:
    await turn_on(acme)
    seed, codes = await turn_on(globex)

    assert (await sign_in(acme, totp_code=code_of(seed))).status_code == 401
    assert (await sign_in(acme, recovery_code=codes[0])).status_code == 401


async def test_neither_seed_nor_recovery_code_is_stored_in_the_clear(acme: Tenant) -> None:
    seed, codes = await turn_on(acme)

    async with acme.database.system() as system:
        dump = ""
        for table in ("totp_factors", "recovery_codes"):
            lines = await system.scalars(text(f"SELECT row_to_json(t)::text FROM core.{table} AS t"))
            dump += "\n".join(lines.all())
        stored = await system.scalar(select(TotpFactor.seed).where(TotpFactor.user_id == acme.user_id))
        hashes = (await system.scalars(select(RecoveryCode.code_hash))).all()

    assert stored is not None
    assert seed not in stored
    assert seed.hex() not in dump
    for code in codes:
        for written in (code, code.replace("-", "")):
            assert written not in dump
            assert written.encode().hex() not in dump
            assert written.encode() not in hashes


async def test_new_recovery_codes_end_the_old_ones(acme: Tenant) -> None:
    seed, old = await turn_on(acme)
    proof = {"password": PASSWORD, "totp_code": code_of(seed)}

    answer = await acme.client.post(f"{MFA}/recovery-codes", json=proof)

    assert answer.status_code == 201
    assert set(old).isdisjoint(answer.json()["recovery_codes"])
    assert (await sign_in(acme, recovery_code=old[0])).status_code == 401
    assert (await sign_in(acme, recovery_code=answer.json()["recovery_codes"][0])).status_code == 200


async def test_turning_it_off_needs_the_password_and_a_code(acme: Tenant) -> None:
    seed, codes = await turn_on(acme)
    code = code_of(seed)
    refused = [
        {"password": "not the password", "totp_code": code},
        {"password": PASSWORD},
        {"password": PASSWORD, "totp_code": code_of(seed, steps=7)},
        {"password": PASSWORD, "recovery_code": "a" * 25},
    ]

    for proof in refused:
        assert (await acme.client.post(f"{MFA}/totp/disable", json=proof)).status_code == 403, proof
    assert (await acme.client.get(MFA)).json()["totp"]

    off = await acme.client.post(f"{MFA}/totp/disable", json={"password": PASSWORD, "recovery_code": codes[0]})
    assert off.status_code == 204
    assert (await acme.client.get(MFA)).json() == {"totp": False, "recovery_codes_left": 0}
    assert (await sign_in(acme)).status_code == 200


async def test_a_code_of_the_next_step_lets_in_again(acme: Tenant) -> None:
    seed, _ = await turn_on(acme)
    assert (await sign_in(acme, totp_code=code_of(seed))).status_code == 200

    with time_machine.travel(clock.now() + timedelta(seconds=31), tick=True):
        assert (await sign_in(acme, totp_code=code_of(seed))).status_code == 200


async def test_a_password_reset_leaves_the_second_factor_on(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    seed, _ = await turn_on(acme)
    await anonymous.post(f"{AUTH}/password-reset", json={"email": acme.email})
    await letterbox.deliver()
    chosen = {"token": letterbox.last_to(acme.email).token, "password": "another-password-of-mine"}
    assert (await anonymous.post(f"{AUTH}/password-reset/confirm", json=chosen)).status_code == 204

    alone = await sign_in(acme, anonymous, password=chosen["password"])
    both = await sign_in(acme, anonymous, password=chosen["password"], totp_code=code_of(seed))

    assert (alone.status_code, alone.json()["code"]) == (401, "mfa-required")
    assert both.status_code == 200


async def test_guessing_codes_is_throttled(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    seed, _ = await turn_on(acme)
    near = {code_of(seed, steps=steps) for steps in range(-2, 4)}
    guesses = [f"{guess:06}" for guess in range(100) if f"{guess:06}" not in near]

    answers = [await sign_in(acme, anonymous, totp_code=guess) for guess in guesses[:8]]
    right = await sign_in(acme, anonymous, totp_code=code_of(seed))

    assert [answer.status_code for answer in answers[:5]] == [401] * 5
    assert answers[-1].status_code == right.status_code == 429
    async with acme.database.system() as system:
        assert (await system.scalars(select(SignInAttempts.failures))).all() != []


STEPS = {
    "totp/confirm": {"code": "123456"},
    "totp/disable": {"password": PASSWORD, "totp_code": "123456"},
    "recovery-codes": {"password": PASSWORD, "totp_code": "123456"},
}


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_is_ones_own(acme: Tenant, globex: Tenant, anonymous: httpx.AsyncClient, step: str) -> None:
    """Nobody takes it without a token, and nothing in the body makes it another person's."""
    _, codes = await turn_on(acme)
    injected = {**STEPS[step], "user_id": str(acme.user_id)}

    assert (await anonymous.post(f"{MFA}/{step}", json=STEPS[step])).status_code == 401
    assert (await globex.client.post(f"{MFA}/{step}", json=injected)).status_code == 422
    assert (await globex.client.post(f"{MFA}/{step}", json=STEPS[step])).status_code == 409
    assert (await acme.client.get(MFA)).json() == {"totp": True, "recovery_codes_left": len(codes)}
