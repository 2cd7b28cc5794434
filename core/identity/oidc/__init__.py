"""Signing in with an issuer of OpenID Connect: the code flow with PKCE (RFC 9700, OpenID Connect Core 1.0)."""
