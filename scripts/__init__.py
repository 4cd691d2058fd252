"""Programs of the house: set-up, lock files, pictures."""
