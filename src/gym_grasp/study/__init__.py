"""The user study: does touch help? Protocol, crash-safe conduct, records and analysis."""
