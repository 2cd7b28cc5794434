"""Whether an organization is open to its own people."""

from core.errors import Forbidden


def check_standing(*, is_active: bool) -> None:
    """Raises `Forbidden` for a suspended organization. Only for whoever has proved to belong there."""
    if not is_active:
        raise Forbidden("The organization is suspended", code="organization-suspended")
