"""Kafka and Postgres as children of `analytics up`, and the supervisor that keeps everything running."""
