"""Defaults that several strategies share."""

PRICE = 0.5
"""What a chunk must add, in aspects; chosen on training questions."""
