"""The runner of tests/gpu/run: rows, each run natively and forwarded, compared and put into a table."""
