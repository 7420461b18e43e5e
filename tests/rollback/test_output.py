"""What is kept of a command's output: bounded, and without a secret of its environment."""

import base64

import pytest

from roundsman.rollback.rules.output import HEAD_BYTES, MARGIN_BYTES, TAIL_BYTES, kept, last_line, redacted, secrets_of

ENVIRONMENT = {
    "DEPLOY_TOKEN": "hush/4711",
    "DATABASE_URL": "postgresql://keeper:hush%21two@db/name",
    "PRIVATE_KEY": "-----BEGIN\nhushline\n-----END",
    "SHORT_SECRET": "abc",
    "USE_AUTH": "true",
    "PWD": "/srv/hush",
    "REGION": "eu-west",
}
SECRETS = secrets_of(ENVIRONMENT)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("token hush/4711 taken", "token ... taken"),
        ("token hush%2F4711 taken", "token ... taken"),
        (f"token {base64.b64encode(b'hush/4711').decode()}", "token ..."),
        ("as hush!two", "as ..."),
        ("as hush%21two", "as ..."),
        ("the key: hushline.", "the key: ...."),
        ("\x1b[31mred\x1b[0m in eu-west", r"\x1b[31mred\x1b[0m in eu-west"),
        ("auth is true, abc", "auth is true, abc"),
        ("POST https://hooks.example/T0/hush", "POST https://hooks.example/..."),
        ("password=other", "password=..."),
    ],
)
def test_a_secret_is_taken_out_however_it_is_written(said, shown):
    assert shown == redacted(said, SECRETS)


def test_a_long_output_is_its_beginning_and_its_end():
    head, tail = b"a" * (HEAD_BYTES + MARGIN_BYTES), b"z" * (TAIL_BYTES + MARGIN_BYTES)
    first, between, last = kept(head, tail, 5, ()).splitlines()
    assert (HEAD_BYTES * "a", f"[{2 * MARGIN_BYTES + 5} bytes left out]", TAIL_BYTES * "z") == (first, between, last)


def test_a_secret_on_which_the_cut_falls_is_not_shown_in_part():
    secret = "hush" * 10
    head, tail = (
        b"a" * (HEAD_BYTES + MARGIN_BYTES - 20) + secret[:20].encode(),
        secret[20:].encode() + b"z" * TAIL_BYTES + b"z" * (MARGIN_BYTES - 20),
    )
    assert "hush" not in kept(head, tail, 1, [secret])


def test_the_last_line_is_for_a_sentence():
    assert ("why", "it said nothing") == (last_line("first\nwhy\n"), last_line("\n"))
