"""The open collections of this process, and what happens to them at a fork.

A directory is open once per process, because LMDB refuses to open a file twice, and closes with the last store,
snapshot or writer on it.

Forking. LMDB keeps its table of readers in shared memory, and its handles, inherited by a child, would free the
*parent's* places in that table when the child closes or collects them; the parent's writer might then reuse space
that the parent's snapshots still read. Therefore:

- before a fork, new snapshots wait, and open ones get a moment to finish: a transaction inside a call of LMDB at the
  instant of the fork could never be closed in the child;
- in the child, the inherited memory of the lock file is replaced by a private copy at the same address, which makes
  everything that happens to inherited handles harmless;
- a store used in the child closes the inherited environment and opens its own. When that is impossible (the parent
  was writing, or a read was cut in two), it raises `ForkError`, in the child only.

Snapshots and writers of the parent are of no use in the child and raise `ForkError` there.
"""

import ctypes
import os
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import lmdb

from ramet.storage import catalog
from ramet.storage.core import Core, check_directory
from ramet.storage.errors import CorruptionError, ForkError, MissingError, replaced
from ramet.storage.format import CATALOG
from ramet.storage.mapping import make_private
from ramet.storage.swap import restored

# How long a fork waits for open snapshots to finish. A query holds its snapshot for about a millisecond.
FORK_WAIT_S = 0.2

# How long the child waits for the inherited environment to close, which takes well under a millisecond if it can.
CLOSE_WAIT_S = 2.0

# Attempts to open a directory that others are put in the place of meanwhile.
OPEN_ATTEMPTS = 100

_cores: dict[tuple[int, int], Core] = {}
_lock = threading.RLock()

# Cores that this process inherited through a fork. They stay mapped for ever, since addresses that the engine took
# from a snapshot of the parent remain good for a snapshot of the same transaction in the child.
_inherited: list[Core] = []

# Their catalogs, which stay open too: a child learns there whether a compaction has superseded them since.
_inherited_catalogs: dict[tuple[int, int], int] = {}


def registry_lock() -> AbstractContextManager[bool]:
    """Return the lock under which cores are opened, handed over and closed."""
    return _lock


def acquire(path: Path) -> Core:
    """Return the core of a directory for one more store, opening it unless this process has it open already.

    Raises
    ------
    MissingError, AccessError, FormatError, CorruptionError, ForkError
    """
    path = path.absolute()
    with _lock:
        for _ in range(OPEN_ATTEMPTS):
            key = _place(path)
            try:
                return _acquired(path, key)
            except (MissingError, CorruptionError):
                if _place(path) == key:
                    raise
        return _acquired(path, _place(path))


def _place(path: Path) -> tuple[int, int]:
    """Return (device, inode) of the catalog at a path, after ending an exchange of directories that was cut short."""
    try:
        return check_directory(path)
    except MissingError:
        if not restored(path):
            raise
        return check_directory(path)


def _acquired(path: Path, key: tuple[int, int]) -> Core:
    core = _cores.get(key)
    if core is not None and core.forked:
        _close_inherited(core)
        core = None
    if core is None:
        core = Core(path)
        _cores[core.key] = core
    elif core.path != path and not core.is_current():
        core.path = path  # the directory was renamed while it was open
    core.handles += 1
    return core


def successor(core: Core) -> Core | None:
    """Return the core of the directory that a compaction put in the place of an open one, acquired for a store.

    None when the open one is current still, or was deleted or replaced by somebody else.
    """
    with _lock:
        if core.is_current() or not _is_superseded(core):
            return None
        try:
            fresh = acquire(core.path)
        except MissingError:
            return None
        if fresh.collection == core.collection:
            return fresh
        release(fresh)
        return None


def _is_superseded(core: Core) -> bool:
    """Ask the catalog that is open, or was inherited, whether a compaction has superseded it."""
    if core.forked:
        own = _cores.get(core.key, core)
        return _is_superseded_inherited(core) if own.forked else own.is_superseded()
    return not core.closed and core.is_superseded()


def _is_superseded_inherited(core: Core) -> bool:
    _close_inherited(core)
    fd = _inherited_catalogs.get(core.key)
    if fd is None:
        return False
    try:
        # By its descriptor: the path leads to another file by now.
        environment = lmdb.open(f"/proc/self/fd/{fd}", subdir=False, readonly=True, lock=False, lib_version=0)
    except lmdb.Error:
        return False
    with environment, environment.begin() as txn:
        return catalog.is_superseded(txn)


def open_cores() -> list[Core]:
    """Return the cores that this process has open."""
    with _lock:
        return [core for core in _cores.values() if not core.forked]


def release(core: Core) -> None:
    """Take note that a store has no use for its core any more."""
    with _lock:
        core.handles -= 1
        close_unused(core)


def close_unused(core: Core) -> None:
    """Close a core that no store, snapshot or writer of this process uses."""
    with _lock:
        if core.handles or core.forked:
            return
        # A reader or writer that begins in another thread enters itself and then looks at `closed`; here it is the
        # other way round. So at least one of the two sees the other.
        core.closed = True
        if core.reading or core.writer is not None:
            core.closed = False
            return
        for key in [key for key, known in _cores.items() if known is core]:
            del _cores[key]
        core.close()


def usable_core(core: Core) -> Core:
    """Return the core that a store has to use instead of one whose barrier is up.

    After a fork the same in the parent, and another one, acquired for the store, in the child.
    """
    with _lock:  # a fork under way holds it
        if not core.forked:
            return core
        if core.is_current():
            return acquire(core.path)
        found = successor(core)
        if found is None:
            raise replaced(core.path)  # another collection has other settings than the store
        return found


def _close_inherited(core: Core) -> None:
    """Close the environment that a child inherited, so that LMDB lets the file be opened again."""
    if CATALOG in core.fds and core.key not in _inherited_catalogs:
        _inherited_catalogs[core.key] = os.dup(core.fds[CATALOG])
    reason = "was being written by another thread"
    if core.writer is None:
        reason = "was being read by another thread"
        closing = threading.Thread(target=core.close, daemon=True)
        closing.start()
        closing.join(CLOSE_WAIT_S)
        if not closing.is_alive():
            return
    raise ForkError(
        f"{core.path} {reason} when this process was forked, and cannot be used here; "
        "start worker processes with the 'spawn' or 'forkserver' method, or fork while nobody uses the collection"
    )


def _before_fork() -> None:
    _lock.acquire()
    cores = list(_cores.values())
    for core in cores:
        core.barrier = True
    deadline = time.monotonic() + FORK_WAIT_S
    while any(core.reading for core in cores if not core.forked) and time.monotonic() < deadline:
        time.sleep(0.0005)


def _after_fork_in_parent() -> None:
    for core in list(_cores.values()):
        core.barrier = core.forked
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    for core in list(_cores.values()):
        if core.forked:
            continue  # inherited by the parent already; private there, so private here
        core.forked = True
        _inherited.append(core)
        core.lock = threading.RLock()
        core.reading = set()
        if core.writer is not None:
            core.writer.abandon()
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(core.env))  # never collected: its end may wait for ever
        with suppress(OSError):  # no lock file in use, or the directory is gone: then nothing is shared
            make_private(Path(f"{core.path / CATALOG}-lock"))


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
