"""What can be read of a collection without ranking: the methods that `Collection` inherits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ramet.engine import checks, listing
from ramet.engine import where as filters
from ramet.engine.errors import ArgumentError
from ramet.engine.hits import Reads, Records
from ramet.engine.opened import Opened
from ramet.engine.reads import Include
from ramet.engine.stats import collect
from ramet.index.kernels.plan import SQ8


class CollectionReads:
    """Reads; `Collection` adds the rest."""

    _opened: Opened

    def get(
        self,
        ids: Sequence[str] | None = None,
        *,
        where: Any = None,
        limit: int | None = None,
        cursor: str | None = None,
        tenant: str = checks.DEFAULT_TENANT,
        include: Sequence[str] | None = None,
        with_vectors: bool = True,
    ) -> Records:
        """Records by id, or all that match a filter, or all of a tenant, page by page.

        Parameters
        ----------
        ids : sequence of str, optional
            In the order asked for; ids that do not exist are left out.
        where : dict, optional
            Only records whose metadata match (``docs/filters.md``); in the order of their ids.
        limit : int, optional
            Most records to return; all when left out.
        cursor : str, optional
            ``records.cursor`` of the page before. Pages stay in step with the ids whatever is written in between: no
            record that is there all the time is left out or comes twice.
        tenant : str
        include : sequence of str, optional
            What comes with each id: "documents", "metadata", "vectors". Default: all of them.
        with_vectors : bool
            False leaves the vectors out, when ``include`` is not given.

        Returns
        -------
        Records
            A list of `Record`, vectors bit for bit as they were put in, with a ``cursor``: None behind the last one.

        Raises
        ------
        ArgumentError
            A wrong argument.
        """
        chosen = Include.of(include, with_vectors and include is None)
        name = checks.name(tenant, "tenant")
        if ids is not None:
            if where is not None or limit is not None or cursor is not None:
                raise ArgumentError("ids", "are given together with where, limit or cursor, which page through others")
            return listing.by_id(self._opened, name, checks.names(ids, "ids", twice=True), chosen)
        most = None if limit is None else checks.positive(limit, "limit", 1 << 31)
        return listing.page(self._opened, name, filters.parse(where), most, checks.cursor(cursor), chosen)

    def count(self, tenant: str | None = None, *, where: Any = None) -> int:
        """Records of a tenant, or of all together.

        With ``where``, those of one tenant ("default" when left out) whose metadata match: filters never look at the
        records of tenants that are not named.
        """
        name = None if tenant is None else checks.name(tenant, "tenant")
        if where is not None:
            return listing.count_matching(self._opened, name or checks.DEFAULT_TENANT, filters.parse(where))
        with self._opened.store.read() as snapshot:
            if name is None:
                return snapshot.n_live
            number = snapshot.tenant_number(name)
            return 0 if number is None else snapshot.count(number)

    def __len__(self) -> int:
        """Records of all tenants."""
        return self.count()

    def __bool__(self) -> bool:
        """Always true: an empty collection is a collection."""
        return True

    def reads(self) -> Reads:
        """What the searches of this process have read of the collection since it was opened here.

        Costs nothing; counts of searches by full-precision vectors alone (``exact=True``) are not in it.
        """
        counted, settings = self._opened.residency, self._opened.settings
        coded = settings.kind == SQ8
        n_bytes = counted.rows * (settings.dim if coded else settings.vector_bytes)
        n_bytes += counted.vectors * settings.vector_bytes if coded else 0
        return Reads(lists=counted.lists, rows=counted.rows, vectors=counted.vectors, bytes=n_bytes)

    def stats(self, tenant: str | None = None) -> dict[str, Any]:
        """Sizes, list lengths, recall curves: everything JSON-able.

        ``rows`` are row numbers in use, those of deleted records included; when they are many times ``records``, it is
        time to `compact`. ``waiting``: lists that will be split or merged by the next writes. ``tenants`` describes
        the 20 largest, or only ``tenant``; ``curve`` is one measured on that tenant, and empty where it goes by one of
        the ``shared_curves``, each of which was measured on a tenant with about as many lists.

        Raises
        ------
        UnknownTenantError
            No tenant of that name.
        """
        opened = self._opened
        name = None if tenant is None else checks.name(tenant, "tenant")
        with opened.store.read() as snapshot:
            return collect(snapshot, opened.settings, opened.store.path, name)
