"""Themes: one TOML file each. See docs/themes.md."""
