"""The local stack: PostgreSQL, an S3 server, MLflow, Prefect and a worker, from packages alone.

    python -m infra.local up        # start all, wait until each is healthy, say where it is
    python -m infra.local status
    python -m infra.local down      # leaves no process behind; data stay

One supervisor process starts the members in order, restarts what crashes, and stops all of them. It
listens nowhere itself. Everything else listens on 127.0.0.1, each behind a generated password.
"""
