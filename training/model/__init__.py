"""The model: booster, intervals, scale and the bundle that holds them."""
