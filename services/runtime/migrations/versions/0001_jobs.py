"""Jobs and the workers that do them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("service", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("inputs", sa.JSON, nullable=False),
        sa.Column("webhook_url", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("progress_percent", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(200)),
        sa.Column("cancelling", sa.Boolean, nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("problem", sa.JSON),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME),
        sa.Column("expires_at", _TIME),
        sa.Column("version", sa.Integer, nullable=False),
    )
    unfinished = sa.text("finished_at IS NULL")
    op.create_index("jobs_of_owner", "jobs", ["service", "owner", "created_at", "id"])
    op.create_index(
        "jobs_unfinished",
        "jobs",
        ["service", "owner", "state"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
    op.create_index("jobs_by_state", "jobs", ["service", "state"])
    op.create_index("jobs_to_expire", "jobs", ["expires_at"])
    # One job a key, unless it came to nothing: two submissions at the same moment cannot make two jobs.
    lasting = sa.text("state NOT IN ('failed', 'cancelled')")
    op.create_index(
        "jobs_by_key",
        "jobs",
        ["service", "owner", "key"],
        unique=True,
        sqlite_where=lasting,
        postgresql_where=lasting,
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("service", sa.String(16), nullable=False),
        sa.Column("session", sa.String(32), nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
    )
