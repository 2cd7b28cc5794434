"""What may be done with the trail."""

from core.permissions import Permission, Role

AUDIT_READ = Permission("audit:read", "See, take out and verify who changed what", least=Role.ADMIN)
PERMISSIONS = (AUDIT_READ,)
