"""Tenants: owners of records, who may share them."""

import numpy as np
import pytest

import ramet

EYE = np.eye(4, dtype=np.float32)


@pytest.fixture
def shared(docs):
    """Tenant acme with a, b, c; globex with x."""
    docs.upsert(["a", "b", "c", "x"], EYE, tenant=["acme", "acme", "acme", "globex"])
    return docs


def test_tenants_have_records_of_their_own(shared):
    assert shared.tenants() == {"acme": 3, "globex": 1}
    assert [one.id for one in shared.get(tenant="globex")] == ["x"]
    assert shared.get(["a"], tenant="globex") == []
    shared.upsert(["a"], EYE[:1], tenant="globex")
    assert shared.count("acme") == 3 and shared.count("globex") == 2 and len(shared) == 5


def test_sharing_and_taking_back(shared):
    assert shared.grant(["a", "b"], to="globex", tenant="acme") == 2
    assert shared.grant(["a"], to=["globex", "new/tenant"], tenant="acme") == 1
    assert shared.tenants() == {"acme": 3, "globex": 3, "new/tenant": 1}
    assert set(shared.query(EYE[0], tenant="globex").ids) == {"a", "b", "x"}
    assert len(shared) == 4
    assert shared.revoke(["a", "c"], to="globex", tenant="acme") == 1
    assert set(shared.query(EYE[0], tenant="globex").ids) == {"b", "x"}


def test_only_the_owner_may(shared):
    shared.grant(["a"], to="globex", tenant="acme")
    for call in (
        lambda: shared.upsert(["a"], EYE[:1], tenant="globex"),
        lambda: shared.delete(["a"], tenant="globex"),
        lambda: shared.grant(["a"], to="others", tenant="globex"),
        lambda: shared.revoke(["a"], to="acme", tenant="globex"),
    ):
        with pytest.raises(ramet.NotOwnerError, match="'a'") as caught:
            call()
        assert (caught.value.tenant, caught.value.ids) == ("globex", ["a"])
    assert shared.tenants() == {"acme": 3, "globex": 2}


def test_what_cannot_be_shared(shared):
    with pytest.raises(ramet.UnknownIdError, match="'nobody'") as caught:
        shared.grant(["nobody"], to="globex", tenant="acme")
    assert (caught.value.tenant, caught.value.ids) == ("acme", ["nobody"])
    with pytest.raises(ramet.UnknownTenantError) as caught:
        shared.grant(["a"], to="globex", tenant="nobody")
    assert (caught.value.tenant, caught.value.argument) == ("nobody", "tenant")
    with pytest.raises(ramet.UnknownTenantError) as caught:
        shared.revoke(["a"], to="nobody", tenant="acme")
    assert (caught.value.tenant, caught.value.argument) == ("nobody", "to")
    shared.upsert(["a"], EYE[:1], tenant="globex")
    with pytest.raises(ramet.ConflictError, match="'a'") as caught:
        shared.grant(["a"], to="globex", tenant="acme")
    assert (caught.value.tenant, caught.value.ids) == ("globex", ["a"])
    for arguments, argument in (({"to": []}, "to"), ({"to": 3}, "to"), ({"to": "x", "ids": "a"}, "ids")):
        with pytest.raises(ramet.ArgumentError) as caught:
            shared.grant(**{"ids": ["a"], "tenant": "acme"} | arguments)
        assert caught.value.argument == argument


def test_nothing_is_shared_with_nobody(shared):
    assert shared.grant([], to="globex", tenant="acme") == 0
    assert shared.revoke([], to="globex", tenant="acme") == 0


def test_dropping_a_tenant_drops_no_other(docs):
    names = ["a", "a\n", "a/", "a/b", "A", " a", "a "]
    for name in names:
        docs.upsert(["x"], EYE[:1], tenant=name)
    while names:
        assert docs.drop_tenant(names.pop()) == 1
        assert sorted(docs.tenants()) == sorted(names)


def test_a_tenant_is_dropped(shared):
    shared.grant(["a"], to="globex", tenant="acme")
    assert shared.drop_tenant("acme") == 3
    assert shared.tenants() == {"globex": 1}
    with pytest.raises(ramet.UnknownTenantError) as caught:
        shared.drop_tenant("acme")
    assert caught.value.tenant == "acme"
    with pytest.raises(ramet.ArgumentError, match="^name: "):
        shared.drop_tenant("")
