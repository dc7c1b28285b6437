"""The model: booster, quantiles, intervals, scale and the bundle that holds them."""
