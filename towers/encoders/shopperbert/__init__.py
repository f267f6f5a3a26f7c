"""ShopperBERT: the categories and date parts of masked behaviours are predicted (One4all User Representation).

PyTorch.
"""
