"""What is measured of predictions, with intervals over lesions."""
