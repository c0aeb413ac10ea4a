"""From the views of videos to votes, reports, predictions files and what these are worth."""
