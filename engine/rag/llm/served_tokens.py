"""Tokens as a model server counts them, by ``POST /tokenize``: llama.cpp and vLLM have it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from ramet.engine.rag.errors import LlmRefusedError, LlmResponseError, LlmUnavailableError

TIMEOUT_S = 10.0


class ServedTokens:
    """Count tokens by asking a server; a callable ``text -> int``.

    Parameters
    ----------
    root : str
        Address of the server without the path of the OpenAI protocol, such as ``"http://127.0.0.1:8080"``.
    model : str, optional
        For servers that hold several.
    api_key : str, optional

    Notes
    -----
    Nothing is tried again, and as it is asked while chunks are selected, its errors carry no selection.
    """

    def __init__(self, root: str, model: str | None = None, api_key: str | None = None) -> None:
        self._root = root.rstrip("/").removesuffix("/v1")
        self._model = model
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def __call__(self, text: str) -> int:
        """Tokens of a text, no special ones added.

        Raises
        ------
        LlmUnavailableError, LlmRefusedError, LlmResponseError
        """
        if not text:
            return 0
        asked: dict[str, Any] = {"content": text, "prompt": text, "add_special": False, "add_special_tokens": False}
        if self._model:
            asked["model"] = self._model
        found = self.post("/tokenize", asked)
        tokens, count = found.get("tokens"), found.get("count")
        if isinstance(count, int):
            return count
        if isinstance(tokens, list):
            return len(tokens)
        raise LlmResponseError(self._root, "its /tokenize says neither tokens nor count; pass a function as count=")

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One question to the server, and its answer."""
        request = urllib.request.Request(f"{self._root}{path}", json.dumps(body).encode(), self._headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                found = json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise LlmRefusedError(
                self._root, f"{path}: {error.code} {error.reason}; pass a function as count="
            ) from error
        except (OSError, HTTPException) as error:  # URLError and time-outs are the former
            reason = getattr(error, "reason", error)
            raise LlmUnavailableError(self._root, f"{path}: {reason}; is the server running?") from error
        except ValueError as error:
            raise LlmResponseError(self._root, f"{path}: the answer is not JSON") from error
        if not isinstance(found, dict):
            raise LlmResponseError(self._root, f"{path}: the answer is no JSON object")
        return found
