"""Selections and answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from ramet import Answer
from ramet.api.rest.answers import dumps
from ramet.api.rest.asking import Asking, answer_of, selection_of
from ramet.api.rest.auth import Asking as Who
