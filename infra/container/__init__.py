"""What the image adds to the stack's servers: secrets from files, health checks, one-shot set-up.

    python -m infra.container.credentials infra/credentials     # once, on the machine
    docker compose --file infra/compose.yaml up --detach --wait

The rules are the local stack's (``infra/local``): the same databases, roles, keys and rights.
"""
