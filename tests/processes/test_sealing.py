"""The trail is sealed by the workers, without anybody asking for it."""

from core.testing.processes import Member
from core.testing.waiting import until
from tests.processes.conftest import OpenSite

SEALED_WITHIN_SECONDS = 30.0


async def unsealed(member: Member) -> int:
    answer = await member.client.get("/api/v1/audit/verify")
    answer.raise_for_status()
    assert answer.json()["intact"]
    return answer.json()["unsealed"]


async def test_workers_seal_what_was_done_while_none_ran(open_site: OpenSite) -> None:
    async with open_site() as site:
        await site.deployment.start_api()
        member = await site.new_member()
        (await member.client.post("/api/v1/networking/contacts", json={"first_name": "Ada"})).raise_for_status()
        assert await unsealed(member) > 0

        for _ in range(2):
            await site.deployment.start_worker()

        async def all_sealed() -> bool:
            return await unsealed(member) == 0

        await until(all_sealed, within=SEALED_WITHIN_SECONDS, every=0.2)
        found = (await member.client.get("/api/v1/audit/verify")).json()
        assert found["intact"] and found["complete"] and found["head"] is not None
