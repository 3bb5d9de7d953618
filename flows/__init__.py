"""When things run and in what order. A flow reads top to bottom as the pipeline."""
