"""What a verification found."""

from dataclasses import dataclass, field
from pathlib import Path

from ramet.storage.errors import CorruptionError, FormatError, StorageError

# A file full of zeros would otherwise be reported a million times.
MAX_PROBLEMS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is not as it was committed."""

    file: str
    """Name of the file inside the collection directory."""
    where: str
    """Place inside it: pages, rows, list (tenant, cell), entry of the catalog."""
    what: str
    """What was expected and what was found."""

    def __str__(self) -> str:
        return f"{self.file}: {self.where}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """Outcome of a verification."""

    ok: bool
    """Nothing was found, and everything could be looked at."""
    problems: list[Problem]
    """At most `MAX_PROBLEMS`, and one more that says so."""
    checked: dict[str, int]
    """How many things of each kind were looked at."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """Problems and counts, collected while verifying."""

    path: Path
    problems: list[Problem] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Enough problems were found; what follows would only repeat them."""
        return len(self.problems) >= MAX_PROBLEMS

    def add(self, file: str, where: str, what: str) -> None:
        """Note a problem."""
        if not self.full:
            self.problems.append(Problem(file=file, where=where, what=what))

    def add_error(self, error: StorageError, file: str) -> None:
        """Note what an error says."""
        if isinstance(error, CorruptionError):
            name, where = Path(error.file).name, error.where
            self.add(name, where, f"expected {error.expected}, found {error.found}")
        elif isinstance(error, FormatError):
            self.add(Path(error.file).name, "header", f"expected {error.expected}, found {error.found}")
        else:
            self.add(file, "file", str(error))

    def count(self, kind: str, n: int) -> None:
        """Note that `n` more things of a kind were looked at."""
        self.checked[kind] = self.checked.get(kind, 0) + n

    def report(self) -> VerifyReport:
        """Return the outcome."""
        problems = list(self.problems)
        if self.full:
            problems.append(Problem(file="", where="", what=f"more than {MAX_PROBLEMS} problems; the rest is left out"))
        return VerifyReport(ok=not problems, problems=problems, checked=dict(self.checked))
