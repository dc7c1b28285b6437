"""Model selection: hyper-parameter tuning and ablation."""
