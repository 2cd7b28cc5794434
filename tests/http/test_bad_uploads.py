"""Uploads that are none: every one is refused before anything is stored, and no file's name can do harm."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from asking import CSV, IMPORTS, Known, codes_of, in_pieces, operations, problem_of, rows_stored

from core.app import Application
from core.testing.tenants import Tenant

MEGABYTE = 1_048_576
FORM = {"content-type": "multipart/form-data; boundary=xyz"}


def form(*parts: tuple[str, bytes], end: bytes = b"--xyz--\r\n") -> bytes:
    """A multipart body, part by part: the rest of its disposition, and its content."""
    return b"".join(
        b"--xyz\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n"
        % (rest.encode("utf-8", "surrogateescape"), content)
        for rest, content in parts
    ) + (end if parts else b"")


FILE = ('name="file"; filename="a.csv"', CSV)
MISFITS: dict[str, tuple[bytes, dict[str, str]]] = {
    "no part": (form() + b"--xyz--\r\n", {"file": "required"}),
    "another name": (form(('name="upload"; filename="a.csv"', CSV)), {"file": "required", "upload": "unknown"}),
    "two files": (form(FILE, FILE), {"file": "type"}),
    "two files of two names": (form(FILE, ('name="b"; filename="b.csv"', CSV)), {"b": "unknown"}),
    "text instead of a file": (form(('name="file"', b"first_name")), {"file": "type"}),
    "a file without a name": (form(('name="file"; filename=""', CSV)), {"file": "type"}),
    "a field beside the file": (form(FILE, ('name="organization_id"', b"x")), {"organization_id": "unknown"}),
}
UNREADABLE: dict[str, tuple[bytes, dict[str, str]]] = {
    "no boundary": (form(FILE), {"content-type": "multipart/form-data"}),
    "another boundary": (form(FILE), {"content-type": "multipart/form-data; boundary=abc"}),
    "cut off in the file": (form(FILE)[:-40], FORM),
    "cut off in the header": (b"--xyz\r\nContent-Disposition: form-da", FORM),
    "no disposition": (b"--xyz\r\n\r\nfirst_name\r\n--xyz--\r\n", FORM),
    "no character set that there is": (
        form(('name="a"\r\nContent-Type: text/plain; charset=martian', b"x")),
        FORM,
    ),
    "text that is no UTF-8": (form(('name="a"', b"\xff\xfe")), FORM),
    "no form": (b"first_name\nAda\n", FORM),
    "too many parts": (form(*[('name="a"', b"x")] * 1500), FORM),
    "a header without end": (b"--xyz\r\nX: " + b"x" * 100_000, FORM),
}
OTHER_TYPES: dict[str, tuple[bytes, dict[str, str]]] = {
    "JSON": (b'{"file": "first_name"}', {"content-type": "application/json"}),
    "CSV": (CSV, {"content-type": "text/csv"}),
    "no type": (CSV, {}),
    "a form of fields": (b"file=first_name", {"content-type": "application/x-www-form-urlencoded"}),
}


async def problems_everywhere(
    application: Application, known: Known, body: bytes, headers: dict[str, str]
) -> list[dict[str, Any]]:
    """Send this to every route that takes files; returns what each of them says."""
    asked = [operation for operation in operations(application) if operation.takes_files]
    answers = [await known.client.request(o.method, o.path(), content=body, headers=headers) for o in asked]
    assert answers != []
    return [problem_of(answer, answer.status_code) for answer in answers]


def said(problems: list[dict[str, Any]]) -> set[tuple[int, str]]:
    return {(problem["status"], problem["code"]) for problem in problems}


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(("body", "codes"), MISFITS.values(), ids=MISFITS.keys())
async def test_a_form_must_hold_the_one_file(
    application: Application, known: Known, body: bytes, codes: dict[str, str]
) -> None:
    problems = await problems_everywhere(application, known, body, FORM)

    assert said(problems) == {(422, "invalid")}
    assert [codes_of(problem) for problem in problems] == [codes] * len(problems)


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(("body", "headers"), UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_form_that_can_not_be_read_is_malformed(
    application: Application, known: Known, body: bytes, headers: dict[str, str]
) -> None:
    assert said(await problems_everywhere(application, known, body, headers)) == {(400, "malformed")}


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(("body", "headers"), OTHER_TYPES.values(), ids=OTHER_TYPES.keys())
async def test_a_body_that_is_no_form_is_unsupported(
    application: Application, known: Known, body: bytes, headers: dict[str, str]
) -> None:
    assert said(await problems_everywhere(application, known, body, headers)) == {(415, "unsupported-media-type")}


@pytest.mark.usefixtures("nothing_stored")
async def test_an_empty_file_is_refused(application: Application, known: Known) -> None:
    body = form(('name="file"; filename="a.csv"', b""))

    assert said(await problems_everywhere(application, known, body, FORM)) == {(422, "empty-file")}


# Litestar leaves the temporary file of an upload that it breaks off to the garbage collector.
@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
async def test_a_file_of_unknown_length_is_read_up_to_the_limit_alone(application: Application, acme: Tenant) -> None:
    before = await rows_stored(acme.database)
    taken: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        for piece in in_pieces(80 * MEGABYTE, taken, first=form(FILE, end=b"")[: -len(CSV) - 2]):
            yield piece

    answer = await acme.client.post(IMPORTS, content=body(), headers=FORM)

    problem_of(answer, 413, "too-large")
    assert sum(taken) <= 64 * MEGABYTE + 2 * 65_536
    assert await rows_stored(acme.database) == before


async def test_a_file_that_says_it_is_too_large_is_not_read(acme: Tenant) -> None:
    taken: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        for piece in in_pieces(66 * MEGABYTE, taken):
            yield piece

    answer = await acme.client.post(IMPORTS, content=body(), headers=FORM | {"content-length": str(66 * MEGABYTE)})

    problem_of(answer, 413, "too-large")
    assert taken == []


NAMES = {
    "../../etc/passwd": "passwd",
    "..\\\\..\\\\boot.ini": "boot.ini",
    "/etc/cron.d/x.csv": "x.csv",
    "a\0b.csv": "ab.csv",
    "a\x1b[31m.csv": "a[31m.csv",
    "..": "contacts.csv",
    "/": "contacts.csv",
    "x" * 300 + ".csv": "x" * 200,
    "naïve 名.csv": "naïve 名.csv",
    "a\u202evsc.exe": "avsc.exe",
}


@pytest.mark.parametrize(("sent", "kept"), NAMES.items(), ids=range(len(NAMES)))
async def test_of_a_file_name_only_harmless_characters_are_kept(acme: Tenant, sent: str, kept: str) -> None:
    answer = await acme.client.post(IMPORTS, content=form((f'name="file"; filename="{sent}"', CSV)), headers=FORM)

    assert answer.status_code == 202, answer.text
    assert answer.json()["file_name"] == kept


async def test_a_bad_row_is_told_in_the_words_of_the_api(acme: Tenant) -> None:
    answer = await acme.client.post(IMPORTS, files={"file": ("contacts.csv", CSV)})
    await acme.run_jobs()

    job = (await acme.client.get(f"{IMPORTS}/{answer.json()['id']}")).json()

    assert job["errors"] == [{"line": 3, "column": "email", "code": "format", "reason": "Expected an e-mail address"}]
