"""`ramet keys`: created, listed and revoked from the command line."""

from datetime import UTC, datetime, timedelta

import pytest

import ramet
from ramet.engine.keys import ALL, Keys


@pytest.fixture
def place(tmp_path):
    ramet.connect(tmp_path / "db").close()
    return tmp_path / "db"


def test_a_key_is_shown_once_and_works(run, place):
    code, out, err = run("keys", "create", place, "--tenant", "acme", "--tenant", "globex", "--rights", "read,write")
    assert (code, err) == (0, "")
    text = out.split()[-1]
    found = Keys(place).check(text)
    assert (found.tenants, found.rights, found.expires) == ({"acme", "globex"}, {"read", "write"}, None)
    code, out, _ = run("keys", "list", place)
    assert code == 0 and found.id in out and "acme, globex" in out and "active" in out
    assert text.split("_")[2] not in out + run("keys", "list", place, "--json")[1]


def test_json_says_the_same(only_json, place):
    made = only_json(
        "keys", "create", place, "--all-tenants", "--rights", "read,write,admin", "--name", "ci", "--expires", "30d",
        "--requests-per-minute", 60, "--tokens-per-minute", 1000,
    )  # fmt: skip
    text = made.pop("key")
    assert text.split("_")[1] == made["id"]
    assert Keys(place).check(text).tenants is ALL
    assert (made["tenants"], made["all_tenants"], made["rights"]) == (None, True, ["read", "write", "admin"])
    assert (made["name"], made["requests_per_minute"], made["tokens_per_minute"]) == ("ci", 60, 1000)
    left = datetime.fromisoformat(made["expires"]) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert only_json("keys", "list", place) == {"directory": str(place), "keys": [made]}
    ended = only_json("keys", "revoke", place, made["id"])
    assert ended["status"] == "revoked" and ended["revoked"] is not None
    assert Keys(place).check(text) is None
    assert only_json("keys", "list", place)["keys"] == [ended]


def test_a_date_ends_a_key_and_a_whole_key_can_be_revoked(run, only_json, place):
    text = only_json("keys", "create", place, "--tenant", "a", "--expires", "2999-01-31")["key"]
    assert Keys(place).check(text).expires == datetime(2999, 1, 31, tzinfo=UTC)
    code, out, _ = run("keys", "revoke", place, text)
    assert (code, out) == (0, f"Revoked key {text.split('_')[1]}.\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create",), "say whose records"),
        (("create", "--tenant", "a", "--all-tenants"), "either --tenant or --all-tenants"),
        (("create", "--tenant", "a", "--rights", "all"), "--rights: 'all' given"),
        (("create", "--tenant", "a", "--rights", ""), "--rights: '' given"),
        (("create", "--tenant", ""), "--tenant: is an empty string"),
        (("create", "--tenant", "a", "--expires", "soon"), "--expires: 'soon'"),
        (("create", "--tenant", "a", "--expires", "2001-01-01"), "is past"),
        (("create", "--tenant", "a", "--expires", "999999w"), "--expires"),
        (("create", "--tenant", "a", "--requests-per-minute", "0"), "--requests-per-minute"),
        (("revoke", "abcdefabcdef"), "ID: there is no key 'abcdefabcdef'"),
        (("revoke", "x" * 64), "ID: there is no key that"),
    ],
)
def test_mistakes_are_one_line(run, place, words, said):
    code, out, err = run("keys", words[0], place, *words[1:])
    assert (code, out) == (2, "")
    assert said in err and err.count("\n") == 1
    assert Keys(place).list() == []


@pytest.mark.parametrize("command", [("create", "--tenant", "a"), ("list",), ("revoke", "abcdefabcdef")])
def test_a_directory_has_to_be_there(run, tmp_path, command):
    code, out, err = run("keys", command[0], tmp_path / "missing", *command[1:])
    assert (code, out) == (2, "")
    assert err.startswith("ramet: DIR: there is no directory") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_keys_are_no_collection(run, place):
    run("keys", "create", place, "--tenant", "a")
    with ramet.connect(place) as database:
        assert database.collections() == []
    code, _, err = run("keys", "create", place / "docs", "--tenant", "a")
    assert code == 2 and "no directory" in err
    ramet.connect(place).create_collection("docs", 4)
    code, _, err = run("keys", "create", place / "docs", "--tenant", "a")
    assert code == 2 and "is a collection, not a database" in err
