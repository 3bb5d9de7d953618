"""The machines: a local stack of real servers, and the files for machines elsewhere."""
