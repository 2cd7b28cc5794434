"""Networking: the people an organization wants to reach, knows, and has won, and what happened with them."""

from core.sdk import Module
from modules.networking import contract, hooks
from modules.networking.actors import ACTORS, SCHEDULES, SUBSCRIBERS
from modules.networking.permissions import PERMISSIONS
from modules.networking.routes import ROUTES
from modules.networking.settings import NetworkingSettings

module = Module(
    name="networking",
    title="Networking",
    permissions=PERMISSIONS,
    emits=[
        contract.ContactCreated,
        contract.ContactUpdated,
        contract.ContactDeleted,
        contract.ContactRestored,
        contract.ContactStageChanged,
        contract.ContactsMerged,
        contract.ContactsUnmerged,
        contract.InteractionLogged,
        contract.ContactsImported,
        contract.ImportReverted,
        contract.InteractionCompleted,
        contract.InteractionCancelled,
        contract.InteractionChanged,
        contract.InteractionDeleted,
        contract.InteractionRestored,
        contract.FollowUpDue,
        contract.ConnectionRequested,
        contract.ConnectionMade,
        contract.ConnectionDeclined,
        contract.ConnectionEnded,
    ],
    routes=ROUTES,
    actors=ACTORS,
    subscribers=SUBSCRIBERS,
    schedules=SCHEDULES,
    settings=NetworkingSettings,
    hooks=hooks,
)
