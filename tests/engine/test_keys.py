"""Keys against a dictionary of what was created: reopened, in two processes, and with one of them killed."""

import hashlib
import hmac
import logging
import os
import pickle
import random
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from ramet import ArgumentError, CorruptionError, StorageError
from ramet.engine import keys as module
from ramet.engine.keys import ALL, RIGHTS, Keys, id_of
from ramet.storage.keyring import LOOK_S
from tests.engine.key_process import Other

TENANTS = st.lists(st.sampled_from(["acme", "globex", "*", "ALL", "", "straße", "a" * 480]), max_size=3, unique=True)
SOME_RIGHTS = st.sets(st.sampled_from(RIGHTS), min_size=1).map(sorted)


_others = []


def other():
    """The one other process of all machines, which would take a second each to start."""
    if not _others:
        _others.append(Other())
    return _others[0]


@pytest.fixture(scope="module", autouse=True)
def _end_of_the_other():
    yield
    while _others:
        _others.pop().close()


class KeyMachine(RuleBasedStateMachine):
    """Two objects and another process on one directory; `model` says which texts are keys."""

    texts = Bundle("texts")

    def __init__(self):
        super().__init__()
        self.directory = tempfile.mkdtemp(prefix="ramet-keys-")
        self.here = [Keys(self.directory), Keys(self.directory)]
        self.model = {}
        self.asked = False

    def there(self, kind, *words):
        self.asked = True
        return other()(kind, self.directory, *words)

    def teardown(self):
        if self.asked:
            other()("forget", self.directory)
        shutil.rmtree(self.directory)

    @rule(target=texts, which=st.integers(0, 1), tenants=TENANTS, rights=SOME_RIGHTS)
    def create(self, which, tenants, rights):
        names = [name for name in tenants if name] or ["acme"]
        text = self.here[which].create(names, rights)
        assert text not in self.model
        self.model[text] = (frozenset(names), frozenset(rights))
        return text

    @rule(target=texts, rights=SOME_RIGHTS)
    def create_there(self, rights):
        text = self.there("create", ["acme"], rights)
        self.model[text] = (frozenset(["acme"]), frozenset(rights))
        return text

    @rule(which=st.integers(0, 1), text=texts, whole=st.booleans())
    def revoke(self, which, text, whole):
        assert self.here[which].revoke(text if whole else id_of(text)).status() == "revoked"
        self.model[text] = None

    @rule(text=texts)
    def revoke_there(self, text):
        assert self.there("revoke", id_of(text)) == id_of(text)
        self.model[text] = None

    @rule(which=st.integers(0, 1))
    def reopen(self, which):
        self.here[which] = Keys(self.directory)

    @rule(text=texts)
    def check_there(self, text):
        expected = self.model[text]
        found = self.there("check", text)
        assert found == (None if expected is None else [id_of(text), *(sorted(part) for part in expected)])

    @rule(text=texts, at=st.integers(0, 82), letter=st.sampled_from("0f_ \0é"))
    def check_altered(self, text, at, letter):
        altered = text[:at] + letter + text[at + 1 :]
        if altered != text:
            assert all(keys.check(altered) is None for keys in self.here)

    @rule(text=texts, other=texts)
    def check_crossed(self, text, other):
        if text != other:
            crossed = "_".join([*text.split("_")[:2], other.split("_")[2]])
            assert self.here[0].check(crossed) is None

    @invariant()
    def both_say_what_the_model_says(self):
        for keys in self.here:
            assert keys.guarded == bool(self.model)
            listed = {key.id: key for key in keys.list()}
            assert set(listed) == {id_of(text) for text in self.model}
            for text, expected in self.model.items():
                found = keys.check(text)
                if expected is None:
                    assert found is None
                    assert listed[id_of(text)].status() == "revoked"
                else:
                    assert found == listed[id_of(text)]
                    assert (found.tenants, found.rights) == expected


TestKeyMachine = KeyMachine.TestCase
TestKeyMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_what_is_written_can_be_known_without_the_secret(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    keys = Keys(tmp_path)
    text = keys.create("acme", "read", name="ci")
    secret = text.split("_")[2]
    assert len(secret) == 64 and text.isascii()
    digest = hashlib.sha256(secret.encode()).hexdigest()
    stored = b"".join(path.read_bytes() for path in (tmp_path / ".ramet").iterdir())
    assert secret.encode() not in stored and digest.encode() in stored
    shown = [repr(keys), repr(keys.list()), str(keys.check(text)), repr(vars(keys)), repr(keys._current())]
    shown += [repr(keys._current().rows[id_of(text)]), repr(keys._keyring.contents()), caplog.text]
    shown.append(repr(pickle.dumps(keys.list())))
    for wrong in ("x" + text, secret, f"ramet_000000000000_{secret}", f"ramet_{secret}"):
        with pytest.raises(ArgumentError) as caught:
            keys.revoke(wrong)
        shown += [str(caught.value), repr(caught.value)]
    for words in shown:
        assert secret not in words and digest not in words
    keys.revoke(id_of(text))
    assert keys.list()[0].status() == "revoked"
    assert keys._keyring.contents().entries[id_of(text)]["sha256"] is None


def test_the_secret_decides_by_a_comparison_in_constant_time(tmp_path, monkeypatch):
    keys = Keys(tmp_path)
    text = keys.create("acme", "read")
    compared = []

    def watched(one, two):
        compared.append((len(one), len(two)))
        return hmac.compare_digest(one, two)

    class Watched:
        compare_digest = staticmethod(watched)

    monkeypatch.setattr(module, "hmac", Watched)
    assert keys.check(text) is not None
    for wrong in ("", "ramet_", "x", text[:-1], text + "0", f"ramet_{'0' * 12}_{'0' * 64}", text.replace("ramet", "r")):
        assert keys.check(wrong) is None
    keys.revoke(text)
    assert keys.check(text) is None
    assert compared == [(32, 32)] * 9  # the same work, whether the id, the form, the secret or the state is wrong


def test_keys_end_by_themselves(tmp_path):
    keys = Keys(tmp_path)
    text = keys.create("acme", "read", expires=timedelta(seconds=0.3))
    lasting = keys.create("acme", "read", expires=datetime(2999, 1, 1))
    assert keys.check(text).expires > datetime.now(UTC)
    time.sleep(0.35)
    assert keys.check(text) is None and Keys(tmp_path).check(text) is None
    assert keys.check(lasting).expires == datetime(2999, 1, 1, tzinfo=UTC)
    assert [key.status() for key in keys.list()] == ["expired", "active"]


def test_all_tenants_is_not_a_tenant_of_any_name(tmp_path):
    keys = Keys(tmp_path)
    everyone = keys.check(keys.create(ALL, RIGHTS))
    star = keys.check(keys.create("*", RIGHTS))
    assert everyone.tenants is ALL and everyone.reaches("acme") and everyone.reaches("*")
    assert star.tenants == {"*"} and star.reaches("*") and not star.reaches("acme")
    assert Keys(tmp_path).list() == keys.list()


@pytest.mark.parametrize(
    ("arguments", "more", "argument"),
    [
        (([], "read"), {}, "tenants"),
        (("", "read"), {}, "tenants"),
        ((["acme", 3], "read"), {}, "tenants[1]"),
        ((None, "read"), {}, "tenants"),
        (("acme", []), {}, "rights"),
        (("acme", "all"), {}, "rights"),
        (("acme", ["read", "delete"]), {}, "rights"),
        (("acme", "read"), {"name": "a\nb"}, "name"),
        (("acme", "read"), {"name": "a" * 201}, "name"),
        (("acme", "read"), {"expires": timedelta(0)}, "expires"),
        (("acme", "read"), {"expires": datetime(2001, 1, 1)}, "expires"),
        (("acme", "read"), {"expires": timedelta.max}, "expires"),
        (("acme", "read"), {"expires": "30d"}, "expires"),
        (("acme", "read"), {"requests_per_minute": 0}, "requests_per_minute"),
        (("acme", "read"), {"tokens_per_minute": 1.5}, "tokens_per_minute"),
        (([f"t{n}" for n in range(1001)], "read"), {}, "tenants"),
    ],
)
def test_wrong_arguments_make_no_key(tmp_path, arguments, more, argument):
    with pytest.raises(ArgumentError) as caught:
        Keys(tmp_path).create(*arguments, **more)
    assert caught.value.argument == argument
    assert list(tmp_path.iterdir()) == []


def test_keys_belong_to_a_database_directory(tmp_path):
    with pytest.raises(ArgumentError, match="no directory"):
        Keys(tmp_path / "missing").create("acme", "read")
    (tmp_path / "catalog.mdb").touch()
    with pytest.raises(ArgumentError, match="is a collection"):
        Keys(tmp_path).create("acme", "read")


def test_losing_the_last_key_or_the_file_does_not_open_anything(tmp_path):
    keys = Keys(tmp_path)
    assert not keys.guarded
    text = keys.create("acme", "read")
    assert keys.guarded
    keys.revoke(text)
    assert keys.guarded and Keys(tmp_path).guarded
    shutil.rmtree(tmp_path / ".ramet")
    time.sleep(LOOK_S)
    assert keys.guarded and keys.check(text) is None and keys.list() == []
    assert not Keys(tmp_path).guarded


def test_damage_lets_nobody_in(tmp_path):
    keys = Keys(tmp_path)
    text = keys.create("acme", "read")
    path = tmp_path / ".ramet" / "keys.mdb"
    content = path.read_bytes().replace(b'["read"]', b'["evil"]')
    (tmp_path / "other").write_bytes(content)
    os.replace(tmp_path / "other", path)
    time.sleep(LOOK_S)
    for ask in (lambda: keys.check(text), lambda: keys.guarded, lambda: Keys(tmp_path).check("x"), keys.list):
        with pytest.raises(CorruptionError):
            ask()


@pytest.mark.parametrize(
    "change", [{"tenants": "acme"}, {"rights": None}, {"expires": "never"}, {"sha256": "xyz"}, {"created": None}]
)
def test_an_entry_of_another_form_lets_nobody_in(tmp_path, change):
    keys = Keys(tmp_path)
    text = keys.create("acme", "read")
    keys._keyring.change(id_of(text), lambda entry: {**entry, **change})
    with pytest.raises(StorageError):
        keys.check(text)


def test_killing_a_process_that_creates_keys_loses_none(tmp_path):
    """kill -9 at any moment: every key that was shown is good, and the others can go on at once."""
    keys = Keys(tmp_path)
    dice = random.Random(6)
    shown = []
    for _ in range(4):
        with Other() as other:
            other.say("flood", tmp_path)
            first = other.hear()
            time.sleep(dice.uniform(0, 0.05))
            shown += [first, *other.kill()]
        assert keys.check(keys.create("acme", "write")) is not None
        assert all(keys.check(text) is not None for text in shown)
    assert len(shown) >= 8
    assert len(keys.list()) >= len(shown) + 4
    assert all(Keys(tmp_path).check(text) is not None for text in shown)


def test_revoking_in_another_process_counts_from_the_next_check_on(tmp_path):
    keys = Keys(tmp_path)
    with Other() as other:
        for _ in range(30):
            text = keys.create("acme", "read")
            assert keys.check(text) is not None
            assert other("check", tmp_path, text) is not None
            other("revoke", tmp_path, id_of(text))
            assert keys.check(text) is None
            keys.revoke(text)
            assert other("check", tmp_path, text) is None
