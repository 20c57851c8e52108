"""What Prometheus is told: a file for its node exporter, and an HTTP endpoint of the daemon.

Both are made of the history of this machine, so they are there at once, whatever a repository does.
Names and labels are for good: docs/monitoring.md has them. The only door of prometheus_client.
"""

from backup.metrics.endpoint import serving
from backup.metrics.families import families
from backup.metrics.textfile import exposed, publish

__all__ = ["exposed", "families", "publish", "serving"]
