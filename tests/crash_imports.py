"""What the forkserver imports once, so that its children need not."""

import deltalake
import great_expectations
import mlflow
import pandas
import xgboost

import flows.backfill
import tasks.windows
import tests.streams

__all__ = ["deltalake", "flows", "great_expectations", "mlflow", "pandas", "tasks", "tests", "xgboost"]
