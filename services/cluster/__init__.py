"""What Copyist asks of Kubernetes: Jobs, their pods' logs, and the ConfigMap that says what is released."""
