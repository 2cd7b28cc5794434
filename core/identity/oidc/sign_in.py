"""Signing in with an issuer, from the redirect to the session.

    start     the client gets the address to send the browser to, and a secret of its own
    callback  the client hands over what the browser came back with; a session, or `mfa-required`
    second    the code of the second factor, of whoever has one here: an issuer's word doesn't stand in for it

Each provider has a redirect address of its own, and the issuer is compared in the answer (RFC 9207), in its metadata
and in the ID token: an answer of one issuer never reaches another.
"""

import base64
from collections.abc import Callable, Sequence
from urllib.parse import quote_plus, urlencode
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct

from core.db.database import Database
from core.errors import NotFound
from core.http.outgoing import Answer, Outgoing, OutgoingFailed
from core.identity.mfa import Code
from core.identity.models import User
from core.identity.oidc.attempts import LIFETIME, Attempts, Begun, refused
from core.identity.oidc.id_tokens import BadIdToken, IdClaims, read_id_token
from core.identity.oidc.issuer import DOCUMENT_BYTES, Issuer, Metadata, unavailable
from core.identity.oidc.linking import link_to_session, person_of
from core.identity.oidc.schemas import OidcCallbackIn, OidcSecondFactorIn, OidcStarted
from core.identity.origins import Origin
from core.identity.schemas import TokenPair
from core.identity.service import Identity
from core.settings import OidcProvider, Settings

log = structlog.get_logger()


class _Issued(Struct, frozen=True):
    """The token endpoint's success; of its tokens, only the ID token is of use to us."""

    id_token: str


class _Failed(Struct, frozen=True):
    error: str = ""


class OidcSignIn:
    def __init__(
        self,
        *,
        identity: Identity,
        database: Database,
        outgoing: Outgoing,
        settings: Settings,
        ring: Callable[[], None],
    ) -> None:
        """`ring` tells the relay that there are letters to send."""
        self._identity = identity
        self.database = database
        self._outgoing = outgoing
        self._public_url = settings.public_url.rstrip("/")
        self._attempts = Attempts(database, settings.secret_key)
        self._issuers = {provider.name: Issuer(provider, outgoing) for provider in settings.sign_in_providers}
        self._ring = ring

    @property
    def providers(self) -> Sequence[OidcProvider]:
        """As the deployment lists them."""
        return [issuer.provider for issuer in self._issuers.values()]

    async def start(self, name: str, *, organization: str | None = None, session_id: UUID | None = None) -> OidcStarted:
        """`session_id` is that of a person who wants the identity linked with their account.

        Raises `NotFound` for a provider that there isn't, `Unavailable` while its issuer is away.
        """
        issuer = self._issuer(name)
        endpoint = (await issuer.metadata()).authorization_endpoint
        begun = await self._attempts.begin(name, organization=organization, session_id=session_id)
        query = urlencode(
            {
                "response_type": "code",
                "client_id": issuer.provider.client_id,
                "redirect_uri": self._redirect_uri(name),
                "scope": issuer.provider.scopes,
                "state": begun.state,
                "nonce": self._attempts.nonce(begun.state),
                "code_challenge": self._attempts.challenge(begun.state),
                "code_challenge_method": "S256",
            }
        )
        return OidcStarted(
            authorization_url=f"{endpoint}{'&' if '?' in endpoint else '?'}{query}",
            browser_secret=begun.browser_secret,
            expires_in=int(LIFETIME.total_seconds()),
        )

    async def callback(self, name: str, data: OidcCallbackIn, origin: Origin) -> TokenPair:
        """Whatever it raises, the state is used up.

        Raises `Unauthenticated` for whatever doesn't hold, `mfa-required` where a second factor is on, `Forbidden`
        where nobody here is linked, `Conflict` where it was to be linked and can't be, and `Unavailable` while the
        issuer is away.
        """
        issuer = self._issuer(name)
        begun = Begun(state=data.state, browser_secret=data.browser_secret)
        attempt = await self._attempts.take(name, begun)
        metadata = await issuer.metadata()
        if data.iss is None and not metadata.authorization_response_iss_parameter_supported:
            pass  # it never sends one; the redirect address is its own all the same
        elif data.iss != issuer.provider.issuer:
            log.warning("oidc.refused", provider=name, reason="the answer names another issuer")
            raise refused()
        token = await self._swap(issuer, metadata, data.code, attempt.state)
        try:
            nonce = self._attempts.nonce(attempt.state)
            claims: IdClaims = await read_id_token(issuer, token, nonce=nonce, started_at=attempt.started_at)
        except BadIdToken as error:
            log.warning("oidc.refused", provider=name, reason=str(error))
            raise refused() from error
        if attempt.session_id is None:
            user_id = await person_of(self.database, claims)
        else:
            user_id = await link_to_session(self.database, claims, attempt.session_id)
        self._ring()
        await self._attempts.vouch(attempt, user_id)
        return await self._enter(name, begun, Code(), origin)

    async def second_factor(self, name: str, data: OidcSecondFactorIn, origin: Origin) -> TokenPair:
        """Raises `Unauthenticated`; a wrong code counts with the throttle of sign-ins, and may be mended until the
        attempt ends."""
        self._issuer(name)
        begun = Begun(state=data.state, browser_secret=data.browser_secret)
        return await self._enter(name, begun, Code(totp=data.totp_code, recovery=data.recovery_code), origin)

    async def _enter(self, name: str, begun: Begun, code: Code, origin: Origin) -> TokenPair:
        user_id = await self._attempts.vouched(name, begun)
        async with self.database.system() as system:
            account = (await system.get_one(User, user_id)).email
        throttle, guesses = self._identity.throttle, code != Code()
        if guesses:  # without a code there is nothing to guess, and guesses at the password must not keep the owner out
            await throttle.check(account=account, origin=origin)
        proved_at = await self._identity.ask_second_factor(user_id, code, account=account, origin=origin)
        organization = await self._attempts.end(name, begun)
        pair = await self._identity.enter(user_id, organization, origin, second_factor_at=proved_at)
        if guesses:
            await throttle.succeeded(account=account)
        return pair

    async def _swap(self, issuer: Issuer, metadata: Metadata, code: str, state: str) -> str:
        """The code for an ID token."""
        name = issuer.provider.name
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri(name),
            "code_verifier": self._attempts.verifier(state),
        }
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        form, headers = _with_client(issuer.provider, metadata, form, headers)
        try:
            answer = await self._outgoing.send(
                "POST",
                metadata.token_endpoint,
                headers=headers,
                content=urlencode(form).encode(),
                most_bytes=DOCUMENT_BYTES,
            )
        except OutgoingFailed as error:
            raise unavailable(name, error.reason) from error
        if answer.status == 200:
            return _decoded(name, answer, _Issued).id_token
        if answer.status == 400 and _decoded(name, answer, _Failed).error == "invalid_grant":
            log.warning("oidc.refused", provider=name, reason="the code is not valid")
            raise refused()
        raise unavailable(name, f"the token endpoint's status is {answer.status}")

    def _issuer(self, name: str) -> Issuer:
        if (issuer := self._issuers.get(name)) is None:
            raise NotFound("There is no such sign-in service")
        return issuer

    def _redirect_uri(self, name: str) -> str:
        return f"{self._public_url}/oidc/{name}/callback"


def _with_client(
    provider: OidcProvider, metadata: Metadata, form: dict[str, str], headers: dict[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """How the client proves itself (RFC 6749, 2.3.1): in the header, where the issuer can read it there."""
    if not provider.client_secret:
        return {**form, "client_id": provider.client_id}, headers
    if "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
        pair = f"{quote_plus(provider.client_id)}:{quote_plus(provider.client_secret)}"
        return form, {**headers, "authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {**form, "client_id": provider.client_id, "client_secret": provider.client_secret}, headers


def _decoded[T](name: str, answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise unavailable(name, "the token endpoint's answer can't be read") from error
