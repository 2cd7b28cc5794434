"""The business rules of networking, one file per resource."""
