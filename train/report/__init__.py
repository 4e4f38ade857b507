"""HTML reports about data, models and searches (needs matplotlib and Jinja2)."""
