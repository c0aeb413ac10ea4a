"""What a training needs around its steps: optimiser, guards, checkpoints, going on, and what it says of itself."""
