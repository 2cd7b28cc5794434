"""The operators' room: what whoever runs the platform does across organizations, and how they become able to."""
