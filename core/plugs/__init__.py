"""The socket: what a module says of itself, how modules are found, and how a bad one is kept apart."""
