"""What a data set holds: its classes, the shapes of its defects, its light, its twins; without a net."""
