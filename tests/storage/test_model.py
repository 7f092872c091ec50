"""A collection against a dict: any order of operations, snapshots held meanwhile, close and reopen."""

import shutil
import tempfile
from copy import deepcopy
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from ramet.storage.verify import verify
from tests.storage import world
from tests.storage.world import Model, Store


class Collection(RuleBasedStateMachine):
    """Every rule is one transaction, but for those that roll back or only look."""

    snapshots = Bundle("snapshots")

    @initialize()
    def create(self):
        self.directory = Path(tempfile.mkdtemp(prefix="ramet-model-"))
        self.store = Store.create(self.directory / "c", world.SETTINGS)
        self.model = Model()
        self.held = []

    def teardown(self):
        if hasattr(self, "directory"):
            for snapshot, _ in self.held:
                snapshot.close()
            report = verify(self.store)
            assert report.ok, report.problems[:3]
            self.store.close()
            shutil.rmtree(self.directory)

    @rule(n=st.integers(1, 40))
    def append(self, n):
        world.commit(self.store, self.model, self.model.batch + 1, n)

    @precondition(lambda self: self.model.lists)
    @rule(data=st.data(), slack=st.sampled_from([0.0, 0.5, 3.0]))
    def rewrite(self, data, slack):
        """Replace some lists of a tenant by the same rows in another order."""
        tenant = data.draw(st.sampled_from(sorted({tenant for tenant, _ in self.model.lists})))
        cells = sorted(cell for owner, cell in self.model.lists if owner == tenant)
        chosen = data.draw(st.lists(st.sampled_from(cells), unique=True, min_size=1))
        for cell in chosen:
            self.model.lists[tenant, cell].reverse()
        with self.store.write() as writer:
            world.write_lists(writer, self.model, tenant, chosen, slack)

    @precondition(lambda self: self.model.lists)
    @rule(data=st.data(), target_cell=st.integers(0, world.N_CELLS + 2))
    def move(self, data, target_cell):
        """Move all rows of a list to another cell and delete the list."""
        tenant, cell = key = data.draw(st.sampled_from(sorted(self.model.lists)))
        if cell == target_cell:
            return
        moved = self.model.lists.pop(key)
        there = self.model.lists.setdefault((tenant, target_cell), [])
        there.extend(row for row in moved if row not in set(there))
        with self.store.write() as writer:
            writer.delete_list(tenant, cell)
            world.write_lists(writer, self.model, tenant, [target_cell])
            for row in moved:
                own = np.array([c for t, c in self.model.homes(row) if t == tenant], np.uint32)
                writer.put_homes(row, self.model.owners[row], tenant, np.array([0, len(own)]), own)

    @rule(n=st.integers(1, 40))
    def roll_back(self, n):
        try:
            with self.store.write() as writer:
                world.write_step(writer, deepcopy(self.model), self.model.batch + 1, n)
                raise KeyError
        except KeyError:
            pass

    @rule(target=snapshots)
    def hold(self):
        pair = (self.store.read(), deepcopy(self.model))
        self.held.append(pair)
        return pair

    @rule(pair=consumes(snapshots))
    def let_go(self, pair):
        world.assert_same(*pair)
        pair[0].close()
        self.held.remove(pair)

    @rule()
    def reopen(self):
        self.store.close()
        self.store = Store.open(self.directory / "c")

    @invariant()
    def every_snapshot_says_what_it_said(self):
        if hasattr(self, "store"):
            with self.store.read() as snapshot:
                world.assert_same(snapshot, self.model)
            for pair in self.held:
                world.assert_same_files(*pair)


TestCollection = Collection.TestCase
TestCollection.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
