"""Run by Alembic: the connection comes from `services.runtime.migrations.migrate`."""

from alembic import context

if __name__ == "env_py":  # what Alembic calls it; nobody else runs it
    context.configure(connection=context.config.attributes["connection"])
    context.run_migrations()
