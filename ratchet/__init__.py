"""Continuous retraining for tabular models that only ever move forward.

The stages carry one name in every layer: ingest, validate, self_train, drift, gate, register.
This package holds their thinking: plain functions on values. ``tasks`` does their I/O, ``flows``
puts them in order.
"""

__version__ = "0.1.0"
