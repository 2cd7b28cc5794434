"""The core: what every module stands on. Modules import `core.sdk`, never these rooms themselves."""
