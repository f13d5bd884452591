"""Where runs are recorded for people who compare them."""
