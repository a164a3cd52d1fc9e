# SPDX-License-Identifier: Apache-2.0
"""The original's functions for files: what `dictdb.storage.persist` has."""

from dictdb.storage.persist import apply_delta, has_changes, load, save, save_delta

__all__ = ["apply_delta", "has_changes", "load", "save", "save_delta"]
