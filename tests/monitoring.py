"""The dashboard's queries, and a check of them and of the alerts with a real Prometheus that scrapes a running site.

.ci/metrics runs it: .venv/bin/python -m tests.monitoring http://127.0.0.1:8000 (the token is in API_TOKEN). It needs
the command `prometheus`, but nothing of requirements-dev.txt.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from tests.processes import free_port, until

OPS = Path(__file__).resolve().parent.parent / "ops"
SCRAPE_SECONDS, WAIT_SECONDS = 1, 60
# What Grafana puts in place of its variables.
VARIABLES = {"$job": "slipway", "$rollout": ".*", "$guard": ".*", "$__rate_interval": "30s", "$__interval": "30s"}


class Query(NamedTuple):
    """A query of a panel of the dashboard. expr: with Grafana's variables."""

    panel: str
    expr: str

    def as_prometheus_takes_it(self) -> str:
        """Return the query with values in place of Grafana's variables."""
        expr = self.expr
        for name, value in VARIABLES.items():
            expr = expr.replace(name, value)
        return expr


def dashboard_queries() -> list[Query]:
    """Return the queries of the dashboard's panels and annotations."""
    dashboard = json.loads((OPS / "grafana" / "slipway.json").read_text())
    panels = [
        Query(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])
    ]
    return panels + [Query(each["name"], each["expr"]) for each in dashboard["annotations"]["list"]]


@contextmanager
def prometheus(site: str, token: str) -> Iterator[str]:
    """Run a Prometheus with the alerts of ops/ that scrapes the site every second. Yield its address."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "token").write_text(token)
        config = {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
            "rule_files": [str(OPS / "prometheus" / "rules.yml")],
            "scrape_configs": [
                {
                    "job_name": "slipway",
                    "authorization": {"credentials_file": f"{folder}/token"},
                    "static_configs": [{"targets": [urlsplit(site).netloc]}],
                }
            ],
        }
        (Path(folder) / "prometheus.json").write_text(json.dumps(config))  # JSON is YAML, too
        address = f"127.0.0.1:{free_port()}"
        options = {"config.file": "prometheus.json", "storage.tsdb.path": "data", "web.listen-address": address}
        command = ["prometheus", *(f"--{name}={value}" for name, value in options.items()), "--log.level=warn"]
        process = subprocess.Popen(command, cwd=folder)
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait()


def ask(address: str, path: str, **parameters: str) -> Any:
    """Return what Prometheus answers to this request of its HTTP API. Raises OSError if it refuses or does not run."""
    with urllib.request.urlopen(f"{address}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as answer:
        return json.load(answer)["data"]


def is_scraped(address: str) -> bool:
    """Return whether Prometheus answers and has scraped the site a few times."""
    try:
        scraped = ask(address, "query", query='sum_over_time(up{job="slipway"}[1m]) >= 5')
    except OSError:
        return False
    return bool(scraped["result"])


def rule_problems(address: str) -> list[str]:
    """Return a line for each alert that was not evaluated without an error."""
    rules = [rule for group in ask(address, "rules")["groups"] for rule in group["rules"]]
    return [f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}" for rule in rules if rule["health"] != "ok"]


def query_problems(address: str) -> list[str]:
    """Run each query of the dashboard. Return a line for each that fails, and print those that return nothing."""
    problems = []
    for query in dashboard_queries():
        expr = query.as_prometheus_takes_it()
        try:
            answer = ask(address, "query", query=expr)
        except urllib.error.HTTPError as error:
            problems.append(f"{query.panel}: {error.read().decode()}")
            continue
        if not answer["result"]:
            print(f"no data: {query.panel}: {expr}")
    return problems


def main(site: str) -> str:
    """Return what is wrong, as text; nothing if all is well."""
    with prometheus(site, os.environ.get("API_TOKEN", "")) as address:
        if not until(lambda: is_scraped(address), WAIT_SECONDS):
            return f"Prometheus cannot scrape {site}: {targets(address)}"
        until(lambda: not rule_problems(address), WAIT_SECONDS)
        problems = rule_problems(address) + query_problems(address)
        alerts = ask(address, "alerts")["alerts"]
    print("alerts of this site:", ", ".join(sorted({each["labels"]["alertname"] for each in alerts})) or "none")
    print(f"{len(dashboard_queries())} queries of the dashboard were run")
    return "\n".join(problems)


def targets(address: str) -> str:
    """Return why the target is not up, in Prometheus' words."""
    return "; ".join(target["lastError"] or target["health"] for target in ask(address, "targets")["activeTargets"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) or 0)
