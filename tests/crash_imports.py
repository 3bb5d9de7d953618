"""What the forkserver imports once, so that its children need not."""

import deltalake  # noqa: F401
import great_expectations  # noqa: F401
import mlflow  # noqa: F401
import pandas  # noqa: F401
import xgboost  # noqa: F401

import flows.backfill  # noqa: F401
import tests.streams  # noqa: F401
