"""The figures of /metrics, as Prometheus' own parser reads them."""

from django.test import Client
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


def families(client: Client) -> list[Metric]:
    """Return the families of one scrape."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return list(text_string_to_metric_families(answer.content.decode()))


def scrape(client: Client) -> dict[str, dict[Labels, float]]:
    """Return the values of one scrape, by name and labels."""
    values: dict[str, dict[Labels, float]] = {}
    for family in families(client):
        for sample in family.samples:
            values.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return values


def labels(**names: str) -> Labels:
    return frozenset(names.items())
