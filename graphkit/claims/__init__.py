"""The papers' claims, each measured on the workspace's data: read, measure, verdict."""
