"""What tests hold ours against: rival designs, and slow algorithms."""
