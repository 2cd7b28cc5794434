"""A person across all modules: what is held about them, and its erasure."""
