"""Nearest neighbours of a query among the items of one type: three kinds of index behind one interface."""
