"""Identity: organizations, people, memberships, sessions and tokens."""
