"""What happens to an item between its acceptance and its end."""
