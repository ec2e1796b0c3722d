"""What makes the network compute faster and changes nothing that it computes."""
