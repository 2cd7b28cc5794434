"""The local default: real PostgreSQL and Redis servers without Docker, and the supervisor of `plugs up`."""
