"""Networking: the people an organization wants to reach, knows, and has won, and what happened with them."""

from core.sdk import Module
from modules.networking import contract, hooks
from modules.networking.actors import revert_import, run_import, scan_duplicates
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
        contract.ContactsMerged,
        contract.ContactsUnmerged,
        contract.InteractionLogged,
        contract.ContactsImported,
        contract.ImportReverted,
        contract.ConnectionRequested,
        contract.ConnectionMade,
        contract.ConnectionDeclined,
        contract.ConnectionEnded,
    ],
    routes=ROUTES,
    actors=[run_import, revert_import, scan_duplicates],
    settings=NetworkingSettings,
    hooks=hooks,
)
