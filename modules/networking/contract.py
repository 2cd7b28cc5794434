"""What other modules may import of networking: the events that they can follow."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from core.sdk import Event


class Embedder(Protocol):
    """Turns texts into vectors, so that profiles which read alike are found though they share no word. A module that
    lists it among what it `provides` has it used by every organization where it is on; without one, matching compares
    what is equal alone."""

    @property
    def name(self) -> str:
        """Of the model and its version: vectors of another name are made anew."""
        ...

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        ...

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """A vector for each text, in their order: 100 texts at most, in less than a minute. One of zeros stands for a
        text that it knows nothing of. What it raises is logged, and the texts come again later."""
        ...


class ContactCreated(Event, frozen=True, kw_only=True):
    """Emitted for a contact that a person adds, not for each row of an import: see `ContactsImported`."""

    type = "networking.contact_created"
    contact_id: UUID


class ContactUpdated(Event, frozen=True, kw_only=True):
    type = "networking.contact_updated"
    contact_id: UUID
    changed: list[str]
    """Names of the fields whose values differ now; those of the organization's own are `custom.` and their key."""


class ContactDeleted(Event, frozen=True, kw_only=True):
    type = "networking.contact_deleted"
    contact_id: UUID


class ContactRestored(Event, frozen=True, kw_only=True):
    type = "networking.contact_restored"
    contact_id: UUID


class ContactsMerged(Event, frozen=True, kw_only=True):
    """`merged_id` stands for the survivor from now on: whoever holds it need change nothing, but may."""

    type = "networking.contacts_merged"
    survivor_id: UUID
    merged_id: UUID


class ContactsUnmerged(Event, frozen=True, kw_only=True):
    """The merge is undone; both are contacts of their own again."""

    type = "networking.contacts_unmerged"
    survivor_id: UUID
    restored_id: UUID


class ContactStageChanged(Event, frozen=True, kw_only=True):
    """Emitted for a contact that a person moves, not for each row of an import: see `ContactsImported`."""

    type = "networking.contact_stage_changed"
    contact_id: UUID
    from_stage: str
    to_stage: str
    is_step_back: bool


class InteractionLogged(Event, frozen=True, kw_only=True):
    type = "networking.interaction_logged"
    interaction_id: UUID
    contact_id: UUID
    interaction_type: str


class ContactsImported(Event, frozen=True, kw_only=True):
    type = "networking.contacts_imported"
    version = 2
    import_id: UUID
    created: int
    failed: int
    updated: int = 0
    skipped: int = 0


class ImportReverted(Event, frozen=True, kw_only=True):
    """What an import made or changed is as it was before, but for `kept` contacts that were changed after it."""

    type = "networking.import_reverted"
    import_id: UUID
    reverted: int
    kept: int


class ConnectionRequested(Event, frozen=True, kw_only=True):
    type = "networking.connection_requested"
    connection_id: UUID
    from_user_id: UUID
    to_user_id: UUID


class ConnectionMade(Event, frozen=True, kw_only=True):
    """Two members are connected: one has accepted, or both have asked."""

    type = "networking.connection_made"
    connection_id: UUID
    from_user_id: UUID
    """Who asked."""
    to_user_id: UUID


class ConnectionDeclined(Event, frozen=True, kw_only=True):
    type = "networking.connection_declined"
    connection_id: UUID
    from_user_id: UUID
    to_user_id: UUID


class ConnectionEnded(Event, frozen=True, kw_only=True):
    """Two members are connected no more. It doesn't say why: a block is nobody's business."""

    type = "networking.connection_ended"
    connection_id: UUID
    user_ids: list[UUID]


class InteractionCompleted(Event, frozen=True, kw_only=True):
    """What was scheduled took place."""

    type = "networking.interaction_completed"
    interaction_id: UUID
    contact_id: UUID


class InteractionCancelled(Event, frozen=True, kw_only=True):
    type = "networking.interaction_cancelled"
    interaction_id: UUID
    contact_id: UUID


class InteractionChanged(Event, frozen=True, kw_only=True):
    type = "networking.interaction_changed"
    interaction_id: UUID
    contact_id: UUID
    changed: list[str]


class InteractionDeleted(Event, frozen=True, kw_only=True):
    type = "networking.interaction_deleted"
    interaction_id: UUID
    contact_id: UUID


class InteractionRestored(Event, frozen=True, kw_only=True):
    type = "networking.interaction_restored"
    interaction_id: UUID
    contact_id: UUID


class FollowUpDue(Event, frozen=True, kw_only=True):
    """Somebody is to be reminded of a scheduled interaction. Emitted once for each time that it is scheduled for."""

    type = "networking.follow_up_due"
    interaction_id: UUID
    contact_id: UUID
    user_id: UUID | None
    """Who wrote the interaction down."""
    interaction_date: datetime
