"""References to measure against: small Textual programs that do one thing."""
