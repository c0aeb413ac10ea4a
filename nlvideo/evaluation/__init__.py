"""From the views of videos to video_scores, reports, predictions files and what these are worth."""
