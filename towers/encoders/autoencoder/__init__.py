"""The autoencoder of `Generalized User Representations for Transfer Learning`.

``modalities.py`` and ``cooccurrence.py``: a text and a collaborative vector per item. ``spec.py`` and
``features.py``: from users to a wide row of features. ``normaliser.py``, ``model.py`` and ``train.py``: the network.
``encoder.py``: the contract.
"""
