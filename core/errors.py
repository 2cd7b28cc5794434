"""The errors that services raise. Each has a stable `code` that clients may rely on; HTTP gives each its status.

A service never raises an HTTP exception: the same rule serves routes, actors and the command line.
"""

from collections.abc import Sequence

from msgspec import Struct


class FieldError(Struct, frozen=True, kw_only=True):
    """One thing a client can mend."""

    field: str
    """Where it is: a dotted path into the body (`tags.0.name`), or a parameter's name."""
    code: str
    """Stable and machine-readable: `required`, `unknown`, `type`, `value`, …"""
    message: str


class PlugsError(Exception):
    """Base of every error that a client may see; `detail` is written for them and holds nothing internal."""

    code = "error"
    title = "The request failed"
    retry_after: int | None = None
    """Seconds after which trying again makes sense, where that is known."""

    def __init__(
        self, detail: str | None = None, *, code: str | None = None, errors: Sequence[FieldError] = ()
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.code = code or type(self).code
        self.errors = tuple(errors)


class Malformed(PlugsError):
    """The request can't be read at all."""

    code = "malformed"
    title = "The request could not be read"


class Unauthenticated(PlugsError):
    """Nobody is signed in, or the credential no longer counts. Says no more than that."""

    code = "unauthenticated"
    title = "Sign in to continue"


class Forbidden(PlugsError):
    code = "forbidden"
    title = "You may not do this"


class NotFound(PlugsError):
    """Absent, deleted, or another organization's: the answer is the same."""

    code = "not-found"
    title = "There is no such thing"


class Conflict(PlugsError):
    code = "conflict"
    title = "The request conflicts with the present state"


class PreconditionFailed(PlugsError):
    """The row changed since the client read it (If-Match)."""

    code = "precondition-failed"
    title = "It was changed in the meantime"


class TooLarge(PlugsError):
    code = "too-large"
    title = "The request is too large"


class TooSlow(PlugsError):
    """The client takes too long to say what it wants."""

    code = "too-slow"
    title = "The request took too long to arrive"


class Invalid(PlugsError):
    """Readable but not acceptable; `errors` lists every field that is wrong."""

    code = "invalid"
    title = "Some values are not acceptable"


class TooManyRequests(PlugsError):
    """Nothing is wrong with it but that it comes too soon."""

    code = "too-many-requests"
    title = "Too many requests"

    def __init__(self, detail: str | None = None, *, retry_after: int, code: str | None = None) -> None:
        """`retry_after` in seconds, at least 1."""
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class Unavailable(PlugsError):
    """Something this needs is away for a moment; trying again later will do."""

    code = "unavailable"
    title = "The service is briefly unavailable"
