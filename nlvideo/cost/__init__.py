"""What a network costs: parameters, multiply-adds, activation memory; and the published sizes."""
