"""Looking at policies and demonstrations in the browser."""
