"""One looping worker per source: pace, deadline, back-off, freshness. What comes out is batches, plain data."""
