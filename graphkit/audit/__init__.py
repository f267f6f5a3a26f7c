"""Proof that nothing of the future got into a run: every artefact recounted from the raw rows.

No check calls the code that made what it looks at, so a bug there cannot hide itself.
"""
