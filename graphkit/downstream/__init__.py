"""What frozen user vectors are good for: several tasks, one simple model, one table."""
