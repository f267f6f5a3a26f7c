"""Looking at a dataset and at a graph: the paper's section 3 and appendix B, and what the sampler will meet."""
