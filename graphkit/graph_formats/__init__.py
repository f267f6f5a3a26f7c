"""The graph in the formats of other tools: DGL, PyTorch Geometric, NetworkX, GraphML, triples."""
