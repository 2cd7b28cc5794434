"""What may be done in networking."""

from core.sdk import Permission, Role

READ = Permission("networking:read", "See contacts and interactions")
WRITE = Permission("networking:write", "Add and change contacts and interactions")
IMPORT = Permission("networking:import", "Import contacts from files", least=Role.MEMBER)
EXPORT = Permission("networking:export", "Take all contacts out as a file", least=Role.MANAGER)
CONNECT = Permission("networking:connect", "Connect with other members, and be recommended to them", least=Role.MEMBER)
SCORE = Permission("networking:score", "Set the rules of lead scores, and recompute", least=Role.MANAGER)
SEE_ALL = Permission("networking:contacts:see-all", "See and change contacts that are not shared with everybody")
TAGS = Permission("networking:tags", "Rename, merge and delete tags", least=Role.MANAGER)
FIELDS = Permission("networking:fields", "Define what is known of contacts: custom fields", least=Role.MANAGER)
VIEWS = Permission("networking:views", "Change and delete views that others share", least=Role.MANAGER)
PERMISSIONS = (READ, WRITE, IMPORT, EXPORT, CONNECT, SCORE, SEE_ALL, TAGS, FIELDS, VIEWS)
