"""The co-listening graph: builder and artefact."""
