"""The audit trail: who changed what, on whose behalf, from where; append-only, and chained so that an edit shows."""
