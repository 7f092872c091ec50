"""Text and title of a document, by the ending of its name."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from ramet.engine.errors import MissingPackageError

TITLE_CHARACTERS = 500
_HEADING = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)


class Unreadable(Exception):
    """A document that is not taken: reason and detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def converted(content: bytes, ending: str) -> tuple[str, str]:
    """Text and title ("" where it has none) of a document's bytes.

    Raises
    ------
    Unreadable
    MissingPackageError
        For HTML and PDF: the extra ``files`` is not installed.
    """
    text, title = _CONVERTERS.get(ending, _plain)(content)
    return text, " ".join(title.split())[:TITLE_CHARACTERS]


def needed(endings: set[str]) -> None:
    """Load what documents of these endings need, so that it is missed before the work begins.

    Raises
    ------
    MissingPackageError
    """
    if endings & {".html", ".htm"}:
        _justhtml()
    if ".pdf" in endings:
        _pypdf()


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable("bad_utf8", f"has a byte that is not UTF-8 at {error.start}; save it as UTF-8") from error


def _plain(content: bytes) -> tuple[str, str]:
    return _decoded(content), ""


def _markdown(content: bytes) -> tuple[str, str]:
    text = _decoded(content)
    heading = _HEADING.search(text)
    return text, heading[1] if heading else ""


def _justhtml() -> Any:
    try:
        import justhtml
    except ImportError as error:
        raise MissingPackageError("justhtml", "files") from error
    return justhtml


def _pypdf() -> Any:
    try:
        import pypdf
    except ImportError as error:
        raise MissingPackageError("pypdf", "files") from error
    return pypdf


def _html(content: bytes) -> tuple[str, str]:
    """Markdown of a page, in whatever encoding it says it has."""
    package = _justhtml()
    try:
        page = package.JustHTML(content)
        titles = page.query("title")
        return _whole(page.to_markdown()), _whole(titles[0].to_text()) if titles else ""
    except Exception as error:  # of a foreign file: whatever the parser finds wrong
        raise Unreadable("unreadable", f"cannot be read as HTML: {type(error).__name__}: {error}") from error


def _pdf(content: bytes) -> tuple[str, str]:
    """Text of the pages, with a blank line between them."""
    package = _pypdf()
    try:
        document = package.PdfReader(io.BytesIO(content))
        if document.is_encrypted and not document.decrypt(""):
            raise Unreadable("unreadable", "is encrypted; save it without a password")
        title = document.metadata.title if document.metadata is not None else None
        return _whole("\n\n".join(page.extract_text() for page in document.pages)), _whole(str(title or ""))
    except Unreadable:
        raise
    except Exception as error:  # of a foreign file: whatever the parser finds wrong
        raise Unreadable("unreadable", f"cannot be read as PDF: {type(error).__name__}: {error}") from error


def _whole(text: str) -> str:
    """Text without halves of characters, which converters leave where a file has them."""
    return text.encode("utf-8", "replace").decode()


_CONVERTERS: dict[str, Callable[[bytes], tuple[str, str]]] = {
    ".md": _markdown, ".html": _html, ".htm": _html, ".pdf": _pdf,
}  # fmt: skip
