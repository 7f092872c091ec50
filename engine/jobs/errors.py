"""What can go wrong with a build job besides its arguments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ramet._error import RametError
from ramet.engine.jobs.inputs.blocks import Rejected
from ramet.storage.errors import SYSTEM_ERRORS, StorageFullError, translated


class JobError(RametError):
    """A build job cannot go on."""


class RejectedRecordError(JobError):
    """A record cannot be taken, and ``on_error`` is "fail".

    Attributes
    ----------
    rejected : Rejected
        File, row and reason.
    path : Path
        The job's directory.
    """

    def __init__(self, rejected: Rejected, path: Path) -> None:
        self.rejected = rejected
        self.path = path
        super().__init__(
            f"{rejected.file}, row {rejected.row}: {rejected.reason}: {rejected.detail}; to leave such records out and "
            "have them counted in the report, go on with on_error='skip' and resume=True (--on-error skip --resume); "
            f"to correct it, delete {path} and start anew"
        )


class JobDamagedError(JobError):
    """Files of the job are not as it left them."""

    def __init__(self, path: Path, problem: object) -> None:
        self.path = path
        super().__init__(f"the job in {path} is damaged: {problem}; delete that directory to start anew")


class JobExistsError(JobError):
    """A job for this place was begun and did not end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"a job for this collection was begun before and did not end: {path}; go on with it (resume=True, "
            "--resume), or delete that directory to start anew"
        )


class JobMismatchError(JobError):
    """A job that is to be resumed was begun with something else."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        super().__init__(
            f"the job in {path} was begun with {what}; pass the same, or delete that directory to start anew"
        )


class JobOwnerError(JobError):
    """The directory of the job is not this user's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"{path} is where the job would work, and it belongs to another user or is no directory; remove it, or "
            "choose another place for the collection"
        )


class JobRunningError(JobError):
    """Another process works at this job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"another process works at the job in {path}; wait for it, or stop it first")


@contextmanager
def told_with_advice(path: Path) -> Iterator[None]:
    """Errors of the operating system and of LMDB as storage errors that say what to do with the job in a directory."""
    advice = "what was done is kept: make room, and go on with resume=True (--resume)"
    try:
        yield
    except StorageFullError as error:
        raise StorageFullError(path, error.__cause__ or error, advice) from error
    except EOFError as error:
        raise JobDamagedError(path, error) from error
    except SYSTEM_ERRORS as error:
        found = translated(error, path)
        raise (StorageFullError(path, error, advice) if isinstance(found, StorageFullError) else found) from error
