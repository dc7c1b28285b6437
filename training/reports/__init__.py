"""Reports: Markdown and plots."""
