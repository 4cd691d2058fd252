"""The screens, on Textual. Draws what the store knows; asks nothing of anybody itself."""
