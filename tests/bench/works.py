"""What is measured over HTTP: the same work, in each peer's own words."""

import subprocess
import sys
from collections.abc import Callable

import msgspec
from msgspec import Struct

from tests.bench.load import Load, Request, Result
from tests.bench.site import ROOT, Server, Site, Tenant

BODY = (
    '{"first_name": "Ada{n}", "last_name": "Lovelace", "email": "ada{n}@bench.example", "company": "Analytical", '
    '"job_title": "Engineer"}'
)

type Asked = Callable[[Tenant, int], tuple[str, str, str]]
"""Method, path and body of the work's request number so and so of a tenant."""


class Work(Struct, frozen=True, kw_only=True):
    name: str
    goal_of_floor: float
    goal_times_seed: float
    ours: Asked
    plain: Asked
    """In the words of floor and seed stack."""


def _get(tenant: Tenant, number: int) -> str:
    return str(tenant.contact_ids[number % len(tenant.contact_ids)])


WORKS = (
    Work(
        name="list 20 contacts, 25 columns",
        goal_of_floor=0.65,
        goal_times_seed=3.5,
        ours=lambda _t, _n: ("GET", "/api/v1/networking/contacts?limit=20", ""),
        plain=lambda _t, _n: ("GET", "/contacts?limit=20", ""),
    ),
    Work(
        name="get one contact",
        goal_of_floor=0.5,
        goal_times_seed=3,
        ours=lambda t, n: ("GET", f"/api/v1/networking/contacts/{_get(t, n)}", ""),
        plain=lambda t, n: ("GET", f"/contacts/{_get(t, n)}", ""),
    ),
    Work(
        name="search with filter",
        goal_of_floor=0.6,
        goal_times_seed=3,
        ours=lambda _t, n: ("GET", f"/api/v1/networking/contacts?q=hana{9 + n % 90}&status=new_client&limit=20", ""),
        plain=lambda _t, n: ("GET", f"/contacts?q=hana{9 + n % 90}&status=new_client&limit=20", ""),
    ),
    Work(
        name="create contact (row, audit, event, job)",
        goal_of_floor=0.4,
        goal_times_seed=1.5,
        ours=lambda _t, _n: ("POST", "/api/v1/networking/contacts", BODY),
        plain=lambda _t, _n: ("POST", "/contacts", BODY),
    ),
)


def requests_of(work: Work, site: Site, peer: str, *, count: int = 40) -> list[Request]:
    """Requests of the first ten tenants, in turns."""
    found: list[Request] = []
    for number in range(count):
        tenant = site.tenants[number % min(10, len(site.tenants))]
        method, path, body = (work.ours if peer == "ours" else work.plain)(tenant, number)
        headers = {
            "ours": {"authorization": f"Bearer {tenant.token}"},
            "floor": {"x-tenant": str(tenant.id)},
            "seed_stack": {"authorization": f"Bearer {tenant.seed_token}"},
        }[peer]
        if body:
            headers = {**headers, "content-type": "application/json"}
        found.append(Request(method=method, path=path, headers=headers, body=body))
    return found


_numbers = iter(range(0, 1_000_000_000, 1_000_000))


def drive(server: Server, requests: list[Request], *, seconds: float, connections: int = 16) -> Result:
    """Raises `RuntimeError` where anything failed: a fast refusal is no result."""
    load = Load(
        host="127.0.0.1", port=server.port, requests=requests, seconds=seconds, connections=connections,
        first_number=next(_numbers),
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"], input=msgspec.json.encode(load), capture_output=True, cwd=ROOT,
        check=True, timeout=seconds + 60,
    )  # fmt: skip
    result = msgspec.json.decode(done.stdout, type=Result)
    if result.failed or not result.succeeded:
        raise RuntimeError(
            f"{server.name}: {result.failed} requests failed, {result.succeeded} succeeded: {result.statuses}\n"
            f"{server.last_words}"
        )
    return result
