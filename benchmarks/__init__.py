"""What the console costs and how fast it answers, as ratios against a reference in the same run."""
