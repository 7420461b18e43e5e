"""Which settings differ is told by name and keyed hash, and a value never."""

import pytest

from roundsman.rollback.rules.judge_rehearsal import SettingsError, differences, hashed

KEY, OTHER = b"k" * 32, b"o" * 32


def test_what_differs_is_named_and_what_is_meant_to_is_not():
    staging = hashed(b"DEBUG=1\nWORKERS=2\nDATABASE_URL=a\nONLY_HERE=x\n", KEY)
    production = hashed(b"WORKERS=2\nDEBUG=0\nDATABASE_URL=b\nONLY_THERE=x\n", KEY)
    found = differences(staging, production, ["DATABASE_URL"])
    assert ["DEBUG", "ONLY_HERE", "ONLY_THERE"] == [one.name for one in found]
    assert "ONLY_HERE only in staging" == str(found[1])
    assert "ONLY_THERE only in production" == str(found[2])


def test_a_short_secret_has_another_hash_with_another_key():
    """So that nobody finds it by trying all of them."""
    assert hashed(b"PIN=1", KEY) != hashed(b"PIN=1", OTHER)
    assert hashed(b"PIN=1", KEY) == hashed(b"PIN=1", KEY) != hashed(b"PIN=2", KEY)


def test_a_value_of_several_lines_ends_with_a_zero_byte():
    assert {"CERT", "NEXT"} == hashed(b"CERT=-----BEGIN\nabc=\n\0NEXT=1\0", KEY).keys()


BAD = [
    (b"A=1\nhush-4711\n", "part 2 of its output is no setting"),
    (b"CERT=-----BEGIN\nMIIhush==\n", "part 2 of its output is no setting"),
    (b"hush=1\n", "part 1 of its output is no setting"),
    (b"A=hush\nA=hush2\n", "it names A twice"),
    (b"\n", "it printed no setting"),
]


@pytest.mark.parametrize(("output", "says"), BAD)
def test_what_is_no_setting_is_refused_and_not_quoted(output, says):
    with pytest.raises(SettingsError) as refused:
        hashed(output, KEY)
    assert says in str(refused.value)
    assert "hush" not in str(refused.value)
