"""What watches Copyist: Prometheus rules, Alertmanager, Grafana dashboards."""
