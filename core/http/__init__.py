"""HTTP: problems, authentication, the context of a request, bodies and OpenAPI."""
