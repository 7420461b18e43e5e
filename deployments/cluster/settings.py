"""What a Prefect server needs to be one of several, and what its clients need: on PostgreSQL, and talking by Redis.

The same as in compose.cluster.yaml and in deployments/helm/.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Places:
    """Where everything answers, on this machine."""

    database: int
    redis: int
    balancer: int
    servers: tuple[int, int]
    shop: int
    password: str

    def postgresql(self, name: str, driver: str = "") -> str:
        """The address of a database."""
        return f"postgresql{driver}://roundsman:{self.password}@127.0.0.1:{self.database}/{name}"


def of_server(places: Places) -> dict[str, str]:
    """For API servers and background services."""
    return {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": places.postgresql("prefect", "+asyncpg"),
        # Once, before the first of them starts.
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        # Without it two background services would each do everything.
        "PREFECT_SERVER_DOCKET_URL": f"redis://:{places.password}@127.0.0.1:{places.redis}/1",
        "PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1",
        "PREFECT_REDIS_MESSAGING_PORT": str(places.redis),
        "PREFECT_REDIS_MESSAGING_PASSWORD": places.password,
        "PREFECT_REDIS_MESSAGING_DB": "0",
    }


def of_client(places: Places) -> dict[str, str]:
    """For workers, their runs, and whoever deploys."""
    return {
        "PREFECT_API_URL": f"http://127.0.0.1:{places.balancer}/api",
        # So long a client is patient with a server that is gone: some minutes.
        "PREFECT_CLIENT_MAX_RETRIES": "8",
        # While its database restarts, Prefect's API answers 500.
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,504",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "ROUNDSMAN_LEDGER_URL": places.postgresql("ledger"),
    }
