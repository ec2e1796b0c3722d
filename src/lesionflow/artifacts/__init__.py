"""What passes between steps, one type each."""
