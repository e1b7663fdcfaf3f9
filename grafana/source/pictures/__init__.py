"""Pictures of the dashboards, drawn from what Prometheus answered to their queries.

They are no screenshots: `python -m grafana.source.pictures FOLDER` lays the panels out as the
dashboards say and draws them with matplotlib. FOLDER has the answers that tests/live wrote.
"""
