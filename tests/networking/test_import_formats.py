"""Files as real programs write them: understood without help, and without losing or inventing anything."""

from typing import Any

import exports
import pytest
from exports import PEOPLE
from importing import IMPORTS, contacts, imported, report, told, upload

from core.testing.tenants import Tenant

ALL = {"email", "additional_emails", "phone", "company", "job_title", "linkedin_url", "notes", "tags"}
FILES: dict[str, tuple[bytes, str, set[str]]] = {
    "Google": (exports.google(), "google", ALL),
    "LinkedIn": (exports.linkedin(), "linkedin", {"email", "company", "job_title", "linkedin_url"}),
    "HubSpot": (exports.hubspot(), "hubspot", ALL - {"notes", "tags"}),
    "Outlook": (exports.outlook(), "outlook", ALL),
    "Outlook in UTF-16": (exports.outlook(encoding="utf-16"), "outlook", ALL),
    "Outlook with semicolons": (exports.outlook(delimiter=";"), "outlook", ALL),
    "Outlook in UTF-16 with tabs": (exports.outlook(encoding="utf-16", delimiter="\t"), "outlook", ALL),
    "Outlook in German": (exports.outlook_german(), "outlook", ALL),
    "vCard 3": (exports.vcard(version="3.0"), "vcard", ALL),
    "vCard 4": (exports.vcard(version="4.0"), "vcard", ALL),
}
"""By name: the file, the program that is recognised, and what the program tells of a person."""


def expected(person: exports.Person, told: set[str]) -> dict[str, Any]:
    profile = f"https://www.linkedin.com/in/{person.linkedin}" if person.linkedin else None
    everything = {
        "email": person.emails[0],
        "additional_emails": list(person.emails[1:]),
        "phone": person.phone or None,
        "company": person.company or None,
        "job_title": person.job_title or None,
        "linkedin_url": profile,
        "notes": person.notes or None,
        "tags": list(person.tags),
    }
    names = {"first_name": person.first_name, "last_name": person.last_name}
    return names | {name: value for name, value in everything.items() if name in told}


@pytest.mark.parametrize(("content", "source", "tells"), FILES.values(), ids=FILES.keys())
async def test_a_programs_export_is_understood_without_help(
    acme: Tenant, content: bytes, source: str, tells: set[str]
) -> None:
    job = await imported(acme, content)

    assert (job["state"], job["source"], job["rows_created"], job["errors"]) == ("done", source, len(PEOPLE), [])
    found = {contact["first_name"]: contact for contact in await contacts(acme)}
    for person in PEOPLE:
        wanted = expected(person, tells)
        assert {name: found[person.first_name][name] for name in wanted} == wanted


@pytest.mark.parametrize("content", [content for content, _, _ in FILES.values()], ids=FILES.keys())
async def test_the_same_people_are_known_again_whatever_program_tells_of_them(acme: Tenant, content: bytes) -> None:
    await imported(acme, exports.google())

    job = await imported(acme, content)

    assert (job["rows_created"], job["rows_skipped"]) == (0, len(PEOPLE))
    assert {code for _, _, code in await report(acme, job)} == {"duplicate"}


async def test_who_opted_out_in_hubspot_stays_out(acme: Tenant) -> None:
    await imported(acme, exports.hubspot())

    consents = {contact["first_name"]: contact["marketing_consent"] for contact in await contacts(acme)}
    assert consents == {"Zoë": "unknown", "Grace": "withdrawn", "Jo": "unknown"}


async def test_our_own_export_comes_back_as_it_went(acme: Tenant, globex: Tenant) -> None:
    await imported(acme, exports.google())
    exported = (await acme.client.get("/api/v1/networking/contacts/export.csv")).content

    job = await imported(globex, exported)

    assert (job["rows_created"], job["errors"]) == (len(PEOPLE), [])
    own = {"id", "organization_id", "created_by", "updated_by", "owner_id", "created_at", "updated_at"}
    mine, theirs = [
        [{name: value for name, value in contact.items() if name not in own} for contact in await contacts(tenant)]
        for tenant in (acme, globex)
    ]
    assert mine == theirs


@pytest.mark.parametrize(
    ("content", "encoding", "delimiter"),
    [
        ("first_name\nZoë\n".encode(), "utf-8", ","),
        ("first_name;company\nZoë;Müller\n".encode("cp1252"), "cp1252", ";"),
        ("first_name\tcompany\nZoë\tMüller\n".encode("utf-16-be"), "utf-16-be", "\t"),
        ("first_name|company\rZoë|Müller\r".encode("utf-8-sig"), "utf-8", "|"),
        (b"first_name,notes\n" + b"Zo\xc3\xab,x\n" * 30_000 + "Zoë,last\n".encode("cp1252"), "cp1252", ","),
    ],
    ids=["UTF-8", "Windows-1252", "UTF-16 without a mark", "carriage returns alone", "not UTF-8 at the very end"],
)
async def test_what_a_file_is_made_of_is_told(acme: Tenant, content: bytes, encoding: str, delimiter: str) -> None:
    job = await upload(acme, content, start="false")

    assert (job["state"], job["encoding"], job["delimiter"]) == ("draft", encoding, delimiter)
    assert job["columns"][0] == {"name": "first_name", "field": "first_name"}


async def test_a_drafts_mapping_and_options_can_be_changed_before_it_starts(acme: Tenant) -> None:
    job = await upload(acme, b"Rufname,Colour,E-mail\nAda,red,ada@example.com\n", start="false")
    url = f"{IMPORTS}/{job['id']}"
    assert [column["field"] for column in job["columns"]] == [None, None, "email"]

    changed = await acme.client.patch(url, json={"mapping": {"Rufname": "first_name", "E-mail": None}})
    started = await acme.client.post(f"{url}/start")
    await acme.run_jobs()

    assert [column["field"] for column in changed.json()["columns"]] == ["first_name", None, None]
    assert (started.status_code, started.json()["state"]) == (202, "queued")
    assert [(contact["first_name"], contact["email"]) for contact in await contacts(acme)] == [("Ada", None)]


async def test_a_draft_waits_and_what_has_started_stays(acme: Tenant) -> None:
    job = await upload(acme, b"first_name\nAda\n", start="false")
    url = f"{IMPORTS}/{job['id']}"
    assert await acme.run_jobs() == 0

    unknown = await acme.client.patch(url, json={"mapping": {"Colour": "notes"}})
    await acme.client.post(f"{url}/start")
    again = await acme.client.post(f"{url}/start")
    late = await acme.client.patch(url, json={"mode": "update"})
    await acme.run_jobs()

    assert [(answer.status_code, answer.json()["code"]) for answer in (unknown, again, late)] == [
        (409, "no-such-column"),
        (409, "not-a-draft"),
        (409, "not-a-draft"),
    ]
    assert (await told(acme, job))["rows_created"] == 1


async def test_a_card_of_another_version_is_a_row_that_fails(acme: Tenant) -> None:
    old = b"BEGIN:VCARD\r\nVERSION:2.1\r\nFN:Ada Okafor\r\nEND:VCARD\r\n"

    job = await imported(acme, exports.vcard() + old)

    assert (job["rows_created"], job["rows_failed"]) == (len(PEOPLE), 1)
    assert (job["errors"][0]["column"], job["errors"][0]["code"]) == ("VERSION", "version")
