"""What the commands that need a model share: prompts, models, sampling, drafting, and texts in order."""
