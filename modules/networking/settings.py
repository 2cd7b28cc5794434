"""What an organization can set of networking."""

from typing import Annotated

from msgspec import Meta, Struct

from modules.networking.matching import Weights
from modules.networking.pipeline import PipelineRules

type Days = Annotated[int, Meta(ge=0, le=3650)]


class NetworkingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ctx.settings(NetworkingSettings)`; what an organization has not set is as here."""

    max_connections: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    """Of one member."""
    max_pending_requests: Annotated[int, Meta(ge=1, le=1000)] = 100
    """Requests of one member that nobody has answered yet."""
    decline_cooldown_days: Days = 30
    """How long somebody who was declined can't ask the same person again."""
    match_other_companies_only: bool = False
    """Whether people of one company are not recommended to each other."""
    match_weights: Weights = Weights()
    match_likeness: Annotated[float, Meta(ge=0, le=1)] = 0.8
    """From which likeness on two profiles read alike."""
    reminder_days_before: Annotated[int, Meta(ge=0, le=30)] = 1
    """How many days before a scheduled interaction somebody is reminded of it."""
    reminder_hour: Annotated[int, Meta(ge=0, le=23)] = 9
    """At which hour of that day, in the organization's time zone."""
    pipeline: PipelineRules = PipelineRules()
    """From which stage a contact may go to which, and what each stage takes."""
