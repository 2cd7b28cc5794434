"""Settings: one typed Struct, every bad value at once, and no local secret in production."""

import base64
import json
from pathlib import Path

import pytest

from core.settings import LOCAL_SECRET, VARIABLES, Environment, Settings, SettingsError, load_settings

ROOT = Path(__file__).parents[1]
KEY = base64.b64encode(bytes(32)).decode()


def load(**environ: str) -> Settings:
    return load_settings(environ, env_file=None)


def test_the_local_default_needs_nothing() -> None:
    assert load() == Settings()


def test_every_bad_value_is_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(PLUGS_PORT="99999", PLUGS_LOG_LEVEL="loud", DATABASE_URL="mysql://x", PLUGS_COLOUR="red")

    assert {problem.split(":")[0] for problem in caught.value.problems} == {
        "PLUGS_PORT",
        "PLUGS_LOG_LEVEL",
        "DATABASE_URL",
        "PLUGS_COLOUR",
    }


def test_production_refuses_what_only_the_local_default_may_have() -> None:
    with pytest.raises(SettingsError) as caught:
        load(PLUGS_ENVIRONMENT="production")

    assert {problem.split(":")[0] for problem in caught.value.problems} == {
        "PLUGS_SECRET_KEY",
        "PLUGS_ENCRYPTION_KEYS",
        "DATABASE_URL",
        "REDIS_URL",
        "SMTP_URL",
    }


def test_production_starts_with_secrets_of_its_own() -> None:
    settings = load(
        PLUGS_ENVIRONMENT="production",
        PLUGS_SECRET_KEY="k" * 32,
        PLUGS_ENCRYPTION_KEYS=f"2026:{KEY}",
        DATABASE_URL="postgresql://db/plugs",
        REDIS_URL="redis://redis/0",
        SMTP_URL="smtps://mail.example",
    )

    assert settings.environment is Environment.PRODUCTION


@pytest.mark.parametrize(
    "keys",
    [KEY, f"no spaces:{KEY}", "short:a2V5", "not-base64:???", f"a:{KEY},a:{KEY}", f"a:{KEY},", ":"],
)
def test_a_bad_encryption_key_is_refused_and_not_shown(keys: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(PLUGS_ENCRYPTION_KEYS=keys)

    assert [problem.split(":")[0] for problem in caught.value.problems] == ["PLUGS_ENCRYPTION_KEYS"]
    assert KEY not in str(caught.value)


GOOGLE = {
    "name": "google",
    "title": "Google",
    "issuer": "https://accounts.google.com",
    "client_id": "id",
    "client_secret": "hidden-secret",
}


def test_providers_are_read_and_their_secrets_not_shown() -> None:
    settings = load(PLUGS_OIDC_PROVIDERS=json.dumps([GOOGLE]))

    (google,) = settings.sign_in_providers
    assert (google.issuer, google.client_secret) == (GOOGLE["issuer"], "hidden-secret")
    assert "hidden-secret" not in repr(google) + repr(settings)


@pytest.mark.parametrize(
    "listed",
    [
        GOOGLE,
        [GOOGLE, GOOGLE],
        [GOOGLE | {"name": "Goo gle"}],
        [GOOGLE | {"name": "google\n"}],
        [GOOGLE | {"issuer": "https://accounts.google.com\n"}],
        [GOOGLE | {"client_id": "id\n"}],
        [GOOGLE | {"scopes": "openid\n"}],
        [GOOGLE | {"issuer": "http://accounts.google.com"}],
        [GOOGLE | {"issuer": "https://accounts.google.com?a=b"}],
        [GOOGLE | {"issuer": "https://user@accounts.google.com"}],
        [GOOGLE | {"scopes": "email"}],
        [GOOGLE | {"client_secret": "hidden-secret\n"}],
        [GOOGLE | {"secret": "hidden-secret"}],
        [{"name": "google", "client_secret": "hidden-secret"}],
        "hidden-secret",
    ],
    ids=str,
)
def test_a_bad_provider_is_refused_and_its_secret_not_shown(listed: object) -> None:
    for given in (json.dumps(listed), json.dumps(listed)[:-1]):
        with pytest.raises(SettingsError) as caught:
            load(PLUGS_OIDC_PROVIDERS=given)

        assert [problem.split(":")[0] for problem in caught.value.problems] == ["PLUGS_OIDC_PROVIDERS"]
        assert "hidden-secret" not in str(caught.value)


def test_production_never_calls_itself() -> None:
    with pytest.raises(SettingsError) as caught:
        load(PLUGS_ENVIRONMENT="production", PLUGS_OUTGOING_LOOPBACK="true")

    assert "PLUGS_OUTGOING_LOOPBACK" in {problem.split(":")[0] for problem in caught.value.problems}


def test_the_first_encryption_key_is_the_primary_one() -> None:
    assert list(load(PLUGS_ENCRYPTION_KEYS=f"new:{KEY}, old:{KEY}").wrapping_keys) == ["new", "old"]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PLUGS_PORT=9001\nPLUGS_HOST='0.0.0.0'\n")

    settings = load_settings({"PLUGS_PORT": "9002"}, env_file=file)

    assert (settings.port, settings.host) == (9002, "0.0.0.0")


def test_a_printed_settings_object_shows_no_secret() -> None:
    shown = repr(load(PLUGS_SECRET_KEY="s3cret" * 8, DATABASE_URL="postgresql://u:hunter2@db/plugs"))

    assert "s3cret" not in shown
    assert "hunter2" not in shown
    assert LOCAL_SECRET not in repr(Settings())


def test_the_example_file_names_every_variable_and_no_other() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = [line.lstrip("# ").split("=")[0] for line in lines if "=" in line]

    assert sorted(named) == sorted(VARIABLES.values())
