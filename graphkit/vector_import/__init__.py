"""User vectors that were made elsewhere, as a music vector of another system: imported for the user tower."""
