"""Networking keeps the rules that every module has to keep."""

from datetime import UTC, datetime

from core.testing import conformance
from core.testing.conformance import Caller, Colleague, Filling, Fresh, Id

CONTACT, FIRST = Id("networking.contacts"), Id("networking.duplicate_pairs", "first_id")
SECOND = Id("networking.duplicate_pairs", "second_id")
SHARED, GRANTEE = (Id("networking.contact_shares", name) for name in ("contact_id", "grantee_id"))
PAIR = {"contact_id": FIRST, "other_id": SECOND}
CONNECTION, OTHER = (
    {"connection_id": Id("networking.connections")},
    {"user_id": Id("networking.connections", "second_id")},
)
MINE = {"first_id": Caller()}
PLANNED = {"networking.contact_interactions": {"status": "scheduled"}}
INTERACTION = {"interaction_id": Id("networking.contact_interactions")}
RULES = {"networking.score_rules": {"rules": {"most": 50}, "created_by": Caller()}}
FIELD, VIEW = {"field_id": Id("networking.custom_fields")}, {"view_id": Id("networking.saved_views")}
PLAIN = {"networking.custom_fields": {"options": [], "archived_options": []}}
OWN_VIEWS = {"networking.saved_views": {"owner_id": Caller()}}
FILLINGS = {
    "request_connection": Filling(json={"user_id": Colleague()}),
    "get_relation": Filling(path={"user_id": Colleague()}),
    "list_mutual_connections": Filling(path={"user_id": Colleague()}, tells_of_none=True),
    "get_connection": Filling(path=CONNECTION, rows={"networking.connections": MINE}),
    "accept_connection": Filling(path=CONNECTION, rows={"networking.connections": MINE}),
    "decline_connection": Filling(path=CONNECTION, rows={"networking.connections": MINE}),
    "cancel_connection": Filling(path=CONNECTION, rows={"networking.connections": MINE | {"requested_by": Caller()}}),
    "remove_connection": Filling(path=CONNECTION, rows={"networking.connections": MINE | {"state": "connected"}}),
    "block_person": Filling(path=OTHER, rows={"networking.connections": MINE}),
    "unblock_person": Filling(path=OTHER, rows={"networking.connections": MINE}),
    "get_matching_profile": Filling(tells_of_none=True),
    "recommend_members": Filling(tells_of_none=True),
    "judge_member_recommendation": Filling(path={"user_id": Colleague()}, json={"verdict": "useful"}),
    "recommend_contacts": Filling(path={"contact_id": CONTACT}, tells_of_none=True),
    "judge_contact_recommendation": Filling(path=PAIR, json={"verdict": "useful"}),
    "complete_interaction": Filling(path=INTERACTION, json={}, rows=PLANNED),
    "cancel_interaction": Filling(path=INTERACTION, rows=PLANNED),
    "restore_interaction": Filling(path=INTERACTION, rows={"networking.contact_interactions": {"is_deleted": True}}),
    "get_score_rules": Filling(rows=RULES),
    "restore_score_rules": Filling(path={"rules_id": Id("networking.score_rules")}, rows=RULES),
    "import_contacts": Filling(files={"file": ("contacts.csv", b"first_name\nAda\n", "text/csv")}),
    "restore_contact": Filling(path={"contact_id": CONTACT}, rows={"networking.contacts": {"is_deleted": True}}),
    "move_contact": Filling(path={"contact_id": CONTACT}, json={"contact_type": "contact"}),
    "dismiss_duplicate": Filling(path=PAIR),
    "reconsider_duplicate": Filling(path=PAIR),
    "preview_merge": Filling(path={"contact_id": FIRST}, json={"other_id": SECOND}),
    "merge_contacts": Filling(path={"contact_id": FIRST}, json={"other_id": SECOND}),
    "change_contact_owner": Filling(path={"contact_id": CONTACT}, json={"user_id": Colleague()}),
    "share_contact_with_member": Filling(path={"contact_id": CONTACT, "user_id": Colleague()}, json={}),
    "share_contact_with_team": Filling(
        path={"contact_id": CONTACT, "team_id": Id("core.teams")}, json={}, rows={"core.teams": {"is_deleted": False}}
    ),
    "create_tag": Filling(json={"name": Fresh()}),
    "update_tag": Filling(path={"tag_id": Id("networking.tags")}, json={"name": Fresh()}),
    "merge_tags": Filling(
        path={"tag_id": Id("networking.tags")}, json={"other_id": Id("networking.contact_tags", "tag_id")}
    ),
    "create_custom_field": Filling(json={"key": Fresh(), "label": Fresh(), "kind": "text"}),
    "update_custom_field": Filling(path=FIELD, json={"label": Fresh()}, rows=PLAIN),
    "list_views": Filling(rows=OWN_VIEWS),
    "get_view": Filling(path=VIEW, rows=OWN_VIEWS),
    "update_view": Filling(path=VIEW, json={"name": Fresh()}, rows=OWN_VIEWS),
    "delete_view": Filling(path=VIEW, rows=OWN_VIEWS),
    "unshare_contact_with_member": Filling(path={"contact_id": SHARED, "user_id": GRANTEE}),
    "unshare_contact_with_team": Filling(
        path={"contact_id": SHARED, "team_id": GRANTEE}, rows={"networking.contact_shares": {"kind": "team"}}
    ),
    "undo_merge": Filling(
        path={"merge_id": Id("networking.contact_merges")},
        rows={"networking.contact_merges": {"undo_until": datetime(2999, 1, 1, tzinfo=UTC)}},
    ),
    "revert_import": Filling(
        path={"import_id": Id("networking.contact_imports")}, rows={"networking.contact_imports": {"state": "done"}}
    ),
}

test_conformance = conformance.of(
    "networking",
    fillings=FILLINGS,
    definer_functions={
        "networking.find_contacts(text[])",
        "networking.find_matches(uuid[],text[],text[],text[])",
        "networking.find_similar(uuid[])",
        "networking.search_alike(text[])",
        "networking.search_contacts(text[],text,text)",
    },
)
