"""What can go wrong with a build job besides its arguments."""

from __future__ import annotations

from pathlib import Path

from ramet._error import RametError
from ramet.engine.jobs.inputs.blocks import Rejected


class JobError(RametError):
    """A build job cannot go on."""


class RejectedRecordError(JobError):
    """A record cannot be taken, and ``on_error`` is "fail".

    Attributes
    ----------
    rejected : Rejected
        File, row and reason.
    """

    def __init__(self, rejected: Rejected) -> None:
        self.rejected = rejected
        super().__init__(
            f"{rejected.file}, row {rejected.row}: {rejected.reason}: {rejected.detail}; correct it and start anew, or "
            'pass on_error="skip" to leave such records out and have them counted in the report'
        )


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


class JobRunningError(JobError):
    """Another process works at this job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"another process works at the job in {path}; wait for it, or stop it first")
