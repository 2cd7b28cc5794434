"""Background work: actors, the outbox that is the truth about jobs, the relay, the schedule and the worker."""
