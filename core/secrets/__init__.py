"""Secrets at rest: envelope encryption that ties a ciphertext to its tenant, table, column and row."""
