"""Signing in, refreshing, signing out."""

from core.testing.tenants import Tenant


async def test_the_owner_is_told_who_they_are(acme: Tenant) -> None:
    answer = await acme.client.get("/api/v1/users/me")

    assert answer.status_code == 200
    assert answer.json()["email"] == acme.email
    assert answer.json()["organization"]["slug"] == acme.slug
    assert answer.json()["role"] == "owner"
