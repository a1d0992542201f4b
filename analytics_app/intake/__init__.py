"""What a hit says about its sender, found out at the edge: device, place, source, and who it is, as far as is kept."""
