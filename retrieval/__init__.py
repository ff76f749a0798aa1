"""Online: from a query and a recipe to ranked hits."""
