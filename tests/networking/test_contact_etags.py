"""A contact's ETag is another one whenever it shows something else, whoever changed it and by whichever route."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

from importing import CONTACTS, IMPORTS
from msgspec import Struct
from sqlalchemy import text

from core.app import Application
from core.permissions import Role
from core.testing.tenants import Tenant, make_member
from tests.http.asking import operations

BASE = "/api/v1/networking"
NOTHING_SHOWN = frozenset(
    {
        *("dismiss_duplicate", "reconsider_duplicate", "scan_duplicates", "preview_merge", "preview_score_rules"),
        *("share_contact_with_member", "unshare_contact_with_member", "change_matching_profile"),
        *("share_contact_with_team", "unshare_contact_with_team"),
        *("judge_member_recommendation", "judge_contact_recommendation"),
        *("create_contact", "create_tag", "create_view", "update_view", "delete_view", "update_import"),
        *("create_custom_field", "update_custom_field", "delete_custom_field"),
        *("request_connection", "accept_connection", "decline_connection", "cancel_connection", "remove_connection"),
        *("block_person", "unblock_person", "cancel_interaction"),
    }
)
"""Routes after which a contact that is there shows what it showed before."""


CALL = {"interaction_type": "call", "interaction_date": "2026-03-02T10:00:00Z"}


class Person(Struct, kw_only=True):
    """A contact under change, and what one change leaves for the next."""

    tenant: Tenant
    contact: dict[str, Any]
    left: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"{CONTACTS}/{self.contact['id']}"

    async def ask(self, method: str, url: str, **body: Any) -> Any:
        answer = await self.tenant.client.request(method, url, **body)
        assert answer.is_success, answer.text
        await self.tenant.run_jobs()
        return answer.json() if answer.content else None

    async def make(self, name: str, url: str, **body: Any) -> str:
        """Its id, which stays under this name."""
        self.left[name] = (await self.ask("POST", url, **body))["id"]
        return self.left[name]


type Change = AsyncGenerator[None]
"""First what it needs, which may change the contact, too; then, after the yield, the change by one route."""


async def update_contact(person: Person) -> Change:
    yield
    await person.ask("PATCH", person.url, json={"tags": ["Board"]})


async def tag_contacts(person: Person) -> Change:
    for name in ("one", "two"):
        await person.make(name, f"{BASE}/tags", json={"name": name})
    yield
    tags = {"contact_ids": [person.contact["id"]], "add": [person.left["two"]]}
    await person.ask("POST", f"{CONTACTS}/tags", json=tags)


async def update_tag(person: Person) -> Change:
    yield
    await person.ask("PATCH", f"{BASE}/tags/{person.left['two']}", json={"name": "Twice"})


async def merge_tags(person: Person) -> Change:
    yield
    await person.ask("POST", f"{BASE}/tags/{person.left['one']}/merges", json={"other_id": person.left["two"]})


async def delete_tag(person: Person) -> Change:
    yield
    await person.ask("DELETE", f"{BASE}/tags/{person.left['one']}")


async def log_interaction(person: Person) -> Change:
    yield
    await person.make("call", f"{person.url}/interactions", json=CALL)


async def update_interaction(person: Person) -> Change:
    yield
    later = {"interaction_date": "2026-03-04T10:00:00Z"}
    await person.ask("PATCH", f"{BASE}/interactions/{person.left['call']}", json=later)


async def delete_interaction(person: Person) -> Change:
    yield
    await person.ask("DELETE", f"{BASE}/interactions/{person.left['call']}")


async def restore_interaction(person: Person) -> Change:
    yield
    await person.ask("POST", f"{BASE}/interactions/{person.left['call']}/restore")


async def complete_interaction(person: Person) -> Change:
    planned = CALL | {"interaction_date": "2026-03-09T10:00:00Z", "status": "scheduled"}
    await person.make("planned", f"{person.url}/interactions", json=planned)
    yield
    await person.ask("POST", f"{BASE}/interactions/{person.left['planned']}/complete", json={})


async def change_score_rules(person: Person) -> Change:
    yield
    rules = await person.ask("PUT", f"{BASE}/score-rules", json={"fields": [{"field": "email", "points": 7}]})
    person.left["rules"] = rules["id"]


async def restore_score_rules(person: Person) -> Change:
    await person.ask("PUT", f"{BASE}/score-rules", json={"fields": [{"field": "email", "points": 9}]})
    yield
    await person.ask("POST", f"{BASE}/score-rules/versions/{person.left['rules']}/restore")


async def recompute_scores(person: Person) -> Change:
    async with person.tenant.database.system() as system:
        outdated = text("UPDATE networking.contacts SET lead_score = 1 WHERE organization_id = :id")
        await system.execute(outdated, {"id": person.tenant.organization_id})
    yield
    await person.ask("POST", f"{BASE}/score-runs")


async def move_contact(person: Person) -> Change:
    yield
    await person.ask("POST", f"{person.url}/stage", json={"contact_type": "contact"})


async def change_contact_owner(person: Person) -> Change:
    colleague = await make_member(person.tenant, Role.MEMBER)
    yield
    await person.ask("PUT", f"{person.url}/owner", json={"user_id": str(colleague.user_id)})


async def merge_contacts(person: Person) -> Change:
    other = await person.make("other", CONTACTS, json={"first_name": "Other", "tags": ["Fair"]})
    yield
    await person.make("merge", f"{person.url}/merges", json={"other_id": other})


async def undo_merge(person: Person) -> Change:
    yield
    await person.ask("POST", f"{BASE}/merges/{person.left['merge']}/undo")


def _file(person: Person, company: str) -> dict[str, Any]:
    csv = f"first_name,email,company,tags\nAda,{person.contact['email']},{company},{company}\n"
    return {"file": ("contacts.csv", csv.encode())}


async def import_contacts(person: Person) -> Change:
    yield
    await person.make("job", IMPORTS, files=_file(person, "Engines"), data={"mode": "update"})


async def start_import(person: Person) -> Change:
    draft = {"mode": "update", "start": "false"}
    await person.make("job", IMPORTS, files=_file(person, "Looms"), data=draft)
    yield
    await person.ask("POST", f"{IMPORTS}/{person.left['job']}/start")


async def revert_import(person: Person) -> Change:
    yield
    await person.ask("POST", f"{IMPORTS}/{person.left['job']}/revert")


async def delete_contact(person: Person) -> Change:
    yield
    await person.ask("DELETE", person.url)
    await person.ask("POST", f"{person.url}/restore")


async def restore_contact(person: Person) -> Change:
    yield
    await person.ask("DELETE", person.url)
    await person.ask("POST", f"{person.url}/restore")


CHANGES: tuple[Callable[[Person], Change], ...] = (
    *(update_contact, tag_contacts, update_tag, merge_tags, delete_tag),
    *(log_interaction, update_interaction, delete_interaction, restore_interaction, complete_interaction),
    *(change_score_rules, restore_score_rules, recompute_scores, move_contact, change_contact_owner),
    *(merge_contacts, undo_merge, import_contacts, start_import, revert_import, delete_contact, restore_contact),
)


def test_of_every_route_that_changes_something_it_is_known_whether_a_contact_shows_it(application: Application) -> None:
    changing = {o.id for o in operations(application) if o.method != "GET" and o.template.startswith(f"{BASE}/")}

    assert {change.__name__ for change in CHANGES} == changing - NOTHING_SHOWN
    assert changing >= NOTHING_SHOWN


async def test_after_every_change_of_what_it_shows_a_contact_has_another_etag(acme: Tenant) -> None:
    made = await acme.client.post(CONTACTS, json={"first_name": "Ada", "email": "ada@example.com"})
    person, bodies = Person(tenant=acme, contact=made.json()), dict[str, bytes]()
    for change in CHANGES:
        changing = change(person)
        await anext(changing)
        before = await acme.client.get(person.url)
        assert await anext(changing, None) is None
        after = await acme.client.get(person.url, headers={"if-none-match": before.headers["etag"]})
        assert (after.status_code, after.headers["etag"] != before.headers["etag"]) == (200, True), change.__name__
        again = await acme.client.get(person.url, headers={"if-none-match": after.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), change.__name__
        for answer in (before, after):
            assert bodies.setdefault(answer.headers["etag"], answer.content) == answer.content


async def test_a_change_answers_with_the_etag_that_a_read_has(acme: Tenant) -> None:
    fields = {
        "first_name": "Ada",
        "tags": ["Fair", "board"],
        "metadata": {"a": None, "b": 1.5, "c": "a: b, ü"},
        "notes": "Ünï\n",
    }
    made = await acme.client.post(CONTACTS, json=fields)
    url = f"{CONTACTS}/{made.json()['id']}"

    changed = await acme.client.patch(url, json={"last_name": "Okafor"}, headers={"if-match": made.headers["etag"]})
    stale = await acme.client.patch(url, json={"last_name": "Bauer"}, headers={"if-match": made.headers["etag"]})
    known = await acme.client.get(url, headers={"if-none-match": changed.headers["etag"]})

    assert (made.status_code, changed.status_code, stale.status_code, known.status_code) == (201, 200, 412, 304)
