"""Who may call, for whom, and how often: API keys, tokens, owners, limits."""
