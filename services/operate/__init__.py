"""Commands of those who run the services: workers, keys, migrations."""
