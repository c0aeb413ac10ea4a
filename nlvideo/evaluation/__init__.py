"""Evaluation: multi-view scores of videos, accuracies, the predictions file, and statistics of it."""
