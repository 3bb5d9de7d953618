"""One adapter per vendor: the only place that imports its SDK. Adapters never import stages."""
